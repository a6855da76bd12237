"""Becomes another program that dies with its parent, however the parent dies.

Run as a script of its own, before the program: `python -I -S leash.py PARENT_PID PROGRAM ARG...`.
It asks the kernel for SIGKILL at the parent's death (prctl PR_SET_PDEATHSIG, kept across exec), and
then looks whether the parent had died before that. Done here and not between fork and exec of the
parent, where gRPC's threads make any Python code a deadlock. Only the standard library, no import
of this project: it must start in milliseconds. Where there is no prctl (not Linux) it only execs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_ORPHANED = 125
EXIT_NOT_FOUND = 127


def _hold(parent_pid: int) -> None:
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent_pid:
        sys.exit(EXIT_ORPHANED)


def main(arguments: list[str]) -> None:
    """Never returns."""
    parent, *program = arguments
    _hold(int(parent))
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(EXIT_NOT_FOUND)


if __name__ == "__main__":
    main(sys.argv[1:])
