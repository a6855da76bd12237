"""The judge and the origin take every codec: what they say of a segment, and of a worse one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from tests.component.encoder.studio import Recording, make_config, record

from hitless_encoder.verify import Encoded, Reason, Verdict, judge
from hitless_handover.messages import Criteria
from hitless_origin.cmaf import judge_init, judge_segment
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.video_codecs import SOFTWARE

SOUNDS = (
    {"name": "audio"},
    {"name": "opus", "codec": "opus", "language": "deu"},
    {"name": "mono", "codec": "opus", "channels": 1, "kbps": 64},
    {"name": "surround", "channels": 6, "kbps": 320},
)


def config(crf: int) -> EncoderConfig:
    plain = json.loads(make_config(segment_frames=30).to_json())
    plain["profiles"] = [
        {"name": codec, "width": 192, "height": 108, "maxKbps": 400, "codec": codec, "crf": crf}
        for codec in SOFTWARE
    ]
    plain["audio"] = list(SOUNDS)
    return EncoderConfig.model_validate(plain)


@pytest.fixture(scope="module")
def good() -> Recording:
    return asyncio.run(record(config(24), segments=1))


@pytest.fixture(scope="module")
def other() -> Recording:
    """Another quality: not the same bytes, the same pictures."""
    return asyncio.run(record(config(20), segments=1))


def verdict(good: Recording, other: Mapping[str, bytes]) -> Verdict:
    (number,) = good.segments
    own = Encoded(media=good.segments[number], inits=good.inits)
    theirs = Encoded(media=other, inits=good.inits)
    criteria = Criteria(lead_segments=2, verify_segments=1, psnr_min_db=20)
    return judge(own, theirs, good.timeline, number, criteria)


def test_other_bytes_of_the_same_pictures_are_interchangeable(
    good: Recording, other: Recording
) -> None:
    (number,) = good.segments
    said = verdict(good, other.segments[number])
    assert said.ok, said.message
    assert said.reason is Reason.EQUIVALENT
    assert good.inits == other.inits


@pytest.mark.parametrize("codec", SOFTWARE)
def test_a_damaged_track_of_any_codec_is_refused(codec: str, good: Recording) -> None:
    (number,) = good.segments
    own = good.segments[number]
    half = own[codec][: len(own[codec]) // 2]
    damaged = dict(own) | {codec: half + bytes(len(own[codec]) - len(half))}
    said = verdict(good, damaged)
    assert not said.ok


def test_the_origin_finds_every_track_on_the_grid(good: Recording) -> None:
    (number,) = good.segments
    for track in good.description.tracks:
        init = judge_init(good.inits[track.name], track)
        judge_segment(good.segments[number][track.name], track, good.timeline, number, init)
