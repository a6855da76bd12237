"""The answer to one question of the API server: may this pod be evicted?

Owns the reading of the question (an Eviction in an AdmissionReview), of the pod and its channel,
and the answer. Its only effect is the mark, which `apply.py` writes, and an Event beside it. An
answer that can't be found is an exception: `server.py` says so, and the failurePolicy decides.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from hitless_handover.supervisor_model import Notice
from hitless_operator.apply import Applier
from hitless_operator.channel import Channel, Document, Key, StatusUnreadable, channel_of
from hitless_operator.events import Announcer
from hitless_operator.eviction.judge import HELD, Verdict, judge, message
from hitless_operator.eviction.mark import is_fresh, is_marked
from hitless_operator.kube import Kube, KubeError
from hitless_operator.manifests import CHANNEL_LABEL, MANAGED_BY_LABEL, MANAGER

REVIEW = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
TOO_MANY_REQUESTS = 429  # what a budget answers: whoever evicts knows to ask again
ANSWER_S = 4.0  # less than the webhook's timeoutSeconds: better an answer that says what is wrong
AT_ONCE_MAX = 16
REQUESTED = "EvictionRequested"
_log = logging.getLogger(__name__)


class _Read(BaseModel):
    """Of what the API server sends, the part that is used."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Preconditions(_Read):
    uid: str = ""


class _DeleteOptions(_Read):
    dry_run: tuple[str, ...] = Field(default=(), alias="dryRun")
    preconditions: _Preconditions | None = None


class _Eviction(_Read):
    delete_options: _DeleteOptions | None = Field(default=None, alias="deleteOptions")


class _User(_Read):
    username: str = ""


class Question(_Read):
    """`request` of an AdmissionReview about pods/eviction."""

    uid: str
    # They become part of a path: whoever reaches the port must not choose another one.
    namespace: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    name: str = Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)
    dry_run: bool = Field(default=False, alias="dryRun")
    user: _User = Field(default=_User(), alias="userInfo")
    eviction: _Eviction = Field(default=_Eviction(), alias="object")

    @property
    def is_trial(self) -> bool:
        """A dry run, said either way: `kubectl drain --dry-run=server` says it in the Eviction."""
        options = self.eviction.delete_options
        return self.dry_run or bool(options is not None and options.dry_run)

    @property
    def pod_uid(self) -> str:
        """The pod that is meant; empty: whichever has the name."""
        options = self.eviction.delete_options
        meant = options.preconditions if options is not None else None
        return meant.uid if meant is not None else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a question is about. channel: None where the pod is no encoder of one."""

    verdict: Verdict
    pod: Document
    channel: Channel | None = None


class EvictionWebhook:
    """Answers. namespaces: those that the operator looks after; empty: all."""

    def __init__(
        self,
        *,
        kube: Kube,
        applier: Applier,
        announcer: Announcer,
        now_us: Callable[[], int],
        namespaces: tuple[str, ...] = (),
    ) -> None:
        self._kube = kube
        self._applier = applier
        self._announcer = announcer
        self._now_us = now_us
        self._namespaces = namespaces
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)

    async def answer(self, question: Question) -> Document:
        """The AdmissionReview to send. Raises KubeError and TimeoutError: it can't be known."""
        async with asyncio.timeout(ANSWER_S), self._turns:
            found = await self._find(question)
            if found.channel is None or found.verdict not in HELD:
                return _review({"uid": question.uid, "allowed": True})
            return _review(await self._held(question, found, found.channel))

    async def _find(self, question: Question) -> Found:
        if self._namespaces and question.namespace not in self._namespaces:
            return Found(verdict=Verdict.NOT_OURS, pod={})
        pod = await self._kube.pod(question.namespace, question.name)
        labels = {} if pod is None else pod["metadata"].get("labels") or {}
        name = labels.get(CHANNEL_LABEL)
        if pod is None or not name or labels.get(MANAGED_BY_LABEL) != MANAGER:
            return Found(verdict=Verdict.NOT_OURS, pod={})
        if question.pod_uid not in ("", pod["metadata"]["uid"]):
            return Found(verdict=Verdict.NOT_OURS, pod=pod)  # meant was one that is gone
        body = await self._kube.channel(Key(question.namespace, name))
        try:
            channel = None if body is None else channel_of(body)
            return Found(verdict=judge(pod, channel), pod=pod, channel=channel)
        except StatusUnreadable:
            return Found(verdict=Verdict.NOT_KEPT, pod=pod)

    async def _held(self, question: Question, found: Found, channel: Channel) -> Document:
        said = message(found.verdict, channel, question.name)
        if not question.is_trial:
            try:
                await self._mark(question, found, channel)
            except KubeError as error:  # held all the same: an evicted encoder is a black channel
                _log.warning("%s: the wish was not noted: %s", channel.key, error)
                said = f"{said} The wish could not be noted: {error}"
        status = {"code": TOO_MANY_REQUESTS, "reason": "TooManyRequests", "message": said}
        return {"uid": question.uid, "allowed": False, "status": status}

    async def _mark(self, question: Question, found: Found, channel: Channel) -> None:
        now_us = self._now_us()
        if is_fresh(found.pod, now_us):
            return
        await self._applier.mark_eviction(found.pod, now_us)
        if not is_marked(found.pod, now_us):
            who = question.user.username or "somebody"
            said = f"{who} asked to evict {question.name}: {found.verdict}"
            self._announcer.announce(channel, (Notice(reason=REQUESTED, message=said),), now_us)


def _review(response: Document) -> Document:
    return {**REVIEW, "response": response}
