"""The Secrets with the channels' tokens: written when a channel has no current one.

Owns which channel has which token by now. What was written is remembered, so that a look at rest
costs nothing; a new process writes each once. `apply.py` is asked to by `reconcile.py`.
"""

from __future__ import annotations

import hashlib
import logging

from hitless_operator.channel import Channel, Key
from hitless_operator.kube import AlreadyExists, Kube, NotFound, Rejected
from hitless_operator.manifests import token_secret
from hitless_operator.queue import TryAgain
from hitless_wire.ingest_tokens import KeyFile

_log = logging.getLogger(__name__)


class Tokens:
    """Gives channels their tokens. keys: of the origin; None: it asks for none."""

    def __init__(self, kube: Kube, keys: KeyFile | None) -> None:
        self._kube = kube
        self._keys = keys
        self._given: dict[Key, tuple[str, str]] = {}  # uid, digest of the token

    async def give(self, channel: Channel, *, again: bool) -> None:
        """See to the channel's Secret. again: even if it was written. Raises KubeError, TryAgain.

        A cluster that does not allow it is no reason not to go on air: the origin may be open yet,
        and what it answers to a push shows in the channel's status.
        """
        if self._keys is None:
            return
        token = self._keys.sign(*channel.key)
        given = (channel.uid, hashlib.sha256(token.encode()).hexdigest())
        if not again and self._given.get(channel.key) == given:
            return
        self._given.pop(channel.key, None)
        try:
            await self._write(channel, token)
        except Rejected as error:
            _log.warning("%s: no Secret with its ingest token: %s", channel.key, error)
        self._given[channel.key] = given

    def forget(self, key: Key) -> None:
        """The channel is gone, and the garbage collector takes its Secret."""
        self._given.pop(key, None)

    async def _write(self, channel: Channel, token: str) -> None:
        secret = token_secret(channel, token)
        try:
            await self._kube.put_secret(secret)
            return
        except NotFound:
            pass
        try:
            await self._kube.create_secret(secret)
        except AlreadyExists as error:
            raise TryAgain(f"{channel.key}: its token was written by somebody else") from error
