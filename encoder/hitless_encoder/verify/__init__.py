"""The acceptance gate: judges another encoder's segments against our own. docs/gate.md has it all.

`judge` is the way in. structure.py reads boxes, picture.py and sound.py compare what decoders
make of two segments, pace.py looks at when segments come, verdict.py is what they all say. Pure but
for the decoders; takes tens of milliseconds for a segment, so call it in a thread. The control part
asks; this only answers.
"""

from hitless_encoder.verify.decoding import luma, pictures, samples
from hitless_encoder.verify.judge import Encoded, judge, judge_other_tracks
from hitless_encoder.verify.pace import Arrival, judge_pace
from hitless_encoder.verify.structure import (
    Structure,
    check_structure,
    first_difference,
    is_video,
    structure,
)
from hitless_encoder.verify.verdict import Figures, Reason, Verdict

__all__ = [
    "Arrival",
    "Encoded",
    "Figures",
    "Reason",
    "Structure",
    "Verdict",
    "check_structure",
    "first_difference",
    "is_video",
    "judge",
    "judge_other_tracks",
    "judge_pace",
    "luma",
    "pictures",
    "samples",
    "structure",
]
