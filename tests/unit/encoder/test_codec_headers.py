"""Codec strings, configuration boxes and levels of each codec; headers that no preset changes."""

from __future__ import annotations

import pytest

from hitless_encoder import audio, av1, hevc, vp9
from hitless_encoder.boxes import child
from hitless_encoder.codecs.base import PRESETS
from hitless_encoder.codecs.rate import CORRECTION_PERCENT
from hitless_encoder.errors import CodecError, ConfigurationError
from hitless_encoder.video import VideoSettings, describe
from hitless_handover.timeline import Timeline
from hitless_wire.media_resources import AudioTrack, Profile
from hitless_wire.video_codecs import SOFTWARE, RateControl

LINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=30)
TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")


def settings(codec: str, control: str = "CappedCRF", preset: str = "veryfast") -> VideoSettings:
    profile = Profile.model_validate(
        {"name": "v", "width": 256, "height": 144, "maxKbps": 400, "codec": codec}
        | {"rateControl": control}
        | ({"targetKbps": 300} if control == "ABR" else {})
    )
    return VideoSettings(profile=profile, timeline=LINE, preset=preset)


@pytest.mark.parametrize(
    ("codec", "codecs", "entry", "configuration"),
    [
        ("h264", "avc1.64000C", b"avc1", b"avcC"),
        ("hevc", "hvc1.1.6.L60.90", b"hvc1", b"hvcC"),
        ("av1", "av01.0.00M.08", b"av01", b"av1C"),
        ("vp9", "vp09.00.11.08", b"vp09", b"vpcC"),
        ("mpeg2", "mp4v.61", b"mp4v", b"esds"),
        ("mpeg4", "mp4v.20.4", b"mp4v", b"esds"),
    ],
)
def test_a_track_says_its_codec(
    codec: str, codecs: str, entry: bytes, configuration: bytes
) -> None:
    track = describe(settings(codec))
    assert track.codecs == codecs
    table = child(track.init, *TABLES)
    assert table[12:16] == entry
    assert configuration in table


@pytest.mark.parametrize("codec", SOFTWARE)
@pytest.mark.parametrize("control", list(RateControl))
def test_the_init_segment_is_the_same_for_every_preset(codec: str, control: str) -> None:
    inits = {describe(settings(codec, control, preset)).init for preset in PRESETS}
    assert len(inits) == 1


@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_qsv", "h264_vaapi"])
def test_a_device_that_is_not_there_is_said_of_the_field(codec: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"^profiles\.v\.codec: .*{codec}.*, or set codec"
    ):
        describe(settings(codec))


def test_every_rate_has_its_correction() -> None:
    rates = (RateControl.ABR, RateControl.CBR)
    assert set(CORRECTION_PERCENT) == {(codec, rate) for codec in SOFTWARE for rate in rates}


def test_levels() -> None:
    def level(width: int, height: int, rate: int, kbps: int) -> tuple[int | None, int | None]:
        size = {"width": width, "height": height, "rate_num": rate, "rate_den": 1, "kbps": kbps}
        high, small = hevc.level_of(**size), vp9.level_of(**size)
        return (
            None if high is None else high.idc,
            None if small is None else small.number,
        )

    assert level(640, 360, 30, 1200) == (63, 21)
    assert level(1920, 1080, 30, 8000) == (120, 40)
    assert level(1920, 1080, 60, 8000) == (123, 41)
    assert level(7680, 4320, 240, 1000) == (None, None)


def test_temporal_delimiters_do_not_become_samples() -> None:
    delimiter, header, frame = b"\x12\x00", b"\x0a\x01\x00", b"\x32\x02ab"
    assert av1.sample(delimiter + header + frame) == header + frame
    with pytest.raises(CodecError, match="does not fit"):
        av1.sample(b"\x32\x05ab")
    with pytest.raises(CodecError, match="without its size"):
        av1.sample(b"\x30ab")


def test_opus_asks_no_player_to_skip_anything() -> None:
    track = audio.describe(AudioTrack(codec="opus", language="deu"), LINE)
    assert track.codecs == "opus"
    table = child(track.init, *TABLES)
    assert table[12:16] == b"Opus"
    content = table[table.index(b"dOps") + 4 :]
    assert content == bytes((0, 2, 0, 0)) + (48_000).to_bytes(4, "big") + bytes(3)
    assert audio.describe(AudioTrack(codec="opus", kbps=64, language="deu"), LINE) == track


@pytest.mark.parametrize(("channels", "configuration"), [(1, 1), (2, 2), (6, 6)])
def test_aac_says_its_channels(channels: int, configuration: int) -> None:
    table = child(audio.describe(AudioTrack(channels=channels), LINE).init, *TABLES)
    at = table.index(b"\x05", table.index(b"esds") + 20)
    assert table[at + 3] >> 3 & 0xF == configuration
