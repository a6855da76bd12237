"""From a pod to an EncoderView: what the platform says of an encoder.

Owns the reading of pod status. It is pure and judges nothing: whether a reason is fatal is the
supervisor's business. `observe.py` calls it.
"""

from __future__ import annotations

from hitless_handover.supervisor_model import CONFIG_INVALID, EncoderState, EncoderView
from hitless_operator.channel import Document
from hitless_operator.manifests import CONTAINER_NAME
from hitless_wire import exits
from hitless_wire.peers import GRPC_PORT

MESSAGE_MAX = 512
IMAGE_ID_MAX = 512
# Waiting reasons of a pod that is merely coming up: nothing for people to mend.
_ON_ITS_WAY = frozenset({"ContainerCreating", "PodInitializing", ""})


def encoder_view(pod: Document, *, leaving: bool = False) -> EncoderView:
    """What the pod's status says. leaving: what its node or its mark says. report is left empty."""
    state, reason, message = _state(pod)
    return EncoderView(
        name=pod["metadata"]["name"],
        state=state,
        uid=pod["metadata"]["uid"],
        process=str(_container_status(pod).get("containerID") or ""),
        address=_address(pod),
        reason=reason,
        message=" ".join(message.split())[:MESSAGE_MAX],
        ready=state is EncoderState.RUNNING and _condition(pod, "Ready").get("status") == "True",
        leaving=leaving,
        image_id=_image_id(pod),
    )


def node_of(pod: Document) -> str:
    """The node that the pod is on; empty while it is on none."""
    return str(pod.get("spec", {}).get("nodeName") or "")


def owner_uid(pod: Document) -> str:
    """The uid of the controller that the pod belongs to; empty when it has none."""
    for owner in pod["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return str(owner["uid"])
    return ""


def _state(pod: Document) -> tuple[EncoderState, str, str]:
    status = pod.get("status") or {}
    phase = status.get("phase", "Pending")
    if pod["metadata"].get("deletionTimestamp"):
        return EncoderState.TERMINATING, "Terminating", "the pod is being deleted"
    if phase in ("Failed", "Succeeded"):
        return EncoderState.FAILED, *_why_ended(pod, phase)
    if _container_state(pod, "running") is not None:
        return EncoderState.RUNNING, *_crashes(pod)
    return EncoderState.PENDING, *_why_pending(pod)


def _why_ended(pod: Document, phase: str) -> tuple[str, str]:
    """Eviction and the like are said of the pod; an exit code of its container."""
    status = pod["status"]
    if status.get("reason"):
        return status["reason"], status.get("message", "")
    ended = _container_state(pod, "terminated")
    return _exit_text(ended) if ended is not None else (phase, f"the pod has {phase.lower()}")


def _why_pending(pod: Document) -> tuple[str, str]:
    reason, message = _crashes(pod)
    if reason:
        return reason, message
    waiting = _container_state(pod, "waiting")
    if waiting is not None and waiting.get("reason", "") not in _ON_ITS_WAY:
        return _why_waiting(pod, waiting)
    ended = _container_state(pod, "terminated")
    return _exit_text(ended) if ended is not None else _why_unscheduled(pod)


def _why_waiting(pod: Document, waiting: Document) -> tuple[str, str]:
    """The kubelet's word, steadied: it alternates between a failure and the back-off after it.

    Each alternation would be another status and another Event. The message names the image.
    """
    reason = str(waiting["reason"])
    message = str(waiting.get("message") or f"the container is waiting: {reason}")
    if reason == "ImagePullBackOff":
        reason = "ErrImagePull"
        message = message.partition(f"{reason}: ")[2] or message
    image = _container_status(pod).get("image", "")
    if "Image" in reason and image and image not in message:
        return reason, f"{image}: {message}"
    return reason, message


def _why_unscheduled(pod: Document) -> tuple[str, str]:
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") != "False":
        return "", ""
    return scheduled.get("reason") or "Unschedulable", scheduled.get("message", "")


def _crashes(pod: Document) -> tuple[str, str]:
    """Of a container that was restarted and is not ready: why it ended; else empty.

    One reason for all of the circle of running, ended and backing off, for the same cause.
    """
    status = _container_status(pod)
    ended = _container_state(pod, "terminated") or (status.get("lastState") or {}).get("terminated")
    if not status.get("restartCount") or status.get("ready") or ended is None:
        return "", ""
    reason, message = _exit_text(ended)
    if reason == CONFIG_INVALID:  # how often it was tried says nothing
        return reason, message
    return "CrashLoopBackOff", f"{message}, restarted {status['restartCount']} times"


def _exit_text(ended: Document) -> tuple[str, str]:
    """Why a container ended. Of the log that the kubelet falls back to, the last line says it."""
    reason, code = str(ended.get("reason") or "Error"), ended.get("exitCode")
    said = (str(ended.get("message") or "").strip().splitlines() or [""])[-1]
    if code == exits.CONFIGURATION:
        return CONFIG_INVALID, f"the encoder can't work as configured: {said or 'see its log'}"
    text = f"the encoder ended with exit code {code} ({reason})"
    return reason, f"{text}: {said}" if said else text


def _container_status(pod: Document) -> Document:
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status["name"] == CONTAINER_NAME:
            found: Document = status
            return found
    return {}


def _image_id(pod: Document) -> str:
    """What the kubelet says of the image: `repository@sha256:…` when it was pulled, `sha256:…` of
    its configuration when it was loaded onto the node. Docker's scheme before either is dropped.
    """
    said = str(_container_status(pod).get("imageID") or "")
    return said.rpartition("://")[2][:IMAGE_ID_MAX]


def _container_state(pod: Document, kind: str) -> Document | None:
    state: Document | None = (_container_status(pod).get("state") or {}).get(kind)
    return state


def _condition(pod: Document, kind: str) -> Document:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition["type"] == kind:
            found: Document = condition
            return found
    return {}


def _address(pod: Document) -> str:
    ip = str((pod.get("status") or {}).get("podIP") or "")
    if not ip:
        return ""
    return f"[{ip}]:{GRPC_PORT}" if ":" in ip else f"{ip}:{GRPC_PORT}"
