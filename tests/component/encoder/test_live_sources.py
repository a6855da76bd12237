"""Live sources from real senders: two processes that joined at different times see the same.

The senders keep real time. All kinds run at once, for the time goes by in waiting.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hack.sources.film import write
from hack.sources.senders import KINDS, TIMECODES, sent

STATED = ("udp-timecode", "hls-ts-date", "hls-fmp4-prft")  # each way; `make sources` has them all
ALL = (*KINDS, *STATED)
ROOT = Path(__file__).parents[3]
COMMON_FRAMES = 75  # more than two groups of sound
EARLY_FRAMES = 45  # that the first has before the second begins
DEADLINE_S = 200.0


class Joiner:
    """One process that reads the source. frames: number -> hashes of picture and sound."""

    def __init__(self, url: str, anchor: str, timecode: str) -> None:
        command = [sys.executable, "-m", "tests.component.encoder.joiner", url, anchor, timecode]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.anchor = ""
        self.ended = False
        self.frames: dict[int, tuple[str, str]] = {}
        self.changed = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self.changed:
                if line.startswith("{"):
                    self.anchor = line.strip()
                else:
                    frame, picture, sound = line.split()
                    self.frames[int(frame)] = picture, sound
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_frames(self, count: int, since: int = 0) -> None:
        """Until so many frames from `since` on are there."""

        def there() -> bool:
            assert not self.ended, "the process has ended"
            return sum(frame >= since for frame in self.frames) >= count

        with self.changed:
            assert self.changed.wait_for(there, DEADLINE_S), f"{len(self.frames)} frames only"

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._thread.join()  # once the process has closed its end
        self._process.stdout.close()
        assert self._process.wait() == 0


@contextmanager
def joined(url: str, *, anchor: str = "", timecode: str = "") -> Iterator[Joiner]:
    joiner = Joiner(url, anchor, timecode)
    try:
        yield joiner
    finally:
        joiner.end()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What two processes had of one source: frame numbers."""

    common: list[int]
    different: list[int]


def seen_by_two(kind: str, film: Path, folder: Path) -> Seen:
    """The second is told the anchor, unless the source states its time."""
    timecode = TIMECODES.get(kind, "")
    with sent(kind, film, folder) as url, joined(url, timecode=timecode) as early:
        early.wait_frames(EARLY_FRAMES)
        told = "" if timecode else early.anchor
        with joined(url, anchor=told, timecode=timecode) as late:
            late.wait_frames(1)
            assert timecode or late.anchor == early.anchor
            first = min(late.frames)
            late.wait_frames(COMMON_FRAMES)
            early.wait_frames(COMMON_FRAMES, since=first)
            with early.changed, late.changed:
                common = sorted(early.frames.keys() & late.frames.keys())
                different = [f for f in common if early.frames[f] != late.frames[f]]
    return Seen(common=common, different=different)


@pytest.fixture(scope="module")
def watching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Seen]]]:
    film = tmp_path_factory.mktemp("film") / "film.ts"
    write(film)
    with ThreadPoolExecutor(len(ALL)) as at_once:
        yield {
            kind: at_once.submit(seen_by_two, kind, film, tmp_path_factory.mktemp(kind))
            for kind in ALL
        }


@pytest.mark.parametrize("kind", ALL)
def test_a_late_process_gets_the_same_blocks(
    kind: str, watching: Mapping[str, Future[Seen]]
) -> None:
    seen = watching[kind].result()
    assert len(seen.common) > COMMON_FRAMES // 2
    assert not seen.different
