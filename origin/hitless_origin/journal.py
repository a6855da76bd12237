"""What a channel remembers across restarts: one JSON line for each thing that happened.

Pure: the models of the lines, and `replay`, which folds them into a Snapshot. `store` writes and
reads the file. A line is written before the act it records (a publication moves files only after
its line), so that a restarted origin can finish or undo the last act. A torn last line is normal:
a killed process leaves it. Journals of origins that knew one edition only are read as well: theirs
is edition 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from hitless_handover.messages import OriginSwitch
from hitless_handover.selection_model import SWITCHES_MAX
from hitless_origin.aired import Aired
from hitless_origin.errors import StoreError
from hitless_origin.window import Window


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WindowLine(_Line):
    """A Window."""

    first: int
    last: int
    gaps: tuple[tuple[int, int], ...] = ()

    def value(self) -> Window:
        """As the renderers take it."""
        return Window(first=self.first, last=self.last, gaps=self.gaps)

    @classmethod
    def of(cls, window: Window) -> WindowLine:
        """From the value."""
        return cls(first=window.first, last=window.last, gaps=window.gaps)


class AiredLine(_Line):
    """An Aired."""

    runs: tuple[tuple[int, int], ...] = ()
    discontinuities: int = 0
    newest: tuple[int, ...] = ()

    def value(self) -> Aired:
        """As the channel has it."""
        return Aired(**self.model_dump())

    @classmethod
    def of(cls, aired: Aired) -> AiredLine:
        """From the value."""
        return cls(runs=aired.runs, discontinuities=aired.discontinuities, newest=aired.newest)


class SwitchLine(_Line):
    """A change of the selected encoder; a later line of the same segment replaces it."""

    t: Literal["switch"] = "switch"
    segment: int
    from_encoder: str
    to_encoder: str
    from_priority: int
    to_priority: int
    fallback: bool
    gap_frames: int
    overlap_frames: int

    def value(self) -> OriginSwitch:
        """As the core has it."""
        return OriginSwitch(**self.model_dump(exclude={"t"}))

    @classmethod
    def of(cls, switch: OriginSwitch) -> SwitchLine:
        """From the core value."""
        return cls(
            segment=switch.segment,
            from_encoder=switch.from_encoder,
            to_encoder=switch.to_encoder,
            from_priority=switch.from_priority,
            to_priority=switch.to_priority,
            fallback=switch.fallback,
            gap_frames=switch.gap_frames,
            overlap_frames=switch.overlap_frames,
        )


class PublishLine(_Line):
    """A segment is about to go on air. term: highest known. at_us: wall time.

    edition: where it is not the one of the segment before, a discontinuity is declared.
    """

    t: Literal["publish"] = "publish"
    segment: int
    encoder: str
    priority: int
    fallback: bool
    term: int
    mismatches: int
    at_us: int
    edition: int = 0


class GapLine(_Line):
    """Segments first to last are given up; or one whose publication failed."""

    t: Literal["gap"] = "gap"
    first: int
    last: int


class TrimLine(_Line):
    """For want of room the window begins with segment `first`."""

    t: Literal["trim"] = "trim"
    first: int


class TermLine(_Line):
    """A higher term became known."""

    t: Literal["term"] = "term"
    term: int


class EditionLine(_Line):
    """An edition was introduced; its description is on disk."""

    t: Literal["edition"] = "edition"
    edition: int


class DropLine(_Line):
    """An edition that nobody uses any more was let go."""

    t: Literal["drop"] = "drop"
    edition: int


class EncoderLine(_Line):
    """An encoder introduced itself: description accepted, and the init segments of these tracks.

    edition, may_differ: as in its EncoderRecord.
    """

    t: Literal["encoder"] = "encoder"
    encoder: str
    inits: tuple[str, ...]
    edition: int = 0
    may_differ: bool = False


class ForgetLine(_Line):
    """An encoder that fell silent made room for another."""

    t: Literal["forget"] = "forget"
    encoder: str


class Snapshot(_Line):
    """Everything that survives a restart. First line of a compacted journal."""

    t: Literal["snapshot"] = "snapshot"
    version: Literal[1] = 1
    window: WindowLine | None = None
    term: int = 0
    encoder: str | None = None
    priority: int = 0
    published_us: int = 0
    fallbacks: int = 0
    gaps: int = 0
    mismatches: int = 0
    switch_count: int = 0
    switches: tuple[SwitchLine, ...] = ()
    encoders: dict[str, EncoderLine] = {}
    editions: tuple[int, ...] = (0,)
    aired: AiredLine = AiredLine()

    @field_validator("encoders", mode="before")
    @classmethod
    def _without_editions(cls, found: Any) -> Any:
        """Older origins wrote the init segments alone."""
        if not isinstance(found, dict):
            return found
        return {
            name: {"encoder": name, "inits": each} if isinstance(each, list) else each
            for name, each in found.items()
        }

    @property
    def on_air(self) -> int:
        """The edition of the newest segment; before the first, the channel's first edition."""
        return self.aired.runs[-1][1] if self.aired.runs else self.editions[0]


Line = (
    PublishLine
    | GapLine
    | TrimLine
    | SwitchLine
    | TermLine
    | EditionLine
    | DropLine
    | EncoderLine
    | ForgetLine
    | Snapshot
)
_LINE: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="t")])


def write(lines: Iterable[Line]) -> bytes:
    """Lines as they go to the file."""
    return b"".join(line.model_dump_json().encode() + b"\n" for line in lines)


def read(data: bytes) -> list[Line]:
    """The lines of a journal without its torn end. Raises StoreError for a broken line within."""
    whole, _, _ = data.rpartition(b"\n")
    lines = []
    for number, text in enumerate(whole.split(b"\n") if whole else (), start=1):
        try:
            lines.append(_LINE.validate_json(text))
        except ValidationError as error:
            raise StoreError(f"journal line {number} can't be read: {text[:80]!r}") from error
    return lines


def replay(lines: Iterable[Line]) -> Snapshot:
    """Fold a journal into what it says in the end."""
    snapshot = Snapshot()
    for line in lines:
        snapshot = _apply(snapshot, line)
    return snapshot


def _apply(snapshot: Snapshot, line: Line) -> Snapshot:
    match line:
        case Snapshot():
            return _with_runs(line)
        case PublishLine():
            return snapshot.model_copy(update=_publish(snapshot, line))
        case GapLine():
            return snapshot.model_copy(update=_gap(snapshot, line))
        case TrimLine():
            return snapshot.model_copy(update=_trim(snapshot, line))
        case SwitchLine():
            return snapshot.model_copy(update=_switch(snapshot, line))
        case TermLine():
            return snapshot.model_copy(update={"term": max(snapshot.term, line.term)})
        case EditionLine():
            return snapshot.model_copy(update={"editions": (*snapshot.editions, line.edition)})
        case DropLine():
            return snapshot.model_copy(update=_drop(snapshot, line.edition))
        case EncoderLine():
            encoders = {**snapshot.encoders, line.encoder: line}
            return snapshot.model_copy(update={"encoders": encoders})
        case ForgetLine():
            encoders = {k: v for k, v in snapshot.encoders.items() if k != line.encoder}
            return snapshot.model_copy(update={"encoders": encoders})


def _with_runs(snapshot: Snapshot) -> Snapshot:
    """Older origins wrote no runs: they had one."""
    if snapshot.window is None or snapshot.aired.runs:
        return snapshot
    runs = ((snapshot.window.first, snapshot.editions[0]),)
    return snapshot.model_copy(update={"aired": AiredLine(runs=runs)})


def _drop(snapshot: Snapshot, edition: int) -> dict[str, object]:
    aired = snapshot.aired.value().forgotten(edition)
    return {
        "editions": tuple(each for each in snapshot.editions if each != edition),
        "aired": AiredLine.of(aired),
    }


def _publish(snapshot: Snapshot, line: PublishLine) -> dict[str, object]:
    aired = snapshot.aired.value().published(line.segment, line.edition)
    window = snapshot.window or WindowLine(first=line.segment, last=line.segment)
    return {
        "window": window.model_copy(update={"last": line.segment}),
        "term": max(snapshot.term, line.term),
        "encoder": line.encoder,
        "priority": line.priority,
        "published_us": line.at_us,
        "fallbacks": snapshot.fallbacks + line.fallback,
        "mismatches": max(snapshot.mismatches, line.mismatches),
        "aired": AiredLine.of(aired),
    }


def _gap(snapshot: Snapshot, line: GapLine) -> dict[str, object]:
    if snapshot.window is None:
        raise StoreError(f"journal: gap {line.first} to {line.last} before the first segment")
    window = snapshot.window.value().gap(line.first, line.last)
    return {
        "window": WindowLine.of(window),
        "gaps": snapshot.gaps + line.last - line.first + 1,
    }


def _trim(snapshot: Snapshot, line: TrimLine) -> dict[str, object]:
    window = snapshot.window
    return {"window": window and WindowLine.of(window.value().since(line.first))}


def _switch(snapshot: Snapshot, line: SwitchLine) -> dict[str, object]:
    others = [s for s in snapshot.switches if s.segment != line.segment]
    new = len(others) == len(snapshot.switches)
    return {
        "switches": (*others, line)[-SWITCHES_MAX:],
        "switch_count": snapshot.switch_count + new,
    }
