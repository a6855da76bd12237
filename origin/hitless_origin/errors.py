"""The origin's errors, split by who must act.

PushRefused: the encoder (its answer says what to do). ViewRefused: the viewer, likewise.
StartError: whoever starts the process. StoreError: whoever looks after the disk.
"""

from __future__ import annotations


class OriginError(Exception):
    """Base of all."""


class StartError(OriginError):
    """The process can't start; the message says which setting to change."""


class StoreError(OriginError):
    """What is on disk can't be read as a channel."""


class Refused(OriginError):
    """A request was refused: what is wrong, what to do about it.

    status: HTTP status of the answer. retry_after_s: when the same may succeed, seconds.
    """

    def __init__(
        self,
        status: int,
        error: str,
        *,
        expected: object = None,
        got: object = None,
        hint: str = "",
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.expected = None if expected is None else str(expected)
        self.got = None if got is None else str(got)
        self.hint = hint
        self.retry_after_s = retry_after_s

    def text(self) -> str:
        """What is wrong, in a line."""
        if self.got is None:
            return self.error
        return f"{self.error}: {self.got}, {self.expected} expected"

    def body(self) -> dict[str, str | None]:
        """The JSON body of the answer."""
        return {
            "error": self.error,
            "expected": self.expected,
            "got": self.got,
            "hint": self.hint,
        }


class ViewRefused(Refused):
    """A viewer asked for a piece of the channel that there is not."""


class PushRefused(Refused):
    """A push was refused (statuses: proto/hitless_wire/ingest.py).

    mismatch, damaged: counts as one in the channel's report. challenges: for WWW-Authenticate.
    """

    def __init__(
        self,
        status: int,
        error: str,
        *,
        expected: object = None,
        got: object = None,
        hint: str = "",
        mismatch: bool = False,
        damaged: bool = False,
        retry_after_s: int | None = None,
        challenges: tuple[str, ...] = (),
    ) -> None:
        super().__init__(
            status, error, expected=expected, got=got, hint=hint, retry_after_s=retry_after_s
        )
        self.mismatch = mismatch
        self.damaged = damaged
        self.challenges = challenges
