"""Fetches playlists and segments over HTTP: the only place that opens a connection."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

import aiohttp

from hitless_cli.probe.errors import FetchError
from hitless_wire.ingest import HEADER_ENCODER

_CHUNK_BYTES = 1 << 16
_REDIRECTS_MAX = 5


class StatusError(FetchError):
    """The server answered, with another status than 200."""

    def __init__(self, url: str, status: int) -> None:
        super().__init__(f"GET {url} answered {status}, want 200")
        self.status = status

    @property
    def gone(self) -> bool:
        """Whether the server says that there is no such thing."""
        return self.status in (404, 410)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A body, where it came from after redirects, and the encoder that made it if it says so."""

    url: str
    body: bytes
    encoder: str | None


class Fetcher:
    """GET with a time and a size limit; an async context manager."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Fetcher:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def get(self, url: str, bytes_max: int) -> Fetched:
        """The body of a URL. Raises FetchError (StatusError when the server answered)."""
        assert self._session is not None, "use `async with Fetcher(...)`"
        try:
            async with self._session.get(url, max_redirects=_REDIRECTS_MAX) as response:
                if response.status != 200:
                    raise StatusError(url, response.status)
                return Fetched(
                    url=str(response.url),
                    body=await _read(response, bytes_max),
                    encoder=response.headers.get(HEADER_ENCODER),
                )
        except TimeoutError as error:
            raise FetchError(f"GET {url} took longer than {self._timeout.total} s") from error
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise FetchError(f"GET {url} failed: {str(error) or repr(error)}") from error


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > bytes_max:
            raise FetchError(f"GET {response.url} is larger than {bytes_max} bytes")
    return bytes(body)
