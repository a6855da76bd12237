"""`prft` and `btrt`, where the output asks for them: what they say, and that no more changes."""

from __future__ import annotations

import struct

import pytest
from tests.component.encoder.studio import START_US, frame_numbers, make_config, record

from hitless_encoder.boxes import box, child, walk
from hitless_encoder.plan import plan_media
from hitless_encoder.verify import first_difference
from hitless_handover.timeline import MICROSECONDS
from hitless_origin.cmaf import cut_segment, judge_init, judge_segment
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.video_codecs import RateControl

NTP_EPOCH_SECONDS = (70 * 365 + 17) * 86_400  # 1900 to 1970
HEIGHT = 144
SMALL = ((256, HEIGHT, 300),)
ENTRY = "moov/trak/mdia/minf/stbl/stsd"


def _config(part_frames: int | None, **changed: bool) -> EncoderConfig:
    plain = make_config(
        rate="30000/1001", sizes=SMALL, segment_frames=60, gop_frames=30, part_frames=part_frames
    )
    return plain.model_copy(update=changed)


@pytest.mark.parametrize("part_frames", [None, 15])
async def test_chunks_say_the_time_of_the_timeline(part_frames: int | None) -> None:
    timed = _config(part_frames, producer_reference_time=True)
    plain = await record(_config(part_frames), segments=2)
    made = await record(timed, segments=2)
    later = await record(timed, segments=2, start_us=START_US + 2_002_000)
    line, common = made.timeline, made.segments.keys() & later.segments.keys()
    assert len(common) == 1
    for k in common:
        assert later.segments[k] == made.segments[k], "whoever made it, whenever"
    assert made.inits == plain.inits
    tracks = {track.name: track for track in made.description.tracks}
    for k, bodies in made.segments.items():
        for name, body in bodies.items():
            boxes = list(walk(body))
            without = b"".join(box(kind, content) for kind, content in boxes if kind != b"prft")
            assert without == plain.segments[k][name]
            _check_times(boxes, tracks[name].timescale)
            facts = judge_init(made.inits[name], tracks[name])
            fragments = judge_segment(body, tracks[name], line, k, facts)
            grid = made.description.parts()
            if grid is not None:
                cut = cut_segment(body, fragments, tracks[name], grid, k)
                assert [part.count(b"prft") for part in cut] == [1] * grid.per_segment
    first = min(made.segments)
    body = made.segments[first]["v144"]
    prft = next(content for kind, content in walk(body) if kind == b"prft")
    ntp = struct.unpack_from(">Q", prft, 8)[0]
    wall_us = ((ntp & 0xFFFF_FFFF) * MICROSECONDS >> 32) + MICROSECONDS * (
        (ntp >> 32) - NTP_EPOCH_SECONDS
    )
    assert 0 <= line.wall_us(line.first_frame(first)) - wall_us <= 1
    shown = frame_numbers(made.inits["v144"], body, HEIGHT)
    frames = range(line.first_frame(first), line.first_frame(first + 1))
    assert shown == [frame % 2**32 for frame in frames]


def _check_times(boxes: list[tuple[bytes, bytes]], timescale: int) -> None:
    """Each moof has a prft before it, of its own tfdt, and the same moment in UTC."""
    kinds = [kind for kind, _ in boxes]
    chunks = kinds.count(b"moof")
    assert kinds == [b"styp", *[b"prft", b"moof", b"mdat"] * chunks]
    for (_, prft), (_, moof) in zip(boxes[1::3], boxes[2::3], strict=True):
        head, track, ntp, ticks = struct.unpack(">IIQQ", prft)
        assert (head, track) == (1 << 24 | 24, 1)
        assert ticks == struct.unpack_from(">Q", child(moof, b"traf", b"tfdt"), 4)[0]
        since_us = ticks * MICROSECONDS // timescale
        seconds, fraction = (ntp >> 32) - NTP_EPOCH_SECONDS, ntp & 0xFFFF_FFFF
        assert abs(seconds * MICROSECONDS + (fraction * MICROSECONDS >> 32) - since_us) <= 1


def test_bit_rates_are_in_the_sample_entries() -> None:
    plain = plan_media(_config(None), "veryfast")
    rated = plan_media(_config(None, bit_rate_box=True), "veryfast")
    for track, entry in (("v144", "avc1"), ("audio", "mp4a")):
        found = first_difference(plain.inits[track], rated.inits[track])
        assert found is not None
        assert found.path == f"{ENTRY}/{entry}: boxes"
        assert found.other == f"{found.own} btrt"
    peak = next(t.bandwidth for t in rated.description.tracks if t.name == "v144")
    assert _btrt(rated.inits["v144"]) == (300 * 1000 // 8, peak, 300_000)
    assert _btrt(rated.inits["audio"]) == (2 * 768, 96_000, 96_000)
    assert rated.description == plain.description


def test_other_bit_rates_are_another_init_segment_and_named() -> None:
    config = _config(None, bit_rate_box=True)
    average = {"rate_control": RateControl.ABR, "target_kbps": 200}
    profiles = (config.profiles[0].model_copy(update=average),)
    before = plan_media(config, "veryfast").inits["v144"]
    after = plan_media(config.model_copy(update={"profiles": profiles}), "veryfast").inits["v144"]
    assert _btrt(after)[2] == 200_000
    found = first_difference(before, after)
    assert found is not None
    assert found.path == f"{ENTRY}/avc1/btrt.avgBitrate"


def _btrt(init: bytes) -> tuple[int, ...]:
    at = init.index(b"btrt") + 4
    return struct.unpack_from(">III", init, at)
