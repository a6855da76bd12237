"""The channel file: an `EncoderDeployment` in YAML, read as the operator would read the resource.

Owns reading, the errors in words, and noticing that the file has changed. It must not decide what a
change means: see intent.py. Called at the start and by the run loop's poll.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hitless_cli.local.errors import ChannelFileError
from hitless_wire.model import Model
from hitless_wire.resources import API_VERSION, KIND, EncoderDeploymentSpec

FILE_BYTES_MAX = 1 << 20

Place = tuple[int | str, ...]
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$")]


class Metadata(BaseModel):
    """Name and namespace; labels and annotations mean nothing here."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: DnsLabel
    namespace: DnsLabel = "default"


class Deployment(Model):
    """The whole document. A status, as `kubectl get -o yaml` writes it, is ignored."""

    api_version: Literal["hitless.video/v1alpha1"]
    kind: Literal["EncoderDeployment"]
    metadata: Metadata
    spec: EncoderDeploymentSpec
    status: Any = None


def read(path: Path) -> Deployment:
    """The channel in the file. Raises ChannelFileError with a line for each thing to mend."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ChannelFileError(f"{path}: {error.strerror or error}") from error
    if len(content) > FILE_BYTES_MAX:
        raise ChannelFileError(f"{path}: larger than {FILE_BYTES_MAX} bytes, not a channel file")
    return parse(content, name=str(path))


def parse(content: bytes, *, name: str) -> Deployment:
    """The channel in YAML text. name: of the file, for the errors. Raises ChannelFileError."""
    document = _only_deployment(_documents(content, name), name)
    try:
        return Deployment.model_validate(document)
    except ValidationError as error:
        raise ChannelFileError(*_lines(error, name)) from error


def _documents(content: bytes, name: str) -> list[Any]:
    try:
        return [d for d in yaml.safe_load_all(content) if d is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ChannelFileError(f"{where}: {error.problem or 'not YAML'}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ChannelFileError(f"{name}: not YAML: {' '.join(str(error).split())}") from error


def _only_deployment(documents: list[Any], name: str) -> object:
    """The one document to read: other kinds may stand beside it in the file."""
    if len(documents) == 1:
        document: object = documents[0]
    else:
        found = [d for d in documents if isinstance(d, dict) and d.get("kind") == KIND]
        if len(found) != 1:
            raise ChannelFileError(f"{name}: holds {len(found)} {KIND} documents, expected one")
        document = found[0]
    if not isinstance(document, dict):
        raise ChannelFileError(
            f"{name}: holds {type(document).__name__}, expected a mapping with "
            f"apiVersion: {API_VERSION} and kind: {KIND}"
        )
    return document


def _lines(error: ValidationError, name: str) -> list[str]:
    details = error.errors(include_url=False, include_context=False)
    places = [detail["loc"] for detail in details]
    return [
        f"{name}: {_path(detail['loc'])}: {_words(detail['msg'])}{_got(detail)}"
        for detail in details
        if not (detail["type"] == "too_short" and _has_inner(detail["loc"], places))
    ]


def _has_inner(place: Place, places: list[Place]) -> bool:
    """A list counts as too short when its items are wrong: then only they are worth a line."""
    return any(other[: len(place)] == place and other != place for other in places)


def _path(location: Place) -> str:
    """('spec', 'profiles', 0, 'maxKbps') -> spec.profiles[0].maxKbps."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".") or "document"


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")


def _got(detail: Any) -> str:
    """What was there instead, where that is short and says something."""
    value = detail["input"]
    if detail["type"] in ("missing", "extra_forbidden") or isinstance(value, dict | list):
        return ""
    return f" (got {str(value)[:60]!r})"


# --- watching ---


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What changes when a file is written or replaced."""

    inode: int
    modified_ns: int
    size: int


class ChannelFile:
    """The file with its last known state."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: _Stamp | None = None

    def read(self) -> Deployment:
        """Read now. Raises ChannelFileError."""
        self._stamp = self._look()
        return read(self.path)

    def read_if_changed(self) -> Deployment | None:
        """The new content; None while it is as it was. Raises ChannelFileError once a change.

        A file that is missing for a moment is being replaced by an editor: not a change.
        """
        stamp = self._look()
        if stamp is None or stamp == self._stamp:
            return None
        self._stamp = stamp
        return read(self.path)

    def _look(self) -> _Stamp | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return _Stamp(status.st_ino, status.st_mtime_ns, status.st_size)
