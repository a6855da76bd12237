"""Low latency: segments in parts, from the codec to the origin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from tests.component.encoder import test_sink
from tests.component.encoder.studio import START_US, Receiver, make_config, receiver, record
from tests.component.encoder.test_sink import Pushes

from hitless_encoder.boxes import walk
from hitless_encoder.plan import plan_media
from hitless_encoder.sink import PushOutcome, Sink
from hitless_encoder.verify import check_structure, structure
from hitless_handover.timeline import AAC_FRAME_SAMPLES

SMALL = ((426, 240, 600), (256, 144, 300))
PARTS = 4


# --- the bytes ----------------------------------------------------------------------------------


def payload(segment: bytes) -> bytes:
    return b"".join(body for kind, body in walk(segment) if kind == b"mdat")


@pytest.mark.parametrize("rate", ["30", "30000/1001"])
async def test_parts_lie_on_the_grid_and_hold_the_same_however_many(rate: str) -> None:
    fewer, config = (
        make_config(rate=rate, sizes=SMALL, segment_frames=60, gop_frames=30, part_frames=frames)
        for frames in (30, 15)
    )
    halves = await record(fewer, segments=2)
    made = await record(config, segments=2)
    grid = config.timeline.parts()
    assert grid is not None
    assert made.segments.keys() == halves.segments.keys()
    for segment, tracks in made.segments.items():
        for track, data in tracks.items():
            video = track != "audio"
            assert payload(data) == payload(halves.segments[segment][track])
            line = made.timeline
            assert check_structure(track, data, video=video, timeline=line, segment=segment) is None
            assert [kind for kind, _ in walk(data)] == [b"styp", *[b"moof", b"mdat"] * PARTS]
            for part, chunk in enumerate(chunks(data)):
                if video:
                    begin = line.pts_ticks(grid.first_frame(segment, part))
                else:
                    begin = grid.first_audio_frame(segment, part) * AAC_FRAME_SAMPLES
                assert structure(chunk).decode_ticks == begin
    pushed = {path for path in made.order if path.count(".") == 2}
    assert f"v144/{max(made.segments)}.{PARTS - 1}.m4s" in pushed


def chunks(segment: bytes) -> list[bytes]:
    """Each moof with its mdat."""
    found, at = [], 0
    while at < len(segment):
        size = int.from_bytes(segment[at : at + 4])
        if segment[at + 4 : at + 8] == b"moof":
            found.append(b"")
        if found:
            found[-1] += segment[at : at + size]
        at += size
    return found


async def test_two_encoders_started_at_different_times_make_the_same_parts() -> None:
    config = make_config(sizes=SMALL, segment_frames=60, gop_frames=60, part_frames=15)
    early = await record(config, segments=4)
    late = await record(config, segments=2, start_us=START_US + 2_600_000)
    common = early.segments.keys() & late.segments.keys()
    assert len(common) == 2
    for segment in common:
        assert early.segments[segment] == late.segments[segment]


# --- pushing ------------------------------------------------------------------------------------

MEDIA = plan_media(
    make_config(sizes=((256, 144, 300),), segment_frames=60, part_frames=15), "veryfast"
)


def pushing(end: Receiver) -> AbstractAsyncContextManager[tuple[Sink, Pushes]]:
    return test_sink.pushing(end, media=MEDIA)


def part(number: int, segment: int = 7) -> dict[str, bytes]:
    return {"v144": b"video %d.%d" % (segment, number), "audio": b"audio %d.%d" % (segment, number)}


def whole(segment: int = 7) -> dict[str, bytes]:
    return {
        name: b"".join(part(p, segment)[name] for p in range(PARTS)) for name in ("v144", "audio")
    }


def wholly_pushed(end: Receiver) -> list[str]:
    return [path for path in end.order if path.endswith((".m4s",)) and path.count(".") == 1]


async def make(sink: Sink, end: Receiver, pushes: Pushes, segment: int = 7) -> None:
    """The first part is on its way before the others are made."""
    sink.offer_part(segment, 0, part(0, segment))
    await settle(pushes, lambda: f"audio/{segment}.0.m4s" in end.order)
    for number in range(1, PARTS):
        sink.offer_part(segment, number, part(number, segment))
    sink.offer(segment, whole(segment))


async def settle(pushes: Pushes, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        await pushes.until(condition)


async def test_a_part_is_pushed_before_the_next_one_is_made() -> None:
    async with receiver(PARTS) as end, pushing(end) as (sink, pushes):
        for number in range(PARTS):
            sink.offer_part(7, number, part(number))
            await settle(pushes, lambda n=number: f"audio/7.{n}.m4s" in end.bodies)  # type: ignore[misc]
            assert pushes.ended == {}
        sink.offer(7, whole())
        await settle(pushes, lambda: 7 in pushes.ended)
        assert pushes.ended == {7: PushOutcome.STORED}
        assert wholly_pushed(end) == []
        assert end.bodies["v144/7.m4s"] == whole()["v144"]
        assert pushes.asked == [7]
        sent = {h["Hitless-Priority"] for path, h in end.headers if path.endswith(".m4s")}
        assert sent == {"70"}


async def test_a_part_is_tried_again() -> None:
    async with receiver(PARTS) as end, pushing(end) as (sink, pushes):
        end.answers["v144/7.1.m4s"] = [503, 503]
        sink.offer_part(7, 0, part(0))
        sink.offer_part(7, 1, part(1))
        await settle(pushes, lambda: end.order.count("v144/7.1.m4s") == 3)
        sink.offer_part(7, 2, part(2))
        sink.offer_part(7, 3, part(3))
        sink.offer(7, whole())
        await settle(pushes, lambda: 7 in pushes.ended)
        assert pushes.ended == {7: PushOutcome.STORED}
        assert wholly_pushed(end) == []


@pytest.mark.parametrize("statuses", [[503] * 3, [404]])
async def test_what_cannot_come_in_parts_comes_whole(statuses: list[int]) -> None:
    async with receiver(PARTS) as end, pushing(end) as (sink, pushes):
        end.answers["v144/7.1.m4s"] = statuses
        await make(sink, end, pushes)
        await make(sink, end, pushes, 8)
        await settle(pushes, lambda: 8 in pushes.ended)
        assert pushes.ended == {7: PushOutcome.STORED, 8: PushOutcome.STORED}
        assert sorted(wholly_pushed(end)) == ["audio/7.m4s", "v144/7.m4s"]
        assert end.bodies["v144/7.m4s"] == whole()["v144"]


async def test_an_origin_that_forgot_the_first_parts_gets_the_segment_whole() -> None:
    async with receiver(PARTS) as end, pushing(end) as (sink, pushes):
        end.answers["audio/7.3.m4s"] = [202]
        await make(sink, end, pushes)
        await settle(pushes, lambda: 7 in pushes.ended)
        assert wholly_pushed(end) == ["audio/7.m4s"]


async def test_a_segment_that_is_late_already_comes_whole() -> None:
    async with receiver(PARTS) as end, pushing(end) as (sink, pushes):
        for number in range(PARTS):
            sink.offer_part(7, number, part(number))
        sink.offer(7, whole())
        await settle(pushes, lambda: 7 in pushes.ended)
        assert sorted(wholly_pushed(end)) == ["audio/7.m4s", "v144/7.m4s"]
        assert pushes.ended == {7: PushOutcome.STORED}


async def test_a_segment_that_is_never_finished_holds_nothing_up() -> None:
    async with receiver(PARTS) as end, pushing(end) as (sink, pushes):
        sink.offer_part(7, 0, part(0))
        await settle(pushes, lambda: "audio/7.0.m4s" in end.bodies)
        sink.offer_part(9, 0, part(0, 9))
        sink.abandon(7)
        for number in range(1, PARTS):
            sink.offer_part(9, number, part(number, 9))
        sink.offer(9, whole(9))
        await settle(pushes, lambda: 9 in pushes.ended)
        assert pushes.ended == {7: PushOutcome.UNFINISHED, 9: PushOutcome.STORED}


async def test_who_withholds_decides_when_the_segment_is_made() -> None:
    async with receiver(PARTS) as end, pushing(end) as (sink, pushes):
        pushes.withholding = pushes.silent = True
        for number in range(PARTS):
            sink.offer_part(7, number, part(number))
        sink.offer(7, whole())
        await settle(pushes, lambda: 7 in pushes.ended)
        assert pushes.ended == {7: PushOutcome.WITHHELD}
        assert end.order == []


async def test_what_is_wanted_after_all_does_not_wait_for_what_is_being_made() -> None:
    async with receiver(PARTS) as end, pushing(end) as (sink, pushes):
        pushes.withholding = True
        sink.offer_part(8, 0, part(0, 8))
        sink.resend({7: whole()})
        await settle(pushes, lambda: 7 in pushes.ended)
        assert pushes.ended == {7: PushOutcome.STORED}
        assert pushes.asked == [7], "segment 8 was not given its priority yet"
        for number in range(1, PARTS):
            sink.offer_part(8, number, part(number, 8))
        sink.offer(8, whole(8))
        await settle(pushes, lambda: 8 in pushes.ended)
        assert pushes.ended[8] is PushOutcome.STORED
