"""Players that wait for the next part: a socket each, woken all at once."""

from __future__ import annotations

import select
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from hack.bench_origin.bare import PUSH
from hack.bench_origin.processes import RunError

WAIT_S_MAX = 30.0
EVENTS_MAX = 16  # of one look: they share one time


class Reloads:
    """Connections that ask for the same playlist. `ask`, then something is published, `answers`."""

    def __init__(self, url: str, count: int) -> None:
        at = urlsplit(url)
        self._host, self._port, self._count = at.hostname or "", at.port or 0, count
        self._stack = ExitStack()
        self._sockets: list[socket.socket] = []
        self._epoll = select.epoll()

    def __enter__(self) -> Reloads:
        self._stack.enter_context(self._epoll)
        for _ in range(self._count):
            made = self._stack.enter_context(socket.create_connection((self._host, self._port)))
            made.setblocking(False)
            self._sockets.append(made)
            # Told of once, so that nothing is to be read or taken off while answers arrive.
            self._epoll.register(made, select.EPOLLIN | select.EPOLLET)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, path: str) -> None:
        """Ask on every connection."""
        line = f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept-Encoding: gzip\r\n\r\n"
        for each in self._sockets:
            each.sendall(line.encode())

    def arrivals(self) -> list[float]:
        """When each answer began to arrive, monotonic seconds, sorted. Raises RunError."""
        found: dict[int, float] = {}
        until_s = time.monotonic() + WAIT_S_MAX
        while len(found) < self._count:
            events = self._epoll.poll(max(0.0, until_s - time.monotonic()), EVENTS_MAX)
            if not events:
                raise RunError(f"{len(found)} of {self._count} answers after {WAIT_S_MAX} s")
            now_s = time.monotonic()
            for number, _ in events:
                found.setdefault(number, now_s)
        return sorted(found.values())

    def bodies(self, status: str) -> set[bytes]:
        """The answers that have arrived, whole ones of this status. Raises RunError."""
        found: set[bytes] = set()
        for each in self._sockets:
            head, _, body = (answer := _taken(each)).partition(b"\r\n\r\n")
            if not head.startswith(f"HTTP/1.1 {status} ".encode()):
                raise RunError(f"an answer begins with {answer[:100]!r}")
            if f"Content-Length: {len(body)}\r\n".encode() not in head + b"\r\n":
                raise RunError(f"{len(body)} bytes came after {head!r}")
            found.add(answer)
        return found


class Trigger:
    """A connection that asks `bare` to answer those who wait."""

    def __init__(self, url: str) -> None:
        at = urlsplit(url)
        self._address = at.hostname or "", at.port or 0

    def __enter__(self) -> Trigger:
        self._socket = socket.create_connection(self._address)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def push(self) -> float:
        """Ask; when that began, monotonic seconds."""
        begun_s = time.monotonic()
        self._socket.sendall(PUSH)
        return begun_s


def _taken(each: socket.socket) -> bytes:
    """What there is. An answer of some kB arrives as it was written: at once."""
    try:
        return each.recv(1 << 20)
    except BlockingIOError:
        return b""
