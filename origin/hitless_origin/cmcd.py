"""What a player says of itself with a request: Common Media Client Data. Pure.

CTA-5004: pairs of key and value, in the query `CMCD` or in four headers. Read strictly: what is not
to the letter is refused as a whole, for it says nothing reliable. Lists in brackets are of version
2 (CTA-5004-A); their first number counts. Keys that nobody here needs are passed over. `audience`
makes figures of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

QUERY = "CMCD"
HEADERS = ("CMCD-Request", "CMCD-Object", "CMCD-Status", "CMCD-Session")
LENGTH_MAX = 2048  # characters, of all that one request says
KEYS_MAX = 64
SESSION_LENGTH_MAX = 64  # CTA-5004, table 1: sid
NUMBER_MAX = 10**9

_PAIR = re.compile(
    r"(?P<key>[A-Za-z][A-Za-z0-9.-]{0,63})"
    r"(?:=(?P<value>\"(?:[ !#-\[\]-~]|\\[\"\\])*\"|\([ -'*-~]*\)|[A-Za-z0-9?][A-Za-z0-9.:/_-]*))?"
)
_FIRST_NUMBER = re.compile(r"\( *([0-9]{1,12})(?:[ ;][ -'*-~]*)?\)")
_TRUE, _FALSE = ("", "?1"), ("?0",)
_OBJECT_TYPES = frozenset(("m", "a", "v", "av", "i", "c", "tt", "k", "o"))
_FORMATS = frozenset("dhseo")


class CmcdError(ValueError):
    """A text that is not what CTA-5004 says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientData:
    """Of one request. None: the player did not say.

    session: its `sid`. object_type: `v`, `a`, … buffer_ms: how much of that object's media it had
    when it asked. starved: it has run dry since it asked last. throughput_kbps: what it measured
    (mtp); asked_kbps: what it would have at most (rtp). streaming_format: `h` HLS, `d` DASH, …
    """

    session: str | None = None
    object_type: str | None = None
    buffer_ms: int | None = None
    starved: bool = False
    throughput_kbps: int | None = None
    asked_kbps: int | None = None
    streaming_format: str | None = None


def parse(texts: Iterable[str]) -> ClientData:
    """All that one request says: the query's value, decoded, or each header. Raises CmcdError."""
    said: dict[str, str] = {}
    for text in texts:
        for key, value in _pairs(text):
            if key in said:
                raise CmcdError(f"{key} twice")
            said[key] = value
        if len(said) > KEYS_MAX:
            raise CmcdError(f"more than {KEYS_MAX} keys")
    return ClientData(
        session=_session(said.get("sid")),
        object_type=_token(said.get("ot"), _OBJECT_TYPES),
        buffer_ms=_number(said.get("bl")),
        starved=_truth(said.get("bs")),
        throughput_kbps=_number(said.get("mtp")),
        asked_kbps=_number(said.get("rtp")),
        streaming_format=_token(said.get("sf"), _FORMATS),
    )


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    """Key and value; a key alone has an empty one."""
    if len(text) > LENGTH_MAX:
        raise CmcdError(f"longer than {LENGTH_MAX} characters")
    at = 0
    while at < len(text):
        match = _PAIR.match(text, at)
        if match is None:
            raise CmcdError(f"no key and value at character {at}")
        yield match["key"], match["value"] or ""
        at = match.end()
        if at == len(text):
            return
        if text[at] != "," or at + 1 == len(text):
            raise CmcdError(f"no single comma at character {at}")
        at += 1
        at += len(text[at : at + 1]) - len(text[at : at + 1].lstrip(" "))  # a space in headers


def _session(value: str | None) -> str | None:
    if value is None:
        return None
    if len(value) < 3 or value[0] != '"':
        raise CmcdError("sid is no text in quotes")
    name = re.sub(r"\\(.)", r"\1", value[1:-1])
    if len(name) > SESSION_LENGTH_MAX:
        raise CmcdError(f"sid is longer than {SESSION_LENGTH_MAX} characters")
    return name


def _number(value: str | None) -> int | None:
    if value is None:
        return None
    listed = _FIRST_NUMBER.fullmatch(value)
    text = listed[1] if listed else value
    if not (text.isascii() and text.isdigit()) or len(text) > 12 or int(text) > NUMBER_MAX:
        raise CmcdError(f"{value} is no number from 0 to {NUMBER_MAX}")
    return int(text)


def _token(value: str | None, allowed: frozenset[str]) -> str | None:
    if value is not None and value not in allowed:
        raise CmcdError(f"{value!r} is none of {', '.join(sorted(allowed))}")
    return value


def _truth(value: str | None) -> bool:
    if value is None or value in _FALSE:
        return False
    if value not in _TRUE:
        raise CmcdError(f"{value} is no flag: the key alone says yes")
    return True
