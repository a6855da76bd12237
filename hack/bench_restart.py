"""How long an origin that was killed takes to its first playlist, and what of it is its window.

    .venv/bin/python -m hack.bench_restart [--minutes 60] [--channels 1] [--bucket] [--rounds 5]

Fills a folder, or a bucket of a real S3 server on this machine, with channels of four tracks and
segments of two seconds, then starts origin processes over it and kills them with SIGKILL. Segments
are small: an origin reads none of them when it starts. Prints a Markdown table: medians of seconds
from exec to the first playlist and of CPU seconds until then; of an empty origin, until it listens.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from hack.s3_server import BUCKET, s3_server
from tests.component.origin.cmaf_maker import FIRST, PAL, describe, init_segment

from hitless_origin import journal, recovery
from hitless_origin.__main__ import storage_of
from hitless_origin.names import ChannelKey
from hitless_origin.settings import Settings
from hitless_origin.storage import ChannelStorage, Place, Storage
from hitless_wire.ingest import ChannelDescription, live_path

NAMESPACE, ENCODER = "bench", "a"
SEGMENT_S = 2
BODY = bytes(1024)
TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Seconds from exec to the first answer, and CPU seconds till then."""

    wall_s: float
    cpu_s: float


def description(minutes: int) -> ChannelDescription:
    """Three pictures and a sound."""
    made = describe(PAL, window_seconds=60 * minutes)
    third = made.tracks[1].model_copy(update={"name": "v2"})
    return made.model_copy(update={"tracks": (*made.tracks, third)})


def fill(storage: Storage, channels: int, minutes: int) -> None:
    """Channels with a whole window and its margin, as an origin leaves them."""
    described = description(minutes)
    segments = 60 * minutes // SEGMENT_S + min(60 * minutes, 600) // SEGMENT_S
    storage.open()
    for number in range(channels):
        store = storage.channel(ChannelKey(namespace=NAMESPACE, channel=f"channel-{number}"))
        body = described.model_dump_json(by_alias=True).encode()
        recovery.create(store, described, body)
        for track in described.tracks:
            store.write_init(0, track.name, init_segment(track))
        names = tuple(track.name for track in described.tracks)
        lines: list[journal.Line] = [journal.EncoderLine(encoder=ENCODER, inits=names)]
        store.append(lines)
        for segment in range(FIRST, FIRST + segments):
            lines.append(publish(store, segment, names))
            if store.wants_compaction():  # as a channel does
                snapshot = journal.replay(lines)
                store.compact(snapshot)
                lines = [snapshot]
        store.close()
    storage.close()


def publish(store: ChannelStorage, segment: int, names: Sequence[str]) -> journal.PublishLine:
    """One segment of the encoder; the journal's line of it."""
    for name in names:
        place = Place(segment=segment, encoder=ENCODER, track=name)
        store.keep(store.stage(BODY, place, 1), place, 1)
    line = journal.PublishLine(
        segment=segment,
        encoder=ENCODER,
        priority=1,
        fallback=False,
        term=1,
        mismatches=0,
        at_us=segment * SEGMENT_S * 1_000_000,
    )
    store.publish(segment, ENCODER, names, [line])
    return line


def started(arguments: Sequence[str], path: str) -> Start:
    """Start an origin, get a path from it, kill it."""
    began_s = monotonic()
    command = [sys.executable, "-m", "hitless_origin", "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.search(r"listening on (http://127\.0\.0\.1:[0-9]+)", line)
            if found is None:
                raise SystemExit(f"the origin did not start: {line}")
            with urllib.request.urlopen(found[1] + path, timeout=60) as answer:
                answer.read()
            wall_s = monotonic() - began_s
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            return Start(wall_s=wall_s, cpu_s=(int(fields[11]) + int(fields[12])) / TICKS_S)
        finally:
            process.kill()


def row(title: str, starts: Sequence[Start]) -> str:
    walls, cpus = [each.wall_s for each in starts], [each.cpu_s for each in starts]
    median = f"{statistics.median(walls):.2f} | {max(walls):.2f} | {statistics.median(cpus):.2f}"
    return f"| {title} | {median} |"


@contextmanager
def place_of(folder: Path, *, bucket: bool) -> Iterator[tuple[Settings, list[str]]]:
    """Where channels are: as settings, and as options of an origin."""
    with ExitStack() as stack:
        if not bucket:
            yield Settings(data=folder / "data"), ["--data", str(folder / "data")]
            return
        server = stack.enter_context(s3_server(folder))
        os.environ.update(server.environment)
        url, cache = f"s3://{BUCKET}/bench", folder / "cache"
        yield Settings(data=cache, bucket=url), ["--data", url, "--cache", str(cache)]


def main() -> None:
    """Fill, start, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60, help="length of the window")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bucket", action="store_true", help="a real S3 server, not a folder")
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = [
            started(["--data", str(folder / f"empty-{n}")], "/healthz")
            for n in range(parsed.rounds)
        ]
        with place_of(folder, bucket=parsed.bucket) as (settings, options):
            fill(storage_of(settings), parsed.channels, parsed.minutes)
            path = f"{live_path(NAMESPACE, 'channel-0')}/v0/media.m3u8"
            full = [started(options, path) for _ in range(parsed.rounds)]
    where = "bucket" if parsed.bucket else "folder"
    what = f"{where}, {parsed.channels} channels x 4 tracks x {parsed.minutes} min"
    print("| | exec to first answer, s: median | longest | CPU, s |\n|---|---|---|---|")
    print(row("empty", empty))
    print(row(what, full))


if __name__ == "__main__":
    main()
