"""Secrets with tokens at a real API server, with the rights that the chart gives and no more."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hack.control_plane import ROOT, ControlPlane, control_plane
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import load_kube_config
from tests.unit.operator import samples

from hitless_operator.channel import Channel, Document, channel_of
from hitless_operator.kube import Kube, Rejected
from hitless_operator.manifests import TOKEN_SECRET_TYPE, token_secret, token_secret_name
from hitless_operator.tokens import Tokens
from hitless_wire.ingest_tokens import KeyFile, token_of

USER = 3
SECRETS = "/api/v1/namespaces/live/secrets"
WRITES = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "update"]}
OLD, NEW = b"o" * 44, b"n" * 44


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with control_plane(tmp_path_factory.mktemp("control-plane")) as made:
        for definition in sorted((ROOT / "crds").glob("*.yaml")):
            made.install(definition)
        made.namespace("live")
        made.allow(USER, "live", [WRITES])
        yield made


@pytest.fixture
def channel(plane: ControlPlane, request: pytest.FixtureRequest) -> Channel:
    """One of its own."""
    name = request.node.name.removeprefix("test_").replace("_", "-")[:30].strip("-")
    body = {
        "apiVersion": "hitless.video/v1alpha1",
        "kind": "EncoderDeployment",
        "metadata": {"name": name, "namespace": "live"},
        "spec": samples.spec(),
    }
    path = "/apis/hitless.video/v1alpha1/namespaces/live/encoderdeployments"
    return channel_of(plane.create(path, body))


@pytest.fixture
async def kube(plane: ControlPlane) -> AsyncIterator[Kube]:
    config = Configuration()
    kubeconfig = str(plane.kubeconfig_of(USER))
    await load_kube_config(config_file=kubeconfig, client_configuration=config)  # type: ignore[no-untyped-call]
    async with ApiClient(config) as client:
        yield Kube(client)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_bytes(OLD)
    return path


async def seen(plane: ControlPlane, channel: Channel) -> Document:
    path = f"{SECRETS}/{token_secret_name(channel.key.name)}"
    found: Document = await asyncio.to_thread(plane.call, "GET", path)
    return found


def token_in(secret: Document) -> str:
    return base64.b64decode(secret["data"]["token"]).decode()


async def test_it_is_made_and_follows_the_key(
    plane: ControlPlane, kube: Kube, channel: Channel, keys: Path
) -> None:
    file = KeyFile(keys)
    await Tokens(kube, file).give(channel, again=False)
    first = await seen(plane, channel)
    assert token_in(first) == token_of(OLD, *channel.key)
    assert first["type"] == TOKEN_SECRET_TYPE
    assert first["metadata"]["ownerReferences"][0]["uid"] == channel.uid
    await asyncio.to_thread(keys.write_bytes, NEW + b"\n" + OLD)
    await Tokens(kube, file).give(channel, again=False)
    second = await seen(plane, channel)
    assert token_in(second) == token_of(NEW, *channel.key)
    assert second["metadata"]["uid"] == first["metadata"]["uid"], "the mounted one has changed"


async def test_a_secret_of_another_type_is_not_written_over(
    plane: ControlPlane, kube: Kube, channel: Channel, keys: Path
) -> None:
    theirs = {
        "metadata": {"name": token_secret_name(channel.key.name)},
        "data": {"password": base64.b64encode(b"theirs").decode()},
    }
    await asyncio.to_thread(plane.create, SECRETS, theirs)
    with pytest.raises(Rejected, match="immutable"):
        await kube.put_secret(token_secret(channel, "x"))
    await Tokens(kube, KeyFile(keys)).give(channel, again=True)
    assert (await seen(plane, channel))["data"] == theirs["data"]


async def test_the_operator_can_read_none(kube: Kube, channel: Channel, keys: Path) -> None:
    await Tokens(kube, KeyFile(keys)).give(channel, again=False)
    for path in (SECRETS, f"{SECRETS}/{token_secret_name(channel.key.name)}"):
        with pytest.raises(Rejected, match="403"):
            await kube._call("GET", path)
