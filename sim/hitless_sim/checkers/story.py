"""What has happened so far in a simulated world, put together from its facts.

Owns the bookkeeping that several checkers need. It must not judge, and it asks no machine: what it
knows came as a Fact. `Judge` lets each checker see a fact first and tells the story afterwards, so
a checker finds here all that was before the fact.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from hitless_handover.messages import HandoverMode
from hitless_handover.supervisor_model import (
    ChannelRecord,
    Desired,
    GrantTerm,
    HandoverRecord,
)
from hitless_handover.timeline import Timeline
from hitless_sim.facts import (
    Acted,
    Delivered,
    EncoderEnded,
    EncoderStarted,
    Fact,
    Gap,
    Healed,
    OriginRestarted,
    PodCreated,
    PodDeleted,
    PodHasToLeave,
    Published,
    Quality,
    QualityChanged,
    Stored,
    UserWants,
)


@dataclass(slots=True, kw_only=True)
class Run:
    """One process of an encoder. ended_us: None while it runs. mode: when its pod was created."""

    name: str
    uid: str
    instance: str
    quality: Quality
    mode: HandoverMode
    started_us: int
    ended_us: int | None = None


@dataclass(slots=True, kw_only=True)
class Offer:
    """One encoder's complete delivery of a segment. priority: the highest it came with."""

    name: str
    instance: str
    priority: int
    since_us: int


@dataclass(slots=True, kw_only=True)
class Pod:
    """A pod as it was created. deleted_us, deleted_by: once somebody deleted it.

    leaving: its node is being emptied.
    """

    name: str
    uid: str
    mode: HandoverMode
    deleted_us: int | None = None
    deleted_by: str = ""
    leaving: bool = False


@dataclass(slots=True)
class Story:
    """Everything that was told. What the user wanted last outlives the channel that he deletes.

    stored: every record with its version, ascending. grants: (encoder, term) of every order
    to lead. runs: by instance. pods: by uid. offers: by segment, then by encoder name.
    waiting: since when something complete of an undecided segment is there. published: by segment.
    decided: newest segment published or given up. advanced_us: time of the newest publication.
    restarted_us: of the newest restart of the origin.
    """

    desired: Desired | None = None
    mode: HandoverMode = HandoverMode.PRIORITY
    timeline: Timeline | None = None
    has_origin: bool = True
    record: ChannelRecord = field(default_factory=ChannelRecord)
    version: int = 0
    stored: list[tuple[int, ChannelRecord]] = field(default_factory=list)
    grants: set[tuple[str, int]] = field(default_factory=set)
    pods: dict[str, Pod] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    offers: dict[int, dict[str, Offer]] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)
    published: dict[int, Published] = field(default_factory=dict)
    newest: Published | None = None
    decided: int | None = None
    advanced_us: int = 0
    restarted_us: int = 0
    healed_us: int | None = None
    now_us: int = 0

    def tell(self, fact: Fact) -> None:
        """Take in what has just happened."""
        match fact:
            case Delivered() | Published() | Gap() | OriginRestarted():
                self._tell_output(fact)
            case PodHasToLeave(uid=uid) if uid in self.pods:
                self.pods[uid].leaving = True
            case PodCreated() | PodDeleted() | EncoderStarted() | QualityChanged() | EncoderEnded():
                self._tell_encoder(fact)
            case UserWants(desired=desired, mode=mode):
                self.desired, self.mode = desired, mode
                if desired is not None:
                    self.timeline, self.has_origin = desired.timeline, desired.has_origin
            case Stored(record=record, version=version):
                self.record, self.version = record, version
                self.stored.append((version, record))
            case Acted(action=GrantTerm(name=name, term=term)):
                self.grants.add((name, term))
            case Healed():
                self.healed_us = fact.at_us
            case _:
                pass

    def _tell_output(self, fact: Delivered | Published | Gap | OriginRestarted) -> None:
        match fact:
            case Delivered():
                self._tell_delivered(fact)
            case Published(segment=segment):
                self.published[segment] = self.newest = fact
                self.advanced_us = fact.at_us
                self._decide(segment)
            case Gap(last=last):
                self._decide(last)
            case OriginRestarted():
                self.restarted_us = fact.at_us

    def _tell_encoder(
        self, fact: PodCreated | PodDeleted | EncoderStarted | QualityChanged | EncoderEnded
    ) -> None:
        match fact:
            case PodCreated(name=name, uid=uid):
                self.pods[uid] = Pod(name=name, uid=uid, mode=self.mode)
            case PodDeleted(uid=uid, by=by):
                pod = self.pods.get(uid)
                if pod is not None and pod.deleted_us is None:
                    pod.deleted_us, pod.deleted_by = fact.at_us, by
            case EncoderStarted():
                self._tell_started(fact)
            case QualityChanged(instance=instance, quality=quality) if instance in self.runs:
                self.runs[instance].quality = quality
            case EncoderEnded(instance=instance) if instance in self.runs:
                self.runs[instance].ended_us = fact.at_us
            case _:
                pass

    def _tell_started(self, fact: EncoderStarted) -> None:
        pod = self.pods.get(fact.uid)
        self.runs[fact.instance] = Run(
            name=fact.name,
            uid=fact.uid,
            instance=fact.instance,
            quality=fact.quality,
            mode=self.mode if pod is None else pod.mode,
            started_us=fact.at_us,
        )

    def _tell_delivered(self, fact: Delivered) -> None:
        offers = self.offers.setdefault(fact.segment, {})
        before = offers.get(fact.name)
        if before is None:
            offers[fact.name] = Offer(
                name=fact.name,
                instance=fact.instance,
                priority=fact.priority,
                since_us=fact.at_us,
            )
        elif fact.priority > before.priority:
            before.priority, before.instance = fact.priority, fact.instance
        if self.decided is None or fact.segment > self.decided:
            self.waiting.setdefault(fact.segment, fact.at_us)

    # --- read off it ---

    @property
    def segment_us(self) -> int:
        """Wall time of a segment, rounded up; 0 before the user asked for anything."""
        return 0 if self.timeline is None else self.timeline.segment_us

    def _decide(self, segment: int) -> None:
        self.decided = segment
        for passed in [waiting for waiting in self.waiting if waiting <= segment]:
            del self.waiting[passed]

    @property
    def blind(self) -> bool:
        """Whether what is downstream knows no priorities: it is not our origin."""
        return self.mode is not HandoverMode.PRIORITY and not self.has_origin

    def record_at(self, version: int) -> ChannelRecord | None:
        """The record as a reader of this version has it; None when nothing was stored by then.

        A version is also used up by what changes no record.
        """
        index = bisect_right(self.stored, version, key=lambda row: row[0])
        return self.stored[index - 1][1] if index else None

    def quality(self, instance: str) -> Quality:
        """What the output of a process is worth."""
        run = self.runs.get(instance)
        return Quality.GOOD if run is None else run.quality

    def running(self, name: str) -> bool:
        """Whether a process of this encoder encodes."""
        return any(run.name == name and run.ended_us is None for run in self.runs.values())

    def stands(self, name: str) -> bool:
        """Whether a process of this encoder encodes in a pod that nobody has deleted."""
        return any(
            run.name == name and run.ended_us is None and self.pods[run.uid].deleted_us is None
            for run in self.runs.values()
            if run.uid in self.pods
        )

    def ran_since(self, name: str, since_us: int) -> bool:
        """Whether a process of this encoder encoded at or after a time."""
        return any(
            run.name == name and (run.ended_us is None or run.ended_us >= since_us)
            for run in self.runs.values()
        )


def handovers(record: ChannelRecord) -> dict[str, HandoverRecord]:
    """Every handover that a record tells of, by id, as it tells of it last."""
    told = {update.handover_id: update for update in record.history}
    if record.handover is not None:
        told[record.handover.handover_id] = record.handover
    return told
