"""The Kubernetes client that the looks at channels read through: what the watches told, kept.

A look at rest then costs the API server nothing, and one in a handover its writes alone. What is
kept may be late, as any answer may be by the time it is used: actions follow a status that was
written over the newest resourceVersion, pods are created by a name that is never given out twice
and deleted by their uid. It is never older than this process's own last write, which is kept at
once. Whatever goes wrong drops it, and so do its age and a watch that begins anew: that one does
not tell what was deleted meanwhile. Fed by `watch.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from kubernetes.aio.client import ApiClient

from hitless_operator.channel import Document, Key
from hitless_operator.kept import INCOMPARABLE, READ_AGAIN_S, Kept, Listing, kept
from hitless_operator.kube import Kube


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
        self._channels: dict[Key, Kept] = {}
        self._pods: dict[Key, Listing] = {}
        self._stored: dict[Key, int] = {}  # the version of the last status written

    # --- what the watches tell ---

    def channel_changed(self, key: Key, body: Document, *, gone: bool) -> bool:
        """A CR was seen, or its end. Whether it is news: an own status, or older, is none."""
        if gone:
            self.forget(key)
            self._stored.pop(key, None)
            return True
        version = self._keep_channel(key, body)
        return version == INCOMPARABLE or version > self._stored.get(key, INCOMPARABLE)

    def pods_listed(self, key: Key) -> None:
        """A watch has begun anew, of channels or of pods: some of the channel's may be gone."""
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
        return [row.document() for row in known.all()]

    async def _read_pods(self, key: Key) -> list[Document]:
        """What the watches tell meanwhile may be newer than the answer."""
        pods = self._pods[key] = Listing(at_s=self._now_s())
        try:
            found = await super().pods(key)
        except BaseException:
            self.forget(key)
            raise
        for pod in found:
            self._keep_pod(key, pods, pod)
        whole = self._pods.get(key) is pods
        return [row.document() for row in pods.all()] if whole else found

    # --- writing ---

    async def put_status(self, body: Document) -> Document:
        """As Kube's; what was written is kept."""
        key = Key(body["metadata"]["namespace"], body["metadata"]["name"])
        try:
            written = await super().put_status(body)
        except BaseException:
            self.forget(key)
            raise
        self._stored[key] = self._keep_channel(key, written)
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

    def _keep_channel(self, key: Key, body: Document) -> int:
        """Its version. Where versions can't be compared nothing is kept."""
        found = self._kept(body)
        known = self._channels.get(key)
        if found.version == INCOMPARABLE:
            self._channels.pop(key, None)
        elif known is None or known.version <= found.version:
            self._channels[key] = found
        return found.version

    def _keep_pod(self, key: Key, pods: Listing, pod: Document) -> None:
        node = (pod.get("spec") or {}).get("nodeName")
        found = self._kept({**pod, "spec": {"nodeName": node}})
        if found.version == INCOMPARABLE:
            self._pods.pop(key, None)
        else:
            pods.put(found)

    def _kept(self, body: Document) -> Kept:
        metadata = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
        return kept({**body, "metadata": metadata}, self._now_s())

    def _is_fresh(self, key: Key, at_s: float) -> bool:
        """Keys don't fall due at the same moment."""
        return self._now_s() - at_s < READ_AGAIN_S * (1 + key.spread)
