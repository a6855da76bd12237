"""The operator's metrics for Prometheus.

Owns names, labels and what counts. Nothing decides upon them. A handover is counted from the
difference of two stored statuses, never from a look: the supervisor is level-triggered and says the
same thing many times, a status goes from one phase to the next once. Each transition is counted at
most once: by the process whose write of it was accepted, or that finds its unanswered write in the
CR. All labels are enumerations; none names a channel, so 5,000 channels are as many series as one.
`apply.py`, `reconcile.py`, `kube.py` and `watch.py` report; `health.py` serves them.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from platform import python_version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from hitless_handover.messages import Refusal
from hitless_handover.supervisor_model import (
    CONFIG_INVALID,
    HANDOVER_FINAL,
    ChannelPhase,
    HandoverPhase,
)
from hitless_handover.timeline import MICROSECONDS
from hitless_operator.api_calls import api_call
from hitless_operator.channel import Channel, Key
from hitless_operator.conditions import OWN_TYPES
from hitless_operator.moments import from_time
from hitless_operator.queue import QueueState, TryAgain
from hitless_operator.status import as_document
from hitless_operator.status_model import EncoderDeploymentStatus, HandoverStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_REASON = "None"
OTHER_REASON = "Other"
NO_ANSWER = "none"
# Why the supervisor calls an update off; an encoder's refusals come on top. A reason from elsewhere
# (a kubelet's) is counted as Other: these words are labels, and labels are an enumeration.
REASONS = frozenset(
    {
        "AbortRequested",
        CONFIG_INVALID,
        "ConfirmDeadline",
        "HoldDeadline",
        "IncumbentLost",
        "NegotiateDeadline",
        "Reverted",
        "StartDeadline",
        "SuccessorFailed",
        "SuccessorLost",
        "SuccessorRestarted",
        "Superseded",
        *Refusal,
    }
)
RESULTS = tuple(sorted(HANDOVER_FINAL))
LIVE_PHASES = tuple(phase for phase in HandoverPhase if phase not in HANDOVER_FINAL)
LOOK_RESULTS = ("Done", "Again", "Failed")
_PHASE_BUCKETS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600)
_LOOK_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 10, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the gauges need of one channel as it was stored last."""

    phase: ChannelPhase
    outdated: bool
    conditions: tuple[str, ...]
    handover: HandoverPhase | None
    since_us: int


class Metrics:
    """All metrics of one operator process, in a registry of their own."""

    def __init__(self, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each first
        self.registry = CollectorRegistry()
        self._now_us = now_us
        self._seen: dict[Key, _Seen] = {}
        # Writes whose answer never came, by channel: one each, gone with its next look.
        self._unanswered: dict[Key, tuple[EncoderDeploymentStatus, EncoderDeploymentStatus]] = {}
        self._queue: Callable[[], QueueState] | None = None
        self._make_handover_metrics()
        self._make_work_metrics()
        self.registry.register(_Gauges(self._channel_gauges))
        self.registry.register(_Gauges(self._queue_gauges))
        ProcessCollector(registry=self.registry)

    def _make_handover_metrics(self) -> None:
        self._handovers = Counter(
            "hitless_handovers",
            "Updates that ended, by result and by why they were called off.",
            ("result", "reason"),
            registry=self.registry,
        )
        for result in RESULTS:  # from zero, so that the first one shows as an increase
            why = {NO_REASON} if result == HandoverPhase.COMPLETED else {*REASONS, OTHER_REASON}
            for reason in why:
                self._handovers.labels(result, reason)
        self._started = Counter(
            "hitless_handovers_started", "Updates that began.", registry=self.registry
        )
        self._frames_lost = Counter(
            "hitless_frames_lost",
            "Frames that the origin did not publish at a handover event.",
            registry=self.registry,
        )
        self._frames_repeated = Counter(
            "hitless_frames_repeated",
            "Frames that the origin published twice at a handover event.",
            registry=self.registry,
        )
        self._phase_seconds = Histogram(
            "hitless_handover_phase_seconds",
            "How long updates stayed in a phase.",
            ("phase",),
            buckets=_PHASE_BUCKETS_S,
            registry=self.registry,
        )
        self._handover_seconds = Histogram(
            "hitless_handover_seconds",
            "How long updates took from beginning to end.",
            ("result",),
            buckets=_PHASE_BUCKETS_S,
            registry=self.registry,
        )

    def _make_work_metrics(self) -> None:
        self._api_calls = Counter(
            "hitless_api_calls",
            "Requests to the API server; code none: no answer.",
            ("verb", "resource", "code"),
            registry=self.registry,
        )
        self._look_seconds = Histogram(
            "hitless_look_seconds",
            "How long a look at a channel took, by how it ended.",
            ("result",),
            buckets=_LOOK_BUCKETS_S,
            registry=self.registry,
        )
        for result in LOOK_RESULTS:
            self._look_seconds.labels(result)
        build = Gauge(
            "hitless_build_info",
            "Always 1; the labels say what runs.",
            ("version", "python"),
            registry=self.registry,
        )
        build.labels(metadata.version("hitless"), python_version()).set(1)

    def text(self) -> bytes:
        """All of it, as CONTENT_TYPE."""
        return generate_latest(self.registry)

    # --- what the others report ---

    def attach(self, queue: Callable[[], QueueState]) -> None:
        """Where the queue's figures come from."""
        self._queue = queue

    def called(self, method: str, path: str, code: int, *, watch: bool = False) -> None:
        """A request to the API server ended; code 0: without an answer."""
        call = api_call(method, path, watch=watch)
        resource = call.resource or "discovery"
        self._api_calls.labels(call.verb, resource, str(code) if code else NO_ANSWER).inc()

    def timed(
        self, look: Callable[[Key], Awaitable[float | None]]
    ) -> Callable[[Key], Awaitable[float | None]]:
        """The same work, with its time taken."""

        async def measured(key: Key) -> float | None:
            started_s, result = time.monotonic(), "Failed"
            try:
                delay_s = await look(key)
                result = "Done"
            except TryAgain:
                result = "Again"
                raise
            finally:
                self._look_seconds.labels(result).observe(time.monotonic() - started_s)
            return delay_s

        return measured

    def forget(self, key: Key) -> None:
        """The channel is gone."""
        self._seen.pop(key, None)
        self._unanswered.pop(key, None)

    def read(self, channel: Channel) -> None:
        """The CR was read: a write without an answer was carried out if its status is there."""
        before, sent = self._unanswered.pop(channel.key, (None, None))
        if before is None or sent is None:
            return
        if as_document(sent) == as_document(channel.status):
            self._count(before, sent)

    def unanswered(self, channel: Channel, status: EncoderDeploymentStatus) -> None:
        """A status was sent over this channel's, and no answer came."""
        self._unanswered[channel.key] = (channel.status, status)

    def stored(self, channel: Channel, status: EncoderDeploymentStatus) -> None:
        """A status was written over this channel's."""
        self._count(channel.status, status)

    def looked(self, channel: Channel, digest: str | None) -> None:
        """The channel as it stands at the end of a look. digest: that the spec asks for."""
        status, update = channel.status, channel.status.handover
        live = update is not None and update.phase not in HANDOVER_FINAL
        self._seen[channel.key] = _Seen(
            phase=status.phase,
            outdated=bool(digest and status.active and status.active.digest != digest),
            conditions=tuple(c.type for c in status.conditions if c.status == "True"),
            handover=update.phase if update is not None and live else None,
            since_us=from_time(update.phase_since) if update is not None else 0,
        )

    # --- what counts ---

    def _count(self, before: EncoderDeploymentStatus, after: EncoderDeploymentStatus) -> None:
        known = _updates(before)
        for update in _updates(after).values():
            self._count_update(known.get(update.id), update)

    def _count_update(self, before: HandoverStatus | None, after: HandoverStatus) -> None:
        if before is None:
            self._started.inc()
        elif before.phase is not after.phase:
            wait_s = _seconds(before.phase_since, after.phase_since)
            self._phase_seconds.labels(before.phase).observe(wait_s)
        self._frames_lost.inc(_more(before.frames_lost if before else 0, after.frames_lost))
        self._frames_repeated.inc(
            _more(before.frames_repeated if before else 0, after.frames_repeated)
        )
        ended = after.phase in HANDOVER_FINAL
        if ended and (before is None or before.phase not in HANDOVER_FINAL):
            self._handovers.labels(after.phase, _reason(after)).inc()
            whole_s = _seconds(after.started_at, after.finished_at or after.phase_since)
            self._handover_seconds.labels(after.phase).observe(whole_s)

    def _channel_gauges(self) -> Iterator[Metric]:
        seen = tuple(self._seen.values())
        yield _family(
            "hitless_channels",
            "Channels by phase.",
            "phase",
            Tally(s.phase for s in seen),
            ChannelPhase,
        )
        yield _family(
            "hitless_channels_with_condition",
            "Channels of which a condition is true.",
            "condition",
            Tally(kind for s in seen for kind in s.conditions),
            OWN_TYPES,
        )
        yield _family(
            "hitless_handovers_live",
            "Updates under way, by phase.",
            "phase",
            Tally(s.handover for s in seen if s.handover),
            LIVE_PHASES,
        )
        now_us = self._now_us()
        ages: dict[str, float] = {}
        for s in seen:
            if s.handover:
                age_s = (now_us - s.since_us) / MICROSECONDS
                ages[s.handover] = max(ages.get(s.handover, 0.0), age_s)
        yield _family(
            "hitless_handover_phase_age_seconds",
            "For how long the update that stands still for longest has been in its phase.",
            "phase",
            ages,
            LIVE_PHASES,
        )
        yield GaugeMetricFamily(
            "hitless_encoders_outdated",
            "Channels whose encoder on air is not what the spec asks for.",
            value=sum(s.outdated for s in seen),
        )

    def _queue_gauges(self) -> Iterator[Metric]:
        if self._queue is None:
            return
        state = self._queue()
        figures = {
            "Waiting": state.waiting,
            "Running": state.running,
            "Delayed": state.delayed,
            "Failing": state.failing,
        }
        text = "Channels in the work queue, by state; Failing ones are counted there as well."
        yield _family("hitless_queue_channels", text, "state", figures, figures)
        yield GaugeMetricFamily(
            "hitless_queue_look_age_seconds",
            "For how long the longest look has been going on.",
            value=state.running_s_max,
        )


class _Gauges(Collector):
    """Figures that are taken when they are asked for."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        """Called at each scrape."""
        return self._collect()


def _family(
    name: str, text: str, label: str, figures: Mapping[str, float], labels: Iterable[str]
) -> Metric:
    """One gauge for each label value, also for those that are 0."""
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value in labels:
        family.add_metric([str(value)], figures.get(value, 0))
    return family


def _updates(status: EncoderDeploymentStatus) -> dict[str, HandoverStatus]:
    """All updates that a status holds, by id; the one under way last."""
    rows = (*status.history, *([status.handover] if status.handover else []))
    return {update.id: update for update in rows}


def _reason(update: HandoverStatus) -> str:
    if update.phase is HandoverPhase.COMPLETED:
        return NO_REASON
    return update.reason if update.reason and update.reason in REASONS else OTHER_REASON


def _more(before: int | None, after: int | None) -> int:
    return max(0, (after or 0) - (before or 0))


def _seconds(start: str, end: str) -> float:
    return max(0.0, (from_time(end) - from_time(start)) / MICROSECONDS)
