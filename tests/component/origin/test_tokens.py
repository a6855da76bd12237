"""An origin with keys: pushes need the channel's token, and nothing is read or made without."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.component.origin.cmaf_maker import FIRST
from tests.component.origin.studio import CHANNEL, NAMESPACE, Encoder, Studio, running
from tests.component.origin.test_plain_input import encode, introduce
from tests.component.origin.test_process import origin_process

from hitless_origin.settings import PlainInput
from hitless_origin.tokens import main
from hitless_wire.ingest_tokens import token_of

OLD, NEW = b"o" * 44, b"n" * 44
BODY_BYTES = 1 << 20


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_bytes(OLD)
    return path


@pytest.fixture
async def guarded(tmp_path: Path, keys: Path) -> AsyncIterator[Studio]:
    async with running(tmp_path / "data") as studio:
        studio.settings = replace(studio.settings, ingest_keys=keys)
        await studio.restart()
        yield studio


def token(key: bytes = OLD, channel: str = CHANNEL) -> str:
    return token_of(key, NAMESPACE, channel)


def holder(studio: Studio, name: str, key: bytes = OLD) -> Encoder:
    encoder = studio.encoder(name)
    encoder.token = token(key)
    return encoder


async def counted(studio: Studio) -> dict[str, int]:
    lines = (await studio.call("GET", "/metrics")).text.splitlines()
    name = "hitless_origin_push_tokens_total"
    rows = [line.split('"') for line in lines if line.startswith(name + "{")]
    return {row[1]: int(row[2].rpartition(" ")[2]) for row in rows}


async def test_without_a_token_nothing_is_made(guarded: Studio) -> None:
    stranger = guarded.encoder("stranger")
    answer = await stranger.describe()
    assert answer.status == 401
    assert "token" in answer.text
    challenges = answer.headers.getall("WWW-Authenticate")  # type: ignore[attr-defined]  # a multidict
    assert challenges == ['Bearer realm="hitless-ingest"', 'Basic realm="hitless-ingest"']
    assert guarded.origin.channels == {}
    assert {(await stranger.init("v0")).status, *await stranger.push(FIRST, 1)} == {401}
    assert (await guarded.call("GET", "/api/v1/channels")).text == "[]"


async def test_another_channels_token_is_refused(guarded: Studio) -> None:
    mine = holder(guarded, "a")
    await mine.introduce()
    assert await mine.push(FIRST, 1) == [201, 201, 201]
    thief = guarded.encoder("a")
    thief.token = token(channel="sport")
    answer = await thief.track("v0", FIRST + 1, 9)
    assert answer.status == 403
    assert answer.headers["WWW-Authenticate"].endswith('error="insufficient_scope"')
    assert thief.token not in answer.text
    assert token() not in answer.text
    assert (await guarded.report()).selected_priority == 1
    assert await mine.push(FIRST + 1, 1) == [201, 201, 201]
    judged = await counted(guarded)
    assert judged == {"granted": 1 + len(mine.description.tracks) + 6, "missing": 0, "refused": 1}


async def test_a_stranger_can_not_tell_what_there_is(guarded: Studio) -> None:
    await holder(guarded, "a").introduce()
    stranger = guarded.encoder("b")
    answers = [
        (await stranger.put(f"/ingest/{NAMESPACE}/{name}/v0/{FIRST}.m4s", b"")).body
        for name in (CHANNEL, "no-such-channel")
    ]
    assert answers[0] == answers[1]


async def test_who_has_no_right_is_not_asked_for_the_body(guarded: Studio) -> None:
    host, _, port = guarded.url.removeprefix("http://").partition(":")
    head = (
        f"PUT /ingest/{NAMESPACE}/{CHANNEL}/v0/{FIRST}.m4s HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Length: {BODY_BYTES}\r\n"
    )
    for more, said in (
        ("Expect: 100-continue\r\n", b"HTTP/1.1 401 "),
        (f"Expect: 100-continue\r\nAuthorization: Bearer {token()}\r\n", b"HTTP/1.1 100 "),
        ("", b"HTTP/1.1 401 "),  # its body never comes
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write((head + more + "\r\n").encode())
        assert (await reader.readline()).startswith(said)
        writer.close()
        await writer.wait_closed()
    assert (await counted(guarded))["missing"] == 2


async def test_keys_are_rotated_without_a_lost_push(guarded: Studio, keys: Path) -> None:
    old, new = holder(guarded, "a"), holder(guarded, "b", NEW)
    await old.introduce()
    assert (await new.describe()).status == 403
    replace_file(keys, OLD + b"\n" + NEW)
    await new.introduce()
    replace_file(keys, NEW + b"\n" + OLD)
    assert await old.push(FIRST, 1) == [201, 201, 201]
    assert await new.push(FIRST, 2) == [201, 201, 201]
    replace_file(keys, b"")
    assert await old.push(FIRST + 1, 1) == [201, 201, 201], "the former keys are used on"
    replace_file(keys, NEW)
    assert await old.push(FIRST + 2, 1) == [403, 403, 403]
    assert await new.push(FIRST + 1, 2) == [201, 201, 201]


def replace_file(path: Path, content: bytes) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(content)
    other.replace(path)


async def test_optional_tokens_are_counted_and_not_asked_for(guarded: Studio) -> None:
    guarded.settings = replace(guarded.settings, tokens_required=False)
    await guarded.restart()
    await guarded.ready("a")
    wrong = holder(guarded, "b", NEW)
    await wrong.introduce()
    assert await wrong.push(FIRST, 1) == [201, 201, 201]
    judged = await counted(guarded)
    assert (judged["granted"], judged["missing"]) == (0, 1 + len(wrong.description.tracks))
    assert judged["refused"] == judged["missing"] + 3


async def test_ffmpeg_has_the_token_as_password_or_header(guarded: Studio, tmp_path: Path) -> None:
    made = guarded.description
    guarded.description = made.model_copy(update={"tracks": made.tracks[:1]})
    guarded.settings = replace(guarded.settings, plain=PlainInput(encoder="ff", priority=2))
    await guarded.restart()
    await introduce(guarded, tmp_path, {"Authorization": f"Bearer {token()}"})
    path = f"/ingest/{NAMESPACE}/{CHANNEL}/v0"
    with_password = guarded.url.replace("//", f"//studio:{token()}@")
    await encode(FIRST, "-method", "PUT", f"{with_password}{path}/{FIRST}.m4s")
    header = f"Authorization: Bearer {token()}\r\n"
    await encode(
        FIRST + 1, "-headers", header, "-method", "PUT", f"{guarded.url}{path}/{FIRST + 1}.m4s"
    )
    while len(await guarded.numbers()) < 2:
        pass  # ffmpeg does not wait for the answer
    assert await guarded.numbers() == [FIRST, FIRST + 1]


async def test_the_process_has_keys(
    tmp_path: Path, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = Studio(tmp_path)
    assert main([f"{NAMESPACE}/{CHANNEL}", "--ingest-keys-file", str(keys)]) == 0
    printed = capsys.readouterr().out.strip()
    options = ("--ingest-keys-file", str(keys))
    async with origin_process(tmp_path / "data", *options) as (process, studio.url):
        async with studio.client():
            encoder = studio.encoder("a")
            assert (await encoder.describe()).status == 401
            encoder.token = printed
            await encoder.introduce()
            assert await encoder.push(FIRST, 1) == [201, 201, 201]
            encoder.token = token(channel="sport")
            assert await encoder.push(FIRST + 1, 1) == [403, 403, 403]
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        log = (await process.stderr.read()).decode()
        assert await process.wait() == 0
    assert "refused, 401" in log
    assert not any(secret in log for secret in (printed, encoder.token, OLD.decode()))
