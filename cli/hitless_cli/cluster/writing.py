"""The few writes of the CLI: fields of the spec by server-side apply, annotations by merge patch.

Owns field managers. Each field has its own, as an apply gives up what it does not name.
"""

from __future__ import annotations

from hitless_cli.cluster.channels import item_path
from hitless_cli.cluster.errors import Conflict
from hitless_cli.cluster.kube import FIELD_MANAGER, Document, Kube
from hitless_cli.cluster.ownership import conflict_text, is_only_default, owners
from hitless_cli.cluster.reading import Channel, Key
from hitless_wire.resources import API_VERSION, KIND, PLURAL

PAUSE_MANAGER = f"{FIELD_MANAGER}-pause"
ABORT_ANNOTATION = "hitless.video/abort"  # its value: the id of the handover to call off
APPROVE_ANNOTATION = "hitless.video/approve"


def set_image(
    kube: Kube, channel: Channel, image: str, *, force: bool, dry_run: bool = False
) -> Document:
    """Apply spec.image. Raises Conflict that names who holds it."""
    return _apply(
        kube, channel, "image", image, manager=FIELD_MANAGER, force=force, dry_run=dry_run
    )


def set_paused(kube: Kube, channel: Channel, *, paused: bool, force: bool) -> Document:
    """Apply spec.paused. A value that is there only by default is nobody's."""
    free = is_only_default(channel.body, "paused", but=PAUSE_MANAGER)
    return _apply(kube, channel, "paused", paused, manager=PAUSE_MANAGER, force=force or free)


def annotate(kube: Kube, key: Key, name: str, value: str, *, plural: str = PLURAL) -> Document:
    """Set one annotation."""
    return kube.merge(item_path(key, plural), {"metadata": {"annotations": {name: value}}})


def _apply(
    kube: Kube,
    channel: Channel,
    field: str,
    value: object,
    *,
    manager: str,
    force: bool,
    dry_run: bool = False,
) -> Document:
    """The uid keeps an apply from making a new channel in place of one that was just deleted."""
    metadata = {
        "namespace": channel.key.namespace,
        "name": channel.key.name,
        "uid": channel.body["metadata"]["uid"],
    }
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata,
        "spec": {field: value},
    }
    path = item_path(channel.key)
    try:
        return kube.apply(path, body, manager=manager, force=force, dry_run=dry_run)
    except Conflict as error:
        if not error.fields:
            raise
        held = owners(channel.body, ("spec", field), but=manager)
        raise Conflict(conflict_text(f"spec.{field} of {channel.key}", held)) from error
