"""The whole chain from the test pattern to segments: marks, ticks, counts, and equal bytes."""

from __future__ import annotations

import pytest
from tests.component.encoder.studio import (
    START_US,
    frame_numbers,
    make_config,
    record,
    tones_of_frames,
)

from hitless_encoder.verify import Encoded, Reason, check_structure, judge
from hitless_handover.messages import Criteria
from hitless_handover.pattern import TONES

SMALL = ((426, 240, 600), (256, 144, 300))


@pytest.mark.parametrize(
    ("rate", "sizes"),
    [
        ("30", ((640, 360, 800), (426, 240, 400), (256, 144, 200))),
        ("30000/1001", SMALL),
        ("25", ((256, 144, 300),)),
        ("60000/1001", SMALL),
    ],
)
async def test_numbers_and_tones_survive_in_every_rendition(
    rate: str, sizes: tuple[tuple[int, int, int], ...]
) -> None:
    made = await record(make_config(rate=rate, sizes=sizes), segments=2)
    line = made.timeline
    for segment, tracks in made.segments.items():
        expected = list(range(line.first_frame(segment), line.first_frame(segment + 1)))
        marks = [frame & 0xFFFFFFFF for frame in expected]
        for _, height, _ in sizes:
            track = f"v{height}"
            assert frame_numbers(made.inits[track], tracks[track], sizes[0][1]) == marks, track
        heard = tones_of_frames(made.inits["audio"], tracks["audio"], line, segment)
        assert len(heard) >= line.segment_frames - 3
        assert {f: f % TONES for f in heard} == heard


async def test_ticks_and_counts_are_exact_where_audio_counts_vary() -> None:
    made = await record(make_config(rate="30000/1001", sizes=((256, 144, 300),)), segments=8)
    line = made.timeline
    counts = set()
    for segment, tracks in made.segments.items():
        for track, data in tracks.items():
            wrong = check_structure(
                track, data, video=track != "audio", timeline=line, segment=segment
            )
            assert wrong is None
        counts.add(line.first_audio_frame(segment + 1) - line.first_audio_frame(segment))
    assert len(counts) == 2


async def test_two_encoders_started_at_different_times_make_the_same_bytes() -> None:
    config = make_config(rate="30000/1001", sizes=SMALL, segment_frames=30, gop_frames=15)
    early = await record(config, segments=6)
    late = await record(config, segments=3, start_us=START_US + 2_600_000)
    common = early.segments.keys() & late.segments.keys()
    assert len(common) == 3
    for segment in common:
        assert early.segments[segment] == late.segments[segment]
    assert early.inits == late.inits


async def test_two_versions_are_interchangeable_but_not_identical() -> None:
    config = make_config(sizes=SMALL)
    old = await record(config, segments=1, preset="superfast")
    new = await record(config, segments=1, preset="veryfast")
    assert old.inits == new.inits
    assert old.snapshot.fingerprint == new.snapshot.fingerprint
    (segment,) = old.segments
    own = Encoded(media=old.segments[segment], inits=old.inits)
    other = Encoded(media=new.segments[segment], inits=new.inits)
    assert own.media["v240"] != other.media["v240"]
    criteria = Criteria(lead_segments=1, verify_segments=1, psnr_min_db=26)
    verdict = judge(own, other, old.timeline, segment, criteria)
    assert verdict.ok, verdict.message
    assert verdict.reason is Reason.EQUIVALENT
    assert {figures.track for figures in verdict.figures} == {"v240", "v144"}


async def test_a_session_tells_how_it_is() -> None:
    made = await record(make_config(sizes=((256, 144, 300),)), segments=3)
    seen = made.snapshot
    assert seen.source_state == "Running"
    assert seen.encoded_segment == max(made.segments)
    assert seen.head_segment is not None
    assert seen.repeated == seen.dropped == seen.push_failures == 0
    assert seen.speed_percent > 0
    assert seen.segment_ms == 2000
    assert set(seen.init_digests) == {"v144", "audio"}
