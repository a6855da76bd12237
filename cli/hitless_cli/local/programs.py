"""Which programs the children are: command lines and environments. Pure.

Owns what `hitless local` assumes of `hitless_origin` and `hitless_encoder`, and nothing else does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from hitless_cli.local.errors import StartError
from hitless_cli.local.home import Home
from hitless_cli.local.processes import Program
from hitless_cli.local.versions import version_env
from hitless_handover.supervisor_model import CreateEncoder
from hitless_wire.encoder_config import encoder_config
from hitless_wire.resources import EncoderDeploymentSpec

CONTROL_HOST = "127.0.0.1"  # encoders' gRPC has no authentication: never on another address
SPECS_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Programs to start instead of the installed ones; arguments are appended, env is added."""

    encoder: tuple[str, ...] = (sys.executable, "-m", "hitless_encoder")
    origin: tuple[str, ...] = (sys.executable, "-m", "hitless_origin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Which channel this is, and where its origin is."""

    uid: str
    namespace: str
    name: str
    origin_url: str


def origin_program(commands: Commands, home: Home, *, host: str, port: int) -> Program:
    """The origin."""
    return Program(
        name="origin",
        command=(
            *commands.origin,
            *("--host", host, "--port", str(port), "--data", str(home.origin)),
        ),
        env={"PYTHONUNBUFFERED": "1"},
        log=home.logs / "origin.log",
    )


class EncoderPrograms:
    """Makes an encoder's program from the spec that its record's digest stands for."""

    def __init__(self, commands: Commands, home: Home, channel: Channel) -> None:
        self._commands = commands
        self._home = home
        self._channel = channel
        self._specs: dict[str, EncoderDeploymentSpec] = {}

    def know(self, digest: str, spec: EncoderDeploymentSpec) -> None:
        """An encoder may be made from this spec from now on."""
        self._specs.pop(digest, None)
        self._specs[digest] = spec
        while len(self._specs) > SPECS_MAX:
            del self._specs[next(iter(self._specs))]

    def program(self, order: CreateEncoder, port: int) -> Program:
        """What to run. Raises StartError for a spec that this run has never had."""
        encoder = order.encoder
        spec = self._specs.get(encoder.digest)
        if spec is None:
            raise StartError(f"{encoder.name}: the settings {encoder.digest} are not known here")
        config = encoder_config(
            spec,
            namespace=self._channel.namespace,
            channel=self._channel.name,
            encoder_id=encoder.name,
            default_ingest_url=self._channel.origin_url,
            anchor=order.anchor,
        )
        return Program(
            name=encoder.name,
            command=self._commands.encoder,
            env={
                "HITLESS_ENCODER_CONFIG": config.to_json(),
                "HITLESS_GRPC_HOST": CONTROL_HOST,
                "HITLESS_GRPC_PORT": str(port),
                "HITLESS_METRICS_PORT": "0",
                "PYTHONUNBUFFERED": "1",
                **version_env(encoder.image),
            },
            log=self._home.encoder_log(encoder.name),
        )
