"""The report of a probe run, and its two shapes: JSON, and a summary for people. Pure."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum

from hitless_cli.probe.boxes import TrackKind
from hitless_cli.probe.faults import Fault

SCHEMA_VERSION = 1
_FAULTS_IN_SUMMARY_MAX = 20


class Ending(StrEnum):
    """Why the probe stopped."""

    TIME = "Time"  # --seconds are over
    SEGMENT = "Segment"  # --until-segment was played
    STOPPED = "Stopped"  # by a signal or the caller
    ENDED = "Ended"  # the stream said EXT-X-ENDLIST


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCounts:
    """Frame numbers, counted one by one."""

    seen: int = 0
    lost: int = 0
    repeated: int = 0
    out_of_order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkCounts:
    """Marks against timestamps: of `checked` pictures or tones, what was wrong or unreadable."""

    checked: int
    wrong: int
    unreadable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderChange:
    """From `segment` (media sequence number), whose first frame is `frame`, on: another encoder."""

    segment: int
    frame: int
    from_encoder: str
    to_encoder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaylistCounts:
    """How the media playlist behaved. late: times it was not renewed within 1.5 targets."""

    loads: int
    load_failures: int
    target_s: int
    gaps: int
    discontinuities: int
    late: int
    stalls: int
    quiet_ms_max: int
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionReport:
    """One rendition. Frames of audio are codec frames of `frame_ticks`; samples are per channel.

    frames: by timestamps. pictures: by the numbers drawn. picture_marks, tone_marks: marks against
    timestamps. The last three are None where no marks were checked.
    """

    name: str
    kind: TrackKind
    codec: str
    decoded: bool
    width: int | None
    height: int | None
    timescale: int
    frame_ticks: int
    segment_frames: int
    segments: int
    bytes: int
    first_segment: int | None
    last_segment: int | None
    first_frame: int | None
    last_frame: int | None
    frames: FrameCounts
    timestamps_wrong: int
    frames_decoded: int
    decode_failures: int
    samples_seen: int
    samples_lost: int
    samples_repeated: int
    pictures: FrameCounts | None
    picture_marks: MarkCounts | None
    tone_marks: MarkCounts | None
    playlist: PlaylistCounts
    rechecked: int
    retries: int
    encoder: str | None
    encoder_changes: tuple[EncoderChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """A whole run. frames: of the rendition that fared worst, by timestamps or by pictures.

    fault_counts: by FaultKind, exact; faults: examples, bounded.
    """

    schema_version: int
    url: str
    started_us: int
    seconds: float
    ending: Ending
    ok: bool
    pattern: bool
    frame_rate: str | None
    segment_frames: int | None
    frames: FrameCounts
    fault_counts: dict[str, int]
    faults: tuple[Fault, ...]
    renditions: tuple[RenditionReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the probe is: after each segment of the rendition that is decoded.

    lag_s: wall time minus the time of the frame on the epoch's timeline; None when far off.
    """

    segment: int
    frame: int
    seen: int
    lost: int
    repeated: int
    out_of_order: int
    faults: int
    late: int
    lag_s: float | None
    encoder: str | None


def worst(counts: list[FrameCounts]) -> FrameCounts:
    """The counts of what fared worst: most lost, then repeated, then out of order."""
    return max(
        counts,
        key=lambda c: (c.lost, c.repeated, c.out_of_order, c.seen),
        default=FrameCounts(),
    )


def report_json(report: ProbeReport) -> str:
    """The report as JSON: field names as they are, enumerations by value."""
    return json.dumps(dataclasses.asdict(report), indent=2)


def report_text(report: ProbeReport) -> str:
    """The report for people: a verdict, a line a rendition, then the faults."""
    verdict = "no fault" if report.ok else "FAULTS"
    rate = f", {report.frame_rate} fps" if report.frame_rate else ""
    marks = "marks checked" if report.pattern else "no test-pattern marks"
    lines = [
        f"{report.url}",
        f"{verdict} in {report.seconds:.1f} s ({report.ending.value.lower()}{rate}, {marks}): "
        f"{report.frames.seen} frames, {_breaks(report.frames)}",
        *(_rendition_line(rendition) for rendition in report.renditions),
        *(_change_line(r, change) for r in report.renditions for change in r.encoder_changes),
    ]
    if report.fault_counts:
        lines.append("Faults:")
        lines += [f"  {kind:<20} {count}" for kind, count in report.fault_counts.items()]
        lines += [f"  {_fault_line(fault)}" for fault in report.faults[:_FAULTS_IN_SUMMARY_MAX]]
        if len(report.faults) > _FAULTS_IN_SUMMARY_MAX:
            lines.append("  … (--json lists more)")
    return "\n".join(lines)


def _breaks(frames: FrameCounts) -> str:
    return f"{frames.lost} lost, {frames.repeated} repeated, {frames.out_of_order} out of order"


def _rendition_line(rendition: RenditionReport) -> str:
    size = f" {rendition.width}x{rendition.height}" if rendition.width else ""
    how = "decoded" if rendition.decoded else "boxes only"
    playlist = rendition.playlist
    line = (
        f"  {rendition.name}{size} ({how}): {rendition.segments} segments, "
        f"frames {rendition.first_frame}..{rendition.last_frame}, {_breaks(rendition.frames)}"
    )
    for label, marks in (("pictures", rendition.picture_marks), ("tones", rendition.tone_marks)):
        if marks is not None:
            line += f", {label} {marks.checked - marks.wrong - marks.unreadable}/{marks.checked}"
    if playlist.late:
        line += f", late {playlist.late} times (at most {playlist.quiet_ms_max / 1000:.1f} s)"
    return line


def _change_line(rendition: RenditionReport, change: EncoderChange) -> str:
    return (
        f"  {rendition.name}: from segment {change.segment}, frame {change.frame} "
        f"the encoder is {change.to_encoder} (was {change.from_encoder})"
    )


def _fault_line(fault: Fault) -> str:
    where = f" segment {fault.segment}" if fault.segment is not None else ""
    return f"{fault.kind.value} {fault.rendition}{where}: {fault.message}"
