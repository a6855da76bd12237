"""One EncoderDeployment as it was read: identity, spec if it can be read, status.

Owns the reading of the CR. `reconcile.py` makes one at each look and throws it away.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError

from hitless_handover.timeline import Timeline
from hitless_operator.status_model import EncoderDeploymentStatus
from hitless_wire.resources import KIND, EncoderDeploymentSpec

Document = dict[str, Any]
ERRORS_SHOWN_MAX = 5
ABORT_ANNOTATION = "hitless.video/abort"  # its value: the id of the handover to call off


class Key(NamedTuple):
    """What the work queue holds: one channel."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def spread(self) -> float:
        """From 0 to 1, the same each time: what is due for all keys is put off by it."""
        return zlib.crc32(str(self).encode()) / (1 << 32)


class StatusUnreadable(ValueError):
    """A status that another version or another writer left: nothing is done to such a channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A CR. body: as the API server gave it. spec: None when unreadable; spec_error says why."""

    key: Key
    uid: str
    generation: int
    body: Document
    spec: EncoderDeploymentSpec | None
    spec_error: str
    status: EncoderDeploymentStatus

    @property
    def kind(self) -> str:
        """Of the object that Events are about."""
        return KIND

    @property
    def version(self) -> str:
        """The resourceVersion."""
        return str(self.body["metadata"]["resourceVersion"])

    @property
    def abort_id(self) -> str:
        """The handover that the user calls off; empty for none."""
        annotations = self.body["metadata"].get("annotations") or {}
        return str(annotations.get(ABORT_ANNOTATION, ""))

    @property
    def timeline(self) -> Timeline | None:
        """The grid that the spec asks for."""
        return None if self.spec is None else self.spec.timeline.resolve()


def channel_of(body: Document) -> Channel:
    """Read a CR. Raises StatusUnreadable."""
    metadata = body["metadata"]
    spec, why = _spec_of(body.get("spec") or {})
    return Channel(
        key=Key(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        body=body,
        spec=spec,
        spec_error=why,
        status=_status_of(body),
    )


def is_deleted(body: Document) -> bool:
    """On its way out: the garbage collector takes the pods along."""
    return bool(body["metadata"].get("deletionTimestamp"))


def _spec_of(spec: Document) -> tuple[EncoderDeploymentSpec | None, str]:
    try:
        return EncoderDeploymentSpec.model_validate(spec), ""
    except ValidationError as error:
        return None, readable(error)


def _status_of(body: Document) -> EncoderDeploymentStatus:
    try:
        return EncoderDeploymentStatus.model_validate(body.get("status") or {})
    except ValidationError as error:
        raise StatusUnreadable(readable(error)) from error


def readable(error: ValidationError) -> str:
    """`profiles.0.width: what is wrong`, for the first few errors."""
    rows = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(map(str, row['loc'])) or 'spec'}: {row['msg']}" for row in rows]
    more = len(lines) - ERRORS_SHOWN_MAX
    shown = "; ".join(lines[:ERRORS_SHOWN_MAX])
    return f"{shown}; and {more} more" if more > 0 else shown
