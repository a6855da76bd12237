"""SPS, PPS and codec string depend on the configuration alone, and levels fit."""

from __future__ import annotations

import pytest

from hitless_encoder import audio, video
from hitless_encoder.errors import ConfigurationError
from hitless_encoder.h264 import length_prefixed, level_idc, nal_units
from hitless_encoder.video import VideoSettings
from hitless_handover.timeline import Timeline
from hitless_wire.media_resources import AudioTrack, Profile

NTSC = Timeline(rate_num=30000, rate_den=1001, segment_frames=60, gop_frames=30)
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow")


def settings(preset: str = "veryfast", **changes: int) -> VideoSettings:
    values = {"width": 640, "height": 360, "max_kbps": 800, "crf": 24} | changes
    profile = Profile.model_validate({"name": "v", **values})
    return VideoSettings(profile=profile, timeline=NTSC, preset=preset)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("changes", [{}, {"crf": 35}, {"max_kbps": 2500}])
def test_the_init_segment_is_the_same_for_every_preset_crf_and_cap(
    preset: str, changes: dict[str, int]
) -> None:
    assert video.describe(settings(preset, **changes)) == video.describe(settings())


def test_the_codec_string_names_profile_and_level() -> None:
    assert video.describe(settings()).codecs == "avc1.64001E"
    assert video.describe(settings(width=1920, height=1080)).codecs == "avc1.640028"


def test_the_sound_header_does_not_depend_on_the_bit_rate() -> None:
    low, high = AudioTrack(kbps=48), AudioTrack(kbps=192)
    assert audio.describe(low, NTSC) == audio.describe(high, NTSC)
    assert audio.describe(low, NTSC).codecs == "mp4a.40.2"


def test_an_unknown_preset_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="preset 'placebo' is unknown: choose one of"):
        settings("placebo")


@pytest.mark.parametrize(
    ("width", "height", "rate", "kbps", "idc"),
    [
        (256, 144, 30, 300, 12),
        (426, 240, 30, 600, 21),
        (640, 360, 30, 1200, 30),
        (854, 480, 30, 2000, 31),
        (1280, 720, 30, 4000, 31),
        (1280, 720, 60, 4000, 32),
        (1920, 1080, 30, 8000, 40),
        (1920, 1080, 60, 8000, 42),
        (3840, 2160, 60, 30000, 52),
        (640, 360, 30, 20000, 32),
    ],
)
def test_levels_fit_size_rate_and_cap(
    width: int, height: int, rate: int, kbps: int, idc: int
) -> None:
    found = level_idc(width=width, height=height, rate_num=rate, rate_den=1, max_kbps=kbps)
    assert found == idc


def test_beyond_every_level_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match=r"beyond H\.264 level 6\.2"):
        level_idc(width=7680, height=4320, rate_num=240, rate_den=1, max_kbps=1000)


def test_only_slices_become_samples() -> None:
    sei, slice_ = b"\x06\x05\x04text", b"\x65\x88\x84"
    stream = b"\0\0\0\1\x09\x10" + b"\0\0\1" + sei + b"\0\0\0\1" + slice_
    assert nal_units(stream) == [b"\x09\x10", sei, slice_]
    assert length_prefixed(stream) == b"\0\0\0\3" + slice_


def test_the_peak_allows_for_a_spent_buffer() -> None:
    assert settings().peak_bps == pytest.approx(800_000 * (1 + 0.9 / 2.002), abs=2)
