"""The three measurements: segments sent, players woken, channels fed."""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median

from hack.bench_origin import front
from hack.bench_origin.feed import SEGMENT_S, Feed, segment_now, two_tracks
from hack.bench_origin.processes import (
    Load,
    bare,
    cores,
    cpu_s,
    origin,
    pinned,
    rss_kb,
    wrk,
)
from hack.bench_origin.reloads import Reloads, Trigger

SIZES = {"36 kB": 700, "300 kB": 6000, "600 kB": 12_000}  # filler of each of 50 samples, bytes
NGINX, ALONE, FRONT = "nginx", "origin", "origin behind nginx"
BARE = "bare loop"
PARTS = 10  # of a segment
MEMORY_STEPS = 4
WARM_SEGMENTS = 36  # windows are full, and the 32 newest segments are compared
_TRACK = "v0"
_RELOAD = f"/live/demo/c0/{_TRACK}/media.m3u8"


def segments(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Requests/s, p99 and CPU for segments of some sizes, of each contender."""
    return {
        size: _segments(options, folder / str(filler), filler) for size, filler in SIZES.items()
    }


def _segments(options: argparse.Namespace, folder: Path, filler: int) -> dict[str, object]:
    for name in ("files", "front", "static"):
        (folder / name).mkdir(parents=True)
    segment = segment_now()
    path = f"/live/demo/c0/{_TRACK}/{segment}.m4s"
    with ExitStack() as stack:
        ours = stack.enter_context(origin(folder / "data"))
        feed = Feed(ours.url, two_tracks(), filler)
        feed.run(_one(feed, segment))
        kept = folder / "data/channels/demo/c0/live" / _TRACK / f"{segment}.m4s"
        served = folder / "static" / path.removeprefix("/")
        served.parent.mkdir(parents=True)
        shutil.copyfile(kept, served)
        with pinned(cores()[0]):
            plain = stack.enter_context(front.files(folder / "static", folder / "files"))
            before = stack.enter_context(front.before(ours.url, folder / "front"))
        contenders = {
            NGINX: (plain, [front.pid(folder / "files")]),
            ALONE: (ours.url, [ours.pid]),
            FRONT: (before, [front.pid(folder / "front"), ours.pid]),
        }
        rounds: list[dict[str, Load]] = []
        for _ in range(options.rounds + 1):
            row = {
                name: wrk(
                    url + path,
                    seconds=options.seconds,
                    connections=options.connections,
                    pids=pids,
                )
                for name, (url, pids) in contenders.items()
            }
            rounds.append(row)
    return {"bytes": served.stat().st_size, "contenders": _medians(rounds[1:])}


async def _one(feed: Feed, segment: int) -> None:
    await feed.introduce(0, 1)
    await feed.segment(segment, 1)


def _medians(rounds: list[dict[str, Load]]) -> dict[str, dict[str, float]]:
    """Of each contender, and of its ratios to nginx in the same round."""
    found = {}
    for name in rounds[0]:
        rows = [asdict(row[name]) for row in rounds]
        figures = {key: median(row[key] for row in rows) for key in rows[0]}
        figures["ratio"] = median(row[name].per_s / row[NGINX].per_s for row in rounds)
        figures["cpu_ratio"] = median(row[name].cpu_us / row[NGINX].cpu_us for row in rounds)
        found[name] = figures
    return found


def reloads(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """How long after a part's push begins the waiting players have their playlist."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    first = segment_now()
    rows: list[dict[str, dict[str, float]]] = []
    with origin(folder / "data") as ours, pinned(cores()[1]), ExitStack() as stack:
        feed = Feed(ours.url, two_tracks(parts=True))
        feed.run(_one(feed, first))
        feed.run(feed.part(first + 1, 0))
        players = stack.enter_context(Reloads(ours.url, options.waiting))
        for number in range(1, options.rounds + 2):
            segment, part = first + 1 + number // PARTS, number % PARTS
            push = partial(feed.run, feed.part(segment, part))
            path = f"{_RELOAD}?_HLS_msn={segment}&_HLS_part={part}"
            row = {ALONE: _woken(players, path, ours.pid, push)}
            if not rows:
                bytes_same = max(players.bodies("200"), key=len)
                floor = stack.enter_context(bare(folder, bytes_same))
                others = stack.enter_context(Reloads(floor.url, options.waiting))
                trigger = stack.enter_context(Trigger(floor.url))
            else:
                players.bodies("200")
            row[BARE] = _woken(others, path, floor.pid, trigger.push)
            others.bodies("200")
            rows.append(row)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return {"waiting": options.waiting, "contenders": _of_rounds(rows[1:]), "rounds": rows[1:]}


def _of_rounds(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Medians of each contender, and of what its p99 is to the floor's of the same round."""
    found = {}
    for name, first in rows[0].items():
        figures = {key: median(row[name][key] for row in rows) for key in first}
        figures["ratio"] = median(row[name]["p99_ms"] / row[BARE]["p99_ms"] for row in rows)
        found[name] = figures
    return found


def _woken(players: Reloads, path: str, pid: int, push: Callable[[], float]) -> dict[str, float]:
    players.ask(path)
    time.sleep(1.0)  # until all of them wait; one that came late would not wait
    before_s = cpu_s(pid)
    with ThreadPoolExecutor(1) as beside:
        arrivals = beside.submit(players.arrivals)
        begun_s = push()
        after_s = arrivals.result()
    used_s = cpu_s(pid) - before_s
    after_ms = [(at - begun_s) * 1000 for at in after_s]
    count = len(after_ms)
    return {
        "first_ms": after_ms[0],
        "median_ms": after_ms[count // 2],
        "p99_ms": after_ms[count * 99 // 100],
        "last_ms": after_ms[-1],
        "cpu_us": used_s * 1e6 / count,
    }


def pushes(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """CPU of the pushes of live channels, and memory of a channel."""
    with origin(folder / "data") as ours, pinned(cores()[1]):
        empty_kb = rss_kb(ours.pid)
        feed = Feed(ours.url, two_tracks())
        steps = [options.channels * step // MEMORY_STEPS for step in range(MEMORY_STEPS + 1)]
        introduced = []
        for first, last in pairwise(steps):
            feed.run(feed.introduce(first, last))
            introduced.append((last, rss_kb(ours.pid)))
        rows = feed.run(_live(feed, options, ours.pid))
    half = min(WARM_SEGMENTS, len(rows) // 2)
    used_s, made = sum(row[0] for row in rows[half:]), sum(row[1] for row in rows[half:])
    wall_s = SEGMENT_S * (len(rows) - half)
    return {
        "channels": options.channels,
        "cpu_ms": used_s * 1000 / made,
        "core_share": used_s / wall_s,
        "late_s": max(row[3] for row in rows[half:]),
        "empty_mb": empty_kb / 1024,
        "introduced_kb": (introduced[-1][1] - empty_kb) / options.channels,
        "channel_kb": (rows[-1][2] - empty_kb) / options.channels,
        "growth": rows[-1][2] / rows[half][2],
        "rss_mb": [row[2] / 1024 for row in rows],
    }


async def _live(
    feed: Feed, options: argparse.Namespace, pid: int
) -> list[tuple[float, int, int, float]]:
    """For each segment: CPU seconds, pushes, resident KiB, seconds until all were answered."""
    rows = []
    begun_s, first = time.monotonic(), segment_now()
    for number in range(options.segments):
        await asyncio.sleep(max(0.0, begun_s + number * SEGMENT_S - time.monotonic()))
        before_s, at_s = cpu_s(pid), time.monotonic()
        made = await feed.segment(first + number, options.channels)
        took_s = time.monotonic() - at_s
        await asyncio.sleep(max(0.0, begun_s + (number + 1) * SEGMENT_S - 0.1 - time.monotonic()))
        rows.append((cpu_s(pid) - before_s, made, rss_kb(pid), took_s))
    return rows
