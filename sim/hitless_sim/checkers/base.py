"""What a checker is: something that sees every fact and objects to what must never be."""

from __future__ import annotations

from typing import ClassVar

from hitless_sim.checkers.story import Story
from hitless_sim.facts import Ended, Fact


class Violation(Exception):
    """Something that docs/invariants.md says is never true. at_us: when it was seen."""

    def __init__(self, invariant: str, message: str, at_us: int) -> None:
        super().__init__(invariant, message, at_us)
        self.invariant = invariant
        self.message = message
        self.at_us = at_us

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at_us / 1_000_000:.3f} s: {self.message}"


class Checker:
    """Base of the checkers. wants: the kinds of fact that it judges; it sees no others."""

    invariant: ClassVar[str]
    wants: ClassVar[tuple[type[Fact], ...]]

    def __init__(self, story: Story) -> None:
        self.story = story

    def see(self, fact: Fact) -> None:
        """Judge what has just happened; the story holds what was before. Raises Violation."""
        self._see(fact)

    def finish(self, ended: Ended) -> None:
        """Judge the end. Raises Violation."""
        self._finish(ended)

    def _see(self, fact: Fact) -> None:
        """What `see` does, for the checker to say."""

    def _finish(self, ended: Ended) -> None:
        """What `finish` does, for the checker to say."""

    def object(self, fact: Fact, message: str) -> Violation:
        """What to raise."""
        return Violation(self.invariant, message, fact.at_us)
