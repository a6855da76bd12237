"""What the cluster commands share at the command line: options, sessions, printing, exit codes.

Owns how an error reaches people: one line on stderr and the code of its class, never a traceback.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec

import click

from hitless_cli.cluster.completion import complete_channel
from hitless_cli.cluster.errors import EXIT_INTERRUPTED, CommandError
from hitless_cli.cluster.kube import Document, Kube, Target, connect
from hitless_cli.cluster.reading import Key

P = ParamSpec("P")
TIMEOUT_S_MAX = 7 * 86_400
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(h|m|s)")
_UNITS = {"h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which cluster and namespace. namespace: None for the context's own."""

    target: Target
    namespace: str | None

    @contextmanager
    def session(self) -> Iterator[Kube]:
        """A connection, closed with the block."""
        kube = connect(self.target)
        try:
            yield kube
        finally:
            kube.close()

    def key(self, kube: Kube, name: str) -> Key:
        """The channel of that name."""
        return Key(self.namespace or kube.namespace, name)


class Duration(click.ParamType[float]):
    """`90s`, `10m`, `1h30m`, or plain seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        text = str(value)
        seconds = _seconds(text)
        if seconds is None or not 0 < seconds <= TIMEOUT_S_MAX:
            self.fail(f"{text}: give a time such as 90s, 10m or 1h30m", param, ctx)
        return seconds


def _seconds(text: str) -> float | None:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not text or _PARTS.sub("", text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(text))


def where_options(command: Callable[..., None]) -> Callable[..., None]:
    """-n, --context and --kubeconfig, given to the command as `where`."""

    @click.option("-n", "--namespace", metavar="NAME", help="Default: the context's.")
    @click.option("--context", "context_name", metavar="NAME", help="Of the kubeconfig.")
    @click.option("--kubeconfig", metavar="FILE", help="Default: $KUBECONFIG, ~/.kube/config.")
    @functools.wraps(command)
    def wrapped(
        *,
        namespace: str | None,
        context_name: str | None,
        kubeconfig: str | None,
        **rest: Any,
    ) -> None:
        target = Target(kubeconfig=kubeconfig, context=context_name)
        command(where=Where(target=target, namespace=namespace), **rest)

    return wrapped


def output_option(*more: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """-o/--output, given to the command as `output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", *more, "json", "yaml"]),
        default="table",
        show_default=True,
        help="json and yaml are stable: see docs/cli.md.",
    )


channel_argument = click.argument("name", shell_complete=complete_channel)
force_option = click.option(
    "--force-conflicts", is_flag=True, help="Take the field over from its manager."
)
wait_option = click.option("--wait", is_flag=True, help="Show the phases until it has ended.")
timeout_option = click.option(
    "--timeout", "timeout_s", type=Duration(), default="10m", show_default=True,
    help="Longest wait; the cluster goes on by itself.",
)  # fmt: skip


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Errors become one line on stderr and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        path = click.get_current_context().command_path
        try:
            command(*args, **kwargs)
        except CommandError as error:
            click.echo(f"{path}: {error}", err=True)
            sys.exit(error.code)
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)

    return wrapped


def program() -> str:
    """How the user calls us: `hitless` or `kubectl hitless`."""
    return click.get_current_context().find_root().info_name or "hitless"


def say(lines: Sequence[str]) -> None:
    """Lines on stdout."""
    for line in lines:
        click.echo(line)


def say_document(document: Document, output: str) -> None:
    """As JSON or YAML."""
    if output == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    import yaml  # noqa: PLC0415

    click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), nl=False)
