"""The process around the work: settings, health, what kopf is told."""

from __future__ import annotations

from typing import Any, cast

import aiohttp
import pytest
from kubernetes.aio.client import ApiClient, Configuration
from pydantic import ValidationError
from tests.unit.operator import samples

from hitless_operator.channel import Key, StatusUnreadable, channel_of
from hitless_operator.fleet.index import ActiveUpdates
from hitless_operator.fleet.shelf import ShelvedKube
from hitless_operator.health import (
    LOOK_S_MAX,
    SILENCE_S_MAX,
    START_S_MAX,
    HealthServer,
    WatchPulse,
    queue_fault,
)
from hitless_operator.metrics import Metrics
from hitless_operator.mirror import MirroredKube
from hitless_operator.queue import QueueState
from hitless_operator.settings import from_environment
from hitless_operator.watch import registry_of_kopf, settings_of_kopf, watch_session


def test_settings_from_the_environment() -> None:
    settings = from_environment(
        {
            "HITLESS_ORIGIN_URL": "http://origin:8080/",
            "HITLESS_NAMESPACES": "live, studio,",
            "HITLESS_MEDIA_CLAIM": "",
            "HITLESS_WORKERS": "4",
            "PATH": "/bin",
        }
    )
    assert settings.origin_url == "http://origin:8080"
    assert settings.public_url == "http://origin:8080"
    assert settings.namespaces == ("live", "studio")
    assert (settings.media_claim, settings.workers) == ("", 4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HITLESS_ORIGIN_URL", "origin:8080"),
        ("HITLESS_WORKERS", "0"),
        ("HITLESS_ENCODER_MEMORY_LIMIT", "much"),
        ("HITLESS_LOG_LEVEL", "LOUD"),
    ],
)
def test_bad_settings_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        from_environment({"HITLESS_ORIGIN_URL": "http://origin", name: value})
    with pytest.raises(ValidationError):
        from_environment({})


def test_a_watch_that_died_shows() -> None:
    now = 0.0
    pulse = WatchPulse(2, lambda: now)
    now = START_S_MAX + 1
    assert pulse.fault() == "", "who stands by watches nothing"
    now = 0.0
    pulse.begin()
    pulse.beat("/pods")
    assert pulse.fault() == ""
    now = START_S_MAX + 1
    assert pulse.fault() == "1 of 2 watches have started"
    pulse.beat("/channels")
    assert pulse.fault() == ""
    now = SILENCE_S_MAX + 1
    pulse.beat("/channels")
    assert pulse.fault().startswith("/pods has not been watched for")


def test_a_look_that_never_ends_shows() -> None:
    state = QueueState(waiting=0, running=1, delayed=0, failing=0, running_s_max=LOOK_S_MAX + 1)
    assert "look" in queue_fault(state)
    assert (
        queue_fault(QueueState(waiting=9, running=0, delayed=0, failing=9, running_s_max=0)) == ""
    )


async def test_healthz_answers_with_what_is_wrong() -> None:
    fault = ""
    async with (
        HealthServer("127.0.0.1", 0, lambda: fault, lambda: "") as server,
        aiohttp.ClientSession() as session,
    ):
        url = f"http://127.0.0.1:{server.port}/healthz"
        async with session.get(url) as response:
            assert (response.status, (await response.json())["healthy"]) == (200, True)
        fault = "stuck"
        async with session.get(url) as response:
            assert (response.status, (await response.json())["faults"]) == (503, ["stuck"])


async def test_metrics_are_served_beside_it() -> None:
    metrics = Metrics()
    async with (
        HealthServer("127.0.0.1", 0, metrics=metrics.text) as server,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}/metrics") as response,
    ):
        text = await response.text()
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert "hitless_frames_lost_total 0.0" in text


def test_kopf_writes_nothing_and_sees_encoder_pods_only() -> None:
    settings = settings_of_kopf()
    assert settings.posting.enabled is False
    assert settings.peering.standalone is True
    assert settings.scanning.disabled is True
    assert "managed-by=hitless-operator" in str(settings.watching.label_selectors)


async def test_credentials_are_fresh_for_each_request_and_watches_beat() -> None:
    seen: list[str] = []

    async def handler(request: aiohttp.web.Request) -> aiohttp.web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return aiohttp.web.json_response({})

    app = aiohttp.web.Application()
    app.router.add_get("/api/v1/pods", handler)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    config = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    pulse = WatchPulse(1, lambda: START_S_MAX + 1)
    metrics = Metrics()
    async with watch_session(config, pulse, metrics.called) as session:
        for token in ("bearer one", "bearer two"):
            config.api_key["BearerToken"] = token
            async with session.get(f"{config.host}/api/v1/pods?watch=true"):
                pass
    await runner.cleanup()
    assert seen == ["bearer one", "bearer two"]
    watches = {"verb": "watch", "resource": "pods", "code": "200"}
    assert metrics.registry.get_sample_value("hitless_api_calls_total", watches) == 2
    assert pulse.fault() == ""


def test_handlers_are_registered_in_a_registry_of_our_own() -> None:
    added: list[Key] = []
    pulse = WatchPulse(2, lambda: 0.0)
    client = cast(ApiClient, None)
    shelf = ShelvedKube(client, now_s=lambda: 0.0)
    updates = ActiveUpdates(added.append, lambda key, _: added.append(key), shelf)
    config = Configuration(host="http://x")
    mirror = MirroredKube(client, now_s=lambda: 0.0)
    registry = registry_of_kopf(added.append, updates, config, pulse, mirror=mirror)
    handlers = registry._watching.get_all_handlers()
    assert len(handlers) == 3
    assert not registry._changing.get_all_handlers()
    assert not registry._spawning.get_all_handlers()


class Told:
    """A mirror and a shelf to which nothing is news."""

    def __init__(self) -> None:
        self.pods: list[Key] = []

    def channel_changed(self, *_: Any, gone: bool) -> bool:
        """As both."""
        return gone

    def forget_channels(self, namespace: str) -> None:
        """As a shelf."""

    def pods_listed(self, key: Key) -> None:
        """As a mirror."""
        self.pods.append(key)

    def pod_changed(self, key: Key, pod: dict[str, Any], *, gone: bool) -> None:
        """As a mirror."""


@pytest.mark.parametrize(("event", "looks"), [(None, 1), ("MODIFIED", 0), ("DELETED", 1)])
async def test_a_list_is_news_even_of_what_was_written_here(event: str | None, looks: int) -> None:
    added: list[Key] = []
    told = Told()
    updates = ActiveUpdates(added.append, lambda key, _: added.append(key), cast(Any, told))
    pulse = WatchPulse(2, lambda: 0.0)
    config = Configuration(host="http://x")
    registry = registry_of_kopf(added.append, updates, config, pulse, mirror=told)
    handlers = registry._watching.get_all_handlers()
    (changed,) = (h.fn for h in handlers if getattr(h.fn, "__name__", "") == "channel_changed")
    body = {"metadata": {"namespace": "live", "name": "a"}, "spec": {}}
    await cast(Any, changed)(namespace="live", name="a", body=body, type=event)
    assert len(added) == looks
    assert len(told.pods) == (event is None), "the end of its last pod may have been missed"


def test_a_spec_is_read_or_says_why_not() -> None:
    assert samples.channel().spec is not None
    broken = samples.channel(profiles=[], image="")
    assert broken.spec is None
    assert "profiles: " in broken.spec_error
    assert "image: " in broken.spec_error


def test_a_status_of_another_writer_is_not_guessed_at() -> None:
    for status, field in [
        ({"phase": "Splendid"}, "phase"),
        ({"active": {"pod": "a", "image": "b", "digest": "c", "term": 1, "since": "x"}}, "since"),
    ]:
        with pytest.raises(StatusUnreadable, match=field):
            channel_of({**samples.channel().body, "status": status})
