"""Live sources from real senders: two processes that joined at different times see the same.

The senders keep real time, so this needs a machine that keeps up with them: it runs when
HITLESS_LIVE_SOURCES is set.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hack.sources.film import write
from hack.sources.senders import KINDS, sent

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.skipif(
    not os.environ.get("HITLESS_LIVE_SOURCES"), reason="set HITLESS_LIVE_SOURCES to run it"
)
COMMON_FRAMES = 75  # more than two segments' sound groups
EARLY_FRAMES = 45  # that the first has before the second begins


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.ts"
    write(path)
    return path


class Joiner:
    """One process that reads the source. frames: number -> hashes of picture and sound."""

    def __init__(self, url: str, anchor: str | None = None) -> None:
        command = [sys.executable, "-m", "tests.component.encoder.joiner", url]
        self._process = subprocess.Popen(
            command if anchor is None else [*command, anchor],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.anchor = ""
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

    def wait_frames(self, count: int, since: int = 0) -> None:
        """Until so many frames from `since` on are there; the test's time limit bounds it."""
        with self.changed:
            self.changed.wait_for(
                lambda: (
                    sum(frame >= since for frame in self.frames) >= count
                    or self._process.poll() is not None
                ),
            )
        assert self._process.poll() is None

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._thread.join()  # once the process has closed its end
        self._process.stdout.close()
        assert self._process.wait() == 0


@contextmanager
def joined(url: str, anchor: str | None = None) -> Iterator[Joiner]:
    joiner = Joiner(url, anchor)
    try:
        yield joiner
    finally:
        joiner.end()


@pytest.mark.parametrize("kind", KINDS)
def test_a_late_process_gets_the_same_blocks(kind: str, film: Path, tmp_path: Path) -> None:
    with sent(kind, film, tmp_path) as url, joined(url) as early:
        early.wait_frames(EARLY_FRAMES)
        with joined(url, early.anchor) as late:
            late.wait_frames(1)
            assert late.anchor == early.anchor
            first = min(late.frames)
            late.wait_frames(COMMON_FRAMES)
            early.wait_frames(COMMON_FRAMES, since=first)
            with early.changed, late.changed:
                common = sorted(early.frames.keys() & late.frames.keys())
                different = [f for f in common if early.frames[f] != late.frames[f]]
    assert len(common) > COMMON_FRAMES // 2
    assert not different
