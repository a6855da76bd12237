"""Shell completion: the script to source, and the answer for kubectl's plugin completion."""

from __future__ import annotations

import sys

import click
from click.shell_completion import ShellComplete, get_completion_class

PROGRAM = "hitless"
VARIABLE = "_HITLESS_COMPLETE"
NO_FILES = 4  # cobra's ShellCompDirectiveNoFileComp


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell; commands, options and channel names complete.

    bash: source <(hitless completion bash); zsh: the same; fish: hitless completion fish | source.
    `kubectl hitless` completes by itself where kubectl's own completion is set up.
    """
    group = context.find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(group, {}, PROGRAM, VARIABLE).source())


def complete_for_kubectl() -> None:
    """`kubectl_complete-hitless WORD…`: candidates, one to a line, then cobra's directive."""
    from hitless_cli.__main__ import main  # noqa: PLC0415 - it names this module

    words = sys.argv[1:] or [""]
    found = ShellComplete(main, {}, PROGRAM, VARIABLE).get_completions(words[:-1], words[-1])
    for item in found:
        click.echo(f"{item.value}\t{item.help}" if item.help else item.value)
    click.echo(f":{NO_FILES}")
