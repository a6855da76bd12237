"""The HTTPS endpoint that the API server asks: POST /evictions, an AdmissionReview each way.

Owns HTTP, and what an answer that can't be given looks like: 400 for what is no question, 503 for
what can't be found out now, upon which the webhook's failurePolicy decides. `__main__.py` runs it.
"""

from __future__ import annotations

import asyncio
import logging
from types import TracebackType
from typing import Self

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from hitless_operator.eviction.certificate import ServingCertificate
from hitless_operator.eviction.webhook import EvictionWebhook, Question
from hitless_operator.kube import KubeError

PATH = "/evictions"
BODY_BYTES_MAX = 256 * 1024  # an Eviction is a kilobyte, mostly of who asks
_log = logging.getLogger(__name__)


class _Review(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    request: Question


class EvictionServer:
    """An async context manager. Raises OSError when it can't listen."""

    def __init__(
        self, host: str, port: int, certificate: ServingCertificate, webhook: EvictionWebhook
    ) -> None:
        self._host, self._port = host, port
        self._certificate = certificate
        self._webhook = webhook
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_post(PATH, self._answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        context = self._certificate.context
        await web.TCPSite(self._runner, self._host, self._port, ssl_context=context).start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.shield(self._runner.cleanup())

    @property
    def port(self) -> int:
        """The port in use, also when 0 was asked for."""
        return int(self._runner.addresses[0][1])

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            question = _Review.model_validate_json(await request.read()).request
        except ValidationError as error:
            return web.Response(status=400, text=f"no AdmissionReview of an eviction: {error}")
        where = f"{question.namespace}/{question.name}"
        try:
            return web.json_response(await self._webhook.answer(question))
        except (KubeError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            _log.warning("eviction of %s: no answer: %s", where, why)
            return web.Response(status=503, text=why)
