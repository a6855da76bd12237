"""The composition root of one `hitless local` run: its parts, in the order they start and stop.

Owns which part is given which. `command.py` calls `run_channel`, which ends with every child
stopped, whatever ends it: first the encoders, then the origin.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hitless_cli.local.channel_file import ChannelFile, Deployment
from hitless_cli.local.encoders import Encoders
from hitless_cli.local.home import Home, opened
from hitless_cli.local.observe import Observer
from hitless_cli.local.origin import Origin
from hitless_cli.local.outcome import UpdateOrder
from hitless_cli.local.programs import (
    CONTROL_HOST,
    Channel,
    Commands,
    EncoderPrograms,
    origin_program,
)
from hitless_cli.local.record import RecordFile
from hitless_cli.local.run import ChannelLoop
from hitless_cli.local.screen import Screen
from hitless_cli.local.signals import Signals
from hitless_cli.local.story import Addresses
from hitless_wire.ingest import live_path
from hitless_wire.peers import Peers


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line says. data: None for a temporary directory."""

    file: Path
    host: str = "127.0.0.1"
    port: int = 8080
    data: Path | None = None
    update: str | None = None
    after_s: float = 0.0
    exit_after_update: bool = False
    commands: Commands = field(default_factory=Commands)


async def run_channel(settings: Settings, screen: Screen) -> int:
    """Play the channel until a signal or the end asked for; the exit code.

    Raises ChannelFileError, DataDirError or StartError when it can't be started.
    """
    file = ChannelFile(settings.file)
    deployment = file.read()
    with opened(settings.data) as home:
        run = Run(settings, home, file, deployment, screen)
        async with Peers() as peers, run.origin_up(), run.loop(peers) as loop:
            return await loop.play()


class Run:
    """The parts of one run that need nothing but each other; origin and loop come up in turn."""

    def __init__(
        self,
        settings: Settings,
        home: Home,
        file: ChannelFile,
        deployment: Deployment,
        screen: Screen,
    ) -> None:
        self._settings, self._home, self._file = settings, home, file
        self._deployment, self._screen = deployment, screen
        namespace, name = deployment.metadata.namespace, deployment.metadata.name
        self._records = RecordFile(home.record, namespace=namespace, channel=name)
        self._record = self._records.load()
        self._signals = Signals()
        self._origin = _origin(settings, home, self._signals)
        self._channel = Channel(
            uid=uuid.uuid5(uuid.NAMESPACE_URL, f"{namespace}/{name}").hex,
            namespace=namespace,
            name=name,
            origin_url=self._origin.base_url,
        )
        self._programs = EncoderPrograms(settings.commands, home, self._channel)
        self._encoders = Encoders(
            self._programs.program, host=CONTROL_HOST, wake=self._signals.wake.set
        )

    @asynccontextmanager
    async def origin_up(self) -> AsyncIterator[None]:
        """The origin serves in this block, and signals are caught. Raises StartError."""
        with self._signals.caught(self._encoders.kill, self._origin.kill):
            try:
                await self._origin.start(self._signals.stop)
                yield
            finally:
                await self._origin.close()

    @asynccontextmanager
    async def loop(self, peers: Peers) -> AsyncIterator[ChannelLoop]:
        """The loop; after the block no encoder runs."""
        loop = ChannelLoop(
            signals=self._signals,
            file=self._file,
            deployment=self._deployment,
            records=self._records,
            record=self._record,
            origin=self._origin,
            encoders=self._encoders,
            programs=self._programs,
            observer=Observer(self._channel, self._encoders, peers),
            peers=peers,
            screen=self._screen,
            order=UpdateOrder(
                update=self._settings.update,
                after_s=self._settings.after_s,
                exit_after=self._settings.exit_after_update,
            ),
            logs=self._home.logs,
        )
        self._screen.addresses(_addresses(self._channel, self._home))
        try:
            yield loop
        finally:
            await loop.close()


def _origin(settings: Settings, home: Home, signals: Signals) -> Origin:
    program = origin_program(settings.commands, home, host=settings.host, port=settings.port)
    return Origin(program, host=settings.host, port=settings.port, wake=signals.wake.set)


def _addresses(channel: Channel, home: Home) -> Addresses:
    live = channel.origin_url + live_path(channel.namespace, channel.name)
    return Addresses(
        hls=f"{live}/master.m3u8",
        dash=f"{live}/manifest.mpd",
        page=f"{channel.origin_url}/",
        data=str(home.root),
    )
