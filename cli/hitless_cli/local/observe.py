"""What is the case: processes, encoders' reports and the origin's, as one ChannelView.

Owns the observation and its deadlines; changes nothing. The run loop calls `look` before each
decision.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hitless_cli.local.encoders import Encoders
from hitless_cli.local.programs import Channel
from hitless_handover.supervisor_model import ChannelView, EncoderState, EncoderView
from hitless_wire.peers import Peers


class Observer:
    """Looks at one channel."""

    def __init__(self, channel: Channel, encoders: Encoders, peers: Peers) -> None:
        self._channel = channel
        self._encoders = encoders
        self._peers = peers

    async def look(self) -> ChannelView:
        """Ask everybody at once; Peers bounds each question."""
        seen = self._encoders.views()
        asked = self._peers.origin_report(
            self._channel.origin_url, self._channel.namespace, self._channel.name
        )
        reports = asyncio.gather(*map(self._with_report, seen.values()))
        origin, views = await asyncio.gather(asked, reports)
        return ChannelView(
            channel_uid=self._channel.uid,
            channel=self._channel.name,
            encoders={view.name: view for view in views},
            origin=origin,
        )

    async def _with_report(self, view: EncoderView) -> EncoderView:
        """Only what runs is asked, and only by its own name: a port may have changed hands."""
        if view.state is not EncoderState.RUNNING:
            return view
        report = await self._peers.encoder_report(view.address)
        answered = report is not None and report.identity.encoder_id == view.name
        self._encoders.asked(view.name, view.uid, answered=answered)
        if not answered:
            return view
        return replace(view, ready=True, report=report)
