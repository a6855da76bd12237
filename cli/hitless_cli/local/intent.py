"""What the user asks for, from file and command line: values only.

Owns the generation (as metadata.generation in Kubernetes: one more for each change of the spec) and
which image wins when both file and `--update` name one. The run loop holds one Intent at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hitless_cli.local.versions import with_version
from hitless_handover.messages import Criteria
from hitless_handover.supervisor_model import Desired, HandoverPolicy
from hitless_handover.timeline import MICROSECONDS, ceil_div
from hitless_wire.resources import EncoderDeploymentSpec, Handover, spec_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """The spec to run. file_image: the image that the file named when this was made."""

    spec: EncoderDeploymentSpec
    generation: int
    file_image: str

    @property
    def digest(self) -> str:
        """Of all that an encoder is made from."""
        return spec_digest(self.spec)


def first_intent(spec: EncoderDeploymentSpec, *, observed_generation: int) -> Intent:
    """At the start of a run. Its generation is above any that a former run observed."""
    return Intent(
        spec=localised(spec), generation=max(observed_generation, 0) + 1, file_image=spec.image
    )


def localised(spec: EncoderDeploymentSpec) -> EncoderDeploymentSpec:
    """Without `output.ingestUrl`, which names an origin that this machine may not reach."""
    return spec.model_copy(update={"output": spec.output.model_copy(update={"ingest_url": None})})


def reread(intent: Intent, spec: EncoderDeploymentSpec) -> Intent:
    """The file has changed. An image given by `--update` stays until the file names a new one."""
    image = intent.spec.image if spec.image == intent.file_image else spec.image
    wanted = localised(spec).model_copy(update={"image": image})
    return _next(replace(intent, file_image=spec.image), wanted)


def updated(intent: Intent, update: str) -> Intent:
    """`--update`: another image."""
    image = with_version(intent.spec.image, update)
    return _next(intent, intent.spec.model_copy(update={"image": image}))


def _next(intent: Intent, spec: EncoderDeploymentSpec) -> Intent:
    if spec == intent.spec:
        return intent
    return replace(intent, spec=spec, generation=intent.generation + 1)


def desired(intent: Intent) -> Desired:
    """The intent as the supervisor reads it."""
    spec = intent.spec
    timeline = spec.timeline.resolve()
    span = timeline.segment_frames * timeline.rate_den
    return Desired(
        generation=intent.generation,
        image=spec.image,
        digest=intent.digest,
        policy=_policy(spec.handover),
        segment_frames=timeline.segment_frames,
        segment_us=ceil_div(span * MICROSECONDS, timeline.rate_num),
        paused=spec.paused,
    )


def _policy(handover: Handover) -> HandoverPolicy:
    return HandoverPolicy(
        criteria=Criteria(
            lead_segments=handover.lead_segments,
            verify_segments=handover.verify.segments,
            psnr_min_db=handover.verify.psnr_min_db,
        ),
        hold_segments=handover.hold_segments,
        start_s=handover.deadlines.start_seconds,
        negotiate_s=handover.deadlines.negotiate_seconds,
        confirm_s=handover.deadlines.confirm_seconds,
    )
