"""Two real encoder processes, one of them bad: refused by the other, which stays on air.

What shows only on air, a crash, is in tests/e2e/test_bad_versions.py: rolling back is the
operator's and the origin's part.
"""

from __future__ import annotations

import pytest
from hack.stand_ins import bad_encoder
from tests.component.encoder.duo import accepted, begin, encoder, phase_is, until
from tests.component.encoder.studio import receiver

from hitless_handover.messages import PeerPhase, Refusal
from hitless_handover.supervisor_model import GrantTerm
from hitless_wire.peers import Peers

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


@pytest.mark.parametrize("fault", REFUSED)
async def test_a_bad_version_is_refused(fault: str) -> None:
    reason, message = REFUSED[fault]
    async with (
        receiver() as end,
        Peers() as peers,
        encoder(end, "old", "superfast") as old,
        encoder(end, "new", "superfast", fault=fault) as new,
    ):
        await until(peers, old, lambda report: report.head_segment is not None)
        await accepted(peers, GrantTerm(name="old", term=1), old)
        await until(peers, new, lambda report: report.head_segment is not None)
        await accepted(peers, begin(new, old), new, old)
        ended = phase_is(PeerPhase.ABORTED, PeerPhase.SWITCHED)
        refused = (await until(peers, new, ended)).handover
        incumbent = await peers.encoder_report(old.address)
    assert refused is not None
    assert (refused.phase, refused.reason) == (PeerPhase.ABORTED, reason), refused
    assert refused.message.startswith(message)
    assert incumbent is not None
    assert incumbent.leading_term == 1
