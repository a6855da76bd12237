"""Which edition was on air when, what leaves, and what the journal says of it."""

from __future__ import annotations

import json

import pytest

from hitless_handover.selection_model import SWITCHES_MAX
from hitless_origin import journal
from hitless_origin.aired import Aired
from hitless_origin.journal import DropLine, EditionLine, EncoderLine, PublishLine, Snapshot


def aired(*editions: int, first: int = 0) -> Aired:
    made = Aired()
    for segment, edition in enumerate(editions, start=first):
        made = made.published(segment, edition)
    return made


def publish(segment: int, edition: int) -> PublishLine:
    return PublishLine(
        segment=segment,
        encoder="a",
        priority=1,
        fallback=False,
        term=1,
        mismatches=0,
        at_us=segment,
        edition=edition,
    )


def test_a_discontinuity_lies_where_another_edition_begins() -> None:
    made = aired(0, 0, 1, 1, 0)
    assert made.runs == ((0, 0), (2, 1), (4, 0))
    assert (made.discontinuities, made.newest) == (2, (2, 4))
    assert [made.edition(k) for k in range(6)] == [0, 0, 1, 1, 0, 0]
    assert made.begins() == (False, True, True)
    assert aired().edition(3) is None


def test_the_first_edition_on_air_is_no_discontinuity() -> None:
    assert aired(3).discontinuities == 0


@pytest.mark.parametrize(("window_first", "left"), [(0, 0), (2, 0), (3, 1), (4, 1), (5, 2)])
@pytest.mark.parametrize("oldest", [0, 1, 2])
def test_what_left_the_window_is_counted(window_first: int, left: int, oldest: int) -> None:
    made = aired(0, 0, 1, 1, 0, 0)
    assert made.trimmed(oldest).left(window_first) == left
    assert made.trimmed(window_first).left(window_first) == left


def test_runs_are_let_go_when_their_last_segment_is() -> None:
    made = aired(0, 0, 1, 1, 2)
    assert [made.trimmed(k).runs[0][0] for k in range(6)] == [0, 0, 2, 2, 4, 4]
    assert made.trimmed(9).editions() == {2}
    assert aired().trimmed(9) == aired()
    assert made.trimmed(2).begins() == (True, True)


def test_the_newest_are_bounded() -> None:
    made = aired(*(k % 2 for k in range(1000)))
    assert (made.discontinuities, len(made.newest)) == (999, SWITCHES_MAX)
    assert made.newest[-1] == 999


def test_a_journal_is_replayed() -> None:
    lines: list[journal.Line] = [
        EncoderLine(encoder="a", inits=("v0",)),
        publish(10, 0),
        EditionLine(edition=1),
        EncoderLine(encoder="b", inits=("v0",), edition=1, may_differ=True),
        publish(11, 1),
        publish(12, 0),
        EditionLine(edition=2),
        publish(13, 2),
        DropLine(edition=1),
    ]
    snapshot = journal.replay(journal.read(journal.write(lines)))
    assert snapshot.editions == (0, 2)
    assert snapshot.on_air == 2
    assert snapshot.aired.value() == Aired(
        runs=((12, 0), (13, 2)), discontinuities=3, newest=(11, 12, 13)
    )
    assert snapshot.encoders["b"].edition == 1
    again = journal.replay(journal.read(journal.write([snapshot])))
    assert again == snapshot


def test_a_journal_of_one_edition_is_read() -> None:
    """As the last version wrote it that knew no editions."""
    old = {
        "t": "snapshot",
        "version": 1,
        "window": {"first": 5, "last": 9, "gaps": []},
        "encoder": "a",
        "encoders": {"a": ["audio", "v0"]},
    }
    line = publish(10, 0).model_dump(mode="json")
    del line["edition"]
    data = b"".join(json.dumps(each).encode() + b"\n" for each in (old, line))
    snapshot = journal.replay(journal.read(data))
    assert snapshot.encoders == {"a": EncoderLine(encoder="a", inits=("audio", "v0"))}
    assert (snapshot.editions, snapshot.on_air) == ((0,), 0)
    assert snapshot.aired.value() == Aired(runs=((5, 0),))
    after = journal.replay([*journal.read(data), EditionLine(edition=1), publish(11, 1)])
    assert after.aired.discontinuities == 1


def test_a_channel_without_a_segment_has_its_first_edition() -> None:
    assert Snapshot().on_air == 0
