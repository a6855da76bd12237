"""What the control part needs of a session: where it stands, and what it has encoded."""

from __future__ import annotations

from typing import Protocol

from hitless_encoder.session import Making, Snapshot


class Pipeline(Protocol):
    """The session, as conductor and the calls to the incumbent see it."""

    def snapshot(self) -> Snapshot:
        """The state at this moment."""
        ...

    def resend(self, first: int, last: int) -> None:
        """Push segments first to last, which were withheld."""
        ...

    async def wait_segment(self, segment: int, deadline_us: int) -> dict[str, bytes] | None:
        """The tracks of a segment once it is encoded; None at the deadline or when it is gone."""
        ...

    def making(self, segment: int) -> Making | None:
        """How and when a segment was made; None when it is gone."""
        ...
