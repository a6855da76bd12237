"""Which nodes are being emptied, and who is told."""

from __future__ import annotations

from typing import Any

import pytest

from hitless_operator.channel import Key
from hitless_operator.nodes import Nodes, is_being_emptied

ONE, TWO = Key("live", "one"), Key("live", "two")
CORDONED = {"unschedulable": True}


@pytest.mark.parametrize(
    ("spec", "emptied"),
    [
        ({}, False),
        (CORDONED, True),
        ({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "maintenance", "effect": "NoExecute"}]}, True),
        ({"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]}, True),
        ({"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]}, False),
        ({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}, False),
    ],
)
def test_a_node_is_emptied_by_cordon_or_taint(spec: dict[str, Any], *, emptied: bool) -> None:
    assert is_being_emptied(spec) is emptied


def test_only_a_change_concerns_the_channels_on_the_node() -> None:
    nodes = Nodes()
    nodes.pod_changed(ONE, "one-1", "a", gone=False)
    nodes.pod_changed(TWO, "two-1", "b", gone=False)
    assert nodes.node_changed("a", {}, gone=False) == frozenset()
    assert nodes.node_changed("a", CORDONED, gone=False) == {ONE}
    assert nodes.is_closing("a")
    assert not nodes.is_closing("b")
    assert nodes.node_changed("a", CORDONED, gone=False) == frozenset()
    assert nodes.node_changed("a", {}, gone=False) == {ONE}


def test_who_has_gone_or_moved_is_not_concerned() -> None:
    nodes = Nodes()
    nodes.pod_changed(ONE, "one-1", "a", gone=False)
    nodes.pod_changed(ONE, "one-1", "a", gone=True)
    nodes.pod_changed(TWO, "two-1", "", gone=False)
    assert nodes.node_changed("a", CORDONED, gone=False) == frozenset()
    assert nodes.node_changed("a", CORDONED, gone=True) == frozenset()
    assert not nodes.is_closing("a"), "a node that is gone is forgotten"
    assert (nodes._pods, nodes._node_of) == ({}, {})
