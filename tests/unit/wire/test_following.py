"""Whom a spare is told to stand by for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hitless_handover.supervisor_model import (
    ChannelPhase,
    ChannelRecord,
    ChannelView,
    EncoderRecord,
    EncoderState,
    EncoderView,
)
from hitless_wire.following import Following, following_of
from hitless_wire.resources import EncoderDeploymentSpec


def spec(url: str = "udp://239.0.0.1:1", timecode: str | None = None) -> EncoderDeploymentSpec:
    return EncoderDeploymentSpec.model_validate(
        {
            "image": "v1",
            "source": {"url": url, "timecode": timecode},
            "timeline": {"frameRate": "30"},
            "profiles": [{"name": "v", "width": 256, "height": 144, "maxKbps": 300}],
            "redundancy": "HotSpare",
        }
    )


def encoder(name: str, term: int) -> EncoderRecord:
    return EncoderRecord(name=name, image="v1", digest="d", term=term)


RECORD = ChannelRecord(
    phase=ChannelPhase.LIVE, term=2, active=encoder("ch-1", 1), spare=encoder("ch-2", 2)
)


def view(*, ready: bool = True) -> ChannelView:
    running = EncoderState.RUNNING
    views = (
        EncoderView(name="ch-1", state=running, address="one:1"),
        EncoderView(name="ch-2", state=running, address="two:2", ready=ready),
    )
    return ChannelView(
        channel_uid="u", channel="ch", encoders={one.name: one for one in views}, origin=None
    )


def test_a_ready_spare_of_a_live_source_is_told_the_encoder_on_air() -> None:
    assert following_of(spec(), RECORD, view()) == Following(
        spare_address="two:2", leader="ch-1", leader_address="one:1"
    )


@pytest.mark.parametrize(
    ("asked", "record", "seen"),
    [
        (spec("testpattern:"), RECORD, view()),
        (spec(timecode="PictureTiming"), RECORD, view()),
        (spec(), replace(RECORD, spare=None), view()),
        (spec(), replace(RECORD, active=None), view()),
        (spec(), replace(RECORD, phase=ChannelPhase.DEGRADED), view()),
        (spec(), RECORD, view(ready=False)),
    ],
)
def test_nobody_is_told(
    asked: EncoderDeploymentSpec, record: ChannelRecord, seen: ChannelView
) -> None:
    assert following_of(asked, record, seen) is None
