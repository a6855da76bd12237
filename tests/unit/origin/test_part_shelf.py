"""The shelf: tables of what it keeps, gives back and forgets."""

from __future__ import annotations

import pytest

from hitless_origin.errors import PushRefused
from hitless_origin.part_shelf import UNFINISHED_MAX, PartShelf, Shelved
from hitless_origin.push import PartBody, PartPush
from hitless_origin.storage import Place

WANTED = range(10, 12)


def at(segment: int = 10, encoder: str = "a", track: str = "v0") -> Place:
    return Place(segment=segment, encoder=encoder, track=track)


def push(
    part: int, *, place: Place | None = None, priority: int = 0, data: bytes | None = None
) -> PartPush:
    body = PartBody.of(b"part %d" % part if data is None else data)
    return PartPush(
        place=place or at(), part=part, priority=priority, body=body, bytes_max=1_000_000
    )


def filled(*parts: PartPush, wanted: range = WANTED) -> PartShelf:
    shelf = PartShelf(3)
    for each in parts:
        shelf.put(each, wanted)
    return shelf


def test_the_last_part_makes_a_track_whole_in_order() -> None:
    shelf = filled(push(2), push(0))
    assert (shelf.is_whole(at()), shelf.bodies(at())) == (False, None)
    assert shelf.put(push(1), WANTED) is Shelved.NEW
    assert shelf.bodies(at()) == (b"part 0", b"part 1", b"part 2")
    assert not shelf.is_whole(at(track="audio"))


@pytest.mark.parametrize(
    ("again", "became", "priority"),
    [(1, Shelved.HELD, 1), (0, Shelved.HELD, 1), (2, Shelved.RAISED, 2)],
)
def test_a_part_again(again: int, became: Shelved, priority: int) -> None:
    shelf = filled(push(0, priority=1), push(1, priority=5), push(2, priority=5))
    assert shelf.put(push(0, priority=again), WANTED) is became
    assert shelf.priority(at()) == priority


def test_other_bytes_are_refused_and_change_nothing() -> None:
    shelf = filled(push(0), push(1))
    with pytest.raises(PushRefused) as caught:
        shelf.put(push(1, data=b"other"), WANTED)
    assert (caught.value.status, caught.value.mismatch) == (409, True)
    parts = tuple(PartBody.of(data) for data in (b"part 0", b"other", b"part 2"))
    with pytest.raises(PushRefused):
        shelf.put_whole(at(), parts, 9, WANTED)
    assert shelf.priority(at()) == 0
    assert not shelf.has(at(), 2)


def test_a_track_has_no_more_bytes_than_a_segment() -> None:
    shelf = filled(push(0, data=bytes(600_000)))
    with pytest.raises(PushRefused) as caught:
        shelf.put(push(1, data=bytes(400_001)), WANTED)
    assert caught.value.status == 413
    assert shelf.put(push(1, data=bytes(400_000)), WANTED) is Shelved.NEW
    assert shelf.put(push(0, data=bytes(600_000)), WANTED) is Shelved.HELD


def test_the_oldest_unfinished_segment_is_forgotten() -> None:
    shelf = PartShelf(3)
    others = [10 * n for n in range(2, UNFINISHED_MAX + 3)]
    for segment in (*WANTED, *others):
        shelf.put(push(0, place=at(segment)), WANTED)
    kept = [k for k in (*WANTED, *others) if shelf.has(at(k), 0)]
    assert len(kept) == UNFINISHED_MAX
    assert kept == [*WANTED, *others[len(WANTED) - UNFINISHED_MAX :]]
    shelf.put(push(0, place=at(20, "b")), WANTED)  # of another encoder: its own limit
    assert shelf.has(at(kept[-1]), 0)


def test_whole_segments_do_not_count_as_unfinished() -> None:
    shelf = PartShelf(1)
    for segment in range(10, 30):
        shelf.put(push(0, place=at(segment)), WANTED)
    assert all(shelf.has(at(k), 0) for k in range(10, 30))
    kept = [k for k in range(10, 30) if shelf.body(at(k), 0) is not None]
    newest = UNFINISHED_MAX - len(WANTED)
    assert kept == [*WANTED, *range(30 - newest, 30)]  # but they give their bytes up


def test_bytes_go_when_nobody_will_publish_them() -> None:
    shelf = filled(
        *(push(p, place=at(k)) for k in (8, 9, 10) for p in range(3)), push(0, place=at(7))
    )
    shelf.release(WANTED, oldest=8)
    assert shelf.body(at(10), 0) == b"part 0"
    assert shelf.body(at(9), 0) is None
    assert shelf.is_whole(at(9))  # a resend is still known
    assert shelf.bodies(at(9)) is None
    assert not shelf.has(at(7), 0)
    with pytest.raises(PushRefused):
        shelf.put(push(0, place=at(9), data=b"other"), WANTED)
    assert [e.part for e in shelf.arrivals(at(9))] == []
    assert [e.part for e in shelf.arrivals(at(10))] == [0, 1, 2]


def test_an_unfinished_old_segment_keeps_its_bytes_until_it_is_whole() -> None:
    shelf = filled(push(0, place=at(9)), push(1, place=at(9)))
    shelf.release(WANTED, oldest=0)
    shelf.put(push(2, place=at(9)), WANTED)
    assert shelf.bodies(at(9)) == (b"part 0", b"part 1", b"part 2")


@pytest.mark.parametrize(
    ("encoder", "segment", "left"),
    [
        ("a", None, [("b", 10)]),
        ("a", 10, [("a", 11), ("b", 10)]),
        (None, None, []),
    ],
)
def test_what_is_forgotten(
    encoder: str | None, segment: int | None, left: list[tuple[str, int]]
) -> None:
    places = [("a", 10), ("a", 11), ("b", 10)]
    shelf = filled(*(push(0, place=at(k, name)) for name, k in places))
    shelf.forget(encoder, segment)
    assert [(name, k) for name, k in places if shelf.has(at(k, name), 0)] == left
