"""What the tools here share that run our own commands: free ports, and processes that end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
END_S_MAX = 60.0  # from SIGINT to SIGKILL


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        found: int = free.getsockname()[1]
    return found


def below(pid: int) -> list[int]:
    """The processes that a process started, and those that they started, as far as they run."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(c) for task in tasks for c in (task / "children").read_text().split()]
    except OSError:
        return []
    return [*children, *(other for child in children for other in below(child))]


@contextmanager
def hitless(*arguments: str, log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A command of ours; it is ended at the end. log: for what it says on standard error."""
    with ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, "-m", "hitless_cli", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=None if log is None else stack.enter_context(log.open("w")),
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
