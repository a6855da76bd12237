"""What the watches told is kept, and never goes back behind what was written or read."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from tests.component.operator.fake_api import Document, FakeApi
from tests.component.operator.lab import KEY, spec

from hitless_operator.kept import READ_AGAIN_S
from hitless_operator.kube import Conflict
from hitless_operator.manifests import CHANNEL_LABEL, MANAGED_BY_LABEL, MANAGER
from hitless_operator.mirror import MirroredKube

LABELS = {MANAGED_BY_LABEL: MANAGER, CHANNEL_LABEL: KEY.name}


@dataclass
class Mirrored:
    """A fake API server with a channel, and a mirror of it."""

    api: FakeApi
    kube: MirroredKube
    now_s: float = 0.0

    def pod(self, name: str) -> Document:
        """A new pod of the channel."""
        pod: Document = {"metadata": {"namespace": KEY.namespace, "name": name, "labels": LABELS}}
        self.api.touch(pod)
        pod["metadata"]["uid"] = f"uid of {name} at {self.api.version}"
        pod["metadata"]["managedFields"] = [{"manager": "kubelet"}]
        pod["spec"] = {"nodeName": "n1", "containers": []}
        pod["status"] = {"phase": "Pending"}
        self.api.pods[name] = pod
        return pod

    async def names(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in await self.kube.pods(KEY)]

    async def phase(self) -> object:
        body = await self.kube.channel(KEY)
        assert body is not None
        return body["status"].get("phase")


@asynccontextmanager
async def mirrored() -> AsyncIterator[Mirrored]:
    async with FakeApi() as api, ApiClient(Configuration(host=api.url)) as client:
        api.apply(KEY.name, spec())
        made = Mirrored(api, MirroredKube(client, now_s=lambda: made.now_s))
        yield made


async def test_what_is_kept_is_not_asked_for_again() -> None:
    async with mirrored() as now:
        now.pod("first-1")
        for _ in range(3):
            assert await now.names() == ["first-1"]
            assert await now.phase() is None
        assert len(now.api.asked) == 2
        (kept,) = await now.kube.pods(KEY)
        assert kept["spec"] == {"nodeName": "n1"}
        assert "managedFields" not in kept["metadata"]


async def test_a_document_can_be_changed_without_harm() -> None:
    async with mirrored() as now:
        now.pod("first-1")
        for _ in range(2):
            body = await now.kube.channel(KEY)
            (pod,) = await now.kube.pods(KEY)
            assert body is not None
            assert body["spec"]
            assert pod["status"]
            body["spec"].clear()
            pod["status"].clear()


async def test_what_was_written_is_what_is_seen() -> None:
    async with mirrored() as now:
        before = await now.kube.channel(KEY)
        assert before is not None
        await now.kube.put_status({**before, "status": {"phase": "Live"}})
        now.kube.channel_changed(KEY, before, gone=False)  # a watch that is late
        assert await now.phase() == "Live"
        assert len(now.api.asked) == 2


async def test_a_conflict_has_the_channel_read_again() -> None:
    async with mirrored() as now:
        before = await now.kube.channel(KEY)
        assert before is not None
        now.api.channels[KEY.name]["status"] = {"phase": "Degraded"}
        now.api.touch(now.api.channels[KEY.name])
        with pytest.raises(Conflict):
            await now.kube.put_status({**before, "status": {"phase": "Live"}})
        assert await now.phase() == "Degraded"


async def test_a_channel_that_is_deleted_is_gone() -> None:
    async with mirrored() as now:
        before = await now.kube.channel(KEY)
        assert before is not None
        del now.api.channels[KEY.name]
        now.kube.channel_changed(KEY, before, gone=True)
        assert await now.kube.channel(KEY) is None


async def test_pods_come_change_and_go_by_the_watch() -> None:
    async with mirrored() as now:
        assert await now.names() == []
        pod = copy.deepcopy(now.pod("first-1"))
        now.kube.pod_changed(KEY, pod, gone=False)
        newer = copy.deepcopy(pod)
        newer["status"] = {"phase": "Running"}
        now.api.touch(newer)
        now.kube.pod_changed(KEY, newer, gone=False)
        now.kube.pod_changed(KEY, pod, gone=False)  # late
        (seen,) = await now.kube.pods(KEY)
        assert seen["status"] == {"phase": "Running"}
        now.kube.pod_changed(KEY, newer, gone=True)
        now.kube.pod_changed(KEY, newer, gone=False)  # late
        assert await now.names() == []
        assert len(now.api.asked) == 1


async def test_what_is_told_while_pods_are_read_is_newer_than_the_answer() -> None:
    async with mirrored() as now:
        ended, other = copy.deepcopy(now.pod("first-1")), copy.deepcopy(now.pod("first-2"))
        other["status"] = {"phase": "Running"}
        other["metadata"]["resourceVersion"] = "999"

        def meanwhile() -> None:
            now.kube.pod_changed(KEY, ended, gone=True)
            now.kube.pod_changed(KEY, other, gone=False)

        now.api.on_list_pods.append(meanwhile)
        (seen,) = await now.kube.pods(KEY)
        assert seen["metadata"]["name"] == "first-2"
        assert seen["status"] == {"phase": "Running"}


async def test_a_pod_made_again_under_its_name_is_another() -> None:
    async with mirrored() as now:
        old = copy.deepcopy(now.pod("first-1"))
        assert await now.names() == ["first-1"]
        new = copy.deepcopy(now.pod("first-1"))
        now.kube.pod_changed(KEY, new, gone=False)
        now.kube.pod_changed(KEY, old, gone=True)
        (seen,) = await now.kube.pods(KEY)
        assert seen["metadata"]["uid"] == new["metadata"]["uid"]


@pytest.mark.parametrize("how", ["listed", "forgotten", "old"])
async def test_pods_are_read_again_where_an_end_may_have_been_missed(how: str) -> None:
    async with mirrored() as now:
        now.pod("first-1")
        assert await now.names() == ["first-1"]
        del now.api.pods["first-1"]
        assert await now.names() == ["first-1"]
        if how == "listed":
            now.kube.pods_listed(KEY)
        elif how == "forgotten":
            now.kube.forget(KEY)
        else:
            now.now_s += 2 * READ_AGAIN_S
        assert await now.names() == []


async def test_own_pods_are_seen_at_once() -> None:
    async with mirrored() as now:
        assert await now.names() == []
        pod = {"metadata": {"namespace": KEY.namespace, "name": "first-1", "labels": LABELS}}
        created = await now.kube.create_pod(KEY, pod)
        assert await now.names() == ["first-1"]
        await now.kube.delete_pod(KEY, "first-1", created["metadata"]["uid"])
        assert await now.names() == []


async def test_versions_that_can_not_be_compared_are_not_kept() -> None:
    async with mirrored() as now:
        pod = now.pod("first-1")
        pod["metadata"]["resourceVersion"] = "opaque"
        now.api.channels[KEY.name]["metadata"]["resourceVersion"] = "opaque"
        for _ in range(2):
            assert await now.names() == ["first-1"]
            assert await now.phase() is None
        assert len(now.api.asked) == 4


async def test_an_own_status_is_no_news() -> None:
    async with mirrored() as now:
        before = await now.kube.channel(KEY)
        assert before is not None
        written = await now.kube.put_status({**before, "status": {"phase": "Live"}})
        assert not now.kube.channel_changed(KEY, written, gone=False)
        assert not now.kube.channel_changed(KEY, before, gone=False), "late"
        now.api.touch(newer := copy.deepcopy(written))
        assert now.kube.channel_changed(KEY, newer, gone=False)
        assert now.kube.channel_changed(KEY, newer, gone=True)
        assert now.kube.channel_changed(KEY, written, gone=False), "made again from a backup"
