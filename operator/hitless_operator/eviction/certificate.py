"""The certificate that the webhook's server shows, read again when its files change.

Owns the TLS context. The files are those of a Secret of type kubernetes.io/tls: cert-manager renews
them, and the kubelet brings them here some time later. `server.py` listens with the context.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

CERTIFICATE, KEY = "tls.crt", "tls.key"
LOOK_S = 10.0
_log = logging.getLogger(__name__)


class ServingCertificate:
    """An async context manager. folder: holds tls.crt and tls.key. look_s: seconds between looks.

    Raises OSError (ssl.SSLError is one) when made from files that are not there or don't fit.
    """

    def __init__(self, folder: Path, *, look_s: float = LOOK_S) -> None:
        self._paths = (folder / CERTIFICATE, folder / KEY)
        self._look_s = look_s
        self._task: asyncio.Task[None] | None = None
        self.context = _context()
        self._seen = self._stamp()
        self.context.load_cert_chain(*self._paths)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep(), name="certificate")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def renew(self) -> bool:
        """Read the files if they have changed; whether they had. Raises OSError, keeping the old.

        New connections show the new certificate.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        # A half-read pair would break the context in use: it is tried on another one first.
        _context().load_cert_chain(*self._paths)
        self.context.load_cert_chain(*self._paths)
        self._seen = stamp
        return True

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            try:
                if self.renew():
                    _log.info("the webhook's certificate was read again")
            except OSError as error:
                _log.warning("the webhook's certificate can't be read: %s", error)

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes with the files, also when a symbolic link points elsewhere."""
        stats = [path.stat() for path in self._paths]
        return tuple((s.st_ino, s.st_mtime_ns, s.st_size) for s in stats)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
