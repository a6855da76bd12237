"""What a profile or an audio track may ask for, and what it says where it can't be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hitless_wire.media_resources import AudioTrack, Profile
from hitless_wire.resources import EncoderDeploymentSpec

GIVEN: dict[str, Any] = {"name": "v", "width": 640, "height": 360, "maxKbps": 800}


def spec(profile: dict[str, Any], **timeline: Any) -> EncoderDeploymentSpec:
    return EncoderDeploymentSpec.model_validate(
        {
            "image": "i",
            "source": {"url": "testpattern:"},
            "profiles": [GIVEN | profile],
            "timeline": timeline,
        }
    )


def test_defaults_are_written_as_before_there_was_a_choice() -> None:
    written = Profile.model_validate(GIVEN).model_dump(mode="json", by_alias=True)
    assert written == GIVEN | {"crf": 24}
    assert AudioTrack().model_dump(mode="json") == {"name": "audio", "kbps": 96, "language": "und"}


@pytest.mark.parametrize("codec", ["hevc", "av1", "vp9", "mpeg2", "mpeg4", "h264_nvenc"])
def test_a_codec_is_taken_by_its_name(codec: str) -> None:
    assert spec({"codec": codec}).profiles[0].codec == codec


@pytest.mark.parametrize(
    ("profile", "timeline", "message"),
    [
        ({"codec": "theora"}, {}, "Theora and RV40 are not made: set codec to h264"),
        ({"codec": "rv40"}, {}, "Theora and RV40 are not made: set codec to h264"),
        ({"codec": "divx"}, {}, "String should match pattern"),
        ({"rateControl": "ABR"}, {}, "ABR needs targetKbps, at most maxKbps"),
        ({"rateControl": "ABR", "targetKbps": 900}, {}, "ABR needs targetKbps, at most maxKbps"),
        ({"targetKbps": 500}, {}, "targetKbps is for rateControl ABR alone"),
        ({"width": 641}, {}, "multiple of 2"),
        ({"codec": "av1"}, {"partFrames": 15}, "profiles.v.codec: av1 with rateControl CappedCRF"),
        ({"codec": "mpeg2"}, {"frameRate": "15"}, "profiles.v.codec: MPEG-2 has no 15 fps"),
        ({"codec": "mpeg4", "width": 1920, "height": 1080}, {}, "profiles.v.codec: 1920x1080 at"),
        ({"codec": "mpeg4", "maxKbps": 15000}, {}, "profiles.v.maxKbps: 15000 is beyond MPEG-4"),
        (
            {"width": 7680, "height": 4320},
            {"frameRate": "240"},
            "profiles.v.codec: 7680x4320 at 240 fps is beyond H.264 level 6.2",
        ),
    ],
)
def test_what_can_not_be_is_refused_by_the_field(
    profile: dict[str, Any], timeline: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(profile, **timeline)
    assert message in str(caught.value)


def test_av1_makes_parts_at_a_constant_rate() -> None:
    assert spec({"codec": "av1", "rateControl": "CBR"}, partFrames=15).timeline.parts()


def test_more_sound_than_its_channels_hold_is_refused() -> None:
    assert AudioTrack(codec="opus", channels=6, kbps=512).channels == 6
    with pytest.raises(ValidationError, match="256 kbit/s a channel"):
        AudioTrack(channels=1, kbps=320)
    with pytest.raises(ValidationError, match="channels must be 1, 2 or 6"):
        AudioTrack(channels=3)
