"""Composition root of the encoder process: a session, its conductor and their gRPC server."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import av
from pydantic import ValidationError

from hitless_encoder import allocator, last_words
from hitless_encoder.clock import SystemClock
from hitless_encoder.control.conductor import Conductor
from hitless_encoder.control.follower import Follower
from hitless_encoder.control.incumbent import Incumbents
from hitless_encoder.control.service import ControlServer
from hitless_encoder.errors import ConfigurationError, EncoderError
from hitless_encoder.metrics import Metrics
from hitless_encoder.metrics_server import MetricsServer
from hitless_encoder.session import Session
from hitless_encoder.video import DEFAULT_PRESET
from hitless_handover.messages import Identity
from hitless_handover.timeline import TimelineError
from hitless_wire import exits, logs
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.ingest_tokens import TOKEN_FILE_VARIABLE, TokenFile
from hitless_wire.peers import GRPC_PORT, METRICS_PORT, Peers

CONFIG_VARIABLE = "HITLESS_ENCODER_CONFIG"
EXIT_CONFIGURATION = exits.CONFIGURATION
EXIT_FAILED = exits.FAILED
REPORT_SECONDS = 10

_log = logging.getLogger("hitless_encoder")


def read_config(path: str | None) -> EncoderConfig:
    """The configuration from a file or HITLESS_ENCODER_CONFIG. Raises ConfigurationError."""
    source = path or CONFIG_VARIABLE
    try:
        text = Path(path).read_text() if path else os.environ[CONFIG_VARIABLE]
        config = EncoderConfig.model_validate_json(text)
        config.timeline.resolve()
    except KeyError as error:
        raise ConfigurationError(f"give --config FILE or set {CONFIG_VARIABLE}") from error
    except OSError as error:
        raise ConfigurationError(f"{source}: {error.strerror}") from error
    except TimelineError as error:
        raise ConfigurationError(f"{source}: timeline: {error}") from error
    except ValidationError as error:
        lines = (
            f"{source}: {'.'.join(map(str, one['loc'])) or 'document'}: {one['msg']}"
            for one in error.errors()
        )
        raise ConfigurationError("\n".join(lines)) from error
    return config


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the process listens. 0: any free port; the log says which."""

    host: str
    grpc: int
    metrics: int


async def run(config: EncoderConfig, ports: Ports, token: TokenFile | None = None) -> int:
    """Encode, answer gRPC and show metrics until SIGTERM or SIGINT; the exit code."""
    version = os.environ.get("HITLESS_VERSION", "dev")
    preset = os.environ.get("HITLESS_PRESET", DEFAULT_PRESET)
    stop = stop_signals()
    clock = SystemClock()
    metrics = Metrics(version=version, preset=preset)
    conductor = Conductor(
        identity=identity_of(config, version),
        timeline=config.timeline.resolve(),
        clock=clock,
        incumbents=Incumbents(clock),
        silent=config.silent_standby,
        on_phase=metrics.stepped,
    )
    session = Session(
        config,
        version,
        preset,
        lead_of=conductor.stamp,
        is_silent=conductor.is_silent,
        on_pushed=conductor.pushed,
        clock=clock,
        token=token,
    )
    metrics.attach(session)
    conductor.attach(session, session.media.inits)
    peers = Peers()
    follower = Follower(
        ask=peers.encoder_report,
        stands_by=conductor.stands_by,
        take_over=session.follow,
        clock=clock,
    )
    server = ControlServer(
        conductor,
        follower,
        timeline=session.media.timeline,
        inits=session.media.inits,
        host=ports.host,
        port=ports.grpc,
    )
    await session.start()
    shows = MetricsServer(metrics.text, host=ports.host, port=ports.metrics)
    async with peers, server, shows as shown:
        _log.info(
            "encoder %s version %s preset %s started, gRPC on port %d, metrics on port %s",
            config.encoder_id,
            version,
            preset,
            server.port,
            shown.port,
        )
        failure = await watch(session, conductor, stop)
        await follower.close()
    await conductor.close()
    await session.close(finish=not failure)
    if failure:
        last_words.say(failure)
    return EXIT_FAILED if failure else 0


def identity_of(config: EncoderConfig, version: str) -> Identity:
    """Who this process is: the instance tells a restart from the process before it."""
    return Identity(
        namespace=config.namespace,
        channel=config.channel,
        encoder_id=config.encoder_id,
        instance=uuid.uuid4().hex,
        version=version,
    )


def stop_signals() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    return stop


async def watch(session: Session, conductor: Conductor, stop: asyncio.Event) -> str:
    """Report now and then until it is time to stop; why the session has failed, if it has.

    A retired encoder stops its session and stays, silent, until it is deleted: would it exit, it
    would be started again.
    """
    ends = [asyncio.create_task(event.wait()) for event in (stop, conductor.retired)]
    try:
        while not stop.is_set() and not conductor.retired.is_set():
            await asyncio.wait(ends, timeout=REPORT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            failure = _report(session)
            if failure:
                return failure
    finally:
        for end in ends:
            end.cancel()
    if not stop.is_set():
        _log.info("handed over: this encoder stops pushing")
        await session.close(finish=False)
        await stop.wait()
    return ""


def _report(session: Session) -> str:
    """Log one line about the session; why it has failed, if it has."""
    now = session.snapshot()
    _log.info(
        "source=%s segment=%s pushed=%s speed=%d%% repeated=%d dropped=%d push_failures=%d%s",
        now.source_state,
        now.encoded_segment,
        now.head_segment,
        now.speed_percent,
        now.repeated,
        now.dropped,
        now.push_failures + now.push_dropped,
        f" {now.failure}" if now.failure else "",
    )
    return now.failure


def main() -> int:
    """Parse arguments and run; the exit code, EXIT_CONFIGURATION where no new start can help."""
    parser = argparse.ArgumentParser(prog="hitless_encoder", description=__doc__)
    parser.add_argument("--config", help=f"JSON file; default: the text in {CONFIG_VARIABLE}")
    parser.add_argument(
        "--grpc-host",
        default=os.environ.get("HITLESS_GRPC_HOST", "0.0.0.0"),
        help="address to serve gRPC on; default: HITLESS_GRPC_HOST or all",
    )
    parser.add_argument(
        "--grpc-port",
        type=int,
        default=int(os.environ.get("HITLESS_GRPC_PORT", str(GRPC_PORT))),
        help=f"port to serve gRPC on; default: HITLESS_GRPC_PORT or {GRPC_PORT}",
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        default=int(os.environ.get("HITLESS_METRICS_PORT", str(METRICS_PORT))),
        help=f"port of /metrics (HTTP); default: HITLESS_METRICS_PORT or {METRICS_PORT}",
    )
    parser.add_argument(
        "--ingest-token-file",
        default=os.environ.get(TOKEN_FILE_VARIABLE),
        help="file with the channel's token for the origin, followed when it changes; "
        f"default: {TOKEN_FILE_VARIABLE}, else none",
    )
    options = parser.parse_args()
    logs.set_up(os.environ)
    allocator.give_pictures_back()
    av.logging.set_level(av.logging.ERROR)
    try:
        config = read_config(options.config)
        channel = f"{config.namespace}/{config.channel}"
        logs.set_up(os.environ, channel=channel, encoder=config.encoder_id)
        ports = Ports(host=options.grpc_host, grpc=options.grpc_port, metrics=options.metrics_port)
        file = options.ingest_token_file
        return asyncio.run(run(config, ports, TokenFile(Path(file)) if file else None))
    except ConfigurationError as error:
        last_words.say(str(error))
        print(error, file=sys.stderr)
        return EXIT_CONFIGURATION
    except EncoderError as error:
        last_words.say(str(error))
        print(f"hitless_encoder: {error}", file=sys.stderr)
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
