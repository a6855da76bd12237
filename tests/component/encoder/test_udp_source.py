"""Live MPEG-TS over UDP: encoders that join at different times put the same on the same frames."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from tests.component.encoder.films import HEIGHT, WIDTH, Film, transport_stream
from tests.component.encoder.studio import (
    START_US,
    Receiver,
    VirtualClock,
    frame_numbers,
    make_config,
    receiver,
)

from hitless_encoder.errors import SourceError
from hitless_encoder.session import Session
from hitless_encoder.sources.base import SourceState
from hitless_encoder.sources.live import LiveSource
from hitless_encoder.sources.receiver import open_socket, parse_socket_url
from hitless_encoder.sources.transport import transport_of
from hitless_encoder.verify import check_structure
from hitless_handover.leadership import Lead
from hitless_handover.timeline import Anchor

GROUP = "239.255.77.77"
DATAGRAM = 7 * 188
BURST = 16  # datagrams sent before the receivers are waited for
WRAP_SOON = (1 << 33) - 9 * 90_000  # the 33-bit clock turns over after about 9 s
FILM = Film(frames=600, rate=Fraction(30), gop=30, pts_offset=WRAP_SOON)


@pytest.fixture(scope="module")
def stream() -> bytes:
    return transport_stream(FILM)


@pytest.fixture
def port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
    return found


@dataclass(kw_only=True)
class Sender:
    """Sends a stream no faster than the sessions receive it, so that nothing depends on speed."""

    port: int
    host: str = GROUP
    sessions: list[Session] = field(default_factory=list)
    sent: int = 0
    _socket: socket.socket = field(init=False)
    _offsets: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(
            socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
        )
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)

    async def send(self, data: bytes, until: Callable[[], bool] = lambda: False) -> int:
        """Send until all is sent, or `until` says stop; how many bytes were sent."""
        for start in range(0, len(data), DATAGRAM * BURST):
            burst = data[start : start + DATAGRAM * BURST]
            for at in range(0, len(burst), DATAGRAM):
                self._socket.sendto(burst[at : at + DATAGRAM], (self.host, self.port))
            self.sent += len(burst)
            await self._settle()
            if until():
                return start + len(burst)
        return len(data)

    async def _settle(self) -> None:
        for session in self.sessions:
            while not self._has_all(session):  # noqa: ASYNC110 — another thread reads
                await asyncio.sleep(0.001)

    def _has_all(self, session: Session) -> bool:
        seen = session.snapshot()
        got = seen.received_bytes
        if seen.waiting_bytes:
            return False
        if got == 0:
            return True  # has not joined yet
        offset = self._offsets.setdefault(id(session), self.sent - got)
        return got >= self.sent - offset

    async def __aenter__(self) -> Sender:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._socket.close()


@asynccontextmanager
async def running(
    end: Receiver, url: str, *, start_us: int = START_US, anchor: Anchor | None = None
) -> AsyncIterator[Session]:
    told = None
    if anchor is not None:
        told = {name: getattr(anchor, name) for name in Anchor.__slots__}
    config = make_config(
        url=url, sizes=((256, 144, 400), (192, 108, 300)), ingest_url=end.url, anchor=told
    )
    clock = VirtualClock(start_us)
    session = Session(config, "test", "ultrafast", lambda segment: Lead(segment, 1), clock=clock)
    await session.start()
    try:
        yield session
    finally:
        await session.close(finish=False)


def address(port: int) -> str:
    return f"udp://{GROUP}:{port}?localaddr=127.0.0.1&reuse=1"


async def test_a_late_joiner_makes_the_same_segments(stream: bytes, port: int) -> None:
    async with Sender(port=port) as sender, receiver() as end, running(end, address(port)) as early:
        sender.sessions.append(early)
        await wait_bound(early, sender)
        sent = await sender.send(stream, until=lambda: early.snapshot().frames > 90)
        anchor = early.snapshot().anchor
        assert anchor is not None
        later_us = START_US + 7_000_000
        async with running(end, address(port), start_us=later_us, anchor=anchor) as late:
            sender.sessions.append(late)
            sent -= sent % DATAGRAM
            await sender.send(stream[sent:])
            await drained(early, late)
            newest = early.snapshot().encoded_segment or 0
            known = range(newest - 7, newest + 1)
            common = [k for k in known if early.recent(k) and late.recent(k)]
            assert len(common) >= 4
            for segment in common:
                assert early.recent(segment) == late.recent(segment), segment
            check_marks(early, common, anchor)
            assert late.snapshot().anchor == anchor
            assert early.snapshot().repeated == late.snapshot().repeated == 0


async def wait_bound(session: Session, sender: Sender) -> None:
    """Send padding until the session's socket receives it."""
    while session.snapshot().received_bytes == 0:
        await sender.send((b"\x47\x1f\xff\x10" + b"\xff" * 184) * 7)
        await asyncio.sleep(0.001)


async def drained(*sessions: Session) -> None:
    """Wait until each session has encoded all whole segments that it has frames for."""
    for session in sessions:
        line = session.snapshot().timeline
        last = -1
        while True:
            seen = session.snapshot()
            done = seen.encoded_segment or 0
            whole = line.segment_of((seen.current_frame or 0) - 3) - 1
            if done >= whole and seen.frames == last and done > 0:
                break
            last = seen.frames
            await session.wait_segment(done + 1, session._clock.now_us() + 300_000)


def check_marks(session: Session, segments: list[int], anchor: Anchor) -> None:
    """Picture numbers run on without a break, by the anchor, and boxes are exact."""
    line = session.snapshot().timeline
    offset = None
    for segment in segments:
        tracks = session.recent(segment)
        assert tracks is not None
        for track, data in tracks.items():
            video = track != "audio"
            assert not check_structure(track, data, video=video, timeline=line, segment=segment)
        for track in ("v144", "v108"):
            numbers = frame_numbers(session.media.inits[track], tracks[track], HEIGHT)
            for frame, number in enumerate(numbers, line.first_frame(segment)):
                assert number is not None
                offset = frame - number if offset is None else offset
                assert frame - number == offset
    assert offset is not None
    assert offset <= anchor.frame <= offset + FILM.gop


async def test_lost_datagrams_repeat_pictures_and_leave_no_hole(stream: bytes, port: int) -> None:
    async with (
        Sender(port=port) as sender,
        receiver() as end,
        running(end, address(port)) as session,
    ):
        sender.sessions.append(session)
        await wait_bound(session, sender)
        hole = len(stream) // 2 // DATAGRAM * DATAGRAM
        await sender.send(stream[:hole])
        await sender.send(stream[hole + 20 * DATAGRAM :])
        await drained(session)
        seen = session.snapshot()
        assert seen.repeated > 0
        assert seen.failure == ""
        assert all(session.recent((seen.encoded_segment or 0) - back) for back in range(6))


async def test_a_unicast_source_may_come_late(stream: bytes, port: int) -> None:
    async with receiver() as end, running(end, f"udp://127.0.0.1:{port}") as session:
        assert session.snapshot().source_state == "Connecting"
        async with Sender(port=port, host="127.0.0.1", sessions=[session]) as sender:
            await wait_bound(session, sender)
            await sender.send(stream[: len(stream) // 2])
        await session.wait_segment(1, session._clock.now_us() + 30_000_000)
        assert session.snapshot().source_state == "Running"


def test_a_second_receiver_does_not_take_a_unicast_stream_from_the_first(port: int) -> None:
    address = parse_socket_url(f"udp://127.0.0.1:{port}")
    with closing(open_socket(address, 1)), pytest.raises(SourceError, match="can't listen"):
        open_socket(address, 1)


def test_a_silent_source_is_reported(port: int) -> None:
    url = f"udp://127.0.0.1:{port}"
    line = FILM.timeline
    source = LiveSource(
        transport_of(url, poll_seconds=0.001),
        timeline=line,
        size=(WIDTH, HEIGHT),
        anchor=None,
        clock=VirtualClock(),
        poll_seconds=0.001,
    )
    reader = threading.Thread(target=lambda: list(source.blocks()))
    reader.start()
    while source.report().state is not SourceState.LOST:
        assert reader.is_alive()
    assert source.report().message == f"no data from {url} for 5 s"
    source.close()
    reader.join()
