"""Resend rules of DASH-IF Live Media Ingest at receivers that break off, or damage, what is pushed.

After a connection that was lost: the track's CMAF header, then the segment that was cut off, whole.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.component.encoder.studio import receiver
from tests.component.encoder.test_sink import MEDIA, Pushes, pushing, segment, sink_to
from tests.component.origin.cmaf_maker import FIRST, PAL, describe, init_segment, recipe
from tests.component.origin.studio import running

from hitless_encoder.sink import DAMAGED_AGAIN_MAX, PushOutcome
from hitless_wire.ingest import ChannelReport, live_path, report_path

WAIT_S = 60
SHORT = 100  # bytes of a body that are let through before the connection is cut
LARGE = 1_000_000


@dataclass(kw_only=True)
class Cutter:
    """A way to a receiver that cuts the connection in the middle of some bodies.

    cuts: endings of paths, with how many pushes to them are still to be cut. seen: the path of
    each request that came through here, cut or not.
    """

    port: int
    cuts: dict[str, int] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: asyncio.StreamWriter | None = None
        try:
            back, onward = await asyncio.open_connection("127.0.0.1", self.port)
            while await self._pass_on(reader, writer, back, onward):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in (writer, onward):
                if each is not None:
                    each.transport.abort()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        onward: asyncio.StreamWriter,
    ) -> bool:
        """One request and its answer; False: the connection is to be cut."""
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode().removeprefix("/ingest/tests/channel/")
        self.seen.append(path)
        ending = next((e for e, left in self.cuts.items() if left and path.endswith(e)), None)
        if ending is not None:
            self.cuts[ending] -= 1
            onward.write(head + await reader.readexactly(SHORT))
            await onward.drain()
            return False
        onward.write(head + await reader.readexactly(_length(head)))
        await onward.drain()
        answer = await back.readuntil(b"\r\n\r\n")
        writer.write(answer + await back.readexactly(_length(answer)))
        await writer.drain()
        return True


def _length(head: bytes) -> int:
    found = re.search(rb"(?i)content-length: *([0-9]+)", head)
    return int(found[1]) if found else 0


@asynccontextmanager
async def cutting(url: str, **cuts: int) -> AsyncIterator[Cutter]:
    cutter = Cutter(port=int(url.rpartition(":")[2]), cuts=cuts)
    server = await asyncio.start_server(cutter.serve, "127.0.0.1", 0)
    cutter.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield cutter


def large(number: int) -> dict[str, bytes]:
    """A segment of which a cut leaves most behind."""
    return {track: data.ljust(LARGE, b".") for track, data in segment(number).items()}


async def test_a_push_that_is_cut_off_is_sent_again_behind_its_header() -> None:
    async with (
        asyncio.timeout(WAIT_S),
        receiver() as end,
        cutting(end.url, **{"v144/8.m4s": 1}) as cutter,
        pushing(end, cutter.url) as (sink, pushes),
    ):
        for number in (7, 8, 9):
            sink.offer(number, large(number))
            await pushes.until(lambda n=number: n in pushes.ended)  # type: ignore[misc]
        assert set(pushes.ended.values()) == {PushOutcome.STORED}
        video = [path for path in cutter.seen if path.startswith("v144/")]
        names = ("init.mp4", "7.m4s", "8.m4s", "init.mp4", "8.m4s", "9.m4s")
        assert video == [f"v144/{name}" for name in names]
        sound = [path for path in cutter.seen if path.startswith("audio/")]
        assert sound == ["audio/init.mp4", "audio/7.m4s", "audio/8.m4s", "audio/9.m4s"]
        assert end.bodies["v144/8.m4s"] == large(8)["v144"]
        answers = sink.report().answers
        assert (answers["Retry"], answers["Refused"]) == (1, 0)


async def test_the_header_too_may_be_cut_off() -> None:
    async with (
        asyncio.timeout(WAIT_S),
        receiver() as end,
        cutting(end.url, **{"audio/7.m4s": 2, "audio/init.mp4": 1}) as cutter,
        pushing(end, cutter.url) as (sink, pushes),
    ):
        sink.offer(7, large(7))
        await pushes.until(lambda: 7 in pushes.ended)
        assert pushes.ended == {7: PushOutcome.STORED}
        assert end.bodies["audio/7.m4s"] == large(7)["audio"]
        sound = [path for path in cutter.seen if path.startswith("audio/")]
        cut = ["audio/init.mp4", "audio/init.mp4", "audio/7.m4s"]
        assert sound == [*cut, "audio/init.mp4", "audio/7.m4s", "audio/init.mp4", "audio/7.m4s"]


async def test_an_origin_gets_the_whole_segment_and_nothing_of_what_was_cut(
    tmp_path: Path,
) -> None:
    description = describe(PAL)
    inits = {track.name: init_segment(track) for track in description.tracks}
    media = replace(MEDIA, description=description, inits=inits)
    bodies = {
        k: {t.name: recipe(description, t, k, b"." * 1000).make() for t in description.tracks}
        for k in range(FIRST, FIRST + 4)
    }
    pushes = Pushes()
    async with (
        asyncio.timeout(WAIT_S),
        running(tmp_path) as studio,
        cutting(studio.url, **{f"v0/{FIRST + 1}.m4s": 2, f"audio/{FIRST + 2}.m4s": 1}) as cutter,
        sink_to(cutter.url, pushes, media=media) as sink,
    ):
        for k, tracks in bodies.items():
            sink.offer(k, tracks)
            await pushes.until(lambda n=k: n in pushes.ended)  # type: ignore[misc]
        assert pushes.ended == dict.fromkeys(bodies, PushOutcome.STORED)
        assert [cutter.seen.count(f"v0/{k}.m4s") for k in bodies] == [1, 3, 1, 1]
        assert [cutter.seen.count(f"audio/{k}.m4s") for k in bodies] == [1, 1, 2, 1]
        for k, tracks in bodies.items():
            for track, body in tracks.items():
                found = await studio.call("GET", f"{live_path('tests', 'channel')}/{track}/{k}.m4s")
                assert found.body == body
        answer = await studio.call("GET", report_path("tests", "channel") + "?comparison=1")
        report = ChannelReport.model_validate_json(answer.body)
        assert (report.last_segment, report.gaps, report.mismatches) == (FIRST + 3, 0, 0)
        assert not list((tmp_path / "channels").rglob("staged*"))


async def test_an_origin_that_was_replaced_meanwhile_still_gets_what_it_lacks() -> None:
    async with (
        asyncio.timeout(WAIT_S),
        receiver() as end,
        cutting(end.url, **{"v144/8.m4s": 1}) as cutter,
        pushing(end, cutter.url) as (sink, pushes),
    ):
        sink.offer(7, large(7))
        await pushes.until(lambda: 7 in pushes.ended)
        end.answers["v144/init.mp4"] = [412]  # it knows no description
        sink.offer(8, large(8))
        await pushes.until(lambda: 8 in pushes.ended)
        after = cutter.seen[cutter.seen.index("v144/8.m4s") + 1 :]
        described = after.index("description.json")
        assert "v144/init.mp4" in after[:described]
        assert {"v144/7.m4s", "audio/7.m4s"} <= set(after[described:]), "what it had comes again"
        assert set(pushes.ended.values()) == {PushOutcome.STORED}


@pytest.mark.parametrize(
    ("times", "outcome"),
    [
        (DAMAGED_AGAIN_MAX, PushOutcome.STORED),
        (DAMAGED_AGAIN_MAX + 1, PushOutcome.REFUSED),
    ],
)
async def test_what_was_damaged_on_its_way_is_sent_again(times: int, outcome: PushOutcome) -> None:
    async with asyncio.timeout(WAIT_S), receiver() as end, pushing(end) as (sink, pushes):
        end.answers["v144/7.m4s"] = [422] * times
        sink.offer(7, segment(7))
        await pushes.until(lambda: 7 in pushes.ended)
        assert pushes.ended == {7: outcome}
        assert end.order.count("v144/7.m4s") == min(times, DAMAGED_AGAIN_MAX) + 1
        assert end.order.count("v144/init.mp4") == 1
        assert sink.report().answers["Damaged"] == times
