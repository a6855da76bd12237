"""Who may push to a channel: a token for each, made from keys that origin and operator share.

Owns how a token is made and told from others, and the file of keys. A token is

    base64url(HMAC-SHA256(key, "hitless-ingest:v1:" + namespace + "/" + channel)), without padding

and good for that channel alone, for as long as one of the origin's keys made it. The operator gives
it to encoder pods, the origin asks for it at each push. Neither keeps a list of tokens.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

KEYS_MAX = 8
KEY_CHARACTERS_MIN = 32  # `openssl rand -base64 32` gives 44
FILE_BYTES_MAX = 16 * 1024
HEADER_MAX = 512  # characters of Authorization that are looked at
TOKEN_FILE_VARIABLE = "HITLESS_INGEST_TOKEN_FILE"  # of the encoder: where its token is
REALM = "hitless-ingest"
_PURPOSE = "hitless-ingest:v1:"

_log = logging.getLogger(__name__)


class KeysUnusable(ValueError):
    """The file of keys can't be read, or holds none; the message says what to put there."""


class Admittance(StrEnum):
    """What the credentials of a push are worth."""

    GRANTED = "granted"
    MISSING = "missing"  # there are none that can be read
    REFUSED = "refused"  # another channel's, or made with a key that is none of ours


def token_of(key: bytes, namespace: str, channel: str) -> str:
    """The channel's token: 43 characters of A-Z a-z 0-9 - _."""
    text = f"{_PURPOSE}{namespace}/{channel}".encode()
    made = hmac.digest(key, text, "sha256")
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def admittance(
    authorization: str | None, keys: Sequence[bytes], namespace: str, channel: str
) -> Admittance:
    """Judge an Authorization header: Bearer, or Basic with the token as password.

    All keys are tried, in a time that does not depend on which of them fits.
    """
    given = _token_in(authorization)
    if given is None:
        return Admittance.MISSING
    fits = [hmac.compare_digest(given, token_of(k, namespace, channel).encode()) for k in keys]
    return Admittance.GRANTED if any(fits) else Admittance.REFUSED


def _token_in(authorization: str | None) -> bytes | None:
    """Of both schemes; None where there is no token."""
    if authorization is None or len(authorization) > HEADER_MAX:
        return None
    scheme, _, rest = authorization.strip().partition(" ")
    text = rest.strip().encode(errors="surrogateescape")
    if scheme.lower() == "bearer":
        return text or None
    if scheme.lower() != "basic":
        return None
    try:
        _, _, password = base64.b64decode(text, validate=True).partition(b":")
    except binascii.Error:
        return None
    return password or None


def read_keys(path: Path) -> tuple[bytes, ...]:
    """The keys, a line each; the first one signs. Empty lines and those with # are left out.

    Raises KeysUnusable.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeysUnusable(f"{path}: {error.strerror or error}") from error
    lines = [line.strip() for line in content.splitlines()]
    keys = tuple(line for line in lines if line and not line.startswith(b"#"))
    if len(content) > FILE_BYTES_MAX or not 1 <= len(keys) <= KEYS_MAX:
        raise KeysUnusable(f"{path}: 1 to {KEYS_MAX} keys expected, a line each")
    if any(len(key) < KEY_CHARACTERS_MIN for key in keys):
        raise KeysUnusable(
            f"{path}: a key has fewer than {KEY_CHARACTERS_MIN} characters: "
            "make one with `openssl rand -base64 32`"
        )
    return keys


class _Mark(NamedTuple):
    """What changes when a file does; a mounted Secret is another file then."""

    device: int
    inode: int
    modified_ns: int
    size: int


def _mark_of(path: Path) -> _Mark | None:
    """None: there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return _Mark(found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


class KeyFile:
    """The keys of a file, as it is now. While it can't be used, those that it had last count."""

    def __init__(self, path: Path) -> None:
        """Raises KeysUnusable."""
        self._path = path
        self._mark = _mark_of(path)
        self._keys = read_keys(path)

    def keys(self) -> tuple[bytes, ...]:
        """One at least. The file is read again when it has changed."""
        mark = _mark_of(self._path)
        if mark != self._mark:
            self._mark = mark
            self._read()
        return self._keys

    def sign(self, namespace: str, channel: str) -> str:
        """The token that a channel's encoders are to have."""
        return token_of(self.keys()[0], namespace, channel)

    def _read(self) -> None:
        try:
            self._keys = read_keys(self._path)
        except KeysUnusable as error:
            _log.warning("%s; the former keys are used on", error)
        else:
            _log.info("%s was read again: %d keys", self._path, len(self._keys))


class TokenFile:
    """The token in a file, as it is now; none while there is no such file. Of an encoder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: _Mark | None = None
        self._token = ""

    def headers(self) -> dict[str, str]:
        """What to send along with a request. The file is read again when it has changed."""
        mark = _mark_of(self._path)
        if mark != self._mark:
            self._mark = mark
            self._token = self._read()
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _read(self) -> str:
        """What is no token is not sent: it would be no header either."""
        try:
            with self._path.open("rb") as file:
                text = file.read(HEADER_MAX).strip()
        except OSError as error:
            _log.warning("%s: %s; pushing without a token", self._path, error.strerror or error)
            return ""
        if not text or not all(33 <= byte <= 126 for byte in text):
            _log.warning("%s holds no token; pushing without", self._path)
            return ""
        return text.decode()
