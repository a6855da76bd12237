"""What to do next about a channel, in the order of urgency. Pure.

Each line names the command or the change; nothing is said about a channel that needs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from hitless_cli.cluster.reading import Channel, Condition
from hitless_cli.cluster.wording import version_of

_POD_REASONS = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CrashLoopBackOff",
    }
)
_KNOWN = {
    "FailedCreate": "the pod is refused: raise the quota, or change the policy it names",
    "EncoderConfigInvalid": "change the field that the message names: no start can work as it is",
    "Unschedulable": "no node takes the pod: free CPU or memory (an update needs both encoders)",
    "OriginUnreachable": "the origin does not answer: kubectl get pods -A -l "
    "app.kubernetes.io/name=hitless-origin",
    "InvalidSpec": "correct the spec as the message says; the encoders are left alone until then",
}


def next_steps(channel: Channel, program: str) -> tuple[str, ...]:
    """Lines for people; empty when all is well. program: how the user calls us."""
    return tuple(_lines(channel, program))


def _lines(channel: Channel, program: str) -> Iterator[str]:
    name = f"{channel.key.name} -n {channel.key.namespace}"
    yield from _operator(channel)
    ready, blocked = channel.condition("Ready"), channel.condition("UpdateBlocked")
    if ready is not None and ready.status != "True":
        yield from _condition(channel, ready)
    if channel.paused and channel.under_way is None:
        yield f"updates are paused: {program} resume {name}"
    elif blocked is not None and blocked.status == "True":
        yield from _condition(channel, blocked)
    update = channel.under_way
    if update is not None:
        if update.phase != "Aborting":
            yield f"to call the update off without losing a frame: {program} abort {name}"
        return
    if channel.active is not None and _given_up(channel):
        back, wanted = version_of(channel.active.image), version_of(channel.image)
        yield (
            f"the update to {wanted} is not tried again as it is: give a repaired image with "
            f"{program} update {name} --image IMAGE, or make the spec ask for {back}, which is on "
            f"air, with {program} rollback {name}"
        )


def _given_up(channel: Channel) -> bool:
    stalled = channel.condition("Stalled")
    held = stalled is not None and stalled.status == "True" and stalled.reason != "InvalidSpec"
    return held and channel.handover is not None


def _operator(channel: Channel) -> Iterator[str]:
    if channel.observed_generation < channel.generation and channel.under_way is None:
        yield (
            f"the operator has not acted on generation {channel.generation} of the spec yet (last: "
            f"{channel.observed_generation}); if that lasts: kubectl get pods -A -l "
            "app.kubernetes.io/name=hitless-operator"
        )


def _condition(channel: Channel, condition: Condition) -> Iterator[str]:
    if condition.reason in _POD_REASONS:
        pod = channel.under_way.successor.pod if channel.under_way else ""
        pod = pod or (channel.active.pod if channel.active else "")
        yield (
            f"{condition.reason}: check the image's name and the node's access to it: kubectl "
            f"describe pod {pod} -n {channel.key.namespace}"
        )
    elif condition.reason in _KNOWN:
        yield f"{condition.reason}: {_KNOWN[condition.reason]}"
