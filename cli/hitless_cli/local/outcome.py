"""When `--update` is due, and when `--exit-after-update` is satisfied.

Owns the one update of the command line: given once, some seconds after the channel is live. With
`exit_after` and no `update` the first change of the file counts. Pure but for its own progress.
"""

from __future__ import annotations

from dataclasses import dataclass

from hitless_cli.local.intent import Intent, desired
from hitless_handover.supervisor_model import (
    ChannelPhase,
    ChannelRecord,
    ChannelView,
    HandoverPhase,
)

FIRST_LIVE_S = 120.0  # with exit_after: from the start to live
MARGIN_S = 60.0  # with exit_after: beyond the handover's own deadlines


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The end that was asked for. message: empty when the handover's summary says it all."""

    code: int
    reason: str = ""
    message: str = ""


DONE = Exit(code=0)
FAILED = Exit(code=1)
NOTHING_TO_DO = Exit(
    code=0, reason="NothingToUpdate", message="the encoder on air is what was asked for"
)
NOT_HITLESS = Exit(
    code=1, reason="NotHandedOver", message="the encoder was lost and replaced, not handed over"
)
TOO_LATE = Exit(code=1, reason="Deadline", message="no end of the update in sight; stopping")


@dataclass(slots=True, kw_only=True)
class UpdateOrder:
    """The command line's update. Times are monotonic seconds."""

    update: str | None
    after_s: float
    exit_after: bool
    started_s: float | None = None
    live_s: float | None = None
    generation: int | None = None
    digest: str = ""
    nothing_to_do: bool = False
    until_s: float = 0.0

    @property
    def awaits_file(self) -> bool:
        """Whether the first change of the file is the update to end after."""
        return self.exit_after and self.update is None and self.generation is None

    def due(self, *, live: bool, now_s: float) -> bool:
        """Whether to give the update now. live: the channel is."""
        self.started_s = now_s if self.started_s is None else self.started_s
        if live and self.live_s is None:
            self.live_s = now_s
        if self.update is None or self.generation is not None or self.live_s is None:
            return False
        return live and now_s >= self.live_s + self.after_s

    def given(self, intent: Intent, record: ChannelRecord, now_s: float) -> None:
        """The update is part of `intent` now."""
        wanted = desired(intent)
        policy = wanted.policy
        segments = policy.criteria.lead_segments + policy.hold_segments
        limit_s = policy.start_s + policy.negotiate_s + 3 * policy.confirm_s
        self.until_s = (
            now_s + limit_s + segments * wanted.timeline.segment_us / 1_000_000 + MARGIN_S
        )
        self.generation = wanted.generation
        self.digest = wanted.digest
        self.nothing_to_do = record.active is not None and record.active.digest == wanted.digest

    def end(self, record: ChannelRecord, view: ChannelView, now_s: float) -> Exit | None:
        """How the run ends, once it is to end."""
        if not self.exit_after:
            return None
        if self.generation is None:
            return self._end_before(now_s)
        if self.nothing_to_do:
            return NOTHING_TO_DO
        if now_s > self.until_s:
            return TOO_LATE
        return self._end_after(record, view)

    def _end_before(self, now_s: float) -> Exit | None:
        if self.update is not None and self.live_s is None and self.started_s is not None:
            return TOO_LATE if now_s > self.started_s + FIRST_LIVE_S else None
        return None

    def _end_after(self, record: ChannelRecord, view: ChannelView) -> Exit | None:
        """At rest again, with one encoder."""
        last, active = record.handover, record.active
        if record.phase is not ChannelPhase.LIVE or active is None or len(view.encoders) != 1:
            return None
        assert self.generation is not None
        if last is not None and last.generation >= self.generation:
            if last.live:
                return None
            return DONE if last.phase is HandoverPhase.COMPLETED else FAILED
        return NOT_HITLESS if active.digest == self.digest else None
