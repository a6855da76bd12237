from __future__ import annotations

import pytest

from hitless_cli.probe.faults import FaultKind
from hitless_cli.probe.follower import Follower, Observation, StallLimits, observe, quiet
from hitless_cli.probe.playlist import ListedSegment, MediaPlaylist, Part
from hitless_cli.probe.settings import StartAt

LIMITS = StallLimits(stall_percent=150, stall_tolerance_s=3.0)
K = FaultKind


def segment(
    number: int, name: str | None = None, us: int = 2_000_000, parts: int = 0
) -> ListedSegment:
    url = f"http://o/{name or number}.m4s"
    return ListedSegment(
        sequence=number,
        url=url,
        init_url="http://o/init.mp4",
        duration_us=us,
        parts=tuple(Part(url=f"{url}.{i}", duration_us=500_000) for i in range(parts)),
    )


def playlist(
    *segments: ListedSegment, target_s: int = 2, ended: bool = False, first: int | None = None
) -> MediaPlaylist:
    number = segments[0].sequence if first is None else first
    return MediaPlaylist(
        first_sequence=number, target_s=target_s, ended=ended, segments=tuple(segments)
    )


def window(first: int, last: int) -> MediaPlaylist:
    return playlist(*(segment(number) for number in range(first, last + 1)))


def follow(*versions: MediaPlaylist) -> tuple[Follower, list[Observation]]:
    state, seen = Follower(start_at=StartAt.FIRST), []
    for second, version in enumerate(versions):
        state, observation = observe(
            state, version, LIMITS, asked_s=second, received_s=float(second)
        )
        seen.append(observation)
    return state, seen


def kinds(observations: list[Observation]) -> list[FaultKind]:
    return [finding.kind for o in observations for finding in o.findings]


def played(observations: list[Observation]) -> list[int]:
    return [listed.sequence for o in observations for listed in o.segments]


def test_a_window_that_slides_is_played_once_and_in_order() -> None:
    _, seen = follow(window(1, 4), window(1, 4), window(2, 5), window(4, 8))
    assert played(seen) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert kinds(seen) == []
    assert [o.renewed for o in seen] == [True, False, True, True]


def test_live_begins_three_segments_behind() -> None:
    _, observation = observe(
        Follower(start_at=StartAt.LIVE), window(1, 9), LIMITS, asked_s=0, received_s=0
    )
    assert played([observation]) == [7, 8, 9]


TABLE = [
    ("a window that was missed", window(7, 9), [K.WINDOW_PASSED]),
    ("the newest vanished", window(1, 3), [K.SEGMENT_VANISHED]),
    (
        "one vanished from the middle",
        playlist(segment(1), segment(2, "3"), segment(3, "4"), segment(4, "5")),
        [K.SEGMENT_VANISHED, K.SEGMENT_CHANGED, K.SEGMENT_CHANGED],
    ),
    (
        "another URI under a number",
        playlist(segment(1), segment(2), segment(3, "x"), segment(4)),
        [K.SEGMENT_VANISHED],
    ),
    (
        "another duration",
        playlist(segment(1), segment(2), segment(3, us=1_900_000), segment(4)),
        [K.SEGMENT_CHANGED],
    ),
    (
        "another target",
        playlist(*window(1, 5).segments, target_s=3),
        [K.TARGET_CHANGED],
    ),
    (
        "longer than the target",
        playlist(*window(1, 4).segments, segment(5, us=2_500_000)),
        [K.TARGET_EXCEEDED],
    ),
    (
        "rounded, within the target",
        playlist(*window(1, 4).segments, segment(5, us=2_499_999)),
        [],
    ),
    ("the end", playlist(*window(1, 4).segments, ended=True), [K.STREAM_ENDED]),
    ("an older version", window(0, 3), [K.MEDIA_SEQUENCE_BACK]),
]


@pytest.mark.parametrize(("new", "want"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_after_segments_1_to_4(new: MediaPlaylist, want: list[FaultKind]) -> None:
    assert kinds(follow(window(1, 4), new)[1]) == want


def test_after_an_older_version_it_goes_on() -> None:
    state, seen = follow(window(1, 4), window(0, 3), window(2, 6))
    assert played(seen) == [1, 2, 3, 4, 5, 6]
    assert kinds(seen) == [K.MEDIA_SEQUENCE_BACK]
    assert state.next_sequence == 7


def test_after_a_renumbering_it_goes_on_behind_what_it_played_last() -> None:
    renumbered = playlist(segment(0, "3"), segment(1, "4"), segment(2, "5"))
    _, seen = follow(playlist(segment(3), segment(4)), renumbered)
    assert [s.url for s in seen[1].segments] == ["http://o/5.m4s"]
    assert kinds(seen) == [K.MEDIA_SEQUENCE_BACK]


def test_after_a_restart_with_other_names_it_plays_them_all() -> None:
    fresh = playlist(segment(0, "a"), segment(1, "b"))
    _, seen = follow(window(3, 4), fresh)
    assert [s.url for s in seen[1].segments] == ["http://o/a.m4s", "http://o/b.m4s"]


def test_a_restart_with_nothing_listed_yet_is_one_fault() -> None:
    empty = playlist(first=0)
    _, seen = follow(window(3, 4), empty, empty, playlist(segment(0, "a")))
    assert kinds(seen) == [K.MEDIA_SEQUENCE_BACK]
    assert [listed.url for listed in seen[3].segments] == ["http://o/a.m4s"]


def test_a_vod_playlist_ends_without_a_fault() -> None:
    _, seen = follow(playlist(segment(1), ended=True))
    assert played(seen) == [1]
    assert kinds(seen) == []


def with_parts(counts: dict[int, int], open_parts: int) -> MediaPlaylist:
    listed = tuple(segment(n, parts=count) for n, count in counts.items())
    following = max(counts) + 1
    return MediaPlaylist(
        first_sequence=min(counts),
        target_s=2,
        ended=False,
        segments=listed,
        open_parts=segment(following, parts=open_parts).parts,
    )


PARTS = [
    ("more parts", {1: 4, 2: 4}, 3, []),
    ("the open segment is complete", {1: 4, 2: 4, 3: 4}, 0, []),
    ("an open part vanished", {1: 4, 2: 4}, 1, [K.PART_VANISHED]),
    ("a part near the edge vanished", {1: 4, 2: 3}, 2, [K.PART_VANISHED]),
    ("parts of an old segment may go", {1: 0, 2: 4, 3: 4, 4: 4}, 0, []),
]


@pytest.mark.parametrize(
    ("counts", "rest", "want"), [r[1:] for r in PARTS], ids=[r[0] for r in PARTS]
)
def test_parts(counts: dict[int, int], rest: int, want: list[FaultKind]) -> None:
    assert kinds(follow(with_parts({1: 4, 2: 4}, 2), with_parts(counts, rest))[1]) == want


def test_a_part_that_changes() -> None:
    old, new = with_parts({1: 4}, 1), with_parts({1: 4}, 1)
    changed = Part(url=new.open_parts[0].url, duration_us=1)
    new = MediaPlaylist(
        first_sequence=1, target_s=2, ended=False, segments=new.segments, open_parts=(changed,)
    )
    assert kinds(follow(old, new)[1]) == [K.PART_CHANGED]


STALLS = [
    # asked at, late so far, stalled so far; the playlist came at 0 with a target of 2 s
    (3.0, 0, 0),
    (3.1, 1, 0),
    (6.0, 1, 0),
    (6.1, 1, 1),
    (99.0, 1, 1),
]


def test_late_then_stalled_each_counted_once() -> None:
    state, _ = follow(window(1, 4))
    late = stalled = 0
    for asked_s, want_late, want_stalled in STALLS:
        state, observation = quiet(state, LIMITS, asked_s=asked_s)
        late += observation.late
        stalled += len(observation.findings)
        assert (late, stalled) == (want_late, want_stalled), asked_s


def test_a_slow_reader_does_not_make_the_playlist_late() -> None:
    state, _ = follow(window(1, 4))
    _, observation = observe(state, window(2, 5), LIMITS, asked_s=60.0, received_s=61.0)
    assert observation.late == 0
    assert observation.findings == ()


def test_renewal_ends_the_quiet_time() -> None:
    state, _ = follow(window(1, 4))
    state, _ = quiet(state, LIMITS, asked_s=10.0)
    state, _ = observe(state, window(1, 5), LIMITS, asked_s=11.0, received_s=11.0)
    _, observation = quiet(state, LIMITS, asked_s=13.0)
    assert observation.late == 0
    _, observation = quiet(state, LIMITS, asked_s=20.0)
    assert observation.late == 1
    assert observation.quiet_s == 9.0
