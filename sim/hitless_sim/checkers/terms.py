"""Where terms come from: I7, judged by what is stored, ordered and stamped."""

from __future__ import annotations

from hitless_handover.messages import PeerPhase
from hitless_handover.supervisor_model import AbortHandover, BeginHandover, GrantTerm
from hitless_sim.checkers.base import Checker
from hitless_sim.checkers.story import Story
from hitless_sim.facts import Acted, Fact, Ordered, PeerMoved, Stamped, Stored


class StoredTerms(Checker):
    """I7: a term is used that the record does not hold, or by more than one encoder, or stale.

    An encoder that has heard of a higher term accepts no order of a lower one, unless it only
    repeats what this encoder does anyway.
    """

    invariant = "I7"
    wants = (Acted, Ordered, PeerMoved, Stamped, Stored)

    def __init__(self, story: Story) -> None:
        super().__init__(story)
        self.owners: dict[int, str] = {}
        self.known: dict[str, int] = {}  # the highest term that an instance has heard of
        self.held: dict[str, int] = {}  # its term by its newest order or stamp

    def _see(self, fact: Fact) -> None:
        match fact:
            case Acted():
                self._see_acted(fact)
            case Ordered():
                self._used(fact, fact.term, fact.name if fact.accepted else None)
                self._see_ordered(fact)
            case PeerMoved():
                self._see_moved(fact)
            case Stamped():
                self.held[fact.instance] = fact.priority
                if fact.priority:
                    self._used(fact, fact.priority, fact.name)
            case Stored():
                self._see_stored(fact)
            case _:
                pass

    def _see_ordered(self, fact: Ordered) -> None:
        known = self.known.get(fact.instance, 0)
        if not fact.accepted:
            return
        if fact.term < known and fact.term != self.held.get(fact.instance):
            raise self.object(fact, f"{fact.name} accepts term {fact.term}, it knows of {known}")
        self.known[fact.instance] = max(known, fact.term)
        if (fact.name, fact.term) in self.story.grants:
            self.held[fact.instance] = fact.term

    def _see_moved(self, fact: PeerMoved) -> None:
        known = self.known.get(fact.instance, 0)
        if fact.before is None and fact.after is not PeerPhase.ABORTED and fact.term < known:
            message = f"{fact.name} joins {fact.handover_id} of term {fact.term}, it knows {known}"
            raise self.object(fact, message)
        self.known[fact.instance] = max(known, fact.term)

    def _see_acted(self, fact: Acted) -> None:
        if self.story.record_at(fact.version) is None:
            raise self.object(fact, f"{fact.action} by a record that was never stored")
        match fact.action:
            case GrantTerm(name=name, term=term) | BeginHandover(name=name, term=term):
                self._used(fact, term, name)
            case AbortHandover(term=term):
                self._used(fact, term, None)
            case _:
                pass

    def _used(self, fact: Fact, term: int, name: str | None) -> None:
        if term > self.story.record.term:
            held = self.story.record.term
            raise self.object(fact, f"term {term} of {name} is used, the record holds {held}")
        if name is not None:
            self._own(fact, term, name)

    def _own(self, fact: Fact, term: int, name: str) -> None:
        owner = self.owners.setdefault(term, name)
        if owner != name:
            raise self.object(fact, f"term {term} is that of {owner} and of {name}")

    def _see_stored(self, fact: Stored) -> None:
        record, before = fact.record, self.story.record
        if record.term < before.term:
            raise self.object(fact, f"the highest term fell from {before.term} to {record.term}")
        held = [(e.term, e.name) for e in (record.active, record.spare) if e is not None]
        if record.handover is not None:
            held.append((record.handover.term, record.handover.successor.name))
        for term, name in held:
            if term > record.term:
                raise self.object(fact, f"{name} has term {term}, the highest is {record.term}")
            self._own(fact, term, name)
