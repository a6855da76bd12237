"""Each channel has a Secret with its token, which its encoders mount; none without keys."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from tests.component.operator.lab import KEY, lab, live_channel, spec

from hitless_handover.supervisor_model import ChannelPhase
from hitless_operator.manifests import token_secret_name
from hitless_wire.ingest_tokens import token_of

OLD, NEW = b"o" * 44, b"n" * 44
NAME = token_secret_name(KEY.name)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_bytes(OLD)
    return path


def rotate(keys: Path) -> None:
    keys.write_bytes(NEW + b"\n" + OLD)


def secret_writes(asked: list[tuple[str, str, bool]]) -> list[str]:
    return [method for method, path, _ in asked if "/secrets" in path]


async def test_a_channel_gets_its_token_before_its_encoder(keys: Path) -> None:
    async with live_channel(keys=keys) as now:
        secret = now.api.secrets[NAME]
        assert base64.b64decode(secret["data"]["token"]).decode() == token_of(OLD, *KEY)
        assert secret["metadata"]["ownerReferences"][0]["uid"] == now.body["metadata"]["uid"]
        order = [path.rpartition("/")[2] for method, path, _ in now.api.asked if method == "POST"]
        assert order.index("secrets") < order.index("pods")
        (pod,) = now.api.pods.values()
        assert {"secretName": NAME, "optional": True} in [
            volume.get("secret") for volume in pod["spec"]["volumes"]
        ]
        assert token_of(OLD, *KEY) not in str(pod)
        assert token_of(OLD, *KEY) not in str(now.body)


async def test_at_rest_it_is_not_written_again(keys: Path) -> None:
    async with live_channel(keys=keys) as now:
        writes = secret_writes(now.api.asked)
        await now.run(5)
        assert secret_writes(now.api.asked) == writes
        now.restart()
        await now.look()
        assert secret_writes(now.api.asked) == [*writes, "PUT"], "once for each process"


async def test_a_new_key_reaches_the_secret_and_restarts_nothing(keys: Path) -> None:
    async with live_channel(keys=keys) as now:
        pods = dict(now.api.pods)
        rotate(keys)
        await now.look()
        token = base64.b64decode(now.api.secrets[NAME]["data"]["token"]).decode()
        assert token == token_of(NEW, *KEY)
        await now.run(5)
        assert now.api.pods.keys() == pods.keys()


async def test_keys_that_come_later_restart_nothing(keys: Path) -> None:
    async with live_channel() as now:
        (pod,) = now.api.pods.values()
        assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["tmp"]
        assert secret_writes(now.api.asked) == []
        now.keys = keys
        now.restart()
        await now.run(10)
        assert list(now.api.pods) == [pod["metadata"]["name"]]
        assert NAME in now.api.secrets


async def test_a_secret_of_somebody_else_is_left_alone(
    keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with lab(keys=keys) as now:
        theirs = {"metadata": {"name": NAME}, "type": "Opaque", "data": {}}
        now.api.secrets[NAME] = theirs
        now.api.apply(KEY.name, spec())
        await now.run_until(lambda seen: seen.record.phase is ChannelPhase.LIVE)
        assert now.api.secrets[NAME] == theirs
        assert "no Secret with its ingest token" in caplog.text
        assert token_of(OLD, *KEY) not in caplog.text


async def test_somebody_elses_origin_is_not_shown_the_token(keys: Path) -> None:
    async with lab(keys=keys) as now:
        now.api.apply(KEY.name, spec(output={"ingestUrl": "http://cdn.example/in"}))
        await now.run(3)
        (pod,) = now.api.pods.values()
        assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["tmp"]
        assert now.api.secrets == {}
