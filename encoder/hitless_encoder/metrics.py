"""The encoder's metrics for Prometheus.

Owns names, labels and what counts; docs/encoder.md has the table. Nothing decides upon them. Almost
all is read from the session when it is asked for, so that encoding pays nothing. Labels are
enumerations, or names of the channel's own tracks: a process has as many series in its last hour as
in its first. Which channel and pod it is, the target's labels say.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from platform import python_version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from hitless_encoder.clock import MICROSECONDS
from hitless_encoder.session import Session, Snapshot
from hitless_encoder.sources import Agreement, SourceState
from hitless_handover.messages import PeerPhase, Role
from hitless_handover.peer_model import Side

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "hitless_encoder_"
_FINAL = (PeerPhase.RELEASED, PeerPhase.ABORTED)
_PHASE_BUCKETS_S = (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)

Counts = tuple[tuple[str, str, Callable[[Snapshot], int]], ...]
_OF_SNAPSHOT: Counts = (
    ("frames", "Frames of the timeline that came from the source.", lambda s: s.frames),
    (
        "frames_repeated",
        "Frames whose picture was missing, so that the one before was shown again.",
        lambda s: s.repeated,
    ),
    ("frames_dropped", "Pictures of the source that had no place.", lambda s: s.dropped),
    ("source_losses", "Times that the source was lost.", lambda s: s.source_losses),
    (
        "source_moves",
        "Times that the source's clock or time code moved, and its frames were numbered anew.",
        lambda s: s.source_moves,
    ),
    ("source_received_bytes", "Bytes of a network source.", lambda s: s.received_bytes),
    ("push_failures", "Segments that the origin did not store.", lambda s: s.push_failures),
    ("push_dropped", "Segments dropped from a full queue.", lambda s: s.push_dropped),
)


class Metrics:
    """All metrics of one encoder process, in a registry of their own.

    age_s: seconds since the process started.
    """

    def __init__(
        self,
        *,
        version: str,
        preset: str,
        age_s: Callable[[], float] | None = None,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each first
        self.registry = CollectorRegistry()
        self._session: Session | None = None
        self._started_us = now_us() - int((age_s or process_age_s)() * MICROSECONDS)
        self._now_us = now_us
        self._phase_since_us = now_us()
        self._handovers = Counter(
            f"{_PREFIX}handovers",
            "Handovers that ended here, by this encoder's part in it and its last phase.",
            ("role", "result"),
            registry=self.registry,
        )
        for role in Role:  # from zero, so that the first one shows as an increase
            for phase in _FINAL:
                self._handovers.labels(role, phase)
        self._phase_seconds = Histogram(
            f"{_PREFIX}handover_phase_seconds",
            "How long handovers stayed in a phase.",
            ("role", "phase"),
            buckets=_PHASE_BUCKETS_S,
            registry=self.registry,
        )
        build = Gauge(
            f"{_PREFIX}build_info",
            "Always 1; the labels say what runs.",
            ("version", "preset", "python"),
            registry=self.registry,
        )
        build.labels(version, preset, python_version()).set(1)
        self.registry.register(_Looked(self._look))
        ProcessCollector(registry=self.registry)

    def attach(self, session: Session) -> None:
        """Whose figures these are."""
        self._session = session

    def text(self) -> bytes:
        """All of it, as CONTENT_TYPE. In the event loop: it looks at the session."""
        return generate_latest(self.registry)

    def stepped(self, before: Side | None, after: Side) -> None:
        """This encoder's side of a handover has come to another phase."""
        now_us = self._now_us()
        if before is not None and before.handover_id == after.handover_id:
            seconds = (now_us - self._phase_since_us) / MICROSECONDS
            self._phase_seconds.labels(before.role, before.phase).observe(seconds)
        self._phase_since_us = now_us
        if after.phase in _FINAL:
            self._handovers.labels(after.role, after.phase).inc()

    def _look(self) -> Iterator[Metric]:
        if self._session is None:
            return
        seen = self._session.snapshot()
        for name, text, value in _OF_SNAPSHOT:
            yield CounterMetricFamily(f"{_PREFIX}{name}", text, value=value(seen))
        yield from self._source(seen)
        yield from self._work(self._session, seen)
        yield from self._pushes(self._session)

    def _source(self, seen: Snapshot) -> Iterator[Metric]:
        states = {str(state): float(state is seen.source_state) for state in SourceState}
        yield _gauges("source_state", "1 for the state that the source is in.", "state", states)
        yield _counters(
            "source_timecodes",
            "Pictures of a live source, by whether their absolute time agrees with the timeline.",
            "agreement",
            {str(agreement): float(seen.agreements.get(agreement, 0)) for agreement in Agreement},
        )
        yield _gauge("source_waiting_bytes", "Received and not yet read.", seen.waiting_bytes)
        yield _gauge(
            "source_sound_lead_seconds",
            "How far sound is ahead of the pictures where the source sends them; below 0: behind.",
            _scaled(seen.sound_lead_ms, 1000),
        )

    def _work(self, session: Session, seen: Snapshot) -> Iterator[Metric]:
        tally = session.tally
        yield CounterMetricFamily(
            f"{_PREFIX}segments", "Segments made, whole in all tracks.", value=tally.segments
        )
        yield _counters(
            "encode_seconds",
            "Time that the thread of a track worked; its rate is encode time over real time.",
            "track",
            {track: us / MICROSECONDS for track, us in tally.encode_us.items()},
        )
        yield _gauges(
            "track_queue_items",
            "Pictures, or pieces of sound, that wait for the thread of a track.",
            "track",
            session.waiting(),
        )
        yield _gauge(
            "speed_ratio",
            "Newest segments' duration over the slowest track's time for them; below 1: too slow.",
            _scaled(seen.speed_percent or None, 100),
        )
        yield CounterMetricFamily(
            f"{_PREFIX}segments_late",
            "Segments delivered, or withheld, later than the origin waits by default.",
            value=tally.late,
        )
        yield _gauge(
            "segment_delivery_seconds",
            "From the end of the newest segment's last frame until its push ended.",
            _scaled(tally.delivery_us, MICROSECONDS),
        )
        start_us = None if tally.begun_us is None else max(0, tally.begun_us - self._started_us)
        yield _gauge(
            "first_segment_seconds",
            "From the start of the process until its first segment was whole.",
            _scaled(start_us, MICROSECONDS),
        )

    def _pushes(self, session: Session) -> Iterator[Metric]:
        tally, report = session.tally, session.pushes()
        outcomes = {str(outcome): count for outcome, count in tally.outcomes.items()}
        yield _counters("pushes", "Segments, by how their push ended.", "outcome", outcomes)
        yield _counters(
            "push_requests", "HTTP requests, by what their answer meant.", "result", report.answers
        )
        yield CounterMetricFamily(
            f"{_PREFIX}push_bytes", "Bytes that the receiver took.", value=report.taken_bytes
        )
        yield _gauge("push_queue_segments", "Segments that wait for their push.", report.waiting)


class _Looked(Collector):
    """Figures that are taken when they are asked for."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        """Called at each scrape."""
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        """So that it is not asked before there is a session to look at."""
        return ()


def process_age_s() -> float:
    """Seconds since this process was started, by /proc (proc(5), starttime)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)


def _scaled(value: int | None, unit: int) -> float | None:
    return None if value is None else value / unit


def _gauge(name: str, text: str, value: float | None) -> Metric:
    """Without a value it has a name, and no sample."""
    return GaugeMetricFamily(f"{_PREFIX}{name}", text, value=value)


def _gauges(name: str, text: str, label: str, figures: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{_PREFIX}{name}", text, labels=(label,))
    for value, figure in figures.items():
        family.add_metric([str(value)], figure)
    return family


def _counters(name: str, text: str, label: str, figures: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(f"{_PREFIX}{name}", text, labels=(label,))
    for value, figure in figures.items():
        family.add_metric([str(value)], figure)
    return family
