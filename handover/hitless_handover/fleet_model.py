"""What the planner of a fleet update is told, sees, remembers and asks for: values only, no rules.

`FleetRecord` is what is persisted (the status of the EncoderUpdate). What must be known to take a
change back is kept with each channel (`Mark`), written together with the change. `fleet.plan` maps
wishes, record and channels to a `FleetDecision`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hitless_handover.supervisor_model import ChannelPhase, Notice, Problem

CONCURRENCY_MAX = 100
REFUSALS_MAX = 100


class UpdatePhase(StrEnum):
    """Where a fleet update stands."""

    PENDING = "Pending"  # nothing to do yet: no channel is selected
    WAITING = "Waiting"  # for its time or its next window
    AWAITING_APPROVAL = "AwaitingApproval"  # for a person to agree
    PROGRESSING = "Progressing"  # channels are being changed
    BAKING = "Baking"  # the channels of a canary step are being watched
    PAUSED = "Paused"  # no further channel is changed, by wish or for failures
    ROLLING_BACK = "RollingBack"  # what was changed is being taken back
    COMPLETED = "Completed"
    FAILED = "Failed"
    ROLLED_BACK = "RolledBack"


UPDATE_FINAL = frozenset({UpdatePhase.COMPLETED, UpdatePhase.FAILED, UpdatePhase.ROLLED_BACK})


class Outcome(StrEnum):
    """What became of one channel."""

    PENDING = "Pending"  # its turn has not come
    IN_PROGRESS = "InProgress"  # about to be changed or restored, or changed and not there yet
    UPDATED = "Updated"  # on air with the change
    FAILED = "Failed"  # the change was refused, called off, or cost more than allowed
    CONFLICT = "Conflict"  # what would be changed belongs to somebody else; counts as failed
    SKIPPED = "Skipped"  # nothing to do, or nothing that can be done hitlessly
    ROLLED_BACK = "RolledBack"  # on air with what it had


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A count of channels, or a percentage of all of them."""

    amount: int
    percent: bool = False

    def of(self, total: int, *, up: bool = False) -> int:
        """How many channels that is; a fraction is dropped, or counts as one (up)."""
        if not self.percent:
            return self.amount
        return -(-total * self.amount // 100) if up else total * self.amount // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStop:
    """channels: how many are changed when it is reached. bake_us: how long they are watched."""

    channels: Share
    bake_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDesired:
    """What the user asks for, and what the clock and the calendar say.

    change: digest of what is to be changed. rolls_back: on too many failures, else pause. rollback:
    take back now. open: whether channels may be changed now; next_change_us: when that changes, or
    the time is over; None = never. over: the time is over. deadline_us: for one channel.
    """

    generation: int
    change: str
    concurrency: Share
    stops: tuple[CanaryStop, ...] = ()
    fallbacks_max: int = 0
    frames_lost_max: int = 0
    failure_budget: Share = Share(amount=0)
    rolls_back: bool = False
    approved: bool = True
    paused: bool = False
    rollback: bool = False
    open: bool = True
    next_change_us: int | None = None
    over: bool = False
    deadline_us: int = 900_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What this update left on a channel. change: digest of the change that was written.

    rolled_back: the earlier values were written since. intact: the channel still asks for all that
    this update wrote; restorable: for some of it. at_us: when it was written.
    """

    change: str
    rolled_back: bool
    intact: bool
    at_us: int
    restorable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSeen:
    """One channel that is selected, or marked by this update.

    matches: it asks for the change already. invalid: why the change can't be made. holder: another
    update that is not over and marked it. change_owner, earlier_owner: who else owns a field that
    would be written, forward and back; empty for nobody. busy: a handover is under way, or the
    operator has not seen the latest spec. on_target: what it asks for is on air. refusal: what it
    asks for was given up. frames_lost, took_us: of the handover to it. fallbacks: of the origin
    since; None when it was not asked or did not answer.
    """

    name: str
    exists: bool = True
    selected: bool = True
    mark: Mark | None = None
    matches: bool = False
    invalid: str = ""
    holder: str = ""
    change_owner: str = ""
    earlier_owner: str = ""
    paused: bool = False
    phase: ChannelPhase = ChannelPhase.LIVE
    busy: bool = False
    on_target: bool = True
    refusal: Problem | None = None
    frames_lost: int | None = None
    took_us: int | None = None
    fallbacks: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A failure that can't be seen on the channel afterwards, so that it has to be remembered."""

    name: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRecord:
    """All that must survive a restart, besides the marks.

    stops_passed: canary steps that are over. admitted: channels about to be written, stored before
    they are. refusals: at most REFUSALS_MAX.
    """

    phase: UpdatePhase = UpdatePhase.PENDING
    observed_generation: int = -1
    change: str = ""
    stops_passed: int = 0
    bake_since_us: int | None = None
    admitted: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    started_us: int | None = None
    finished_us: int | None = None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelResult:
    """What became of a channel, why in one word, and the same for people."""

    name: str
    outcome: Outcome
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Exact, whatever is listed. failed: conflicts included. total: the sum of the others."""

    total: int = 0
    updated: int = 0
    in_progress: int = 0
    failed: int = 0
    skipped: int = 0
    rolled_back: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteChannel:
    """Write the change into a channel, or what it had before (restore); twice does no harm."""

    name: str
    restore: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDecision:
    """The record to store, then what to write and to tell, and when to look again at the latest.

    eta_us: when it will be over, as far as can be told.
    """

    record: FleetRecord
    results: tuple[ChannelResult, ...] = ()
    counts: Counts = Counts()
    writes: tuple[WriteChannel, ...] = ()
    notices: tuple[Notice, ...] = ()
    wake_at_us: int | None = None
    eta_us: int | None = None
