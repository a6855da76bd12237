"""`hitless local CHANNEL.yaml`: the command line, and errors as exit codes.

Owns options and exit codes only: 0 a clean end, 1 it could not start or the update was not hitless,
2 something to mend in the file or the options.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from pathlib import Path

import click

from hitless_cli.local.compose import Settings, run_channel
from hitless_cli.local.errors import ChannelFileError, DataDirError, LocalError
from hitless_cli.local.programs import Commands
from hitless_cli.local.screen import JsonScreen, Screen, TextScreen

DEFAULTS = Commands()


def _words(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    """A command line as the shell would split it; empty for none."""
    del context, parameter
    try:
        return tuple(shlex.split(text or ""))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command("local")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the origin.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8080,
    show_default=True,
    help="Port of the origin.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory to keep record, segments and logs in; default: a temporary one, removed.",
)
@click.option("--update", metavar="VERSION|IMAGE", help="Hand over to this encoder once live.")
@click.option(
    "--after",
    "after_s",
    type=click.FloatRange(0, 86_400),
    default=0.0,
    metavar="SECONDS",
    help="With --update: so long after the channel is live.",
)
@click.option("--exit-after-update", is_flag=True, help="End when the update has ended.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
@click.option(
    "--encoder-command",
    callback=_words,
    metavar="COMMAND",
    help="Program to run as encoder instead of the installed one.",
)
@click.option(
    "--origin-command",
    callback=_words,
    metavar="COMMAND",
    help="Program to run as origin instead of the installed one.",
)
def local_command(
    *,
    file: Path,
    host: str,
    port: int,
    data: Path | None,
    update: str | None,
    after_s: float,
    exit_after_update: bool,
    as_json: bool,
    encoder_command: tuple[str, ...],
    origin_command: tuple[str, ...],
) -> None:
    """Play the channel in FILE on this machine: origin and encoders as child processes.

    FILE is an EncoderDeployment; changing it while the channel plays hands over, as in a cluster.
    The image's tag selects the encoder version. Ctrl-C stops everything.
    """
    settings = Settings(
        file=file,
        host=host,
        port=port,
        data=data,
        update=update,
        after_s=after_s,
        exit_after_update=exit_after_update,
        commands=Commands(
            encoder=encoder_command or DEFAULTS.encoder, origin=origin_command or DEFAULTS.origin
        ),
    )
    sys.exit(_run(settings, _screen(as_json=as_json)))


def _screen(*, as_json: bool) -> Screen:
    return JsonScreen(sys.stdout) if as_json else TextScreen(sys.stdout, live=sys.stdout.isatty())


def _run(settings: Settings, screen: Screen) -> int:
    try:
        return asyncio.run(run_channel(settings, screen))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 1
    except LocalError as error:
        for line in error.lines:
            click.echo(line, err=True)
        return 2 if isinstance(error, ChannelFileError | DataDirError) else 1
