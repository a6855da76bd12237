"""The figures as a table for people, and what is demanded of them.

All ratios are ours to theirs of the same round, since the machine's speed drifts between rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from hack.bench_encode.contenders import OURS
from hack.bench_encode.measures import Usage

Rounds = Sequence[Mapping[str, Usage]]  # by contender
FPS_RATIO_MIN = 1.0
CPU_RATIO_MAX = 1.0
RSS_RATIO_MAX = 1.0


def figures(rounds: Rounds, frames: int) -> dict[str, dict[str, float]]:
    """Medians of each contender, and of the ratios ours/theirs."""
    return {name: _figures(rounds, name, frames) for name in rounds[0]}


def _figures(rounds: Rounds, name: str, frames: int) -> dict[str, float]:
    pairs = [(row[OURS], row[name]) for row in rounds]
    return {
        "fps": median(frames / their.wall_s for _, their in pairs),
        "cpuSeconds": median(their.cpu_s for _, their in pairs),
        "rssMb": median(their.rss_mb for _, their in pairs),
        "fpsRatio": median(their.wall_s / our.wall_s for our, their in pairs),
        "cpuRatio": median(our.cpu_s / their.cpu_s for our, their in pairs),
        "rssRatio": median(our.rss_mb / their.rss_mb for our, their in pairs),
    }


HEAD = ("", "fps", "CPU s", "RSS MB", "fps ours/theirs", "CPU ours/theirs", "RSS ours/theirs")


def table(cores: Mapping[int, Mapping[str, Mapping[str, float]]]) -> str:
    """A line for each contender and number of cores."""
    lines = ["".join(f"{cell:<26}" if not index else f"{cell:>17}" for index, cell in _row(HEAD))]
    for count, contenders in cores.items():
        for name, f in contenders.items():
            cells = [f"{name}, {count} core{'s' if count > 1 else ''}"]
            cells += [f"{f['fps']:.1f}", f"{f['cpuSeconds']:.1f}", f"{f['rssMb']:.0f}"]
            ratios = [f"{f[key]:.2f}" for key in ("fpsRatio", "cpuRatio", "rssRatio")]
            cells += ["", "", ""] if name == OURS else ratios
            lines.append("".join(f"{c:<26}" if not i else f"{c:>17}" for i, c in _row(cells)))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> Iterator[tuple[int, str]]:
    return iter(enumerate(cells))


def missed(cores: Mapping[int, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """The demands that are not met."""
    return [
        f"{count} core(s), {name}: {text}"
        for count, contenders in cores.items()
        for name, f in contenders.items()
        if name != OURS
        for text in _missed(f)
    ]


def _missed(f: Mapping[str, float]) -> Iterator[str]:
    if f["fpsRatio"] < FPS_RATIO_MIN:
        yield f"{f['fpsRatio']:.2f} of its speed, at least {FPS_RATIO_MIN} is wanted"
    if f["cpuRatio"] > CPU_RATIO_MAX:
        yield f"{f['cpuRatio']:.2f} of its CPU time, at most {CPU_RATIO_MAX} is wanted"
    if f["rssRatio"] > RSS_RATIO_MAX:
        yield f"{f['rssRatio']:.2f} of its memory, at most {RSS_RATIO_MAX} is wanted"
