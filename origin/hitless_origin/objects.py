"""Objects below a prefix of an S3 bucket. Blocking and thread-safe; the only user of obstore.

Endpoint, region and credentials come from the environment as for other S3 clients:
AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or a web
identity. Every failure is an OSError, and no call lasts longer than some seconds.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore import ObjectMeta  # of the type stubs only

SCHEME = "s3"
CALLS_AT_A_TIME = 16  # when many are read, as at a start
LISTED_AT_A_TIME = 1000
_OWNER = "hitless-origin"  # metadata
_RETRIES_MAX = 4
_RETRY_S_MAX = 8
_CALL_S_MAX = 10
_CONNECT_S_MAX = 3


class BucketError(OSError):
    """The bucket did not do what was asked."""


class TakenError(BucketError):
    """There is an object of that name already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """name: below the prefix. size: bytes."""

    name: str
    size: int


class Objects:
    """What lies below a prefix, by names that begin without a slash."""

    def __init__(self, store: S3Store, prefix: str = "") -> None:
        self._store = store
        self._prefix = prefix

    @classmethod
    def at(cls, url: str) -> Objects:
        """Of s3://bucket/prefix. Raises ValueError."""
        parsed = urlsplit(url)
        if parsed.scheme != SCHEME or not parsed.netloc or parsed.query or parsed.fragment:
            raise ValueError(f"{url} names no bucket: give s3://bucket or s3://bucket/prefix")
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        try:
            store = S3Store(
                parsed.netloc,
                client_options={
                    "allow_http": endpoint.startswith("http://"),
                    "timeout": timedelta(seconds=_CALL_S_MAX),
                    "connect_timeout": timedelta(seconds=_CONNECT_S_MAX),
                },
                retry_config={
                    "max_retries": _RETRIES_MAX,
                    "retry_timeout": timedelta(seconds=_RETRY_S_MAX),
                },
            )
        except BaseError as error:
            raise ValueError(f"{url} can't be used: {_short(error)}") from error
        path = parsed.path.strip("/")
        return cls(store, f"{path}/" if path else "")

    def below(self, prefix: str) -> Objects:
        """Those below a further prefix, which ends with a slash."""
        return Objects(self._store, self._prefix + prefix)

    def put(self, name: str, body: bytes) -> None:
        """Write or replace an object."""
        with _failures(name):
            obstore.put(self._store, self._prefix + name, body, use_multipart=False)

    def create(self, name: str, body: bytes, owner: str) -> None:
        """Write an object that there is not yet. owner: says whose it is. Raises TakenError."""
        attributes = {_OWNER: owner}
        with _failures(name):
            obstore.put(
                self._store,
                self._prefix + name,
                body,
                attributes=attributes,
                mode="create",
                use_multipart=False,
            )

    def owned(self, name: str) -> tuple[str | None, bytes]:
        """An object's owner and bytes."""
        with _failures(name):
            found = obstore.get(self._store, self._prefix + name)
            return found.attributes.get(_OWNER), bytes(found.bytes())

    def get(self, name: str) -> bytes:
        """An object's bytes. Raises FileNotFoundError."""
        with _failures(name):
            return bytes(obstore.get(self._store, self._prefix + name).bytes())

    def get_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Many objects' bytes. Raises FileNotFoundError."""
        wanted = list(names)
        with ThreadPoolExecutor(CALLS_AT_A_TIME, thread_name_prefix="bucket") as pool:
            return dict(zip(wanted, pool.map(self.get, wanted), strict=True))

    def rename(self, old: str, new: str) -> None:
        """Copy within the bucket, then delete."""
        with _failures(old):
            obstore.rename(self._store, self._prefix + old, self._prefix + new)

    def delete(self, names: Collection[str]) -> None:
        """Delete objects; those that are not there do not matter."""
        if names:
            with _failures(next(iter(names))):
                obstore.delete(self._store, [self._prefix + name for name in names])

    def listed(self) -> list[Object]:
        """Everything below the prefix, by name."""
        with _failures(self._prefix):
            found = obstore.list(
                self._store, self._prefix or None, chunk_size=LISTED_AT_A_TIME
            ).collect()
        return sorted(self._read(found), key=lambda each: each.name)

    def listed_outside(self, first: str, end: str) -> list[Object] | None:
        """Those whose first part comes before `first`, or is `end` or comes after it, by name.

        None: the bucket has no such order, as a directory bucket of S3 Express.
        """
        with ThreadPoolExecutor(2, thread_name_prefix="bucket") as pool:
            before, after = pool.map(self._span, ("", end), (first, None))
        if before is None or after is None:
            return None
        return sorted([*before, *after], key=lambda each: each.name)

    def _span(self, first: str, end: str | None) -> list[Object] | None:
        """Those whose first part is `first` or later, and before `end`; None: not in order."""
        offset = f"{self._prefix}{first}" if first else None
        objects: list[Object] = []
        newest = f"{first}/" if first else ""
        with _failures(self._prefix):
            for page in obstore.list(
                self._store, self._prefix or None, offset=offset, chunk_size=LISTED_AT_A_TIME
            ):
                for each in self._read(page):
                    folder = f"{each.name.partition('/')[0]}/"
                    if folder < newest:
                        return None
                    if end is not None and folder >= f"{end}/":
                        return objects
                    newest = folder
                    objects.append(each)
        return objects

    def _read(self, page: Iterable[ObjectMeta]) -> Iterator[Object]:
        for meta in page:
            yield Object(name=meta["path"].removeprefix(self._prefix), size=meta["size"])

    def folders(self) -> list[str]:
        """The first parts of longer names."""
        return self.level()[1]

    def level(self) -> tuple[list[Object], list[str]]:
        """Objects whose names have one part, and the first parts of longer names."""
        with _failures(self._prefix):
            found = obstore.list_with_delimiter(self._store, self._prefix or None)
        folders = (path.removeprefix(self._prefix).strip("/") for path in found["common_prefixes"])
        return list(self._read(found["objects"])), sorted(folders)


@contextmanager
def _failures(name: str) -> Iterator[None]:
    try:
        yield
    except AlreadyExistsError as error:
        raise TakenError(f"{name}: there is one already") from error
    except BaseError as error:
        raise BucketError(f"{name}: {_short(error)}") from error


def _short(error: Exception) -> str:
    """obstore's messages have a debug dump after an empty line."""
    return str(error).partition("\n\n")[0].strip()
