"""Players that wait for the next part: a socket each, woken all at once."""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from hack.bench_origin.processes import RunError

WAIT_S_MAX = 30.0


class Reloads:
    """Connections that ask for the same playlist. `ask`, then something is published, `answers`."""

    def __init__(self, url: str, count: int) -> None:
        at = urlsplit(url)
        self._host, self._port, self._count = at.hostname or "", at.port or 0, count
        self._stack = ExitStack()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Reloads:
        for _ in range(self._count):
            made = self._stack.enter_context(socket.create_connection((self._host, self._port)))
            made.setblocking(False)
            self._sockets.append(made)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, path: str) -> None:
        """Ask on every connection."""
        line = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept-Encoding: gzip\r\n\r\n"
        for each in self._sockets:
            each.sendall(line.encode())

    def answers(self, wanted: str) -> list[float]:
        """When each answer began to arrive, monotonic seconds, sorted. wanted: a status."""
        found: list[float] = []
        until_s = time.monotonic() + WAIT_S_MAX
        with selectors.DefaultSelector() as ready:
            for each in self._sockets:
                ready.register(each, selectors.EVENT_READ)
            while len(found) < self._count:
                events = ready.select(max(0.0, until_s - time.monotonic()))
                if not events:
                    raise RunError(f"{len(found)} of {self._count} answers after {WAIT_S_MAX} s")
                now_s = time.monotonic()
                for key, _ in events:
                    head = self._taken(key.fileobj)
                    if not head.startswith(f"HTTP/1.1 {wanted} ".encode()):
                        raise RunError(f"an answer begins with {head[:100]!r}")
                    ready.unregister(key.fileobj)
                    found.append(now_s)
        return found

    def _taken(self, ready: object) -> bytes:
        assert isinstance(ready, socket.socket)
        return ready.recv(1 << 16)
