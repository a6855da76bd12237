"""What a simulated channel is like before anything goes wrong: values only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hitless_handover.messages import Criteria, HandoverMode
from hitless_handover.supervisor_model import Desired, HandoverPolicy
from hitless_handover.timeline import MICROSECONDS, Anchor, Timeline
from hitless_sim.facts import Quality

TIMELINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)
SEGMENT_US = 2 * MICROSECONDS
EPOCH_US = 1_000_000 * MICROSECONDS  # the world's time zero, at the start of a segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What comes of an encoder image.

    own_ladder: it declares other renditions: a MISMATCH, which the origin refuses, unless a
    discontinuity is allowed. A MISMATCH without it declares another anchor. pulls: whether it
    exists at all. protocol: versions ahead of ours.
    """

    name: str
    quality: Quality = Quality.GOOD
    own_ladder: bool = False
    pulls: bool = True
    protocol: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The world of one seed. Lags and distances: of the encoders in the order of their creation.

    boot_us: from a pod to its process. warm_us: from there to its input. lags_us: from the end of a
    segment to its encoded form. distances_us: one way to the middle of the network. watch_us: until
    an operator hears of a change. heal_us: when all faults end. has_origin False: the downstream is
    somebody else's, is not asked, and knows no priorities unless `mode` is Priority. parts: in a
    segment, gop_parts: in a GOP; 0: segments are pushed whole. allow_discontinuity: an update may
    bring other renditions.
    """

    mode: HandoverMode
    hot_spare: bool
    has_origin: bool
    operators: int
    images: tuple[Image, ...]
    offset_us: int
    boot_us: int
    warm_us: int
    lags_us: tuple[int, ...]
    distances_us: tuple[int, ...]
    watch_us: int
    lead_segments: int
    verify_segments: int
    hold_segments: int
    start_s: int
    negotiate_s: int
    confirm_s: int
    heal_us: int
    rounds_max: int = 5
    parts: int = 0
    gop_parts: int = 0
    allow_discontinuity: bool = False

    def image(self, name: str) -> Image:
        """The image of that name."""
        return next(image for image in self.images if image.name == name)

    def desired(self) -> Desired:
        """What the user asks for at first."""
        criteria = Criteria(
            lead_segments=self.lead_segments,
            verify_segments=self.verify_segments,
            psnr_min_db=26,
            mode=self.mode,
            rounds_max=self.rounds_max,
            allow_discontinuity=self.allow_discontinuity,
        )
        return Desired(
            generation=1,
            image=self.images[0].name,
            digest=digest_of(self.images[0].name),
            policy=HandoverPolicy(
                criteria=criteria,
                hold_segments=self.hold_segments,
                start_s=self.start_s,
                negotiate_s=self.negotiate_s,
                confirm_s=self.confirm_s,
            ),
            timeline=TIMELINE,
            has_origin=self.has_origin,
            hot_spare=self.hot_spare,
        )


def digest_of(image: str) -> str:
    """The digest of a spec: here only its image makes an encoder what it is."""
    return f"digest-{image}"


@cache
def anchor_of(number: int) -> Anchor:
    """The anchor that this number stands for."""
    return Anchor(
        source_ticks=number, source_timescale=90_000, wrap_ticks=1 << 33, frame=0, wall_us=0
    )
