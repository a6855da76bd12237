"""Tokens of channels: how they are made and judged, and the files that keys and tokens are in."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest

from hitless_wire.ingest_tokens import (
    FILE_BYTES_MAX,
    KEYS_MAX,
    Admittance,
    KeyFile,
    KeysUnusable,
    TokenFile,
    admittance,
    read_keys,
    token_of,
)

ONE, TWO, THREE = (name * 40 for name in (b"a", b"b", b"c"))
# printf 'hitless-ingest:v1:live/news' | openssl dgst -sha256 -hmac aaaa… -binary, in base64url
KNOWN = "X3JqzKM6heco2BC6PelIMMNhndpXCvLVQ_RFA78cOJY"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def judged(authorization: str | None, *keys: bytes) -> Admittance:
    return admittance(authorization, keys or (ONE,), "live", "news")


def swap(path: Path, content: bytes) -> None:
    """Another file in its place, as the kubelet does it."""
    other = path.with_suffix(".new")
    other.write_bytes(content)
    other.replace(path)


def test_a_token_is_what_other_programs_make_of_the_key() -> None:
    assert token_of(ONE, "live", "news") == KNOWN


def test_each_channel_and_each_key_has_its_own() -> None:
    channels = [("live", "news"), ("live", "sport"), ("other", "news"), ("live-news", "x")]
    tokens = {token_of(key, *channel) for key in (ONE, TWO) for channel in channels}
    assert len(tokens) == 8


@pytest.mark.parametrize("key", [ONE, TWO])
def test_every_key_is_accepted(key: bytes) -> None:
    token = token_of(key, "live", "news")
    for header in (f"Bearer {token}", f"bearer  {token} ", basic("", token), basic("ff", token)):
        assert judged(header, ONE, TWO) is Admittance.GRANTED
    assert judged(f"Bearer {token}", THREE) is Admittance.REFUSED


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic", "Basic !", basic("me", ""), "Digest x", "Bearer\t"],
)
def test_what_can_not_be_read_is_no_token(header: str | None) -> None:
    assert judged(header) is Admittance.MISSING


@pytest.mark.parametrize(
    "token",
    [
        token_of(ONE, "live", "sport"),
        token_of(ONE, "other", "news"),
        token_of(ONE, "live", "news")[:-1],
        token_of(ONE, "live", "news") + "=",
        "\udcff\udcfe",
        "ü",
    ],
)
def test_another_token_is_refused(token: str) -> None:
    assert judged(f"Bearer {token}") is Admittance.REFUSED


def test_an_endless_header_is_not_read() -> None:
    assert judged("Bearer " + "x" * 600) is Admittance.MISSING


def test_keys_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"# the new one\n" + ONE + b"\r\n\n  " + TWO + b"  \n")
    assert read_keys(path) == (ONE, TWO)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "1 to 8 keys expected"),
        (b"# nothing\n", "1 to 8 keys expected"),
        (b"\n".join([ONE] * (KEYS_MAX + 1)), "1 to 8 keys expected"),
        (ONE + b"\n" * FILE_BYTES_MAX, "1 to 8 keys expected"),
        (ONE + b"\nshort", "openssl rand -base64 32"),
        (None, "No such file"),
    ],
)
def test_unusable_keys_are_said(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeysUnusable, match=says):
        KeyFile(path)


def test_the_file_of_keys_is_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys"
    path.write_bytes(ONE)
    keys = KeyFile(path)
    assert keys.sign("live", "news") == token_of(ONE, "live", "news")
    swap(path, TWO + b"\n" + ONE)
    assert keys.keys() == (TWO, ONE)
    assert keys.sign("live", "news") == token_of(TWO, "live", "news")
    swap(path, b"")
    assert keys.keys() == keys.keys() == (TWO, ONE)
    path.unlink()
    assert keys.keys() == (TWO, ONE)
    assert [r.levelno for r in caplog.records].count(logging.WARNING) == 2, "once for each change"
    path.write_bytes(THREE)
    assert keys.keys() == (THREE,)
    assert not any(key.decode() in caplog.text for key in (ONE, TWO, THREE))


def test_an_encoder_follows_its_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "token"
    file = TokenFile(path)
    assert file.headers() == {}
    path.write_text("first\n")
    assert file.headers() == {"Authorization": "Bearer first"}
    swap(path, b"second")
    assert file.headers() == {"Authorization": "Bearer second"}
    for wrong in (b"", b"two\nlines", b"\xff\xfe", b"a b"):
        swap(path, wrong)
        assert file.headers() == {}
    assert "second" not in caplog.text
