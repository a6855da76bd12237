"""`hitless approve`: let an EncoderUpdate that waits for it go on."""

from __future__ import annotations

import click

from hitless_cli.cluster.channels import UPDATES, read
from hitless_cli.cluster.errors import EXIT_CODES_HELP
from hitless_cli.cluster.options import Where, reported, where_options
from hitless_cli.cluster.reading import Key
from hitless_cli.cluster.writing import APPROVE_ANNOTATION, annotate

APPROVED = "true"


@click.command("approve", epilog=EXIT_CODES_HELP)
@click.argument("update")
@where_options
@reported
def approve_command(*, update: str, where: Where) -> None:
    """Approve an EncoderUpdate: what waits for approval in it may go on."""
    with where.session() as kube:
        key: Key = where.key(kube, update)
        found = read(kube, key, UPDATES)
        annotations = found["metadata"].get("annotations") or {}
        if annotations.get(APPROVE_ANNOTATION) == APPROVED:
            click.echo(f"{key} was approved already")
            return
        annotate(kube, key, APPROVE_ANNOTATION, APPROVED, plural=UPDATES)
        click.echo(f"{key} is approved")
