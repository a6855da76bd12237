"""What viewers may have of parts."""

from __future__ import annotations

from tests.component.origin.cmaf_maker import SHORT_GOPS

from hitless_handover.parts import PartGrid
from hitless_origin.part_window import KEPT_TARGETS, PartWindow
from hitless_origin.view import PartsView
from hitless_origin.window import Window

GRID = PartGrid(timeline=SHORT_GOPS, part_frames=5)


def test_parts_are_shown_in_order_and_closed_with_their_segment() -> None:
    parts = PartWindow(GRID, 2)
    parts.publish(10, 0, {"v0": b"a"})
    parts.publish(10, 1, {"v0": b"b"})
    parts.publish(10, 3, {"v0": b"d"})  # nothing is shown beyond a part that is not decided
    assert parts.shown(Window(first=9, last=9)) == PartsView(grid=GRID, open=(True, True))
    parts.skip(10, 2, 2)
    parts.skip(10, 4, 9)
    flags = (True, True, False, True, *[False] * 6)
    assert parts.shown(Window(first=9, last=10)) == PartsView(grid=GRID, closed=((10, flags),))
    assert parts.shown(Window(first=11, last=10)) == PartsView(grid=GRID)
    assert parts.published == 3


def test_a_part_has_one_version() -> None:
    parts = PartWindow(GRID, 2)
    parts.publish(10, 0, {"v0": b"a"})
    parts.publish(10, 0, {"v0": b"b"})
    parts.skip(10, 0, 1)
    parts.publish(10, 1, {"v0": b"b"})
    assert (parts.body("v0", 10, 0), parts.body("v0", 10, 1)) == (b"a", None)
    assert parts.body("v9", 10, 0) is None
    assert parts.published == 1


def test_old_parts_leave() -> None:
    parts = PartWindow(GRID, 2)
    for k in range(20):
        parts.publish(k, 0, {"v0": b"a"})
        parts.settle(k)
    assert [k for k in range(20) if parts.body("v0", k, 0)] == list(range(20 - KEPT_TARGETS, 20))
    assert [k for k, _ in parts.shown(Window(first=0, last=19)).closed] == [17, 18, 19]


def test_nothing_fits_another_init_segment() -> None:
    parts = PartWindow(GRID, 2)
    parts.publish(10, 0, {"v0": b"a"})
    parts.void()
    assert parts.body("v0", 10, 0) is None
    assert parts.shown(Window(first=10, last=9)).open == (False,)
