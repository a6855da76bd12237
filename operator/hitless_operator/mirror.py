"""The Kubernetes client that the looks at channels read through: what the watches told, kept.

A look at rest then costs the API server nothing, and one in a handover its writes alone. What is
kept may be late, as any answer may be by the time it is used: actions follow a status that was
written over the newest resourceVersion, pods are created by a name that is never given out twice
and deleted by their uid. It is never older than this process's own last write, which is kept at
once. Whatever goes wrong drops it, and so do its age and a watch that begins anew: that one does
not tell what was deleted meanwhile. Fed by `watch.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from kubernetes.aio.client import ApiClient

from hitless_operator.channel import Document, Key
from hitless_operator.kube import Kube

READ_AGAIN_S = 600.0  # and up to twice that: keys don't fall due at the same moment


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A document as text, a tenth of what it takes as objects. version: its resourceVersion."""

    uid: str
    version: int
    text: str
    at_s: float

    def document(self) -> Document:
        """A new copy."""
        found: Document = json.loads(self.text)
        return found


@dataclass(slots=True, kw_only=True)
class _Pods:
    """The pods of a channel by name, all of them at `at_s`. gone: uids that ended since then."""

    at_s: float
    by_name: dict[str, _Kept] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def documents(self) -> list[Document]:
        """Copies, by name."""
        return [kept.document() for _, kept in sorted(self.by_name.items())]

    def put(self, name: str, kept: _Kept) -> None:
        """The newest one stays."""
        known = self.by_name.get(name)
        if kept.uid not in self.gone and (known is None or known.version < kept.version):
            self.by_name[name] = kept

    def drop(self, name: str, uid: str) -> None:
        """It is gone; what is told of it later is older."""
        self.gone.add(uid)
        known = self.by_name.get(name)
        if known is not None and known.uid == uid:
            del self.by_name[name]


class MirroredKube(Kube):
    """A Kube whose channel() and pods() ask the API server only for what is not kept.

    now_s: monotonic seconds. What pods() gives is metadata, status and spec.nodeName.
    """

    def __init__(
        self,
        client: ApiClient,
        called: Callable[[str, str, int], None] | None = None,
        *,
        now_s: Callable[[], float],
    ) -> None:
        super().__init__(client, called)
        self._now_s = now_s
        self._channels: dict[Key, _Kept] = {}
        self._pods: dict[Key, _Pods] = {}

    # --- what the watches tell ---

    def channel_changed(self, key: Key, body: Document, *, gone: bool) -> None:
        """A CR was seen, or its end."""
        if gone:
            self.forget(key)
        else:
            self._keep_channel(key, body)

    def pods_listed(self, key: Key) -> None:
        """A watch has begun anew, and there is a pod of the channel: others may be gone."""
        self._pods.pop(key, None)

    def pod_changed(self, key: Key, pod: Document, *, gone: bool) -> None:
        """A pod of a channel was seen, or its end."""
        pods = self._pods.get(key)
        if pods is None:
            return  # all of them are read when they are asked for
        if gone:
            pods.drop(pod["metadata"]["name"], pod["metadata"]["uid"])
        else:
            self._keep_pod(key, pods, pod)

    def forget(self, key: Key) -> None:
        """Read the channel and its pods from the API server next time."""
        self._channels.pop(key, None)
        self._pods.pop(key, None)

    # --- reading ---

    async def channel(self, key: Key) -> Document | None:
        """The CR, without managedFields; None when there is none."""
        known = self._channels.get(key)
        if known is not None and self._is_fresh(key, known.at_s):
            return known.document()
        self._channels.pop(key, None)
        body = await super().channel(key)
        if body is not None:
            self._keep_channel(key, body)
        return body

    async def pods(self, key: Key) -> list[Document]:
        """The encoder pods of a channel."""
        known = self._pods.get(key)
        if known is None or not self._is_fresh(key, known.at_s):
            return await self._read_pods(key)
        return known.documents()

    async def _read_pods(self, key: Key) -> list[Document]:
        """What the watches tell meanwhile may be newer than the answer."""
        pods = self._pods[key] = _Pods(at_s=self._now_s())
        try:
            found = await super().pods(key)
        except BaseException:
            self.forget(key)
            raise
        for pod in found:
            self._keep_pod(key, pods, pod)
        return pods.documents() if self._pods.get(key) is pods else found

    # --- writing ---

    async def put_status(self, body: Document) -> Document:
        """As Kube's; what was written is kept."""
        key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
        try:
            written = await super().put_status(body)
        except BaseException:
            self.forget(key)
            raise
        self._keep_channel(key, written)
        return written

    async def create_pod(self, key: Key, pod: Document) -> Document:
        """As Kube's; the pod is kept."""
        try:
            created = await super().create_pod(key, pod)
        except BaseException:
            self.forget(key)
            raise
        self.pod_changed(key, created, gone=False)
        return created

    async def delete_pod(self, key: Key, name: str, uid: str) -> None:
        """As Kube's; the channel's pods are read again: the answer does not tell when it ends."""
        self._pods.pop(key, None)
        await super().delete_pod(key, name, uid)

    # --- keeping ---

    def _keep_channel(self, key: Key, body: Document) -> None:
        kept = self._kept(body)
        known = self._channels.get(key)
        if kept is None:
            self._channels.pop(key, None)
        elif known is None or known.version <= kept.version:
            self._channels[key] = kept

    def _keep_pod(self, key: Key, pods: _Pods, pod: Document) -> None:
        node = (pod.get("spec") or {}).get("nodeName")
        kept = self._kept({**pod, "spec": {"nodeName": node}})
        if kept is None:
            self._pods.pop(key, None)
        else:
            pods.put(pod["metadata"]["name"], kept)

    def _kept(self, body: Document) -> _Kept | None:
        """None where versions can't be compared: then nothing is kept."""
        metadata = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
        version = str(metadata.get("resourceVersion") or "")
        if not version.isdecimal():
            return None
        text = json.dumps({**body, "metadata": metadata}, separators=(",", ":"))
        return _Kept(uid=metadata["uid"], version=int(version), text=text, at_s=self._now_s())

    def _is_fresh(self, key: Key, at_s: float) -> bool:
        return self._now_s() - at_s < READ_AGAIN_S * (1 + key.spread)
