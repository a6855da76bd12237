"""What viewers get: I1 to I4, judged by what was delivered and what was published."""

from __future__ import annotations

from hitless_handover.timeline import MICROSECONDS
from hitless_sim.checkers.base import Checker
from hitless_sim.checkers.story import Offer, Story
from hitless_sim.facts import (
    Delivered,
    Fact,
    Gap,
    Ordered,
    Published,
    Stamped,
    UserWants,
)

PUBLISH_DEADLINE_PERCENT = 150  # of a segment: docs/origin.md, "The selection rule"
GAP_SEGMENTS = 4  # as there: how late a leader may be before a newcomer's first segment
EXCUSE_US = 60 * MICROSECONDS  # an encoder that ended so long ago explains a gap
STUCK_SEGMENTS = 4  # an origin that is up decides well within this time after the deadline
KEPT_SEGMENTS = 20  # that an encoder still has; docs/protocol.md says so


def deadline_us(story: Story) -> int:
    """How long a segment may wait for a better delivery."""
    return story.segment_us * PUBLISH_DEADLINE_PERCENT // 100


def known_since_us(story: Story) -> int | None:
    """Since when the origin can know that the next segment is due; None: nothing is waiting.

    docs/origin.md: after the first complete delivery of it, or of a later one; in the second case
    the time starts again with each publication.
    """
    if story.decided is None:
        return None
    following = story.decided + 1
    later = [since for segment, since in story.waiting.items() if segment > following]
    known = [max(min(later), story.advanced_us)] if later else []
    if following in story.waiting:
        known.append(story.waiting[following])
    return min(known, default=None)


class NothingLost(Checker):
    """I1: a segment number is missing that an encoder had delivered, or should have.

    A gap must lie wholly outside what was delivered, end before something that was, and not be
    recorded before the deadline, which is later where only a newcomer has delivered. An encoder
    that is told to lead, and lives, sends what it withheld of the undecided segments before
    anything later. An origin that is up decides in time.
    """

    invariant = "I1"
    wants = (Gap, Delivered, Stamped, Ordered)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.withheld: dict[str, set[int]] = {}  # by instance
        self.owed: dict[int, str] = {}  # segment to the instance that has to send it after all
        self.newest: dict[str, int] = {}  # that an instance sent
        self.sent: set[int] = set()  # segments that anybody stamped without withholding them

    def _see(self, fact: Fact) -> None:
        match fact:
            case Gap():
                self._see_gap(fact)
            case Delivered():
                self._decides_in_time(fact)
            case Stamped():
                self._see_stamped(fact)
            case Ordered():
                self._see_ordered(fact)
            case _:
                pass

    def _see_gap(self, gap: Gap) -> None:
        for segment in range(gap.first, gap.last + 1):
            for name in self.story.offers.get(segment, {}):
                raise self.object(gap, f"segment {segment} is given up though {name} delivered it")
            debtor = self.owed.get(segment, "")
            run = self.story.runs.get(debtor)
            if run is not None and run.ended_us is None and self.newest.get(debtor, -1) > segment:
                message = f"{debtor} never sent segment {segment}, which it withheld"
                raise self.object(gap, message)
            if segment not in self.sent:
                self._see_withheld(gap, segment)
        if gap.last + 1 not in self.story.offers:
            raise self.object(gap, f"{gap.first} to {gap.last} are given up for nothing later")
        since = known_since_us(self.story)
        if since is not None and gap.at_us < since + deadline_us(self.story):
            raise self.object(gap, f"segment {gap.first} is given up before its deadline")
        self._see_newcomer(gap)

    def _see_newcomer(self, gap: Gap) -> None:
        """What follows is below the term: the leader, which has nothing later, had its time."""
        offers = [(k, o.priority) for k, by in self.story.offers.items() for o in by.values()]
        term = max((priority for segment, priority in offers if segment < gap.first), default=0)
        passed = any(priority >= term for segment, priority in offers if segment > gap.last)
        since_us = max(self.story.advanced_us, self.story.restarted_us)
        if not passed and gap.at_us < since_us + GAP_SEGMENTS * self.story.segment_us:
            message = f"segment {gap.first} is given up for a newcomer before its leader's time"
            raise self.object(gap, message)

    def _see_withheld(self, gap: Gap, segment: int) -> None:
        """All are well and each of them withheld it."""
        since_us = gap.at_us - EXCUSE_US
        runs = [r for r in self.story.runs.values() if r.ended_us is None or r.ended_us > since_us]
        silent = [r for r in runs if segment in self.withheld.get(r.instance, ())]
        if runs and len(silent) == len(runs):
            raise self.object(gap, f"nobody sent segment {segment}, all withheld it")

    def _decides_in_time(self, delivered: Delivered) -> None:
        """Only while something is delivered, so that the origin is known to be up."""
        since = known_since_us(self.story)
        if since is None:
            return
        since = max(since, self.story.advanced_us, self.story.restarted_us)
        patience = deadline_us(self.story) + STUCK_SEGMENTS * self.story.segment_us
        if delivered.at_us > since + patience:
            decided = self.story.decided or 0
            raise self.object(delivered, f"segment {decided + 1} is still not decided")

    def _see_stamped(self, stamped: Stamped) -> None:
        if stamped.silent:
            self.withheld.setdefault(stamped.instance, set()).add(stamped.segment)
            return
        self.sent.add(stamped.segment)
        newest = self.newest.get(stamped.instance, stamped.segment)
        self.newest[stamped.instance] = max(newest, stamped.segment)
        self.withheld.get(stamped.instance, set()).discard(stamped.segment)
        if self.owed.get(stamped.segment) == stamped.instance:
            del self.owed[stamped.segment]

    def _see_ordered(self, order: Ordered) -> None:
        if not order.accepted or (order.name, order.term) not in self.story.grants:
            return
        decided = -1 if self.story.decided is None else self.story.decided
        withheld = self.withheld.get(order.instance, set())
        gone = max(withheld, default=0) - KEPT_SEGMENTS
        for segment in withheld:
            if segment > max(decided, gone):
                self.owed[segment] = order.instance


class OnceInOrder(Checker):
    """I2: a segment is decided twice, or out of order."""

    invariant = "I2"
    wants = (Published, Gap)

    def _see(self, fact: Fact) -> None:
        match fact:
            case Published():
                first = last = fact.segment
            case Gap():
                first, last = fact.first, fact.last
            case _:
                return
        decided = self.story.decided
        if last < first:
            raise self.object(fact, f"a gap from {first} to {last}")
        if decided is not None and first <= decided:
            raise self.object(fact, f"segment {first} is decided after {decided}")
        if decided is not None and first != decided + 1:
            raise self.object(fact, f"segment {first} is decided right after {decided}")


class OneWholeEncoder(Checker):
    """I3: what is published of a segment is not one encoder's whole delivery of it."""

    invariant = "I3"
    wants = (Published,)

    def _see(self, fact: Fact) -> None:
        assert isinstance(fact, Published)
        other = self.story.published.get(fact.segment)
        if other is not None and other.name != fact.name:
            message = f"segment {fact.segment} of {fact.name} after that of {other.name}"
            raise self.object(fact, message)
        offer = self.story.offers.get(fact.segment, {}).get(fact.name)
        if offer is None:
            raise self.object(fact, f"segment {fact.segment} of {fact.name} was never complete")
        if fact.priority != offer.priority:
            message = (
                f"segment {fact.segment} of {fact.name} has priority {offer.priority}, "
                f"published as {fact.priority}"
            )
            raise self.object(fact, message)


class HigherTermWins(Checker):
    """I4: a lower term is selected at or after a higher one, but for a counted fallback.

    The best delivery is chosen, a fallback is what it is called, and none is taken before the
    deadline.
    """

    invariant = "I4"
    wants = (Published, Delivered, UserWants)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.term = 0  # highest of any delivery of a decided segment
        self.ahead: dict[int, int] = {}  # highest of each undecided one
        self.parts = 0  # with parts, I19 says when a fallback may come early

    def _see(self, fact: Fact) -> None:
        if self.story.blind:
            return
        match fact:
            case UserWants(parts=parts):
                self.parts = parts
            case Delivered():
                highest = max(self.ahead.get(fact.segment, 0), fact.priority)
                self.ahead[fact.segment] = highest
            case Published():
                self._see_published(fact)
            case _:
                pass

    def _see_published(self, fact: Published) -> None:
        passed = [segment for segment in self.ahead if segment <= fact.segment]
        self.term = max([self.term, *(self.ahead.pop(segment) for segment in passed)])
        best = self._best(fact.segment)
        if best is not None and best.priority > fact.priority:
            message = (
                f"segment {fact.segment} of {fact.name} with priority {fact.priority}, though "
                f"{best.name} delivered it with {best.priority}"
            )
            raise self.object(fact, message)
        if fact.priority < self.term and not fact.fallback:
            message = f"segment {fact.segment} has {fact.priority} after {self.term}, uncounted"
            raise self.object(fact, message)
        if fact.fallback and fact.priority >= self.term:
            raise self.object(fact, f"segment {fact.segment} is no fallback, {self.term} is newest")
        since = known_since_us(self.story)
        early = since is not None and fact.at_us < since + deadline_us(self.story)
        if fact.fallback and early and not self.parts:
            raise self.object(fact, f"segment {fact.segment} falls back before its deadline")

    def _best(self, segment: int) -> Offer | None:
        offers = self.story.offers.get(segment, {}).values()
        return max(offers, key=lambda offer: offer.priority, default=None)
