"""What is measured with channels of one number, step by step.

Owns the order: all go on air, rest, single handovers, a fleet update, the same with restarts in the
middle, an operator that comes to channels on air, and the peer. `__main__.py` calls `measure`.
"""

from __future__ import annotations

import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from pathlib import Path

from hack.bench_operator.audit import Calls
from hack.bench_operator.peer import roll
from hack.bench_operator.processes import usage
from hack.bench_operator.proxy import Proxy
from hack.bench_operator.scene import (
    FLEET_TYPE,
    GROUP_PATH,
    IMAGE,
    NAMESPACE,
    OPERATOR,
    USER,
    BenchError,
    Document,
    Scene,
    name_of,
    say,
    scene,
)
from hack.control_plane import ApiRefused

SINGLES = 10
"""Handovers that are begun together, of which the API calls are counted."""
STEP_S_MAX = 3600.0
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do. channels: how many there are; fleet: at most so many are updated at once.

    start_s: of a pod. idle_s: how long the rest is watched; a watch is renewed every 300 s. steps:
    those besides going on air, rest and single handovers. spec: see `scene`.
    """

    channels: int
    fleet: int
    concurrency: int
    start_s: float
    idle_s: float
    steps: frozenset[str] = frozenset({"fleet", "restarts", "peer"})
    spec: Document = field(default_factory=dict)


@dataclass(slots=True)
class Step:
    """One step: how long it took, what the operator (or the peer) used for it."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    rss_mb: float = 0.0
    api_calls: int = 0
    api_writes: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    more: dict[str, float] = field(default_factory=dict)


def measure(plan: Plan, folder: Path) -> Iterator[tuple[str, Document]]:
    """All steps with their names, each when it is done. Raises BenchError, ClusterError."""
    for name, step in _steps(plan, folder):
        yield name, asdict(step)


def _steps(plan: Plan, folder: Path) -> Iterator[tuple[str, Step]]:
    fleet = min(plan.fleet, plan.channels)
    with scene(folder, plan.start_s, plan.spec) as made:
        say(f"{plan.channels} channels: creating them")
        made.create_channels(plan.channels, fleet)
        on_air = _step(made, functools.partial(_all_on_air, made, plan.channels))
        on_air.more = {"channels": plan.channels}
        yield "on air", on_air
        yield "rest", _step(made, functools.partial(time.sleep, plan.idle_s))
        handover = _handovers(made, fleet)
        yield "handover", handover
        need_s = handover.more["needSeconds"]
        if "fleet" in plan.steps:
            updated = _fleet(made, plan, fleet, version=3, meanwhile=None)
            need_s = updated.more["needSeconds"]
            yield "fleet", updated
        if "restarts" in plan.steps:
            yield from _with_restarts(made, plan, fleet)
        made.end_operator()
        if "peer" in plan.steps:
            yield "peer", _peer(made, plan, fleet, need_s)


def _step(made: Scene, work: Callable[[], object]) -> Step:
    """Do it; what it cost. The operator may be started by it."""
    made.audit.read()
    before = usage(made.operator_pid).cpu_s if made.operator is not None else 0.0
    start_s = time.monotonic()
    work()
    step = Step(seconds=time.monotonic() - start_s)
    after = usage(made.operator_pid)
    step.cpu_seconds, step.rss_mb = after.cpu_s - before, after.rss_mb
    _count(step, made.audit.read().get(OPERATOR, Calls()))
    return step


def _count(step: Step, calls: Calls) -> None:
    step.api_calls, step.api_writes, step.calls = calls.total, calls.writes, calls.table()


def _all_on_air(made: Scene, channels: int) -> None:
    """Start the operator, and wait."""
    made.start_operator()

    def live() -> tuple[int, int]:
        return int(made.metrics().get('hitless_channels{phase="Live"}', 0)), channels

    took_s = made.wait("on air", live, STEP_S_MAX, every_s=1.0)
    say(f"  all {channels} on air after {took_s:.1f} s")
    made.wait("rest", lambda: (int(made.is_at_rest()), 1), STEP_S_MAX)
    phases = [body["status"]["phase"] for body in made.channels()]
    if phases.count("Live") != channels:
        raise BenchError(f"{channels - phases.count('Live')} channels are not Live")


def _handovers(made: Scene, fleet: int) -> Step:
    """Some channels, one by one as users do it."""
    names = [name_of(n) for n in range(min(SINGLES, fleet))]

    def change() -> None:
        for name in names:
            made.change_image(name, 2)
        made.wait("handovers", lambda: (_updated(made, names, 2), len(names)), STEP_S_MAX)
        made.wait("rest", lambda: (int(made.is_at_rest()), 1), STEP_S_MAX)

    made.events()
    step = _step(made, change)
    took_s = statistics.mean(_handover_s(_channel(made, name)) for name in names)
    need_s = made.events()["needSeconds"]
    step.more = {
        "handovers": len(names),
        "handoverSeconds": took_s,
        "needSeconds": need_s,
        "ratio": took_s / need_s,
        "writesPerHandover": step.api_writes / len(names),
        "readsPerHandover": (step.api_calls - step.api_writes) / len(names),
    }
    say(f"  a handover: {took_s:.1f} s, {step.more['writesPerHandover']:.1f} writes")
    return step


def _channel(made: Scene, name: str) -> Document:
    return made.plane.call("GET", f"{GROUP_PATH}/encoderdeployments/{name}")


def _updated(made: Scene, names: list[str], version: int) -> int:
    """How many are on air with it, at rest."""
    image = IMAGE.format(version)
    rows = (_channel(made, name)["status"] for name in names)
    return sum(row["phase"] == "Live" and row["active"]["image"] == image for row in rows)


def _handover_s(body: Document) -> float:
    last = body["status"]["handover"]
    return _seconds(last["finishedAt"]) - _seconds(last["startedAt"])


def _seconds(moment: str) -> float:
    whole, _, fraction = moment.removesuffix("Z").partition(".")
    day = time.strptime(whole, "%Y-%m-%dT%H:%M:%S")
    return time.mktime(day) + float(f"0.{fraction or 0}")


# --- fleet updates ---


def _fleet(
    made: Scene,
    plan: Plan,
    fleet: int,
    *,
    version: int,
    meanwhile: Callable[[float], None] | None,
) -> Step:
    """All channels of the fleet to another version. meanwhile: is told the share that is done."""
    say(f"  fleet update of {fleet} channels, {plan.concurrency} at once")
    made.events()
    path = f"{GROUP_PATH}/encoderupdates/to-v{version}"
    body = {
        "apiVersion": "hitless.video/v1alpha1",
        "kind": "EncoderUpdate",
        "metadata": {"name": f"to-v{version}", "namespace": NAMESPACE},
        "spec": {
            "selector": {"types": [FLEET_TYPE]},
            "change": {"image": IMAGE.format(version)},
            "concurrency": plan.concurrency,
            "takeOverFrom": [USER],
        },
    }

    def progress() -> tuple[int, int]:
        try:
            status = made.plane.call("GET", path).get("status", {})
        except (OSError, HTTPException, ApiRefused):
            return 0, fleet  # the API server is away
        if status.get("phase") in ("Failed", "RolledBack", "Paused"):
            raise BenchError(f"the fleet update is {status['phase']}: {json.dumps(status)}")
        done = int(status.get("updated", 0))
        if meanwhile is not None:
            meanwhile(done / fleet)
        over = status.get("phase") == "Completed"
        return (fleet if over else min(done, fleet - 1)), fleet

    def change() -> None:
        made.plane.create(path.rpartition("/")[0], body)
        made.wait("updated", progress, STEP_S_MAX, every_s=1.0)

    step = _step(made, change)
    made.wait("rest", lambda: (int(made.is_at_rest()), 1), STEP_S_MAX)
    seen = made.events()
    ideal_s = seen["needSeconds"] * max(1.0, fleet / plan.concurrency)
    step.more = {
        "channels": fleet,
        "needSeconds": seen["needSeconds"],
        "idealSeconds": ideal_s,
        "ratio": step.seconds / ideal_s,
        "writesPerHandover": step.api_writes / fleet,
        "readsPerHandover": (step.api_calls - step.api_writes) / fleet,
        **_faults(made, seen, version, fleet),
    }
    say(f"  {step.seconds:.0f} s, the encoders need {ideal_s:.0f} s: x {step.more['ratio']:.2f}")
    return step


def _faults(made: Scene, seen: Document, version: int, fleet: int) -> dict[str, float]:
    """What must be nought: by the origin, and by the channels' own records."""
    rows = [b for b in made.channels() if b["spec"]["type"] == FLEET_TYPE]
    histories = [entry for body in rows for entry in body["status"].get("history", [])]
    image = IMAGE.format(version)
    return {
        "segmentsMissing": seen["segmentsMissing"],
        "lowerTermsOnAir": seen["lowerTermsOnAir"],
        "framesLost": sum(entry.get("framesLost") or 0 for entry in histories),
        "notCompleted": sum(entry["phase"] != "Completed" for entry in histories),
        "notUpdated": fleet - sum(b["status"]["active"]["image"] == image for b in rows),
    }


def _with_restarts(made: Scene, plan: Plan, fleet: int) -> Iterator[tuple[str, Step]]:
    """A new operator process comes to channels on air, and updates them while all else restarts.

    Its connections are cut when a quarter is done, the API server is killed at half.
    """
    made.end_operator()
    with Proxy(made.plane.port) as proxy:
        made.server = f"https://127.0.0.1:{proxy.port}"
        yield "taking over", _step(made, functools.partial(_all_on_air, made, plan.channels))
        faults = _Faults(cut=proxy.cut, restart=made.plane.restart)
        step = _fleet(made, plan, fleet, version=4, meanwhile=faults.at)
        step.more |= {"cuts": faults.cuts, "serverRestarts": faults.restarts}
        yield "restarts", step
        made.end_operator()
        made.server = ""


@dataclass(kw_only=True)
class _Faults:
    """Each once. What a thread starts would end with the thread: this belongs to the main one."""

    cut: Callable[[], None]
    restart: Callable[[], None]
    cuts: int = 0
    restarts: int = 0

    def at(self, share: float) -> None:
        """Do what is due when so much of the update is done."""
        if share >= 0.25 and not self.cuts:
            say("  all watches and connections of the operator are cut")
            self.cuts += 1
            self.cut()
        if share >= 0.5 and not self.restarts:
            say("  the API server is killed and started again")
            self.restarts += 1
            self.restart()


# --- the peer ---


def _peer(made: Scene, plan: Plan, pods: int, need_s: float) -> Step:
    """The Deployment controller rolls as many pods, each of which needs as long as a handover."""
    say(f"  peer: the Deployment controller rolls {pods} pods, {plan.concurrency} at once")
    settle_s = max(0, round(need_s - plan.start_s))
    rolled = roll(made, pods=pods, surge=min(plan.concurrency, pods), settle_s=settle_s)
    step = Step(seconds=rolled.seconds, cpu_seconds=rolled.cpu_s, rss_mb=rolled.rss_mb)
    _count(step, rolled.calls)
    ideal_s = (settle_s + plan.start_s) * max(1.0, pods / plan.concurrency)
    step.more = {
        "pods": pods,
        "needSeconds": settle_s + plan.start_s,
        "idealSeconds": ideal_s,
        "ratio": step.seconds / ideal_s,
        "writesPerPod": step.api_writes / pods,
    }
    say(f"  {step.seconds:.0f} s, the pods need {ideal_s:.0f} s: x {step.more['ratio']:.2f}")
    return step
