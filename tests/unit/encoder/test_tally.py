"""What counts as a late segment."""

from __future__ import annotations

import pytest

from hitless_encoder.sink import PushOutcome
from hitless_encoder.tally import Tally
from hitless_handover.timeline import Timeline

LINE = Timeline(rate_num=25, rate_den=1, segment_frames=50, gop_frames=50)
SEGMENT = 895_000_000
END_US = LINE.wall_us(LINE.first_frame(SEGMENT + 1))


@pytest.mark.parametrize(
    ("lag_us", "after_us", "late"),
    [
        (0, 2_900_000, 0),
        (0, 3_100_000, 1),
        (18_000_000, 20_900_000, 0),
        (18_000_000, 21_100_000, 1),
    ],
)
def test_what_the_source_lags_is_no_lateness(lag_us: int, after_us: int, late: int) -> None:
    tally = Tally(LINE, ("v",))
    tally.source_lag_us = lag_us
    tally.pushed(SEGMENT, PushOutcome.STORED, END_US + after_us)
    assert tally.late == late
    assert tally.delivery_us == after_us - lag_us
