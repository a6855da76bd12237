"""Names of channels for the shell's completion: bounded, and silent when there is no answer."""

from __future__ import annotations

import contextlib
import io

import click
from click.shell_completion import CompletionItem

NAMES_MAX = 200
ANSWER_S = 3.0


def complete_channel(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Channels of the chosen namespace that begin so and are not named yet."""
    given = context.params.get(parameter.name or "") or ()
    taken = set(given) if isinstance(given, tuple) else set()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            names = _names(context)
    except Exception:  # whatever it is, a shell's prompt is no place to tell it
        return []
    return [CompletionItem(n) for n in names if n.startswith(incomplete) and n not in taken]


def _names(context: click.Context) -> list[str]:
    from hitless_cli.cluster.channels import list_path  # noqa: PLC0415
    from hitless_cli.cluster.kube import Target, connect  # noqa: PLC0415

    chosen = context.params
    target = Target(kubeconfig=chosen.get("kubeconfig"), context=chosen.get("context_name"))
    kube = connect(target)
    try:
        namespace = None if chosen.get("everywhere") else chosen.get("namespace") or kube.namespace
        found = kube.get(list_path(namespace), {"limit": NAMES_MAX}, within_s=ANSWER_S)
    finally:
        kube.close()
    return sorted({str(item["metadata"]["name"]) for item in found.get("items") or ()})
