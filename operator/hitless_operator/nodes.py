"""Which nodes are being emptied, and whose encoders are on them.

Owns what is remembered of nodes and of where pods are: both come from the watches and are known
again soon after a restart. It decides nothing. `watch.py` feeds it; `observe.py` asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hitless_operator.channel import Key

# Said by those who are about to take a node away. A node that is not ready says NoExecute too, but
# there the encoder can't be asked to hand over.
LEAVING_TAINTS = frozenset(
    {
        "ToBeDeletedByClusterAutoscaler",
        "karpenter.sh/disrupted",
        "node.kubernetes.io/out-of-service",
        "node.cloudprovider.kubernetes.io/shutdown",
    }
)
_BROKEN = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})


class Nodes:
    """The nodes that are being emptied, and the pods on each."""

    def __init__(self) -> None:
        self._closing: set[str] = set()
        self._pods: dict[str, dict[tuple[str, str], Key]] = {}  # by node, by namespace and name
        self._node_of: dict[tuple[str, str], str] = {}

    def is_closing(self, node: str) -> bool:
        """Whether pods on it have to go."""
        return node in self._closing

    def node_changed(self, name: str, spec: Mapping[str, Any], *, gone: bool) -> frozenset[Key]:
        """Take in a node; the channels that this concerns."""
        closing = not gone and is_being_emptied(spec)
        if closing is (name in self._closing):
            return frozenset()
        if closing:
            self._closing.add(name)
        else:
            self._closing.discard(name)
        return frozenset(self._pods.get(name, {}).values())

    def pod_changed(self, key: Key, name: str, node: str, *, gone: bool) -> None:
        """Take in where a pod is. node: empty while it is nowhere."""
        pod = (key.namespace, name)
        before = self._node_of.pop(pod, "")
        if before:
            self._pods[before].pop(pod, None)
            if not self._pods[before]:
                del self._pods[before]
        if node and not gone:
            self._node_of[pod] = node
            self._pods.setdefault(node, {})[pod] = key


def is_being_emptied(spec: Mapping[str, Any]) -> bool:
    """Whether a node's spec says so: it is cordoned, or tainted to lose its pods."""
    if spec.get("unschedulable"):
        return True
    taints = spec.get("taints") or ()
    return any(
        taint.get("key") in LEAVING_TAINTS
        or (taint.get("effect") == "NoExecute" and taint.get("key") not in _BROKEN)
        for taint in taints
    )
