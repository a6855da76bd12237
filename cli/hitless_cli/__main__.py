"""The `hitless` command: a group that loads a subcommand's module only when it runs.

Owns the table of subcommands and nothing of what they do. `hitless --help` imports none of them, so
it does not pay for media or Kubernetes libraries. To add one: write a module with a click command
and add its row to COMMANDS.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcommand:
    """Where a subcommand lives, and its line in the list."""

    module: str
    attribute: str
    summary: str


_CLUSTER = "hitless_cli.cluster.commands"

COMMANDS = {
    "abort": Subcommand(
        module=f"{_CLUSTER}.abort",
        attribute="abort_command",
        summary="Call off the handover under way, without losing a frame.",
    ),
    "approve": Subcommand(
        module=f"{_CLUSTER}.approve",
        attribute="approve_command",
        summary="Let an EncoderUpdate that waits for approval go on.",
    ),
    "bundle": Subcommand(
        module=f"{_CLUSTER}.bundle",
        attribute="bundle_command",
        summary="Collect what support needs into one archive without secrets.",
    ),
    "completion": Subcommand(
        module="hitless_cli.shell",
        attribute="completion_command",
        summary="Print the completion script of a shell.",
    ),
    "get": Subcommand(
        module=f"{_CLUSTER}.get",
        attribute="get_command",
        summary="List channels and where their handovers stand.",
    ),
    "history": Subcommand(
        module=f"{_CLUSTER}.history",
        attribute="history_command",
        summary="Show the updates of a channel that have ended.",
    ),
    "local": Subcommand(
        module="hitless_cli.local.command",
        attribute="local_command",
        summary="Play a channel on this machine, without Kubernetes, and update it hitlessly.",
    ),
    "pause": Subcommand(
        module=f"{_CLUSTER}.pause",
        attribute="pause_command",
        summary="Let no update of a channel start.",
    ),
    "probe": Subcommand(
        module="hitless_cli.probe.command",
        attribute="probe_command",
        summary="Play a live stream and report every frame lost, repeated or re-timed.",
    ),
    "resume": Subcommand(
        module=f"{_CLUSTER}.pause",
        attribute="resume_command",
        summary="Let updates of a channel start again.",
    ),
    "rollback": Subcommand(
        module=f"{_CLUSTER}.rollback",
        attribute="rollback_command",
        summary="Go back to a former image.",
    ),
    "status": Subcommand(
        module=f"{_CLUSTER}.status",
        attribute="status_command",
        summary="Show everything about one channel, and what to do next.",
    ),
    "update": Subcommand(
        module=f"{_CLUSTER}.update",
        attribute="update_command",
        summary="Hand a channel over to another encoder image.",
    ),
}
PLUGIN = "kubectl-hitless"  # what kubectl looks for


class LazyGroup(click.Group):
    """A click group that reads COMMANDS instead of importing what it lists."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, sorted."""
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None when there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        command = getattr(importlib.import_module(entry.module), entry.attribute)
        assert isinstance(command, click.Command)
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run it; called as kubectl's plugin, it calls itself what the user typed."""
        if Path(sys.argv[0]).name == PLUGIN:
            extra.setdefault("prog_name", "kubectl hitless")
        run: Callable[..., Any] = super().main
        return run(*args, **extra)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands from the table, without an import; options as click does."""
        if incomplete[:1] in ("-", "/"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=COMMANDS[name].summary)
            for name in sorted(COMMANDS)
            if name.startswith(incomplete)
        ]

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list from the table, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].summary) for name in sorted(COMMANDS)])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hitless")
def main() -> None:
    """Replace running live video encoders without losing a frame."""


if __name__ == "__main__":
    main(prog_name="hitless")
