"""What the user asks for, from file and command line: values only.

Owns the generation (as metadata.generation in Kubernetes: one more for each change of the spec) and
which image wins when both file and `--update` name one. The run loop holds one Intent at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hitless_cli.local.versions import with_version
from hitless_handover.supervisor_model import Desired
from hitless_wire.desired import desired_of
from hitless_wire.resources import EncoderDeploymentSpec, spec_digest


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
    return desired_of(intent.spec, generation=intent.generation, has_origin=True)
