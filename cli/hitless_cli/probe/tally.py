"""Makes the report of a run from what its renditions counted. Reads them; changes nothing."""

from __future__ import annotations

from fractions import Fraction

from hitless_cli.probe.boxes import TrackKind
from hitless_cli.probe.context import ProbeContext
from hitless_cli.probe.faults import FaultKind
from hitless_cli.probe.rendition import RenditionProbe
from hitless_cli.probe.report import (
    SCHEMA_VERSION,
    Ending,
    FrameCounts,
    MarkCounts,
    PlaylistCounts,
    ProbeReport,
    RenditionReport,
    worst,
)
from hitless_cli.probe.track import Track


def report_of(context: ProbeContext, probes: list[RenditionProbe], started_us: int) -> ProbeReport:
    """The report of a run whose renditions have finished."""
    renditions = tuple(_rendition_report(context, rendition) for rendition in probes)
    video = [r for r in renditions if r.kind is TrackKind.VIDEO] or list(renditions)
    counts = context.faults.totals()
    return ProbeReport(
        schema_version=SCHEMA_VERSION,
        url=context.settings.url,
        started_us=started_us,
        seconds=round(context.clock.monotonic_s() - context.started_s, 3),
        ending=_ending(context, probes),
        ok=not counts,
        pattern=any(rendition.picture_marks is not None for rendition in renditions),
        frame_rate=_rate(video[0]),
        segment_frames=video[0].segment_frames or None,
        frames=worst([c for r in video for c in (r.frames, r.pictures) if c is not None]),
        fault_counts=counts,
        faults=context.faults.examples(),
        renditions=renditions,
    )


def _ending(context: ProbeContext, probes: list[RenditionProbe]) -> Ending:
    if any(rendition.playlist and rendition.playlist.ended for rendition in probes):
        return Ending.ENDED
    if all(rendition.played_out for rendition in probes):
        return Ending.SEGMENT
    return Ending.STOPPED if context.stop.is_set() else Ending.TIME


def _rate(rendition: RenditionReport) -> str | None:
    if rendition.kind is not TrackKind.VIDEO or not rendition.frame_ticks:
        return None
    return str(Fraction(rendition.timescale, rendition.frame_ticks))


def _rendition_report(context: ProbeContext, probed: RenditionProbe) -> RenditionReport:
    def count(kind: FaultKind) -> int:
        return context.faults.count(probed.rendition.name, kind)

    track, header, check = probed.track, probed.track.header, probed.track.timestamps
    sequence = None if check is None else check.sequence
    frames = FrameCounts(
        seen=0 if sequence is None else sequence.seen,
        lost=count(FaultKind.FRAME_LOST),
        repeated=count(FaultKind.FRAME_REPEATED),
        out_of_order=count(FaultKind.FRAME_OUT_OF_ORDER),
    )
    kind = probed.rendition.kind if header is None else header.kind
    samples = _samples_a_frame(track) if kind is TrackKind.AUDIO else 0
    return RenditionReport(
        name=probed.rendition.name,
        kind=kind,
        codec="" if header is None else header.codec,
        decoded=track.decoded,
        width=None if header is None else header.width,
        height=None if header is None else header.height,
        timescale=0 if header is None else header.timescale,
        frame_ticks=0 if check is None else check.clock.frame_ticks,
        segment_frames=track.segment_frames,
        segments=track.segments,
        bytes=probed.bytes,
        first_segment=probed.first_segment,
        last_segment=probed.last_segment,
        first_frame=None if sequence is None else sequence.first,
        last_frame=None if sequence is None else track.last_frame,
        frames=frames,
        timestamps_wrong=count(FaultKind.TIMESTAMP_WRONG),
        frames_decoded=track.frames_decoded,
        decode_failures=count(FaultKind.DECODE_FAILED),
        samples_seen=frames.seen * samples,
        samples_lost=frames.lost * samples,
        samples_repeated=frames.repeated * samples,
        pictures=_pictures(context, probed),
        picture_marks=_picture_marks(context, probed),
        tone_marks=(
            MarkCounts(checked=track.tones.checked, wrong=count(FaultKind.TONE_WRONG))
            if track.tones.checked
            else None
        ),
        playlist=_playlist(context, probed),
        rechecked=probed.rechecked,
        retries=probed.retries,
        encoder=probed.encoder,
        encoder_changes=tuple(probed.encoder_changes),
    )


def _samples_a_frame(track: Track) -> int:
    """Audio samples (per channel) in a codec frame."""
    if track.header is None or track.timestamps is None or not track.header.sample_rate:
        return 0
    clock = track.timestamps.clock
    return clock.frame_ticks * track.header.sample_rate // clock.timescale


def _pictures(context: ProbeContext, probed: RenditionProbe) -> FrameCounts | None:
    if not probed.track.marks.present:
        return None
    name, faults = probed.rendition.name, context.faults
    return FrameCounts(
        seen=probed.track.pictures.sequence.seen,
        lost=faults.count(name, FaultKind.PICTURE_LOST),
        repeated=faults.count(name, FaultKind.PICTURE_REPEATED),
        out_of_order=faults.count(name, FaultKind.PICTURE_OUT_OF_ORDER),
    )


def _picture_marks(context: ProbeContext, probed: RenditionProbe) -> MarkCounts | None:
    if not probed.track.marks.present:
        return None
    name, faults = probed.rendition.name, context.faults
    return MarkCounts(
        checked=probed.track.pictures.checked,
        wrong=faults.count(name, FaultKind.PICTURE_WRONG),
        unreadable=faults.count(name, FaultKind.PICTURE_UNREADABLE),
    )


def _playlist(context: ProbeContext, probed: RenditionProbe) -> PlaylistCounts:
    name, faults, playlist = probed.rendition.name, context.faults, probed.playlist
    return PlaylistCounts(
        loads=probed.loads,
        load_failures=probed.load_failures,
        target_s=0 if playlist is None else playlist.target_s,
        gaps=faults.count(name, FaultKind.GAP_PUBLISHED),
        discontinuities=probed.discontinuities,
        late=probed.late,
        stalls=faults.count(name, FaultKind.STALLED),
        quiet_ms_max=round(probed.quiet_s_max * 1000),
        ended=playlist is not None and playlist.ended,
    )
