from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from hitless_cli.probe.boxes import MediaSegment, Sample
from hitless_cli.probe.checks import (
    FrameClock,
    PictureCheck,
    PictureReading,
    TimestampCheck,
    ToneCheck,
    ToneReading,
)
from hitless_cli.probe.faults import FaultKind, Finding
from hitless_cli.probe.settings import PatternMode
from hitless_handover import pattern

NTSC = FrameClock(timescale=30_000, frame_ticks=1001)
N = 52_900_000_000  # a frame number of today: beyond 32 bits
K = FaultKind


def segment(*frames: int, ticks: int = 1001, shift: int = 0) -> MediaSegment:
    return MediaSegment(
        fragment_numbers=(1,),
        samples=tuple(
            Sample(
                pts_ticks=frame * 1001 + shift,
                dts_ticks=frame * 1001,
                duration_ticks=ticks,
                key=True,
                data=b"",
            )
            for frame in frames
        ),
    )


def counted(findings: Sequence[Finding]) -> dict[FaultKind, int]:
    counts: Counter[FaultKind] = Counter()
    for finding in findings:
        counts[finding.kind] += finding.count
    return dict(counts)


def duration_us(frames: int) -> int:
    return frames * 1001 * 1_000_000 // 30_000


TABLE = [
    ("clean, decode order", [(N, N + 2, N + 1), (N + 3, N + 4, N + 5)], 0, {}),
    ("a frame lost", [(N, N + 1), (N + 3, N + 4)], 0, {K.FRAME_LOST: 1}),
    ("a frame twice", [(N, N + 1), (N + 1, N + 2)], 0, {K.FRAME_REPEATED: 1}),
    (
        "a segment late",
        [(N, N + 1), (N + 4, N + 5), (N + 2, N + 3)],
        0,
        {K.FRAME_OUT_OF_ORDER: 2},
    ),
    ("off the grid", [(N, N + 1)], 7, {K.TIMESTAMP_WRONG: 2}),
]


@pytest.mark.parametrize(
    ("segments", "shift", "want"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_timestamps(
    segments: list[tuple[int, ...]], shift: int, want: dict[FaultKind, int]
) -> None:
    check = TimestampCheck(NTSC)
    findings: list[Finding] = []
    for number, frames in enumerate(segments):
        findings += check.judge(segment(*frames, shift=shift), number, duration_us(len(frames)))
    assert counted(findings + check.finish()) == want


def test_another_duration_is_a_wrong_timestamp() -> None:
    findings = TimestampCheck(NTSC).judge(segment(N, N + 1, ticks=1000), 1, duration_us(2))
    assert counted(findings) == {K.TIMESTAMP_WRONG: 2}


@pytest.mark.parametrize(("off_us", "wrong"), [(0, 0), (30_000, 0), (-30_000, 0), (50_000, 1)])
def test_extinf_may_be_off_by_less_than_a_frame(off_us: int, wrong: int) -> None:
    findings = TimestampCheck(NTSC).judge(segment(N, N + 1), 1, duration_us(2) + off_us)
    assert len(findings) == wrong


def test_unread_segments_are_lost_once() -> None:
    check = TimestampCheck(NTSC)
    check.judge(segment(N, N + 1), 1, duration_us(2))
    check.unread(2, duration_us(2))
    findings = check.judge(segment(N + 4, N + 5), 3, duration_us(2))
    check.unread(4, duration_us(2))
    assert counted(findings + check.finish()) == {K.FRAME_LOST: 4}


def test_the_clock() -> None:
    assert NTSC.frame(N * 1001) == N
    assert (NTSC.frame(N * 1001 + 500), NTSC.frame(N * 1001 + 501)) == (N, N + 1)
    assert NTSC.frames_in(2_002_000) == 60
    assert FrameClock.of(segment(1, 2, 3), 30_000) == NTSC
    assert FrameClock.of(segment(1, ticks=0), 30_000) is None
    timeline = NTSC.timeline(60, 48_000)
    assert timeline is not None
    assert (timeline.timescale, timeline.frame_ticks) == (30_000, 1001)
    assert NTSC.timeline(6000, 48_000) is None


def readings(*pairs: tuple[int, int | None]) -> list[PictureReading]:
    return [
        PictureReading(frame=frame, number=None if number is None else number & 0xFFFFFFFF)
        for frame, number in pairs
    ]


PICTURES = [
    ("clean", [(N, N), (N + 1, N + 1)], {}),
    (
        "repeated",
        [(N, N), (N + 1, N), (N + 2, N + 2)],
        {K.PICTURE_WRONG: 1, K.PICTURE_REPEATED: 1, K.PICTURE_LOST: 1},
    ),
    (
        "swapped",
        [(N, N), (N + 1, N + 2), (N + 2, N + 1), (N + 3, N + 3)],
        {K.PICTURE_WRONG: 2, K.PICTURE_OUT_OF_ORDER: 1},
    ),
    ("unreadable", [(N, N), (N + 1, None), (N + 2, N + 2)], {K.PICTURE_UNREADABLE: 1}),
    ("all one off", [(N, N + 1), (N + 1, N + 2)], {K.PICTURE_WRONG: 2}),
    ("not the pattern", [(N, None), (N + 1, None)], {}),
]


@pytest.mark.parametrize(("pairs", "want"), [r[1:] for r in PICTURES], ids=[r[0] for r in PICTURES])
def test_pictures(pairs: list[tuple[int, int | None]], want: dict[FaultKind, int]) -> None:
    check = PictureCheck(PatternMode.AUTO)
    findings = check.judge(readings(*pairs), 1)
    assert counted(findings + check.finish()) == want


def test_the_mode_decides_before_the_picture_does() -> None:
    never, always = PictureCheck(PatternMode.NO), PictureCheck(PatternMode.YES)
    assert never.judge(readings((N, N + 5)), 1) == []
    assert not never.wanted
    assert counted(always.judge(readings((N, None)), 1)) == {K.PICTURE_UNREADABLE: 1}


def test_across_the_32_bit_lap() -> None:
    check = PictureCheck(PatternMode.YES)
    frames = range((1 << 33) - 2, (1 << 33) + 2)
    assert check.judge(readings(*((n, n) for n in frames)), 1) == []


def test_tones() -> None:
    check = ToneCheck()
    right, near = pattern.tone_hz(N), pattern.tone_hz(N) + 50.0
    good = [ToneReading(frame=N, hz=hz) for hz in (right, near)]
    assert check.judge(good, 1) == []
    bad = [ToneReading(frame=N, hz=hz) for hz in (right + 300.0, right + 150.0, None)]
    assert counted(check.judge(bad, 1)) == {K.TONE_WRONG: 3}
    assert check.checked == 5
