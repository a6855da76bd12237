"""`python -m hitless_origin`: the composition root of the origin.

Every option has an environment variable HITLESS_ORIGIN_<NAME>; the option wins. SIGTERM and SIGINT
close in order: no new connections, running answers end, channels finish, the folder is free.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from hitless_origin.bucket import BucketStorage
from hitless_origin.clock import SystemClock
from hitless_origin.errors import StartError
from hitless_origin.folder import FolderStorage
from hitless_origin.names import is_encoder, is_priority
from hitless_origin.objects import SCHEME, Objects
from hitless_origin.origin import Origin
from hitless_origin.server import make_runner
from hitless_origin.settings import PlainInput, Settings
from hitless_origin.storage import Storage
from hitless_wire import logs

ENV_PREFIX = "HITLESS_ORIGIN_"
CLOSE_S_MAX = 10  # for answers that are under way
_DEFAULT = Settings(data=Path("origin-data"))
_CACHE = Path("origin-cache")
CALLS_MAX = 64  # of a bucket at a time

log = logging.getLogger("hitless_origin")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop. Gives the exit code: 0 closed in order, 2 could not start."""
    settings = read_settings(sys.argv[1:] if arguments is None else arguments, os.environ)
    logs.set_up(os.environ)
    try:
        asyncio.run(run(settings))
    except StartError as error:
        log.error("%s", error)
        return 2
    return 0


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Options over environment over defaults. Exits with a message when one can't be used."""
    parser = argparse.ArgumentParser(prog="python -m hitless_origin", description=__doc__)

    def option(name: str, kind: type[int] | type[str], default: int | str, text: str) -> None:
        variable = ENV_PREFIX + name.upper().replace("-", "_")
        value = environment.get(variable, default)  # argparse checks a text default like an option
        parser.add_argument(
            f"--{name}", type=kind, default=value, help=f"{text} ({variable}; {default})"
        )

    option("host", str, _DEFAULT.host, "address to listen on")
    option("port", int, _DEFAULT.port, "port to listen on")
    option("data", str, str(_DEFAULT.data), "folder for the channels, or s3://bucket/prefix")
    option("cache", str, str(_CACHE), "folder on this machine for what is in the bucket")
    option(
        "deadline-percent",
        int,
        _DEFAULT.deadline_percent,
        "publish deadline in percent of a segment",
    )
    option("channels-max", int, _DEFAULT.channels_max, "most channels at a time")
    option(
        "bytes-max", str, "", "most bytes of all channels' segments, e.g. 8Gi; empty: the disk's"
    )
    option("waiting-max", int, _DEFAULT.waiting_max, "most requests that wait for the next part")
    option("hls-js", str, "", "the file hls.min.mjs of npm's hls.js, for the page's picture")
    option("plain-input", str, "", "ENCODER:PRIORITY of pushes without our headers; empty: refused")
    option(
        "ingest-keys-file", str, "", "a key a line for the encoders' tokens; empty: all may push"
    )
    option("ingest-tokens", str, "required", "required, or optional: wrong ones are only counted")
    parsed = parser.parse_args(arguments)
    if not 0 <= parsed.port <= 65_535:
        parser.error(f"--port {parsed.port} is no port: give 0 to 65535")
    if not 10 <= parsed.deadline_percent <= 1000:
        parser.error(f"--deadline-percent {parsed.deadline_percent}: give 10 to 1000")
    if parsed.channels_max < 1:
        parser.error(f"--channels-max {parsed.channels_max}: give at least 1")
    bytes_max = read_bytes(parsed.bytes_max) if parsed.bytes_max else None
    if bytes_max == 0:
        parser.error(f"--bytes-max {parsed.bytes_max}: give bytes, or 500Mi, 8Gi, 2T")
    if parsed.waiting_max < 0:
        parser.error(f"--waiting-max {parsed.waiting_max}: give at least 0")
    if parsed.ingest_tokens not in ("required", "optional"):
        parser.error(f"--ingest-tokens {parsed.ingest_tokens}: give required or optional")
    bucket = parsed.data if parsed.data.startswith(f"{SCHEME}://") else None
    try:
        plain = _plain_input(parsed.plain_input)
    except ValueError as error:
        parser.error(f"--plain-input {parsed.plain_input}: {error}")
    return Settings(
        data=Path(parsed.cache if bucket else parsed.data),
        bucket=bucket,
        host=parsed.host,
        port=parsed.port,
        deadline_percent=parsed.deadline_percent,
        channels_max=parsed.channels_max,
        waiting_max=parsed.waiting_max,
        plain=plain,
        bytes_max=bytes_max,
        hls_js=Path(parsed.hls_js) if parsed.hls_js else None,
        ingest_keys=Path(parsed.ingest_keys_file) if parsed.ingest_keys_file else None,
        tokens_required=parsed.ingest_tokens == "required",
    )


def read_bytes(text: str) -> int:
    """A quantity as Kubernetes writes them, in bytes; 0 where it is none."""
    found = re.fullmatch(r"([0-9]{1,15})([kMGT]|[KMGT]i)?", text)
    if found is None:
        return 0
    unit = found[2] or ""
    base: int = 1024 if unit.endswith("i") else 1000
    power = "KMGT".index(unit[0].upper()) + 1 if unit else 0
    return int(int(found[1]) * base**power)


def storage_of(settings: Settings) -> Storage:
    """What the settings say. Raises StartError."""
    if settings.bucket is None:
        return FolderStorage(settings.data)
    try:
        return BucketStorage(Objects.at(settings.bucket), settings.data)
    except ValueError as error:
        raise StartError(str(error)) from error


def _plain_input(text: str) -> PlainInput | None:
    """Raises ValueError."""
    if not text:
        return None
    encoder, _, priority = text.partition(":")
    if not is_encoder(encoder) or not is_priority(priority):
        raise ValueError("give an encoder's id of [a-z0-9-], a colon and a priority, as `studio:0`")
    return PlainInput(encoder=encoder, priority=int(priority))


async def run(settings: Settings) -> None:
    """Open, serve until SIGTERM or SIGINT, close. Raises StartError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    origin = Origin(settings, SystemClock(), storage_of(settings))
    if settings.bucket is not None:
        loop.set_default_executor(ThreadPoolExecutor(CALLS_MAX, thread_name_prefix="storage"))
    runner: web.AppRunner | None = None
    try:
        await origin.open()
        runner = make_runner(origin, CLOSE_S_MAX)
        await _listen(runner, settings)
        await stop.wait()
        log.info("closing")
        origin.closing = True  # /healthz says so from now on
    finally:
        if runner is not None:
            await runner.cleanup()
        await origin.close()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    await runner.setup()
    site = web.TCPSite(runner, settings.host, settings.port)
    try:
        await site.start()
    except OSError as error:
        raise StartError(
            f"can't listen on {settings.host}:{settings.port}: {error.strerror or error}; "
            "choose another --host or --port"
        ) from error
    for address in runner.addresses:
        log.info("listening on http://%s:%s", *address[:2])


if __name__ == "__main__":
    sys.exit(main())
