"""A live source is restarted, and a standby has lost other pictures of it than the encoder on air.

The source is ffmpeg over UDP; what it sends is relayed to each of two encoder processes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pytest
from hack.commands import free_port
from hack.sources.film import write
from hack.sources.senders import ffmpeg
from tests.component.encoder.duo import DEADLINE_S, Running, accepted, encoder, until
from tests.component.encoder.studio import Receiver, receiver

from hitless_handover.messages import EncoderReport
from hitless_handover.supervisor_model import GrantTerm
from hitless_wire.following import Following
from hitless_wire.ingest import HEADER_DIGEST, HEADER_ENCODER
from hitless_wire.peers import Peers

LOST_DATAGRAMS = 20  # by the standby alone, before the jump: some pictures, far less than a second
ALIKE_SEGMENTS = 3
TARGET = "udp://127.0.0.1:{}?pkt_size=1316"


class Relay:
    """Hands on a stream to each port, and at some time another one in its place.

    When the second stream begins, the last port gets LOST_DATAGRAMS of the first no more; then all
    get the second from its beginning. So nobody waits, and how much is lost depends on no clock.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = tuple(ports)
        self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._kept: list[bytes] = []
        self._lost = 0

    def first(self, data: bytes) -> None:
        if self._lost > LOST_DATAGRAMS:
            return
        self._lost += bool(self._kept)
        self._send(data, self._ports[:-1] if self._kept else self._ports)

    def second(self, data: bytes) -> None:
        self._kept.append(data)
        if self._lost >= LOST_DATAGRAMS:
            self._lost = LOST_DATAGRAMS + 1
            for one in self._kept:
                self._send(one, self._ports)
            self._kept = []

    def _send(self, data: bytes, ports: Sequence[int]) -> None:
        for port in ports:
            self._out.sendto(data, ("127.0.0.1", port))

    def close(self) -> None:
        self._out.close()


class Heard(asyncio.DatagramProtocol):
    def __init__(self, hand_on: Callable[[bytes], None]) -> None:
        self._hand_on = hand_on

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        self._hand_on(data)


@asynccontextmanager
async def relay(sources: Sequence[int], ports: Sequence[int]) -> AsyncIterator[None]:
    """From two ports, of which the second gets something later, to all of `ports`."""
    loop = asyncio.get_running_loop()
    with closing(Relay(ports)) as made, ExitStack() as stack:
        for source, hand_on in zip(sources, (made.first, made.second), strict=True):
            transport, _ = await loop.create_datagram_endpoint(
                partial(Heard, hand_on), local_addr=("127.0.0.1", source)
            )
            stack.callback(transport.close)
        yield


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.ts"
    write(path)
    return path


def digests(end: Receiver, name: str) -> dict[str, str]:
    """What an encoder pushed, by path; nothing twice with other bytes."""
    found: dict[str, str] = {}
    for path, headers in end.headers:
        if headers[HEADER_ENCODER] == name:
            digest = headers[HEADER_DIGEST]
            assert found.setdefault(path, digest) == digest, f"{path} was pushed in two versions"
    return found


def alike(end: Receiver, one: str, other: str) -> set[str]:
    """Paths of the pictures that both pushed with the same bytes."""
    ours, theirs = digests(end, one), digests(end, other)
    return {path for path in ours.keys() & theirs.keys() if ours[path] == theirs[path]}


def segments(paths: set[str], since: int) -> set[int]:
    """Numbers of the video segments among them, from one on."""
    numbers = {
        int(path.split("/")[1].removesuffix(".m4s"))
        for path in paths
        if path.startswith("v") and "init" not in path
    }
    return {number for number in numbers if number >= since}


def line(report: EncoderReport) -> tuple[int, int, int, int]:
    assert report.anchor is not None
    return report.anchor.line


async def both_make_segments(end: Receiver, since: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        await end.wait_until(
            lambda: len(segments(alike(end, "one", "two"), since)) >= ALIKE_SEGMENTS
        )


@asynccontextmanager
async def jumped(
    film: Path, *, follows: bool
) -> AsyncIterator[tuple[Receiver, Peers, Running, Running]]:
    """Two encoders, after both have seen that the source was restarted."""
    first, again, one_hears, two_hears = (free_port(socket.SOCK_DGRAM) for _ in range(4))
    async with (
        receiver() as end,
        Peers() as peers,
        relay((first, again), (one_hears, two_hears)),
        encoder(end, "one", "ultrafast", url=f"udp://127.0.0.1:{one_hears}") as one,
    ):
        with ffmpeg(film, "-f", "mpegts", TARGET.format(first)):
            leader = await until(peers, one, lambda report: report.anchor is not None)
            assert leader.anchor is not None
            before = leader.anchor.line
            url, told = f"udp://127.0.0.1:{two_hears}", asdict(leader.anchor)
            async with encoder(end, "two", "ultrafast", url=url, anchor=told) as two:
                await accepted(peers, GrantTerm(name=one.name, term=1), one)
                if follows:
                    reply = await peers.follow(
                        Following(
                            spare_address=two.address,
                            leader=one.name,
                            leader_address=one.address,
                        )
                    )
                    assert reply is not None
                    assert reply.accepted
                await both_make_segments(end, 0)
                with ffmpeg(film, "-f", "mpegts", TARGET.format(again)):
                    for who in (one, two):
                        await until(peers, who, lambda report: line(report) != before)
                    yield end, peers, one, two


async def test_a_standby_takes_over_what_the_encoder_on_air_decided(film: Path) -> None:
    async with jumped(film, follows=True) as (end, peers, one, two):
        decided = line(await until(peers, one, lambda report: report.anchor is not None))
        await until(peers, two, lambda report: line(report) == decided)
        since = (await until(peers, two, lambda _: True)).head_segment
        assert since is not None
        await both_make_segments(end, since)


async def test_a_standby_that_is_not_told_whom_to_follow_goes_on_by_its_own_anchor(
    film: Path,
) -> None:
    async with jumped(film, follows=False) as (_, peers, one, two):
        decided = line(await until(peers, one, lambda report: report.anchor is not None))
        own = line(await until(peers, two, lambda report: report.anchor is not None))
        assert own != decided
