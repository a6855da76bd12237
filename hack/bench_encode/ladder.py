"""What all contenders make: one input file, one ladder, one set of x264 and AAC settings.

Owns the channel's configuration and the input file. `contenders.py` and `ours.py` read it.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from hitless_encoder.codecs.x264 import x264_parameters
from hitless_encoder.video import DEFAULT_PRESET, VideoSettings
from hitless_handover.timeline import Timeline
from hitless_wire.encoder_config import EncoderConfig

RATE = 30
SEGMENT_FRAMES = 2 * RATE
AUDIO_KBPS = 96
# name, height of the source that it needs, width, height, cap in kbit/s
LADDER = (
    ("1080p", 1920, 1080, 6000),
    ("720p", 1280, 720, 3500),
    ("480p", 854, 480, 1600),
    ("360p", 640, 360, 900),
    ("240p", 426, 240, 450),
)
# What our encoder says to x264 of itself, and no user of ffmpeg would.
_OURS = ("threads", "lookahead-threads", "sync-lookahead", "asm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be encoded: the file, its frames, and the renditions from its size down."""

    path: Path
    frames: int
    height: int
    renditions: int

    @property
    def ladder(self) -> tuple[tuple[str, int, int, int], ...]:
        """The renditions, the largest first."""
        return tuple(r for r in LADDER if r[2] <= self.height)[: self.renditions]

    @property
    def width(self) -> int:
        """Of the source."""
        return next(row[1] for row in LADDER if row[2] == self.height)

    def config(self, ingest_url: str) -> EncoderConfig:
        """The channel, as our encoder is told."""
        return EncoderConfig.model_validate(
            {
                "namespace": "bench",
                "channel": "encode",
                "encoder_id": "ours",
                "source": {"url": f"file://{self.path}"},
                "timeline": {"frame_rate": str(RATE), "segment_frames": SEGMENT_FRAMES},
                "profiles": [
                    {"name": name, "width": width, "height": height, "max_kbps": kbps}
                    for name, width, height, kbps in self.ladder
                ],
                "audio": [{"kbps": AUDIO_KBPS}],
                "ingest_url": ingest_url,
                "window_seconds": 60,
            }
        )

    def x264(self) -> tuple[tuple[VideoSettings, str], ...]:
        """Each rendition, and the x264 parameters that say the same to ffmpeg."""
        config = self.config("http://127.0.0.1:9")
        line: Timeline = config.timeline.resolve()
        rows = [
            VideoSettings(profile=profile, timeline=line, preset=DEFAULT_PRESET)
            for profile in config.profiles
        ]
        return tuple((row, _public(x264_parameters(row))) for row in rows)


def _public(parameters: str) -> str:
    pairs = (pair.split("=") for pair in parameters.split(":"))
    return ":".join(f"{name}={value}" for name, value in pairs if name not in _OURS)


def make_input(task: Task, ffmpeg: str) -> None:
    """Make the input once: a moving picture with grain and cuts, and a swept tone."""
    if task.path.exists():
        return
    task.path.parent.mkdir(parents=True, exist_ok=True)
    size, seconds = f"{task.width}x{task.height}", task.frames // RATE
    unfinished = task.path.with_suffix(".part.mp4")
    picture = (
        f"testsrc2=size={size}:rate={RATE}:duration={seconds},"
        "hue=h=40*floor(t/3),noise=alls=6:allf=t+u,format=yuv420p"
    )
    sound = f"aevalsrc=0.2*sin(2*PI*(200+40*t)*t)|0.2*sin(2*PI*330*t):s=48000:d={seconds}"
    subprocess.run(
        [
            ffmpeg, "-hide_banner", "-loglevel", "error", "-y",
            "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound,
            "-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-g", str(SEGMENT_FRAMES),
            "-c:a", "aac", "-b:a", "192k", "-shortest", str(unfinished),
        ],
        check=True,
    )  # fmt: skip
    unfinished.rename(task.path)
