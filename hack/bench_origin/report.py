"""The figures as text for people, and what is demanded of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hack.bench_origin.measures import ALONE, FRONT, NGINX

Found = Mapping[str, Mapping[str, Any]]
RATIO_MIN = 0.8  # of nginx's requests/s, behind nginx
P99_MS_MAX = 30.0
FLOOR_MAX = 1.5  # of the bare loop's p99, where a machine is too slow for P99_MS_MAX
TIMES = ("first", "median", "p99", "last")
CORE_SHARE_MAX = 1.0
GROWTH_MAX = 1.05


def text(found: Found) -> str:
    """All that was measured."""
    return "\n".join(line for name, row in found.items() for line in _LINES[name](row))


def missed(found: Found) -> list[str]:
    """The demands that are not met."""
    return [line for name, row in found.items() for line in _MISSED[name](row)]


def _segments(sizes: Mapping[str, Any]) -> Iterator[str]:
    head = ("requests/s", "p99 ms", "CPU us each", "of nginx", "CPU of nginx's")
    yield f"{'segment':<10}{'':<22}" + "".join(f"{cell:>16}" for cell in head)
    for size, row in sizes.items():
        for name in (NGINX, ALONE, FRONT):
            f = row["contenders"][name]
            cells = (
                *(f"{f['per_s']:.0f}", f"{f['p99_ms']:.1f}", f"{f['cpu_us']:.0f}"),
                *(f"{f['ratio']:.2f}", f"{f['cpu_ratio']:.1f}"),
            )
            yield f"{size:<10}{name:<22}" + "".join(f"{cell:>16}" for cell in cells)


def _reloads(f: Mapping[str, Any]) -> Iterator[str]:
    head = (*(f"{key} ms" for key in TIMES), "p99 of bare", "CPU us each")
    yield f"{f['waiting']} reloads wait{'':<12}" + "".join(f"{cell:>14}" for cell in head)
    for name, row in f["contenders"].items():
        cells = (*(f"{row[f'{key}_ms']:.1f}" for key in TIMES), f"{row['ratio']:.2f}")
        yield f"{name:<29}" + "".join(f"{cell:>14}" for cell in (*cells, f"{row['cpu_us']:.0f}"))


def _pushes(f: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{f['channels']} channels of 2 tracks: {f['cpu_ms']:.2f} CPU ms a push, "
        f"{f['core_share']:.2f} of a core; a segment's pushes took up to {f['late_s']:.2f} s"
    )
    yield (
        f"  memory: {f['empty_mb']:.0f} MB without channels, {f['introduced_kb']:.0f} KiB for each "
        f"that is introduced, {f['channel_kb']:.0f} KiB with its window full; "
        f"end / warm {f['growth']:.3f}"
    )


def _segments_missed(sizes: Mapping[str, Any]) -> Iterator[str]:
    for size, row in sizes.items():
        ratio = row["contenders"][FRONT]["ratio"]
        if ratio < RATIO_MIN:
            yield f"{size}: {ratio:.2f} of nginx's requests/s, at least {RATIO_MIN} is wanted"


def _reloads_missed(f: Mapping[str, Any]) -> Iterator[str]:
    row = f["contenders"][ALONE]
    if row["p99_ms"] > P99_MS_MAX and row["ratio"] > FLOOR_MAX:
        yield (
            f"reloads: p99 {row['p99_ms']:.0f} ms and {row['ratio']:.2f} of a bare loop's; "
            f"at most {P99_MS_MAX:.0f} ms are wanted, or {FLOOR_MAX}"
        )


def _pushes_missed(f: Mapping[str, Any]) -> Iterator[str]:
    if f["core_share"] > CORE_SHARE_MAX:
        yield f"pushes: {f['core_share']:.2f} of a core"
    if f["growth"] > GROWTH_MAX:
        yield f"memory: grew by {f['growth']:.3f}, at most {GROWTH_MAX} is wanted"


_LINES = {"segments": _segments, "reloads": _reloads, "pushes": _pushes}
_MISSED = {"segments": _segments_missed, "reloads": _reloads_missed, "pushes": _pushes_missed}
