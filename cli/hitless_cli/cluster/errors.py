"""What the cluster commands raise, split by who must act, and the exit codes of all of them.

One line each: what failed and what to do. `options.py` prints it; nothing else does.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_NOT_DONE = 1  # the outcome is not what was asked for, or the request makes no sense now
EXIT_USAGE = 2  # click's own
EXIT_CLUSTER = 3  # the API server refused, has nothing of that name, or can't be reached
EXIT_TIMEOUT = 4  # --timeout is over; the cluster goes on by itself
EXIT_INTERRUPTED = 130

EXIT_CODES_HELP = (
    "Exit code: 0 done; 1 refused or failed, with the reason; 2 wrong usage; 3 the cluster can't "
    "be reached, forbids it or has no such thing; 4 the time is over; 130 interrupted."
)


class CommandError(Exception):
    """Base. The message is one line for people; code is the process's exit code."""

    code = EXIT_NOT_DONE


class NotDone(CommandError):
    """What was asked for makes no sense now, or did not come about."""


class TimeIsOver(CommandError):
    """The wait has ended before the outcome."""

    code = EXIT_TIMEOUT


class ClusterError(CommandError):
    """The API server said no, or nothing. status: the HTTP status, 0 when there was no answer."""

    code = EXIT_CLUSTER

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NoAccess(ClusterError):
    """No usable kubeconfig or context."""


class Unreachable(ClusterError):
    """No answer, or one that says to try later."""


class NotFound(ClusterError):
    """Nothing of that name, or no resource of that type."""


class NotInstalled(ClusterError):
    """The cluster does not know the resource type."""


class Forbidden(ClusterError):
    """Not allowed to, or not known."""


class Expired(ClusterError):
    """A watch's resourceVersion is too old: read again."""


class Conflict(ClusterError):
    """Somebody else holds the field, or the object has changed. fields: those that others hold."""

    def __init__(self, message: str, *, status: int = 409, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message, status=status)
        self.fields = fields


class Rejected(ClusterError):
    """Validation, admission or quota says no; the message is the API server's."""
