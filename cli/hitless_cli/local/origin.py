"""The origin process: started first, kept up, stopped last.

Owns the one child that viewers talk to. Encoders push to `base_url`, the observer asks it there,
and it keeps its segments in a directory of its own, so that it goes on after a crash.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp

from hitless_cli.local import ports
from hitless_cli.local.errors import StartError
from hitless_cli.local.processes import Child, Program, exit_text
from hitless_handover.supervisor_model import Notice

START_S = 30.0
POLL_S = 0.1
ASK_S = 2.0
GRACE_S = 8.0
RESTART_S = 1.0  # not sooner after the last start


class Origin:
    """One origin on one port."""

    def __init__(self, program: Program, *, host: str, port: int, wake: Callable[[], None]) -> None:
        self._program = program
        self._host = host
        self._port = port
        self._wake = wake
        self._child: Child | None = None
        self._started_s = 0.0

    @property
    def base_url(self) -> str:
        """Where this machine reaches it."""
        return f"http://{ports.authority(ports.reachable_host(self._host), self._port)}"

    async def start(self, stop: asyncio.Event) -> None:
        """Start it and return when it serves, or when `stop` is set. Raises StartError."""
        taken = ports.why_not_free(self._host, self._port)
        if taken is not None:
            where = ports.authority(self._host, self._port)
            raise StartError(f"origin: {where}: {taken}; choose another --port or --host")
        child = await self._spawn()
        until_s = time.monotonic() + START_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_S)) as http:
            while not stop.is_set() and not await self._healthy(http):
                self._check(child, until_s)
                await asyncio.sleep(POLL_S)

    async def tend(self) -> tuple[Notice, ...]:
        """Start it again when it has ended; says so."""
        child = self._child
        if child is None or child.exit_code is None:
            return ()
        if time.monotonic() < self._started_s + RESTART_S:
            return ()
        message = f"the origin ended ({_end_of(child)}) and is started again"
        await child.stop(0.0)
        await self._spawn()
        return (Notice(reason="OriginLost", message=message, warning=True),)

    async def close(self) -> None:
        """Stop it."""
        if self._child is not None:
            await self._child.stop(GRACE_S)
            self._child = None

    def kill(self) -> None:
        """End it at once; `close` still has to follow."""
        if self._child is not None:
            self._child.kill()

    async def _spawn(self) -> Child:
        self._started_s = time.monotonic()
        self._child = await Child.start(self._program, self._wake)
        return self._child

    async def _healthy(self, http: aiohttp.ClientSession) -> bool:
        try:
            async with http.get(f"{self.base_url}/healthz") as response:
                return response.status == 200
        except (TimeoutError, aiohttp.ClientError):
            return False

    def _check(self, child: Child, until_s: float) -> None:
        if child.exit_code is not None:
            raise StartError(f"origin: {_end_of(child)}", f"its log: {self._program.log}")
        if time.monotonic() > until_s:
            raise StartError(
                f"origin: {self.base_url}/healthz does not answer after {START_S:.0f} s",
                f"its log: {self._program.log}",
            )


def _end_of(child: Child) -> str:
    assert child.exit_code is not None
    return ": ".join(filter(None, (exit_text(child.exit_code), child.last_line)))
