"""What simulated worlds have come through: transitions, refusals, decisions; and what they missed.

Owns the list of what is reachable: the machines' transition tables less what `_NEVER_SEEN` gives a
reason for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hitless_handover import peer_rules, supervisor_update
from hitless_handover.messages import PeerPhase, Refusal, Role
from hitless_handover.supervisor_model import ChannelPhase, ChannelRecord, HandoverPhase
from hitless_sim.facts import (
    Acted,
    CallRefused,
    Fact,
    Gap,
    OriginRestarted,
    PartPublished,
    PartsSkipped,
    PeerMoved,
    Published,
    Stored,
)

# What the tables hold and no fact can show, with the reason.
_NEVER_SEEN = {
    "Incumbent Begun→Announced": "an incumbent's side begins as Announced",
    "Incumbent Begun→Aborted": "an incumbent's side begins as Announced",
    "Successor Verified→Agreed": "one step with Armed: the successor binds itself at once",
    "Successor Agreed→Armed": "one step with Agreed",
    "Successor Agreed→Aborted": "it is Agreed within a step only",
}
_BESIDES_THE_TABLES = ("Successor Verified→Armed",)
_CHANNEL_CHANGES = (
    (ChannelPhase.PENDING, ChannelPhase.STARTING),
    (ChannelPhase.STARTING, ChannelPhase.LIVE),
    (ChannelPhase.LIVE, ChannelPhase.UPDATING),
    (ChannelPhase.LIVE, ChannelPhase.DEGRADED),
    (ChannelPhase.LIVE, ChannelPhase.STARTING),
    (ChannelPhase.DEGRADED, ChannelPhase.LIVE),
    (ChannelPhase.DEGRADED, ChannelPhase.STARTING),
    (ChannelPhase.UPDATING, ChannelPhase.LIVE),
    (ChannelPhase.UPDATING, ChannelPhase.STARTING),
)
_MOVED = "update: moved to another node"
_ORIGIN = (
    *("Published", "Fallback", "Gap", "Switch", "Restart"),
    *("PartPublished", "PartFallback", "PartSwitchInGop", "PartsSkipped"),
)


class Coverage:
    """Counts what it sees of one world."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._record = ChannelRecord()
        self._on_air = ""
        self._part: PartPublished | None = None

    def see(self, fact: Fact) -> None:
        """Count a fact."""
        match fact:
            case PeerMoved():
                before = "" if fact.before is None else fact.before
                self.counts[_peer(fact.role, before, fact.after)] += 1
                if fact.reason is not None:
                    self.counts[_refusal(fact.reason)] += 1
            case CallRefused(reason=reason):
                self.counts[_refusal(reason)] += 1
            case Stored(record=record):
                self._see_stored(record)
            case Published():
                self._see_published(fact)
            case Gap():
                self.counts["origin: Gap"] += 1
            case PartPublished():
                self._see_part(fact)
            case PartsSkipped():
                self.counts["origin: PartsSkipped"] += 1
            case OriginRestarted():
                self.counts["origin: Restart"] += 1
            case Acted(action=action):
                self.counts[f"action: {type(action).__name__}"] += 1
            case _:
                pass

    def _see_stored(self, record: ChannelRecord) -> None:
        before, self._record = self._record, record
        if record.phase is not before.phase:
            self.counts[_channel(before.phase, record.phase)] += 1
        update, earlier = record.handover, before.handover
        if update is None:
            return
        same = earlier is not None and earlier.handover_id == update.handover_id
        phase = earlier.phase if same and earlier is not None else ""
        if phase == update.phase:
            return
        self.counts[_update(phase, update.phase)] += 1
        if update.phase is HandoverPhase.COMPLETED:
            self.counts[_MOVED] += update.incumbent.digest == update.successor.digest
        if not update.live:
            self.counts[f"outcome: {update.phase} {update.reason}".rstrip()] += 1

    def _see_part(self, fact: PartPublished) -> None:
        self.counts["origin: PartPublished"] += 1
        self.counts["origin: PartFallback"] += fact.fallback
        before, self._part = self._part, fact
        follows = (
            (before.segment, before.part + 1) == (fact.segment, fact.part) if before else False
        )
        if before is not None and follows and before.name != fact.name:
            self.counts["origin: PartSwitchInGop"] += fact.part % 2  # a GOP is of an even number

    def _see_published(self, fact: Published) -> None:
        self.counts["origin: Published"] += 1
        self.counts["origin: Fallback"] += fact.fallback
        self.counts["origin: Switch"] += bool(self._on_air) and self._on_air != fact.name
        self._on_air = fact.name


def _peer(role: Role, before: PeerPhase | str, after: PeerPhase) -> str:
    return f"peer: {role} {before}→{after}"


def _update(before: HandoverPhase | str, after: HandoverPhase) -> str:
    return f"update: {before}→{after}"


def _channel(before: ChannelPhase, after: ChannelPhase) -> str:
    return f"channel: {before}→{after}"


def _refusal(reason: Refusal) -> str:
    return f"refusal: {reason}"


def reachable() -> tuple[str, ...]:
    """All that enough worlds have to come through."""
    return tuple(_reachable())


def _reachable() -> Iterator[str]:
    for role in Role:
        for before, afters in peer_rules.TRANSITIONS.items():
            for after in sorted(afters):
                if f"{role} {before}→{after}" not in _NEVER_SEEN:
                    yield _peer(role, before, after)
    yield from (f"peer: {change}" for change in _BESIDES_THE_TABLES)
    for phase, following in supervisor_update.TRANSITIONS.items():
        yield from (_update(phase, after) for after in sorted(following))
    yield from (_channel(before, after) for before, after in _CHANNEL_CHANGES)
    yield from (_refusal(reason) for reason in Refusal)
    yield _MOVED
    yield from (f"origin: {what}" for what in _ORIGIN)


def missing(counts: Counter[str]) -> list[str]:
    """What is reachable and was not seen."""
    return [what for what in reachable() if not counts[what]]


def table(counts: Counter[str]) -> list[str]:
    """Lines for people: what was seen how often, then what is missing."""
    names = dict.fromkeys([*reachable(), *sorted(counts)])
    lines = [f"{counts[name]:>10}  {name}" for name in names if counts[name]]
    absent = missing(counts)
    lines.append(f"{len(reachable()) - len(absent)} of {len(reachable())} reachable were seen")
    lines.extend(f"   MISSING  {name}" for name in absent)
    return lines
