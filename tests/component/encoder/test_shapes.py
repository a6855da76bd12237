"""Inputs of any shape, made by ffmpeg: what comes out is plain, and the same for a late joiner."""

from __future__ import annotations

import io
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.component.encoder.studio import START_US

from hitless_encoder.errors import SourceError
from hitless_encoder.pcm import Pcm
from hitless_encoder.sources.base import ReportBoard, SourceReport
from hitless_encoder.sources.folder import LoopedFolder
from hitless_encoder.sources.grid import Grid
from hitless_encoder.sources.looped_file import LoopedFile
from hitless_encoder.sources.pump import check_codec
from hitless_encoder.sources.shape import Shaper, progressive
from hitless_encoder.sources.weave import Weaver
from hitless_handover.timeline import Anchor, Timeline

TWENTY_FIVE = Timeline(rate_num=25, rate_den=1, segment_frames=50, gop_frames=50)
SIZE = (256, 144)
_PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=256x144:r=25:d=6")
_SOUND = ("-f", "lavfi", "-i", "sine=f=440:r=48000:d=6")


def made(target: Path, *arguments: str) -> Path:
    program = shutil.which("ffmpeg")
    assert program, "no ffmpeg: hack/setup senders"
    subprocess.run((program, "-v", "error", "-y", *arguments, str(target)), check=True)
    return target


def woven(data: bytes, anchor: Anchor | None) -> tuple[dict[int, tuple[bytes, Pcm]], Anchor]:
    grid = Grid(TWENTY_FIVE, anchor)
    found: dict[int, tuple[bytes, Pcm]] = {}
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        video = container.streams.video[0]
        sound = container.streams.audio[0] if container.streams.audio else None
        video.codec_context.thread_count = 1
        weaver = Weaver(
            TWENTY_FIVE,
            grid,
            pictures=video,
            sound=sound,
            shaper=Shaper(*SIZE),
            board=ReportBoard(SourceReport()),
        )
        for packet in container.demux(*([video] if sound is None else [video, sound])):
            if packet.size:
                for block in weaver.feed(packet, START_US):
                    assert block.picture.format.name == "yuv420p"
                    found[block.frame] = block.picture.to_ndarray().tobytes(), block.pcm
    assert grid.anchor is not None
    return found, grid.anchor


@pytest.mark.parametrize(
    "coding",
    [
        ("-vf", "interlace", "-c:v", "libx264", "-x264-params", "tff=1", "-flags", "+ilme+ildct"),
        ("-vf", "interlace", "-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-b:v", "3M"),
        ("-pix_fmt", "yuv422p10le", "-c:v", "libx264"),
        ("-vf", "scale=192:144,setsar=1", "-c:v", "libx264"),
        ("-c:v", "libx264", "-an"),
    ],
    ids=["h264 interlaced", "mpeg2 interlaced", "4:2:2 10 bit", "4:3", "no sound"],
)
def test_a_late_joiner_gets_the_same_of_any_shape(coding: tuple[str, ...], tmp_path: Path) -> None:
    stream = made(tmp_path / "a.ts", *_PICTURE, *_SOUND, "-g", "25", *coding).read_bytes()
    early, anchor = woven(stream, None)
    late, _ = woven(stream[len(stream) // 3 // 188 * 188 :], anchor)
    common = sorted(early.keys() & late.keys())[2:]
    assert len(common) > 12
    assert common == list(range(common[0], common[-1] + 1))
    for frame in common:
        assert early[frame][0] == late[frame][0]
        assert np.array_equal(early[frame][1], late[frame][1])


def test_interlaced_pictures_are_not_shown_as_they_are(tmp_path: Path) -> None:
    combed = ("-vf", "interlace", "-c:v", "libx264", "-x264-params", "tff=1", "-crf", "10")
    path = made(tmp_path / "a.mp4", *_PICTURE, *combed, "-flags", "+ilme+ildct")
    with av.open(str(path)) as container:
        raw = list(container.decode(video=0))
    with av.open(str(path)) as container:
        shown = list(progressive(container.decode(video=0)))
    assert [picture.pts for picture in shown] == [picture.pts for picture in raw]
    assert all(picture.interlaced_frame for picture in raw)

    def combing(picture: av.VideoFrame) -> float:
        luma = picture.to_ndarray()[: picture.height].astype(int)
        return float(np.abs(luma[1:-1] * 2 - luma[:-2] - luma[2:]).mean())

    assert sum(map(combing, shown[5:50])) < 0.9 * sum(map(combing, raw[5:50]))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_picture_is_turned_as_a_player_turns_it(degrees: int, tmp_path: Path) -> None:
    lying = made(tmp_path / "lying.mp4", *_PICTURE, "-c:v", "libx264")
    tag = ("-c", "copy", "-metadata:s:v:0", f"rotate={degrees}")
    path = made(tmp_path / "a.mp4", "-i", str(lying), *tag)
    upright = made(tmp_path / "a.yuv", "-i", str(path), "-frames:v", "1", "-f", "rawvideo")
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
    across = degrees != 180
    size = (144, 256) if across else (256, 144)
    shown = Shaper(*size).fit(picture, None)
    assert (shown.width, shown.height) == size
    assert shown.to_ndarray().tobytes() == upright.read_bytes()


def test_bars_stand_beside_a_narrow_picture() -> None:
    white = np.full((144 * 3 // 2, 192), 200, np.uint8)
    picture = av.VideoFrame.from_ndarray(white, format="yuv420p")
    luma = Shaper(640, 360).fit(picture, None).to_ndarray()[:360]
    assert luma.shape == (360, 640)
    assert np.all(luma[:, :78] == 16)
    assert np.all(luma[:, 82:556] > 190)
    assert np.all(luma[:, 562:] == 16)
    wide = Shaper(640, 360).fit(picture, Fraction(4, 3))
    assert wide is picture, "with wide pixels it is 16:9: the ladder scales it"


@pytest.mark.parametrize(
    ("source", "left", "right"),
    [
        ("pan=mono|c0=0.5*c0", 0.3535, 0.3535),
        ("pan=5.1|FL=0.2*c0", 0.2, 0.0),
        ("pan=5.1|FC=0.2*c0", 0.1414, 0.1414),
        ("pan=5.1|LFE=0.2*c0", 0.0, 0.0),
        ("pan=5.1|BR=0.2*c0", 0.0, 0.1414),
    ],
)
def test_other_layouts_are_mixed_to_stereo(
    source: str, left: float, right: float, tmp_path: Path
) -> None:
    tone = ("-f", "lavfi", "-i", "aevalsrc=sin(2*PI*440*t):s=48000:d=6", "-af", source)
    coded = ("-c:v", "libx264", "-g", "25", "-c:a", "ac3", "-b:a", "448k")
    stream = made(tmp_path / "a.ts", *_PICTURE, *tone, *coded).read_bytes()
    found, _ = woven(stream, None)
    pcm = np.concatenate([found[frame][1] for frame in sorted(found)][10:60], axis=1)
    peaks = np.sqrt(2 * np.mean(pcm.astype(float) ** 2, axis=1))
    assert peaks == pytest.approx([left, right], abs=0.02)


def test_a_folder_is_looped_in_the_order_of_names(tmp_path: Path) -> None:
    for name, colour in (("b.mp4", "blue"), ("a.mp4", "red"), ("c.ts", "green")):
        plain = ("-f", "lavfi", "-i", f"color={colour}:s=256x144:r=25:d=1")
        made(tmp_path / name, *plain, "-c:v", "libx264")
    (tmp_path / "notes.txt").write_text("not media")
    looped = LoopedFolder(f"{tmp_path}/", timeline=TWENTY_FIVE, size=SIZE)
    single = {
        name: LoopedFile(str(tmp_path / name), timeline=TWENTY_FIVE, size=SIZE)
        for name in ("a.mp4", "b.mp4", "c.ts")
    }
    start = 75 * 1_000_000
    for frame in (0, 24, 25, 49, 50, 74, 75, 76, 30):
        name = ("a.mp4", "b.mp4", "c.ts")[frame % 75 // 25]
        expected = single[name].picture(frame % 25).to_ndarray()
        assert np.array_equal(looped.picture(start + frame).to_ndarray(), expected)
        assert looped.pcm(start + frame).shape == (2, 1920)
    looped.close()
    for one in single.values():
        one.close()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match="no file named like"):
        LoopedFolder(f"{empty}/", timeline=TWENTY_FIVE, size=SIZE)


def test_theora_is_refused_with_what_to_send(tmp_path: Path) -> None:
    path = made(tmp_path / "a.ogv", *_PICTURE, "-c:v", "libtheora")
    with av.open(str(path)) as container, pytest.raises(SourceError, match=r"theora.*send H\.264"):
        check_codec("file", container.streams.video[0])
