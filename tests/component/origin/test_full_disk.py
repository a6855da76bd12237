"""Want of room shortens the window and never touches the live edge. On a small tmpfs, for real."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.component.origin.cmaf_maker import FIRST, PAL, describe
from tests.component.origin.studio import NAMESPACE, SEGMENT_US, Encoder, Studio, running

from hitless_origin.channel import SEGMENTS_EDGE, SEGMENTS_LEAST, Channel
from hitless_origin.names import ChannelKey
from hitless_origin.store import ChannelStore
from hitless_wire.ingest import STORAGE_QUERY, ChannelReport, StoredReport, report_path

WINDOW = 30  # segments
SEGMENT_BYTES = 75_000  # about, of all three tracks
SMALL_BYTES, LARGE_BYTES = 2_500_000, 12_000_000
TRACKS = ("v0", "v1", "audio")


def mount(folder: Path, *options: str) -> None:
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "hitless", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid():
        pytest.skip("only root may mount a file system")
    mount(folder, f"size={SMALL_BYTES}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
async def studio(disk: Path) -> AsyncIterator[Studio]:
    async with running(disk / "data") as studio:
        studio.description = describe(PAL, window_seconds=2 * WINDOW)
        yield studio


@pytest.fixture(autouse=True)
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of a segment that a playlist still names is ever removed."""
    channels: list[Channel] = []
    made, removed = Channel.__init__, ChannelStore.retain_from

    def make(self: Channel, *args: object, **named: object) -> None:
        channels.append(self)
        made(self, *args, **named)  # type: ignore[arg-type]

    def remove(self: ChannelStore, segment: int) -> None:
        for channel in channels:
            if channel._store is self and channel.manifests is not None:
                assert segment <= channel.manifests.view.window.first
        removed(self, segment)

    monkeypatch.setattr(Channel, "__init__", make)
    monkeypatch.setattr(ChannelStore, "retain_from", remove)


async def encoder(studio: Studio) -> Encoder:
    [made] = await studio.ready("a")
    made.filler = b"." * (SEGMENT_BYTES // (2 * 50 + 94))
    return made


async def push(studio: Studio, by: Encoder, segment: int) -> None:
    """Takes its time, and finds everything on air that playlists name."""
    assert await by.push(segment, 1) == [201, 201, 201]
    await studio.wait(SEGMENT_US)
    numbers = await studio.numbers()
    assert numbers == list(range(numbers[0], segment + 1)), "an unbroken window up to the live edge"
    for name in (f"{track}/{k}.m4s" for track in TRACKS for k in (numbers[0], segment)):
        assert (await studio.get(name)).status == 200


async def stored(studio: Studio) -> StoredReport:
    path = f"{report_path(NAMESPACE, 'news')}?{STORAGE_QUERY}=1"
    report = ChannelReport.model_validate_json((await studio.call("GET", path)).body)
    assert report.storage is not None
    assert (report.gaps, report.fallbacks) == (0, 0)
    return report.storage


async def test_a_small_disk_holds_a_shorter_window(
    studio: Studio, disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    a = await encoder(studio)
    for k in range(FIRST, FIRST + 50):
        await push(studio, a, k)
    found = await stored(studio)
    held = await studio.numbers()
    assert SEGMENTS_LEAST <= len(held) < WINDOW
    assert found.missing_segments == WINDOW - len(held)
    assert found.given_up == held[0] - FIRST
    metrics = (await studio.call("GET", "/metrics")).text
    assert f'missing_segments{{namespace="demo",channel="news"}} {WINDOW - len(held)}' in metrics
    assert 'disk_errors_total{namespace="demo",channel="news"} 0' in metrics
    assert "no room, the window begins with" in caplog.text

    before = (await studio.get("v0/media.m3u8")).body
    await studio.restart()
    assert (await studio.get("v0/media.m3u8")).body == before
    await stored(studio)

    mount(disk, "remount", f"size={LARGE_BYTES}")
    for k in range(FIRST + 50, FIRST + 50 + WINDOW):
        await push(studio, a, k)
    assert len(await studio.numbers()) == WINDOW
    assert (await stored(studio)).missing_segments == 0


async def test_a_disk_that_others_fill_leaves_the_live_edge(studio: Studio, disk: Path) -> None:
    mount(disk, "remount", f"size={LARGE_BYTES}")
    a = await encoder(studio)
    for k in range(FIRST, FIRST + WINDOW):
        await push(studio, a, k)
    fill(disk / "others")
    for k in range(FIRST + WINDOW, FIRST + WINDOW + 10):
        await push(studio, a, k)
        fill(disk / "others")
    held = len(await studio.numbers())
    assert SEGMENTS_EDGE <= held <= SEGMENTS_LEAST
    assert (await stored(studio)).missing_segments == WINDOW - held
    (disk / "others").unlink()
    for k in range(FIRST + WINDOW + 10, FIRST + 2 * WINDOW + 10):
        await push(studio, a, k)
    assert len(await studio.numbers()) == WINDOW
    assert (await stored(studio)).missing_segments == 0


def fill(path: Path) -> None:
    """Until nothing more fits."""
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


async def test_of_two_channels_the_larger_one_gives_up_first(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "data")
    studio.settings = replace(studio.settings, bytes_max=SMALL_BYTES)
    studio.description = describe(PAL, window_seconds=2 * WINDOW)
    await studio.start()
    try:
        a = await encoder(studio)
        small = studio.encoder("b")
        body = small.description.model_dump_json(by_alias=True).encode()
        assert (await small.put("/ingest/demo/other/description.json", body)).status == 201
        other = studio.origin.channels[ChannelKey(namespace="demo", channel="other")]
        for k in range(FIRST, FIRST + 60):
            await push(studio, a, k)
            total = sum(channel.stored_bytes for channel in studio.origin.channels.values())
            assert total <= SMALL_BYTES
        assert (await stored(studio)).missing_segments > 0
        assert other.missing_segments == 0
        assert studio.origin.free_bytes() >= 0
    finally:
        await studio.stop()
