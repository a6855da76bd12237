"""What an encoder may push, and what it is told when it may not."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator

import pytest
from tests.component.origin.cmaf_maker import FIRST, init_segment
from tests.component.origin.studio import CHANNEL, NAMESPACE, SEGMENT_US, Answer, Studio

from hitless_handover.selection_model import DELIVERIES_MAX
from hitless_origin import ingest
from hitless_origin.introductions import PATIENCE_SEGMENTS
from hitless_origin.roster import ENCODERS_MAX
from hitless_wire.ingest import HEADER_DIGEST, HEADER_ENCODER, HEADER_PRIORITY, ingest_path


def _error(answer: Answer) -> str:
    body = json.loads(answer.body)
    assert set(body) == {"error", "expected", "got", "hint"}
    return str(body["error"])


async def test_the_order_is_description_init_segments(studio: Studio) -> None:
    a = studio.encoder("a")
    answer = await a.track("v0", FIRST)
    assert (answer.status, _error(answer)) == (412, "a has not pushed the description")
    assert (await a.init("v0")).status == 412
    assert (await a.describe()).status == 201
    answer = await a.track("v0", FIRST)
    assert answer.status == 412
    assert "init segment of v0" in _error(answer)
    assert (await a.init("v0")).status == 201
    assert (await a.init("v0")).status == 200
    assert (await a.describe()).status == 200
    assert (await a.track("v0", FIRST)).status == 201


async def test_each_encoder_introduces_itself(studio: Studio) -> None:
    await studio.ready("a")
    b = studio.encoder("b")
    assert (await b.track("v0", FIRST)).status == 412


@pytest.mark.parametrize(
    "path",
    [
        "/ingest/demo/news/v0/../../../../etc/passwd",
        "/ingest/demo/news/v0/%2e%2e%2f1.m4s",
        "/ingest/demo/news/../description.json",
        "/ingest/demo/news/v0/1.mp4",
        "/ingest/demo/news/v0/01.m4s",
        "/ingest/demo/news/v0/-1.m4s",
        "/ingest/demo/news/v0/9007199254740992.m4s",
        "/ingest/demo/news/V0/1.m4s",
        "/ingest/demo/news/v0//1.m4s",
        "/ingest/demo/news/v0/1.m4s/",
        "/ingest/demo/news/-v/1.m4s",
        "/ingest/demo/news/.hidden/init.mp4",
        "/ingest/de.mo/news/description.json",
        "/ingest//news/description.json",
        "/ingest/demo/n%00ws/description.json",
        "/ingest/demo/news/description.json%0a",
    ],
)
async def test_other_paths_are_not_allowed(studio: Studio, path: str) -> None:
    [a] = await studio.ready("a")
    answer = await a.put(path, b"{}")
    assert answer.status == 403
    assert _error(answer) == "this path may not be pushed to"
    tree = [p for p in studio.settings.data.rglob("*") if p.is_file()]
    assert {p.name for p in tree} <= {
        "lock",
        "journal.jsonl",
        "description.json",
        *(f"{t.name}.mp4" for t in studio.description.tracks),
    }


@pytest.mark.parametrize("name", ["", "A", "a_b", "../a", "a" * 64])
async def test_an_encoder_needs_a_name(studio: Studio, name: str) -> None:
    await studio.ready("a")
    headers = {HEADER_ENCODER: name}
    answer = await studio.encoder("x").put("description.json", b"{}", headers=headers)
    assert answer.status == 403


async def test_an_unknown_track_is_not_found(studio: Studio) -> None:
    [a] = await studio.ready("a")
    answer = await a.put(f"v7/{FIRST}.m4s", b"")
    assert (answer.status, _error(answer)) == (404, "channel demo/news has no track v7")


@pytest.mark.parametrize("priority", ["", "-1", "1.5", "01", "9" * 19, "x"])
async def test_a_segment_needs_a_priority(studio: Studio, priority: str) -> None:
    [a] = await studio.ready("a")
    body = a.media("v0", FIRST)
    answer = await a.put(f"v0/{FIRST}.m4s", body, headers={HEADER_PRIORITY: priority})
    assert answer.status == 400


@pytest.mark.parametrize("digest", ["", "0" * 64, "abc", "0" * 63 + "G"])
async def test_a_wrong_digest_is_refused(studio: Studio, digest: str) -> None:
    [a] = await studio.ready("a")
    body = a.media("v0", FIRST)
    answer = await a.put(f"v0/{FIRST}.m4s", body, headers={HEADER_DIGEST: digest})
    assert answer.status == (422 if digest == "0" * 64 else 400)
    assert (await a.track("v0", FIRST)).status == 201  # nothing was kept


async def test_a_push_that_breaks_off_leaves_nothing(studio: Studio) -> None:
    [a] = await studio.ready("a")
    body = a.media("v0", FIRST)
    host, port = studio.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"PUT {ingest_path(NAMESPACE, CHANNEL)}/v0/{FIRST}.m4s HTTP/1.1\r\nHost: x\r\n"
        f"{HEADER_ENCODER}: a\r\n{HEADER_PRIORITY}: 1\r\n{HEADER_DIGEST}: {'0' * 64}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[: len(body) // 2])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    assert await a.push(FIRST, 1) == [201, 201, 201]
    root = studio.settings.data / "channels" / NAMESPACE / CHANNEL
    assert list((root / "tmp").iterdir()) == []
    assert (await studio.get(f"v0/{FIRST}.m4s")).body == body


async def test_what_is_too_large_is_refused(studio: Studio) -> None:
    [a] = await studio.ready("a")
    [track, *_] = studio.description.tracks
    limit = ingest.segment_bytes_max(track, studio.description.timeline())
    for body in (io.BytesIO(bytes(limit + 1)), _chunks(limit + 1)):  # with and without a length
        answer = await studio.call(
            "PUT",
            f"{ingest_path(NAMESPACE, CHANNEL)}/v0/{FIRST}.m4s",
            body=body,
            headers={HEADER_ENCODER: "a", HEADER_PRIORITY: "0", HEADER_DIGEST: "0" * 64},
        )
        assert (answer.status, _error(answer)) == (413, "the body is too large")
    answer = await a.put("v0/init.mp4", bytes(ingest.INIT_BYTES_MAX + 1))
    assert answer.status == 413
    answer = await a.put("description.json", bytes(ingest.DESCRIPTION_BYTES_MAX + 1))
    assert answer.status == 413


async def test_a_slow_body_is_given_up(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    [a] = await studio.ready("a")

    async def never(*_: object) -> bytes:
        raise TimeoutError

    monkeypatch.setattr(ingest, "_read", never)
    assert (await a.track("v0", FIRST)).status == 408


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"sequence": FIRST + 1}, "moof/mfhd sequence_number"),
        ({"decode_ticks": 0}, "moof/traf/tfdt"),
        ({"count": 49}, "moof/traf/trun sample_count"),
        ({"count": 51}, "moof/traf/trun sample_count"),
        ({"step_ticks": 999}, "moof/traf/trun sample 0 duration"),
        ({"sync_first": False}, "moof/traf/trun sample 0 flags"),
    ],
)
async def test_a_segment_off_the_grid_is_never_published(
    studio: Studio, changed: dict[str, int | bool], says: str
) -> None:
    [a] = await studio.ready("a")
    answer = await a.put(f"v0/{FIRST}.m4s", a.media("v0", FIRST, **changed), priority=1)
    assert answer.status == 409
    assert says in _error(answer)
    for track in ("v1", "audio"):
        await a.track(track, FIRST, 1)
    assert (await studio.get("v0/media.m3u8")).status == 404
    assert (await studio.report()).mismatches == 1


async def test_audio_off_the_grid_is_refused(studio: Studio) -> None:
    [a] = await studio.ready("a")
    answer = await a.put(f"audio/{FIRST}.m4s", a.media("audio", FIRST, count=1))
    assert answer.status == 409


async def test_chunks_and_reordered_pictures_are_welcome(studio: Studio) -> None:
    [a] = await studio.ready("a")
    body = a.media("v0", FIRST, chunks=10, reorder=True)
    assert (await a.put(f"v0/{FIRST}.m4s", body)).status == 201


async def test_broken_boxes_are_malformed(studio: Studio) -> None:
    [a] = await studio.ready("a")
    for body in (b"", b"\0", a.media("v0", FIRST)[:-1], os.urandom(300)):
        assert (await a.put(f"v0/{FIRST}.m4s", body)).status == 400
    assert (await a.put("v0/init.mp4", b"moov")).status == 400
    assert (await studio.report()).mismatches == 0


async def test_one_encoder_has_one_output(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    answer = await a.put(f"v0/{FIRST}.m4s", a.media("v0", FIRST, chunks=2), priority=1)
    assert answer.status == 409
    assert (await studio.report()).mismatches == 1
    assert (await studio.get(f"v0/{FIRST}.m4s")).body == a.media("v0", FIRST)


async def test_another_description_is_named_field_by_field(studio: Studio) -> None:
    [a] = await studio.ready("a")
    kept = studio.description
    codec = kept.tracks[0].model_copy(update={"codecs": "avc1.640028"})
    others = {
        "gop_frames": kept.model_copy(update={"gop_frames": 25}),
        "tracks": kept.model_copy(update={"tracks": kept.tracks[1:]}),
        "tracks.v0.codecs": kept.model_copy(update={"tracks": (codec, *kept.tracks[1:])}),
    }
    for field, other in others.items():
        answer = await studio.encoder("b").describe(other)
        assert answer.status == 409
        assert _error(answer) == f"description: {field} differs from what channel demo/news holds"
    assert (await studio.report()).mismatches == 3
    faster = kept.tracks[0].model_copy(update={"bandwidth": 900_000})
    update = {"tracks": (faster, *kept.tracks[1:]), "window_seconds": 30}
    assert (await a.describe(kept.model_copy(update=update))).status == 201
    await a.push(FIRST, 1)
    assert "BANDWIDTH=996000" in (await studio.get("master.m3u8")).text


async def test_another_init_segment_is_refused(studio: Studio) -> None:
    await studio.ready("a")
    b = studio.encoder("b")
    await b.describe()
    b.salt = b"other"
    answer = await b.init("v0")
    assert answer.status == 409
    assert (
        _error(answer)
        == "init segment of v0: file: boxes differs from what channel demo/news holds"
    )
    assert (await b.track("v0", FIRST, 9)).status == 412
    [_, _, audio] = studio.description.tracks
    answer = await b.put("v0/init.mp4", init_segment(audio))
    assert answer.status == 409
    assert "handler" in _error(answer)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"rateNum":25}',
        b"\xff",
    ],
)
async def test_a_broken_description_is_malformed(studio: Studio, body: bytes) -> None:
    answer = await studio.encoder("a").put("description.json", body)
    assert answer.status == 400
    assert (await studio.call("GET", "/api/v1/channels")).body == b"[]"


async def test_encoders_and_channels_are_bounded(studio: Studio) -> None:
    names = [f"e{i}" for i in range(ENCODERS_MAX)]
    await studio.ready(*names)
    late = studio.encoder("late")
    assert (await late.describe()).status == 403
    await studio.wait(11 * SEGMENT_US)
    assert (await late.describe()).status == 201  # e0 is silent for a window
    assert (await studio.encoder("e1").track("v0", FIRST)).status == 201
    assert (await studio.encoder("e0").track("v0", FIRST)).status == 412


async def test_a_segment_comes_from_so_many_encoders_and_from_no_more(studio: Studio) -> None:
    for encoder in await studio.ready(*(f"e{i}" for i in range(DELIVERIES_MAX))):
        assert (await encoder.track("v0", FIRST)).status == 201
    [late] = await studio.ready("late")
    answer = await late.track("v0", FIRST)
    assert (answer.status, json.loads(answer.body)["hint"]) == (503, "stop one")
    assert (await late.track("v0", FIRST + 1)).status == 201


async def test_a_long_window_is_no_reason_to_keep_the_encoders_of_past_updates(
    studio: Studio,
) -> None:
    day = studio.description.model_copy(update={"window_seconds": 86_400})
    for number in range(ENCODERS_MAX):
        assert (await studio.encoder(f"e{number}").describe(day)).status == 201
    await studio.wait(PATIENCE_SEGMENTS * SEGMENT_US)
    assert (await studio.encoder("late").describe(day)).status == 403
    await studio.wait(1)
    assert (await studio.encoder("late").describe(day)).status == 201


async def test_an_old_segment_is_gone_and_a_far_one_too_early(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    answer = await a.track("v0", FIRST - 1)
    assert (answer.status, json.loads(answer.body)["expected"]) == (410, f"{FIRST + 1} or later")
    mad = (await studio.ready("mad"))[0]
    for k in range(32):
        await mad.push(FIRST + 1000 + k, 0)
    answer = await mad.track("v0", FIRST + 9000)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert await a.push(FIRST + 1, 1) == [201, 201, 201]
    assert await studio.numbers() == [FIRST, FIRST + 1]


async def test_a_full_disk_is_said_and_leaves_nothing(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    [a] = await studio.ready("a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hitless_origin.store.ChannelStore.stage", full)
        assert (await a.track("v0", FIRST, 1)).status == 503
    assert await a.push(FIRST, 1) == [201, 201, 201]


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, 65_536):
        yield bytes(65_536)
