"""Real encoder processes for tests of what they say to each other over real gRPC."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from hack.stand_ins import bad_encoder
from tests.component.encoder.studio import Receiver, make_config

import hitless_encoder
from hitless_handover.messages import Criteria, EncoderReport, PeerPhase
from hitless_handover.supervisor_model import BeginHandover
from hitless_wire.ingest import HEADER_ENCODER, HEADER_PRIORITY
from hitless_wire.peers import Order, Peers

LADDER = ((256, 144, 300),)
SEGMENT_FRAMES = 30
# Speed is not what these tests judge: the machine may be as slow as it likes.
CRITERIA = Criteria(
    lead_segments=1,
    verify_segments=1,
    psnr_min_db=26,
    speed_min_percent=0,
    late_max_ms=60_000,
)
DEADLINE_S = 120
HANDOVER = "handover-2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    name: str
    address: str


@asynccontextmanager
async def encoder(
    end: Receiver,
    name: str,
    preset: str,
    ladder: tuple[tuple[int, int, int], ...] = LADDER,
    *,
    silent: bool = False,
    protocol: int = 0,
    fault: str = "",
    url: str = "testpattern:",
    anchor: Mapping[str, int] | None = None,
) -> AsyncIterator[Running]:
    """A process that serves gRPC. protocol: how many versions it is ahead of this one.

    fault: what is wrong with it, one of bad_encoder.FAULTS.
    """
    config = make_config(
        url=url,
        anchor=anchor,
        sizes=ladder,
        segment_frames=SEGMENT_FRAMES,
        ingest_url=end.url,
        encoder_id=name,
    ).model_copy(update={"silent_standby": silent})
    process = await asyncio.create_subprocess_exec(
        sys.executable, *program(protocol, fault), "--grpc-host", "127.0.0.1", "--grpc-port", "0",
        env={
            **os.environ,
            "HITLESS_ENCODER_CONFIG": config.to_json(),
            "HITLESS_VERSION": preset,
            "HITLESS_PRESET": preset,
            bad_encoder.FAULT_VARIABLE: fault,
        },
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        address = await _address(process.stderr)
        drain = asyncio.create_task(process.stderr.read())
        yield Running(name=name, address=address)
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(process.wait(), drain)
    finally:
        if process.returncode is None:  # it never answered, or the test failed
            process.kill()
            await process.wait()


def program(protocol: int, fault: str = "") -> tuple[str, ...]:
    """The encoder, or one that says it speaks another version of the protocol, or a bad one."""
    if fault:
        return (bad_encoder.__file__,)
    if not protocol:
        return ("-m", hitless_encoder.__name__)
    disguised = f"""
import sys
from functools import partial
from hitless_encoder import __main__ as program
from hitless_handover.messages import PROTOCOL_VERSION
program.Identity = partial(program.Identity, protocol=PROTOCOL_VERSION + {protocol})
sys.exit(program.main())
"""
    return ("-c", disguised)


async def _address(log: asyncio.StreamReader) -> str:
    async with asyncio.timeout(DEADLINE_S):
        async for line in log:
            found = re.search(rb"gRPC on port (\d+)", line)
            if found:
                return f"127.0.0.1:{int(found[1])}"
    raise AssertionError("the encoder ended before it served gRPC")


async def until(
    peers: Peers, who: Running, condition: Callable[[EncoderReport], bool]
) -> EncoderReport:
    """Ask until the report fulfils the condition."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            report = await peers.encoder_report(who.address)
            if report is not None and condition(report):
                return report
            await asyncio.sleep(0.1)


def begin(successor: Running, incumbent: Running, criteria: Criteria = CRITERIA) -> BeginHandover:
    return BeginHandover(
        name=successor.name,
        incumbent=incumbent.name,
        handover_id=HANDOVER,
        term=2,
        criteria=criteria,
        deadline_us=time.time_ns() // 1000 + DEADLINE_S * 1_000_000,
    )


async def accepted(peers: Peers, order: Order, *who: Running) -> None:
    reply = await peers.tell(order, {one.name: one.address for one in who})
    assert reply is not None
    assert reply.accepted, reply


def phase_is(*phases: PeerPhase) -> Callable[[EncoderReport], bool]:
    return lambda report: report.handover is not None and report.handover.phase in phases


def priorities(end: Receiver) -> dict[tuple[str, int], int]:
    """What each encoder's segments were stamped with; the same for all of a segment's tracks."""
    found: dict[tuple[str, int], int] = {}
    for path, headers in end.headers:
        number = re.search(r"/(\d+)\.m4s$", path)
        if number:
            key = (headers[HEADER_ENCODER], int(number[1]))
            assert found.setdefault(key, int(headers[HEADER_PRIORITY])) == int(
                headers[HEADER_PRIORITY]
            )
    return found
