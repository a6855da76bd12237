"""What the proof with players says of what they drew: a fault is found, a busy machine is none."""

from __future__ import annotations

import pytest
from hack.players_proof.judge import DECODED_AHEAD_MAX, Watched, table

from hitless_handover import pattern

FPS = 10
FIRST = 17_954_640_000
Picture = list[object]


def drawn(frame: int, *, at: int | None = None, presented: int | None = None) -> Picture:
    """A picture; at: the frame whose media time it had; presented: the browser's count."""
    bits = "".join(str(cell) for cell in pattern.cells(FIRST + frame))
    shown = frame if at is None else at
    return [bits, shown / FPS, shown if presented is None else presented, shown * 100.0]


def judged(*pictures: Picture, dropped: int = 0, stalls: int = 0, total: int = 60) -> Watched:
    """total: what the browser had decoded at the end; 20 at the first picture."""
    watched = Watched(name="player", fps=FPS)
    story = {"errors": [], "notes": [], "segments": [], "latency": 2.5, "stalls": 0}
    story |= {"dropped": 7, "total": 20}
    watched.take({**story, "pictures": list(pictures[:1])})
    told = {"stalls": stalls, "dropped": 7 + dropped, "total": total, "segments": [4, 5, 6]}
    watched.take({**story, **told, "pictures": list(pictures[1:])})
    return watched


def test_every_picture_in_order_is_no_fault() -> None:
    watched = judged(*(drawn(frame) for frame in range(40)))
    assert (watched.faults(), watched.read, watched.unread) == ([], 40, 0)
    assert "| player | 40 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0.10 | 2.5 |" in table([watched])


@pytest.mark.parametrize(
    ("pictures", "dropped", "unread"),
    [
        ([drawn(0), drawn(1), drawn(4), drawn(5)], 0, 2),  # composed, but nobody was called
        ([drawn(0), drawn(2, at=1), drawn(3, at=3), drawn(4)], 0, 1),  # called too late
        ([drawn(0), drawn(3, presented=1), drawn(4, presented=2)], 2, 0),  # late, by its own word
    ],
)
def test_a_busy_machine_is_no_fault(pictures: list[Picture], dropped: int, unread: int) -> None:
    watched = judged(*pictures, dropped=dropped)
    assert (watched.faults(), watched.unread) == ([], unread)


@pytest.mark.parametrize(
    ("pictures", "says"),
    [
        ([drawn(0), drawn(3, presented=1)], "2 pictures missing"),
        ([drawn(0), drawn(1), drawn(0, at=2)], "1 pictures out of order"),
        ([drawn(0), drawn(1), drawn(1, at=2)], "out of order"),
        ([drawn(0), drawn(1), [drawn(2)[0], 0.25, 2, 200.0]], "1 pictures off their time"),
        ([drawn(0), drawn(30, at=1)], "1 pictures off their time"),
        ([drawn(0), ["0" * 52, 0.1, 1, 100.0]], "1 pictures unreadable"),
        ([], "no picture"),
    ],
)
def test_a_fault_is_found(pictures: list[Picture], says: str) -> None:
    assert any(says in fault for fault in judged(*pictures).faults())


def test_what_was_never_decoded_is_told_from_what_was_never_drawn() -> None:
    undrawn = judged(drawn(0), drawn(40, presented=1), total=60)
    assert (undrawn.missing, undrawn.undecoded) == (39, 0)
    undecoded = judged(drawn(0), drawn(40, presented=1), total=30)
    assert (undecoded.missing, undecoded.undecoded) == (39, 30 - DECODED_AHEAD_MAX)


def test_a_stall_and_a_segment_left_out_are_faults() -> None:
    watched = judged(drawn(0), drawn(1), stalls=1)
    watched.take(
        {
            "pictures": [],
            "errors": ["networkError"],
            "notes": ["asked again"],
            "segments": [9],
            "latency": None,
            "stalls": 1,
            "dropped": 7,
            "total": 60,
        }
    )
    assert watched.faults() == [
        "player: 1 stalls",
        "player: 2 segments skipped",
        "player: networkError",
    ]
