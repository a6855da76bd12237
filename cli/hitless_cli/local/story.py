"""What there is to tell of a channel, as values: progress of a handover, and its summary.

Pure. The run loop passes what it has, screen.py writes the result as text or JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hitless_cli.local.versions import tag_of
from hitless_handover.supervisor_model import (
    ChannelPhase,
    ChannelRecord,
    ChannelView,
    Desired,
    HandoverPhase,
    HandoverRecord,
    Notice,
)

TROUBLE_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where to watch, and the data directory."""

    hls: str
    dash: str
    page: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A handover under way. step: the last one that successor and incumbent have done together.

    confirmed: who has, of incumbent, successor and origin. segments_to_go: to the event while
    Armed, to the end of the hold while Holding, else None.
    """

    handover_id: str
    phase: HandoverPhase
    step: str
    incumbent: str
    successor: str
    frame: int | None
    segment: int | None
    confirmed: tuple[str, ...]
    segments_to_go: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What keeps the channel off the air, and whether that was told. since_s: monotonic."""

    reason: str = ""
    since_s: float = 0.0
    told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """When the phases of one handover were entered, as far as this run has seen them."""

    handover_id: str = ""
    entered: tuple[tuple[HandoverPhase, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A handover that has ended. duration_us: from first to last phase.

    lost_frames and overlap_frames: None when nobody confirmed. phase_us: in order.
    """

    handover_id: str
    outcome: HandoverPhase
    incumbent: str
    successor: str
    frame: int | None
    segment: int | None
    timecode: str
    lost_frames: int | None
    overlap_frames: int | None
    confirmed: tuple[tuple[str, int], ...]
    duration_us: int
    phase_us: tuple[tuple[str, int], ...]
    reason: str
    message: str


def progress(record: ChannelRecord, view: ChannelView, desired: Desired) -> Progress | None:
    """Where the handover stands; None when none is under way."""
    update = record.handover
    if update is None or not update.live:
        return None
    return Progress(
        handover_id=update.handover_id,
        phase=update.phase,
        step=_step(update, view),
        incumbent=_label(update.incumbent.name, update.incumbent.image),
        successor=_label(update.successor.name, update.successor.image),
        frame=update.frame,
        segment=update.segment,
        confirmed=tuple(name for name, _ in _confirmations(update)),
        segments_to_go=_segments_to_go(update, view, desired),
    )


def _step(update: HandoverRecord, view: ChannelView) -> str:
    report = view.encoder(update.successor.name).report
    if report is None or report.handover is None:
        return ""
    same = report.handover.handover_id == update.handover_id
    return str(report.handover.phase) if same else ""


def _label(name: str, image: str) -> str:
    return f"{name} ({tag_of(image)})"


def _confirmations(update: HandoverRecord) -> list[tuple[str, int]]:
    rows = (
        ("incumbent", update.incumbent_confirmation),
        ("successor", update.successor_confirmation),
        ("origin", update.origin_confirmation),
    )
    return [(who, said.segment) for who, said in rows if said is not None]


def _segments_to_go(update: HandoverRecord, view: ChannelView, desired: Desired) -> int | None:
    newest = _newest_segment(update, view)
    if update.segment is None or newest is None:
        return None
    match update.phase:
        case HandoverPhase.ARMED:
            return max(update.segment - newest, 0)
        case HandoverPhase.HOLDING:
            return max(update.segment + desired.policy.hold_segments - newest, 0)
        case _:
            return None


def _newest_segment(update: HandoverRecord, view: ChannelView) -> int | None:
    if view.origin is not None:
        return view.origin.last_segment
    report = view.encoder(update.successor.name).report
    return None if report is None else report.head_segment


def watched(trouble: Trouble, record: ChannelRecord, now_s: float) -> tuple[Trouble, Notice | None]:
    """A problem becomes news when it has lasted: every start is one for a moment."""
    problem = record.problem
    if problem is None or record.phase is not ChannelPhase.STARTING:
        return Trouble(), None
    if problem.reason != trouble.reason:
        return Trouble(reason=problem.reason, since_s=now_s), None
    if trouble.told or now_s < trouble.since_s + TROUBLE_S:
        return trouble, None
    return replace(trouble, told=True), Notice(
        reason=problem.reason, message=problem.message, warning=True
    )


def followed(phases: Phases, update: HandoverRecord) -> Phases:
    """With the phase that the update is in now, if it is new."""
    entered = phases.entered if phases.handover_id == update.handover_id else ()
    if not entered or entered[-1][0] is not update.phase:
        entered = (*entered, (update.phase, update.phase_since_us))
    return Phases(handover_id=update.handover_id, entered=entered)


def summary(update: HandoverRecord, phases: Phases, timecode: str) -> Summary:
    """The account of a finished update. timecode: of its frame."""
    said = update.origin_confirmation or update.successor_confirmation
    ends = (update.finished_us or update.phase_since_us) - update.started_us
    return Summary(
        handover_id=update.handover_id,
        outcome=update.phase,
        incumbent=_label(update.incumbent.name, update.incumbent.image),
        successor=_label(update.successor.name, update.successor.image),
        frame=update.frame,
        segment=update.segment,
        timecode=timecode,
        lost_frames=None if said is None else said.gap_frames,
        overlap_frames=None if said is None else said.overlap_frames,
        confirmed=tuple(_confirmations(update)),
        duration_us=ends,
        phase_us=_durations(phases),
        reason=update.reason,
        message=update.message,
    )


def _durations(phases: Phases) -> tuple[tuple[str, int], ...]:
    pairs = zip(phases.entered, phases.entered[1:], strict=False)
    return tuple((str(phase), until - since) for (phase, since), (_, until) in pairs)
