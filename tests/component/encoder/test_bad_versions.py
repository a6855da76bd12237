"""A real encoder process on air, and bad ones that it refuses, one after the other.

What shows only on air, a crash, is in tests/e2e/test_bad_versions.py: rolling back is the
operator's and the origin's part.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hack.stand_ins import bad_encoder
from tests.component.encoder import duo
from tests.component.encoder.duo import accepted, begin, encoder, phase_is, until
from tests.component.encoder.studio import receiver

from hitless_handover.messages import SPEED_MIN_PERCENT, PeerPhase, Refusal
from hitless_handover.supervisor_model import GrantTerm
from hitless_wire.peers import Peers

CRITERIA = replace(duo.CRITERIA, speed_min_percent=SPEED_MIN_PERCENT)
ENDED = phase_is(PeerPhase.ABORTED, PeerPhase.SWITCHED)
AVCC = "moov/trak/mdia/minf/stbl/stsd/avc1/avcC.AVCLevelIndication"
# What the incumbent says, and words of it; each has a figure and what it should have been.
REFUSED = {
    "green": (Refusal.VERIFICATION, "PictureFrozen: v144: the picture stands still from frame "),
    "frozen": (Refusal.VERIFICATION, "PictureFrozen: v144: the picture stands still from frame "),
    "early": (Refusal.VERIFICATION, "PictureShifted: v144: one frame early: "),
    "late": (Refusal.VERIFICATION, "PictureShifted: v144: one frame late: "),
    "range": (Refusal.VERIFICATION, "LevelsDiffer: v144: luma levels from frame "),
    "swapped": (Refusal.VERIFICATION, "ColoursSwapped: v144: Cb and Cr are swapped "),
    "corrupted": (Refusal.VERIFICATION, "PictureDiffers: v144: luma PSNR of frame "),
    "silent": (Refusal.VERIFICATION, "SoundDiffers: audio: loudness from frame "),
    "sound-late": (Refusal.VERIFICATION, "SoundShifted: audio: sound from frame "),
    "boundary": (Refusal.VERIFICATION, "TimeDiffers: v144: tfdt expected "),
    "slow": (Refusal.VERIFICATION, "TooSlow: speed in segments "),
    "init": (Refusal.MISMATCH, f"init.v144: incumbent has {AVCC} "),
    "old-protocol": (Refusal.PROTOCOL_VERSION, "incumbent speaks 2, successor 0"),
}


def test_every_fault_has_its_test() -> None:
    assert REFUSED.keys() | {"crash"} == set(bad_encoder.FAULTS)


@pytest.mark.timeout(1200)
async def test_bad_versions_are_refused_one_after_the_other() -> None:
    said: dict[str, tuple[PeerPhase, Refusal | None, str]] = {}
    async with (
        receiver() as end,
        Peers() as peers,
        encoder(end, "old", "superfast") as old,
    ):
        await until(peers, old, lambda report: report.head_segment is not None)
        await accepted(peers, GrantTerm(name="old", term=1), old)
        for term, fault in enumerate(REFUSED, start=2):
            async with encoder(end, f"new-{term}", "superfast", fault=fault) as new:
                await until(peers, new, lambda report: report.head_segment is not None)
                order = replace(
                    begin(new, old, CRITERIA), handover_id=f"handover-{term}", term=term
                )
                await accepted(peers, order, new, old)
                ended = (await until(peers, new, ENDED)).handover
                assert ended is not None
                said[fault] = ended.phase, ended.reason, ended.message
        incumbent = await peers.encoder_report(old.address)
    for fault, (reason, message) in REFUSED.items():
        assert said[fault][:2] == (PeerPhase.ABORTED, reason), (fault, said[fault])
        assert said[fault][2].startswith(message), (fault, said[fault])
    assert incumbent is not None
    assert incumbent.leading_term == 1
