"""The judges of a simulated world: one checker for each invariant of docs/invariants.md.

Owns what is never true, and the only opinion about it. Checkers know nothing but facts: none calls
a rule of the machines under test or looks into them, so that a rule and its check can't be wrong in
the same way. The runner feeds `Judge` with every fact of a world.
"""

from __future__ import annotations

from hitless_sim.checkers.agreements import KeepsItsWord, WithinCriteria
from hitless_sim.checkers.base import Checker, Violation
from hitless_sim.checkers.deletions import CompletedBeforeGone, NeverTheLast
from hitless_sim.checkers.history import KeepsItsEncoder, NewestAnchor, TrueHistory
from hitless_sim.checkers.leadership import OnlyGoodIsAgreed, SilentWhenAsked
from hitless_sim.checkers.liveness import ComesToRest, DoesNotFlap, EveryWaitEnds
from hitless_sim.checkers.output import HigherTermWins, NothingLost, OnceInOrder, OneWholeEncoder
from hitless_sim.checkers.parts import NoPartIsWithheld, PartsFollow
from hitless_sim.checkers.story import Story
from hitless_sim.checkers.terms import StoredTerms
from hitless_sim.checkers.wishes import UserIsHeard
from hitless_sim.facts import Ended, Fact

__all__ = ["CHECKERS", "Checker", "Judge", "Violation"]

CHECKERS: tuple[type[Checker], ...] = (
    NothingLost,
    OnceInOrder,
    OneWholeEncoder,
    HigherTermWins,
    CompletedBeforeGone,
    NeverTheLast,
    StoredTerms,
    KeepsItsEncoder,
    OnlyGoodIsAgreed,
    TrueHistory,
    NewestAnchor,
    ComesToRest,
    SilentWhenAsked,
    EveryWaitEnds,
    WithinCriteria,
    KeepsItsWord,
    UserIsHeard,
    DoesNotFlap,
    PartsFollow,
    NoPartIsWithheld,
)


class Judge:
    """All checkers of one run, and the story they share."""

    def __init__(self) -> None:
        self.story = Story()
        self.checkers = tuple(kind(self.story) for kind in CHECKERS)
        self._of_kind: dict[type[Fact], tuple[Checker, ...]] = {}

    def see(self, fact: Fact) -> None:
        """Judge a fact. Raises Violation."""
        if fact.at_us < self.story.now_us:
            raise AssertionError(f"time falls from {self.story.now_us} to {fact.at_us}: {fact}")
        self.story.now_us = fact.at_us
        kind = type(fact)
        if kind not in self._of_kind:
            wanting = tuple(c for c in self.checkers if issubclass(kind, c.wants))
            self._of_kind[kind] = wanting
        for checker in self._of_kind[kind]:
            checker.see(fact)
        if isinstance(fact, Ended):
            for checker in self.checkers:
                checker.finish(fact)
        self.story.tell(fact)
