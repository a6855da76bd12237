"""Whether an EncoderUpdate selects a channel. Owns the semantics of metav1.LabelSelector."""

from __future__ import annotations

from collections.abc import Mapping

from hitless_wire.fleet_resources import Requirement, Selector


def selects(selector: Selector, name: str, kind: str, labels: Mapping[str, str]) -> bool:
    """All that is given must hold. kind: the channel's spec.type."""
    return (
        (not selector.names or name in selector.names)
        and (not selector.types or kind in selector.types)
        and selector.match_labels.items() <= labels.items()
        and all(_meets(requirement, labels) for requirement in selector.match_expressions)
    )


def _meets(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """As in metav1: NotIn holds for a label that is not there."""
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
