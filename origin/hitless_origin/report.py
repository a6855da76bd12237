"""A channel's ChannelReport: facts for operator, CLI and people. Pure."""

from __future__ import annotations

from hitless_handover.messages import OriginSwitch
from hitless_origin.channel import Channel
from hitless_wire.ingest import ChannelReport, EncoderInput, StoredReport, SwitchReport


def channel_report(
    channel: Channel, *, with_comparison: bool = False, with_storage: bool = False
) -> ChannelReport:
    """What the origin did with the channel, and what it last got."""
    state, window = channel.selection, channel.window
    runs = [] if window is None else list(window.runs())
    return ChannelReport(
        namespace=channel.key.namespace,
        channel=channel.key.channel,
        fingerprint=channel.description.fingerprint(),
        first_segment=runs[0].first if runs else None,
        last_segment=runs[-1].last if runs else None,
        selected_encoder=state.encoder,
        selected_priority=state.priority,
        fallbacks=state.fallbacks,
        gaps=state.gaps,
        mismatches=channel.mismatches,
        discontinuities=channel.editions.aired.discontinuities,
        inputs=_inputs(channel),
        switches=tuple(_switch(channel, switch) for switch in state.switches),
        comparison=channel.deliveries.comparison if with_comparison else None,
        storage=_stored(channel) if with_storage else None,
    )


def _stored(channel: Channel) -> StoredReport:
    return StoredReport(
        stored_bytes=channel.stored_bytes,
        missing_segments=channel.missing_segments,
        given_up=channel.given_up,
    )


def _inputs(channel: Channel) -> tuple[EncoderInput, ...]:
    return tuple(
        EncoderInput(
            encoder=name,
            priority=record.priority,
            last_segment=record.last_segment,
            last_push_us=record.last_push_us,
        )
        for name, record in sorted(channel.encoders.items())
        if record.last_segment is not None
    )


def _switch(channel: Channel, switch: OriginSwitch) -> SwitchReport:
    return SwitchReport(
        segment=switch.segment,
        frame=channel.timeline.first_frame(switch.segment),
        from_encoder=switch.from_encoder,
        to_encoder=switch.to_encoder,
        from_priority=switch.from_priority,
        to_priority=switch.to_priority,
        fallback=switch.fallback,
        gap_frames=switch.gap_frames,
        overlap_frames=switch.overlap_frames,
        discontinuity=switch.segment in channel.editions.aired.newest,
    )
