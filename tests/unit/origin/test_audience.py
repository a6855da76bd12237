"""Viewers' buffers and stalls, now and around handovers; and that nothing grows."""

from __future__ import annotations

from hitless_origin.audience import (
    AFTER,
    DURING,
    FORGET_US,
    SAMPLES_MAX,
    SEGMENTS_MAX,
    SESSIONS_MAX,
    STORIES_MAX,
    Audience,
    Mood,
)
from hitless_origin.cmcd import ClientData

SWITCH = 100


def said(session: str | None, buffer_ms: int | None = None, *, starved: bool = False) -> ClientData:
    return ClientData(session=session, object_type="v", buffer_ms=buffer_ms, starved=starved)


def test_viewers_are_those_that_asked_lately() -> None:
    audience = Audience()
    assert not audience.known
    audience.take(said("a", 4000), 1, 0)
    audience.take(said("b", 2000, starved=True), 1, FORGET_US)
    audience.take(said("b", 3000), 2, FORGET_US)
    assert audience.now(FORGET_US) == Mood(
        viewers=2, stalls=1, buffer_ms_min=3000, buffer_ms_median=3000
    )
    assert audience.now(FORGET_US + 1).viewers == 1
    assert audience.now(2 * FORGET_US + 1) == Mood(stalls=1)


def test_a_viewer_has_as_much_as_the_least_of_its_tracks() -> None:
    audience = Audience()
    audience.take(said("a", 4000), 1, 0)
    audience.take(ClientData(session="a", object_type="a", buffer_ms=1000), 1, 0)
    assert audience.now(0).buffer_ms_min == 1000


def test_before_during_and_after_a_handover() -> None:
    audience = Audience()
    for segment in range(SWITCH - 20, SWITCH + DURING + AFTER + 1):
        before, during = segment < SWITCH, SWITCH <= segment < SWITCH + DURING
        buffer_ms = 5000 if before else 3000 if during else 6000
        assert audience.take(said("a", buffer_ms, starved=during), segment, segment)
        assert not audience.take(said("b", buffer_ms + 1000), segment, segment)
        audience.settle([SWITCH])
        known = audience.around(SWITCH)
        assert (known is None) == before
        if known is not None:
            assert known.whole == (segment == SWITCH + DURING + AFTER)
    found = audience.around(SWITCH)
    assert found is not None
    assert found.before == Mood(viewers=2, stalls=0, buffer_ms_min=5000, buffer_ms_median=5000)
    assert found.during == Mood(viewers=2, stalls=DURING, buffer_ms_min=3000, buffer_ms_median=3000)
    assert found.after == Mood(viewers=2, stalls=0, buffer_ms_min=6000, buffer_ms_median=6000)
    for segment in range(SWITCH + 20, SWITCH + 20 + 2 * SEGMENTS_MAX):
        audience.take(said("a", 1), segment, segment)
        audience.settle([SWITCH])
    assert audience.around(SWITCH) == found, "what was seen stays"


def test_a_handover_that_nobody_saw_has_no_story() -> None:
    audience = Audience()
    audience.take(said("a", 1), SWITCH, 0)
    audience.settle([SWITCH - 1, SWITCH + 1])
    assert audience.around(SWITCH - 1) is None
    assert audience.around(SWITCH + 1) is None


def test_nothing_grows() -> None:
    audience = Audience()
    for number in range(SESSIONS_MAX + 10):
        audience.take(said(f"viewer {number}", number), number, 0)
        audience.settle([number])
    audience.take(said(None, 1), 0, 0)
    assert audience.now(0).viewers == SESSIONS_MAX
    assert audience.unnamed == 11
    assert len(audience._said) == SEGMENTS_MAX
    assert len(audience._stories) == STORIES_MAX
    for _ in range(SAMPLES_MAX + 10):
        audience.take(said("x", 9), SESSIONS_MAX, 1)
    assert len(audience._said[SESSIONS_MAX].buffers_ms) == SAMPLES_MAX
    assert audience.stalls == 0
    assert sum(audience.buckets) == 2 * SESSIONS_MAX - SESSIONS_MAX + SAMPLES_MAX + 21
