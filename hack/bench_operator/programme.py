"""What an origin would publish of one channel, from encoders without media.

Owns the rule "the highest priority of what was delivered". Segments are made up for when somebody
asks: between two questions nothing happens that could not be told afterwards, so 5,000 channels at
rest cost nothing. `nodes.py` uses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from hack.stand_ins.encoder import Encoder

from hitless_handover.messages import EncoderReport, PeerPhase
from hitless_handover.peer_model import Begin, Effect, Event, SendSamples
from hitless_handover.timeline import MICROSECONDS
from hitless_wire._gen import handover_pb2 as pb
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.ingest import ChannelReport, SwitchReport

SWITCHES_MAX = 50


@dataclass(slots=True, kw_only=True)
class Work:
    """When an encoder did what, microseconds since 1970; None: not yet.

    seen: its pod was seen. delivered: its first segment was whole. begun: it was told to begin.
    event: first segment that it led.
    """

    seen_us: int
    delivered_us: int | None = None
    begun_us: int | None = None
    event: int | None = None


class TimedEncoder(Encoder):
    """An encoder whose programme is made up for before it answers, and whose samples take time."""

    def __init__(
        self, config: EncoderConfig, programme: Programme, now_us: Callable[[], int], work: Work
    ) -> None:
        super().__init__(config, now_us, programme.neighbours)
        self.started_us = now_us()
        self.work = work
        self._programme = programme
        self._sampling: asyncio.TimerHandle | None = None

    async def stop(self) -> None:
        if self._sampling is not None:
            self._sampling.cancel()
        await super().stop()

    def report(self) -> EncoderReport:
        self._programme.catch_up()
        return super().report()

    def order(self, event: Event) -> pb.Reply:
        self._programme.catch_up()
        if isinstance(event, Begin) and self.work.begun_us is None:
            self.work.begun_us = self._now_us()
        return super().order(event)

    def _perform(self, effect: Effect) -> None:
        if not isinstance(effect, SendSamples):
            super()._perform(effect)
            return
        ready_us = _end_us(self, (self.peer.head or 0) + effect.segments)
        wait_s = max(0, ready_us - self._now_us()) / MICROSECONDS
        self._sampling = asyncio.get_running_loop().call_later(wait_s, self._sampled, effect)

    def _sampled(self, effect: SendSamples) -> None:
        """The segments that the incumbent judges are encoded: they go to it, in no time."""
        self._programme.catch_up()
        side = self.peer.side
        waits = side is not None and side.phase is PeerPhase.SYNCHRONISED
        if side is not None and waits and side.handover_id == effect.handover_id:
            super()._perform(effect)


@dataclass(kw_only=True)
class Programme:
    """One channel. encoders: those that run. last: the newest segment that was dealt with.

    gaps: segments that nobody delivered. steps_back: lower terms after higher ones.
    """

    namespace: str
    channel: str
    now_us: Callable[[], int]
    encoders: dict[str, TimedEncoder] = field(default_factory=dict)
    neighbours: dict[str, Encoder] = field(default_factory=dict)
    last: int | None = None
    selected: tuple[int, str] = (0, "")
    switches: list[SwitchReport] = field(default_factory=list)
    gaps: int = 0
    steps_back: int = 0

    def add(self, encoder: TimedEncoder) -> None:
        """It runs from now on."""
        self.catch_up()
        name = encoder.config.encoder_id
        self.encoders[name] = self.neighbours[name] = encoder

    def remove(self, name: str) -> TimedEncoder | None:
        """It does not run any more."""
        self.catch_up()
        self.neighbours.pop(name, None)
        return self.encoders.pop(name, None)

    def catch_up(self) -> None:
        """Deal with every segment that has ended."""
        encoder = next(iter(self.encoders.values()), None)
        if encoder is None:
            return  # the next encoder finds what is missing
        line = encoder.timeline
        newest = line.segment_of(line.frame_at(self.now_us())) - 1
        first = newest if self.last is None else self.last + 1
        if len(self.encoders) == 1 and self._delivers(encoder, first):
            first = max(first, newest)  # one encoder that goes on: as now, so all the time
        for segment in range(first, newest + 1):
            self._publish(segment)

    def _delivers(self, encoder: TimedEncoder, segment: int) -> bool:
        line = encoder.timeline
        return line.wall_us(line.first_frame(segment)) >= encoder.started_us

    def _publish(self, segment: int) -> None:
        offers = []
        for name, encoder in self.encoders.items():
            if not self._delivers(encoder, segment):
                continue
            priority = encoder.deliver(segment)
            if priority is not None:
                offers.append((priority, name))
            if encoder.work.delivered_us is None:
                encoder.work.delivered_us = _end_us(encoder, segment)
        if not offers:
            self.gaps += self.last is not None
            self.last = segment if self.last is not None else None
            return
        self._select(segment, max(offers))
        for _, name in offers:
            self.encoders[name].pushed(segment)

    def _select(self, segment: int, offer: tuple[int, str]) -> None:
        before, self.selected, self.last = self.selected, offer, segment
        if offer[1] == before[1]:
            return
        if offer[0] < before[0]:
            self.steps_back += 1
        winner = self.encoders[offer[1]]
        winner.work.event = segment
        if before[1]:
            self.switches.append(_switch(winner, segment, before, offer))
            del self.switches[:-SWITCHES_MAX]

    def report(self) -> ChannelReport | None:
        """As the origin says it; None: it knows nothing of the channel."""
        self.catch_up()
        if self.last is None:
            return None
        return ChannelReport(
            namespace=self.namespace,
            channel=self.channel,
            fingerprint="same",
            first_segment=None,
            last_segment=self.last,
            selected_encoder=self.selected[1],
            selected_priority=self.selected[0],
            fallbacks=self.steps_back,
            gaps=self.gaps,
            mismatches=0,
            inputs=(),
            switches=tuple(self.switches),
        )


def _switch(
    winner: TimedEncoder, segment: int, before: tuple[int, str], after: tuple[int, str]
) -> SwitchReport:
    return SwitchReport(
        segment=segment,
        frame=winner.timeline.first_frame(segment),
        from_encoder=before[1],
        to_encoder=after[1],
        from_priority=before[0],
        to_priority=after[0],
        fallback=after[0] < before[0],
        gap_frames=0,
        overlap_frames=winner.timeline.segment_frames,
    )


def _end_us(encoder: TimedEncoder, segment: int) -> int:
    line = encoder.timeline
    return line.wall_us(line.first_frame(segment + 1))


def need_s(encoder: TimedEncoder, hold_segments: int) -> float | None:
    """What a handover to this encoder took the encoders themselves; None: there was none.

    From its pod to its first whole segment, from the order to begin to its first segment on air,
    and the hold. What lies between is the operator's.
    """
    work = encoder.work
    if work.delivered_us is None or work.begun_us is None or work.event is None:
        return None
    held_us = _end_us(encoder, work.event + hold_segments)
    return (work.delivered_us - work.seen_us + held_us - work.begun_us) / MICROSECONDS
