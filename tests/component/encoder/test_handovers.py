"""Handovers between two real encoder processes that do not simply go well, or go another way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from tests.component.encoder.duo import (
    CRITERIA,
    HANDOVER,
    LADDER,
    SEGMENT_FRAMES,
    Running,
    accepted,
    begin,
    encoder,
    phase_is,
    priorities,
    until,
)
from tests.component.encoder.studio import Receiver, receiver

from hitless_handover.messages import (
    Criteria,
    EncoderReport,
    HandoverMode,
    HandoverReport,
    PeerPhase,
    Refusal,
)
from hitless_handover.supervisor_model import AbortHandover, GrantTerm
from hitless_wire.peers import Peers

ENDED = phase_is(PeerPhase.SWITCHED, PeerPhase.ABORTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Duo:
    """An incumbent on air with term 1, and a successor that has an encoded segment."""

    end: Receiver
    peers: Peers
    old: Running
    new: Running

    async def hand_over(self, criteria: Criteria = CRITERIA) -> int:
        """To the end; the event's segment."""
        await accepted(self.peers, begin(self.new, self.old, criteria), self.new, self.old)
        theirs = (await until(self.peers, self.new, ENDED)).handover
        ours = (await until(self.peers, self.old, ENDED)).handover
        assert theirs is not None
        assert ours is not None
        assert theirs.phase is PeerPhase.SWITCHED, theirs
        assert ours.phase is PeerPhase.SWITCHED, ours
        assert theirs.frame is not None
        return theirs.frame // SEGMENT_FRAMES

    async def pushed(self, who: Running, segment: int) -> None:
        """Until this encoder has pushed a segment at or after this one."""
        await self.end.wait_until(
            lambda: any(w == who.name and k >= segment for w, k in priorities(self.end))
        )

    def sent(self, who: Running) -> dict[int, int]:
        """Segment to priority, of all that this encoder pushed."""
        return {k: p for (name, k), p in sorted(priorities(self.end).items()) if name == who.name}


@asynccontextmanager
async def duo(
    *, silent: bool = False, ladder: tuple[tuple[int, int, int], ...] = LADDER
) -> AsyncIterator[Duo]:
    """ladder: the successor's."""
    async with (
        receiver() as end,
        Peers() as peers,
        encoder(end, "old", "superfast", silent=silent) as old,
        encoder(end, "new", "veryfast", ladder, silent=silent) as new,
    ):
        await until(peers, old, lambda report: report.head_segment is not None)
        await accepted(peers, GrantTerm(name="old", term=1), old)
        await until(peers, new, lambda report: report.head_segment is not None)
        yield Duo(end=end, peers=peers, old=old, new=new)


@dataclass
class SlowRoad:
    """A TCP relay that lets a number of connections through, holds the next, then lets all go."""

    address: str = ""
    seen: int = 0


@asynccontextmanager
async def slow_road(to: str, *, hold: int, until_then: asyncio.Event) -> AsyncIterator[SlowRoad]:
    road = SlowRoad()
    host, _, port = to.rpartition(":")
    tasks: set[asyncio.Task[None]] = set()

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        road.seen += 1
        if road.seen == hold:
            await until_then.wait()
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        for pair in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(pour(*pair))
            tasks.add(task)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    road.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield road
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_proposal_that_took_too_long_is_countered_with_a_later_frame() -> None:
    """Each call has its own connection: the fourth is Propose."""
    gone_by = asyncio.Event()
    async with duo() as two, slow_road(two.old.address, hold=4, until_then=gone_by) as road:
        by_road = replace(two.old, address=road.address)
        await accepted(two.peers, begin(two.new, by_road), two.new, by_road)
        verified = (await until(two.peers, two.new, phase_is(PeerPhase.VERIFIED))).handover
        assert verified is not None
        assert verified.frame is not None
        proposed = verified.frame // SEGMENT_FRAMES
        await two.pushed(two.old, proposed)
        gone_by.set()
        theirs = (await until(two.peers, two.new, ENDED)).handover
        assert theirs is not None
        assert theirs.phase is PeerPhase.SWITCHED, theirs
        assert theirs.frame is not None
        assert theirs.frame // SEGMENT_FRAMES > proposed
        event = theirs.frame // SEGMENT_FRAMES
        await until(two.peers, two.old, phase_is(PeerPhase.SWITCHED))
        await two.pushed(two.old, event)
        assert two.sent(two.old)[event - 1] == 1
        assert two.sent(two.old)[event] == 0
        assert two.sent(two.new)[event] == 2


async def test_aborted_while_armed_the_incumbent_leads_on_as_if_nothing_had_been() -> None:
    async with duo() as two:
        far = replace(CRITERIA, lead_segments=6)
        await accepted(two.peers, begin(two.new, two.old, far), two.new, two.old)
        armed = [
            (await until(two.peers, who, phase_is(PeerPhase.ARMED))).handover
            for who in (two.new, two.old)
        ]
        event = _frame(armed[0]) // SEGMENT_FRAMES
        assert _frame(armed[0]) == _frame(armed[1])
        for who in (two.new, two.old):
            order = AbortHandover(name=who.name, handover_id=HANDOVER, term=2, reason="Test")
            await accepted(two.peers, order, who)
        await two.pushed(two.old, event + 1)
        await two.pushed(two.new, event + 1)
        assert set(two.sent(two.old).values()) <= {0, 1}
        assert {p for k, p in two.sent(two.old).items() if k >= event - 1} == {1}
        assert set(two.sent(two.new).values()) == {0}
        ended = await until(two.peers, two.old, phase_is(PeerPhase.ABORTED))
        assert ended.leading_term == 1


def _frame(report: HandoverReport | None) -> int:
    assert report is not None
    assert report.frame is not None
    return report.frame


async def test_rolled_back_in_the_hold_the_incumbent_wins_by_a_newer_term() -> None:
    async with duo() as two:
        event = await two.hand_over()
        await accepted(two.peers, GrantTerm(name="old", term=3), two.old)
        back = await until(two.peers, two.old, lambda report: report.leading_term == 3)
        assert back.head_segment is not None
        await two.pushed(two.old, back.head_segment + 3)
        await two.pushed(two.new, back.head_segment + 3)
        old, new = two.sent(two.old), two.sent(two.new)
        first = min(k for k, p in old.items() if p == 3)
        shared = sorted(old.keys() & new.keys())
        assert shared == list(range(shared[0], shared[-1] + 1)), "both sent every segment"
        winners = {k: "old" if old[k] > new[k] else "new" for k in shared if k >= event - 1}
        assert winners == {
            k: "new" if event <= k < first else "old" for k in shared if k >= event - 1
        }


@pytest.mark.parametrize("mode", [HandoverMode.CEASE, HandoverMode.SILENT_STANDBY])
async def test_the_incumbent_stops_sending_at_the_event_and_stays_warm(mode: HandoverMode) -> None:
    silent = mode is HandoverMode.SILENT_STANDBY
    async with duo(silent=silent) as two:
        event = await two.hand_over(replace(CRITERIA, mode=mode))
        await two.pushed(two.new, event + 2)
        warm = await until(two.peers, two.old, _encoded(event + 2))
        assert warm.leading_term == 0
        assert max(two.sent(two.old)) == event - 1
        before = {k for k in two.sent(two.new) if k < event}
        assert before == set() if silent else before != set()
        led = {k: p for k, p in two.sent(two.new).items() if k >= event}
        assert set(led.values()) == {2}
        assert sorted(led) == list(range(event, max(led) + 1))


def _encoded(segment: int) -> Callable[[EncoderReport], bool]:
    def has(report: EncoderReport) -> bool:
        return report.head_segment is not None and report.head_segment >= segment

    return has


async def test_a_silent_incumbent_that_leads_again_sends_what_was_not_sent() -> None:
    """The successor's last segments are taken as lost: the incumbent has kept its own."""
    async with duo(silent=True) as two:
        event = await two.hand_over(replace(CRITERIA, mode=HandoverMode.SILENT_STANDBY))
        await until(two.peers, two.old, _encoded(event + 3))
        order = GrantTerm(name="old", term=3, from_segment=event + 2)
        await accepted(two.peers, order, two.old)
        await two.pushed(two.old, event + 5)
        again = [k for k, p in two.sent(two.old).items() if p == 3]
        assert again == list(range(event + 2, again[-1] + 1))


@pytest.mark.parametrize("allowed", [False, True])
async def test_another_ladder_takes_over_where_a_discontinuity_is_allowed(allowed: bool) -> None:
    criteria = replace(CRITERIA, allow_discontinuity=allowed)
    async with duo(ladder=(*LADDER, (128, 72, 150))) as pair:
        if allowed:
            event = await pair.hand_over(criteria)
            await pair.pushed(pair.new, event + 1)
            assert pair.sent(pair.new)[event + 1] == 2
            return
        await accepted(pair.peers, begin(pair.new, pair.old, criteria), pair.new, pair.old)
        ended = (await until(pair.peers, pair.new, ENDED)).handover
        assert ended is not None
        assert (ended.phase, ended.reason) == (PeerPhase.ABORTED, Refusal.MISMATCH)


async def test_peers_one_protocol_version_apart_hand_over_and_two_apart_do_not() -> None:
    async with (
        receiver() as end,
        Peers() as peers,
        encoder(end, "old", "superfast", protocol=-1) as old,
        encoder(end, "new", "superfast") as new,
        encoder(end, "far", "superfast", protocol=+1) as far,
    ):
        await until(peers, old, lambda report: report.head_segment is not None)
        await accepted(peers, GrantTerm(name="old", term=1), old)
        for who in (far, new):
            await until(peers, who, lambda report: report.head_segment is not None)
        await accepted(peers, begin(far, old), far, old)
        refused = (await until(peers, far, ENDED)).handover
        assert refused is not None
        assert refused.reason is Refusal.PROTOCOL_VERSION
        later = replace(begin(new, old), handover_id="handover-3", term=3)
        await accepted(peers, later, new, old)
        done = (await until(peers, new, ENDED)).handover
        assert done is not None
        assert done.phase is PeerPhase.SWITCHED, done
