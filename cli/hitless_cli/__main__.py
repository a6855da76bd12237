"""The `hitless` command: a group that loads a subcommand's module only when it runs.

Owns the table of subcommands and nothing of what they do. `hitless --help` imports none of them, so
it does not pay for media or Kubernetes libraries. To add one: write a module with a click command
and add its row to COMMANDS.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True, kw_only=True)
class Subcommand:
    """Where a subcommand lives, and its line in the list."""

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "local": Subcommand(
        module="hitless_cli.local.command",
        attribute="local_command",
        summary="Play a channel on this machine, without Kubernetes, and update it hitlessly.",
    ),
    "probe": Subcommand(
        module="hitless_cli.probe.command",
        attribute="probe_command",
        summary="Play a live stream and report every frame lost, repeated or re-timed.",
    ),
}


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
