"""What viewers of parts get: I18 and I19, judged by what was delivered and what was published."""

from __future__ import annotations

from dataclasses import dataclass, field

from hitless_sim.checkers.base import Checker
from hitless_sim.checkers.output import (
    PUBLISH_DEADLINE_PERCENT,
    STUCK_SEGMENTS,
    deadline_us,
    known_since_us,
)
from hitless_sim.checkers.story import Story
from hitless_sim.facts import (
    Fact,
    Gap,
    OriginRestarted,
    PartDelivered,
    PartPublished,
    PartsSkipped,
    Published,
    UserWants,
)

REMEMBERED_SEGMENTS = 6  # ahead of the one in the making: of so many, parts must be known


@dataclass(slots=True)
class Air:
    """The parts of one segment as viewers have them. shown: what was published of this GOP, and
    by whom; its length is short where parts were skipped.
    """

    segment: int
    following: int = 0
    shown: list[str] = field(default_factory=list)
    source: str = ""
    since_us: int = 0


class _OfParts(Checker):
    """What both checkers need: what was delivered, and what is on air.

    delivered: by segment and part, by encoder: its bytes and since when.
    """

    invariant = ""
    wants = (PartDelivered, PartPublished, PartsSkipped, Published, Gap, OriginRestarted, UserWants)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.per_segment = self.per_gop = 0
        self.delivered: dict[tuple[int, int], dict[str, tuple[str, int]]] = {}
        self.air: Air | None = None

    def _see(self, fact: Fact) -> None:
        match fact:
            case UserWants(parts=parts, gop_parts=gop_parts):
                self.per_segment, self.per_gop = parts, gop_parts
            case PartDelivered():
                rows = self.delivered.setdefault((fact.segment, fact.part), {})
                rows.setdefault(fact.name, (fact.data, fact.at_us))
                self._judge_delivered(fact)
            case PartPublished():
                self._judge_published(fact)
                self._publish(fact)
            case PartsSkipped():
                self._judge_skipped(fact)
                self._skip(fact)
            case Published(segment=last) | Gap(last=last) if self.per_segment:
                self._judge_decided(fact)
                self.air = Air(last + 1, since_us=fact.at_us)
                for place in [place for place in self.delivered if place[0] <= last]:
                    del self.delivered[place]
            case OriginRestarted() if self.air is not None:
                self._restart(fact)
            case _:
                pass

    def _restart(self, fact: Fact) -> None:
        """Parts are kept in memory only."""
        assert self.air is not None
        self.air = Air(self.air.segment, since_us=fact.at_us)
        self.delivered.clear()

    def _publish(self, fact: PartPublished) -> None:
        air = self.air
        assert air is not None
        if fact.part % self.per_gop == 0:
            air.shown = []
        data, _ = self.delivered[fact.segment, fact.part][fact.name]
        air.shown.append(data)
        air.following, air.source, air.since_us = fact.part + 1, fact.name, fact.at_us

    def _skip(self, fact: PartsSkipped) -> None:
        air = self.air
        assert air is not None
        air.shown, air.source, air.following = [], "", fact.last + 1

    def able(self, part: int) -> dict[str, int]:
        """Encoders that delivered the part and whose pictures may follow, and since when."""
        air = self.air
        assert air is not None
        start = part - part % self.per_gop
        rows = self.delivered.get((air.segment, part), {})
        if part == start:
            return {name: since for name, (_, since) in rows.items()}
        if len(air.shown) != part - start:
            return {}
        return {
            name: since
            for name, (_, since) in rows.items()
            if name == air.source or self._is_same(name, start, air)
        }

    def _is_same(self, name: str, start: int, air: Air) -> bool:
        own = [
            self.delivered.get((air.segment, start + i), {}).get(name)
            for i in range(len(air.shown))
        ]
        return [row and row[0] for row in own] == air.shown

    def _judge_delivered(self, fact: PartDelivered) -> None:
        """Once it is taken in."""

    def _judge_published(self, fact: PartPublished) -> None:
        """Before it is taken in."""

    def _judge_skipped(self, fact: PartsSkipped) -> None:
        """Before it is taken in."""

    def _judge_decided(self, fact: Published | Gap) -> None:
        """Before it is taken in."""


class PartsFollow(_OfParts):
    """I18: a part comes twice, out of order, or where no decoder can go on with it.

    Inside a GOP the next part is of the encoder of the part before, or of one whose bytes were the
    same since the GOP began. Only parts of the segment after the newest decided one come at all.
    """

    invariant = "I18"

    def _judge_published(self, fact: PartPublished) -> None:
        air = self.air
        what = f"part {fact.segment}.{fact.part} of {fact.name}"
        if air is None or fact.segment != air.segment:
            raise self.object(fact, f"{what} is not of the segment that is being made")
        if fact.part != air.following:
            raise self.object(fact, f"{what} comes instead of part {air.following}")
        if fact.name not in self.delivered.get((fact.segment, fact.part), {}):
            raise self.object(fact, f"{what} was never complete")
        if fact.name not in self.able(fact.part):
            raise self.object(fact, f"{what} does not go on from what {air.source} began")

    def _judge_skipped(self, fact: PartsSkipped) -> None:
        air = self.air
        what = f"parts {fact.first} to {fact.last} of {fact.segment}"
        if air is None or (fact.segment, fact.first) != (air.segment, air.following):
            raise self.object(fact, f"{what} are skipped where they are not next")
        if not fact.first:
            raise self.object(fact, f"{what} are skipped: the segment is begun in its middle")
        if fact.last < fact.first or (fact.last + 1) % self.per_gop:
            raise self.object(fact, f"{what} are skipped, and nothing can begin after them")


class NoPartIsWithheld(_OfParts):
    """I19: a part is skipped, or waits beyond its deadline, though it is there and may follow.

    A segment that is published whole before any of it was on air may come without parts. An origin
    that is far behind may forget the parts of the segment that it heard of longest ago. Nor is a
    fallback taken before the deadline, unless the whole segment is published at once; nor a whole
    one, unless viewers of parts have it already, or can't have the rest of it.
    """

    invariant = "I19"

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.early: PartPublished | None = None
        self.stuck_us = (0, 0)  # when parts were skipped the last time, and since when they waited
        self.touched: dict[int, None] = {}  # segments with parts, the newest delivery last
        self.forgotten: set[int] = set()

    @property
    def deadline_us(self) -> int:
        """How long a part may wait for a better one."""
        return self.story.segment_us * PUBLISH_DEADLINE_PERCENT // 100 // self.per_segment

    def _judge_delivered(self, fact: PartDelivered) -> None:
        self.touched.pop(fact.segment, None)
        self.touched[fact.segment] = None
        now = 0 if self.air is None else self.air.segment
        ahead = [segment for segment in self.touched if segment > now]
        self.forgotten.update(ahead[:-REMEMBERED_SEGMENTS])

    def _judge_published(self, fact: PartPublished) -> None:
        self._settle_early(fact)
        if fact.segment in self.forgotten:
            return
        air, able = self.air, self.able(fact.part)
        assert air is not None
        known_us = min(able.values(), default=fact.at_us)
        up_us = max(known_us, air.since_us, self.story.restarted_us)
        if fact.at_us > up_us + self.deadline_us + STUCK_SEGMENTS * self.story.segment_us:
            raise self.object(fact, f"part {fact.segment}.{fact.part} came late, it was there")
        goes_on = fact.name == air.source and fact.part % self.per_gop
        if fact.fallback and not goes_on and fact.at_us < known_us + self.deadline_us:
            self.early = fact

    def _judge_skipped(self, fact: PartsSkipped) -> None:
        self._settle_early(fact)
        rows = self.delivered.get((fact.segment, fact.first), {}).values()
        self.stuck_us = (fact.at_us, min((since for _, since in rows), default=fact.at_us))
        if fact.segment in self.forgotten:
            return
        starts = range(fact.first + -fact.first % self.per_gop, fact.last + 1, self.per_gop)
        for part in {fact.first, *starts}:
            for name in self.able(part):
                message = f"part {fact.segment}.{part} is skipped though {name} delivered it"
                raise self.object(fact, message)

    def _judge_decided(self, fact: Published | Gap) -> None:
        self._settle_early(fact)
        self.early = None
        air = self.air
        if not isinstance(fact, Published) or air is None:
            return
        if fact.fallback and not self._may_fall_back(fact, air):
            raise self.object(fact, f"segment {fact.segment} falls back before its deadline")
        if 0 < air.following < self.per_segment:
            raise self.object(fact, f"segment {fact.segment} is whole, its parts are not out")

    def _may_fall_back(self, fact: Published, air: Air) -> bool:
        """At its deadline; or viewers of parts have it already, or can't have the rest of it."""
        since_us = known_since_us(self.story)
        if since_us is None or fact.at_us >= since_us + deadline_us(self.story):
            return True
        if air.following == self.per_segment and air.source == fact.name:
            return True
        skipped_us, there_us = self.stuck_us
        return skipped_us == fact.at_us >= there_us + self.deadline_us

    def _settle_early(self, fact: Fact) -> None:
        """A part that came too early was in order only if all came at once."""
        if self.early is not None and fact.at_us != self.early.at_us:
            early = self.early
            raise self.object(fact, f"part {early.segment}.{early.part} falls back early")
