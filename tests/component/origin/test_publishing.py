"""Two encoders push, viewers read: what goes on air, when, and what the report says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.component.origin.cmaf_maker import FIRST, init_segment
from tests.component.origin.studio import (
    CHANNEL,
    DEADLINE_US,
    NAMESPACE,
    SEGMENT_US,
    Studio,
)

from hitless_origin.journal import PublishLine, read


async def test_one_encoder_is_published_as_it_pushes(studio: Studio) -> None:
    [a] = await studio.ready("a")
    for k in range(FIRST, FIRST + 3):
        assert await a.push(k, 1) == [201, 201, 201]
    for track in ("v0", "v1", "audio"):
        assert await studio.numbers(track) == [FIRST, FIRST + 1, FIRST + 2]
        for k in (FIRST, FIRST + 2):
            answer = await studio.get(f"{track}/{k}.m4s")
            assert answer.body == a.media(track, k)
        answer = await studio.get(f"{track}/init.mp4")
        [found] = [t for t in studio.description.tracks if t.name == track]
        assert answer.body == init_segment(found)
    report = await studio.report()
    assert (report.first_segment, report.last_segment) == (FIRST, FIRST + 2)
    assert (report.selected_encoder, report.selected_priority) == ("a", 1)
    assert [i.encoder for i in report.inputs] == ["a"]


async def test_an_update_takes_the_successor_from_its_first_segment(studio: Studio) -> None:
    old, new = await studio.ready("old", "new")
    for k in range(FIRST, FIRST + 6):
        await new.push(k, 2 if k >= FIRST + 3 else 0)
        await old.push(k, 1 if k < FIRST + 3 else 0)
    for k in range(FIRST, FIRST + 6):
        # the standby's first push came before any term was known, so it opened the timeline
        chosen = new if k >= FIRST + 3 or k == FIRST else old
        for track in ("v0", "v1", "audio"):
            assert (await studio.get(f"{track}/{k}.m4s")).body == chosen.media(track, k)
    report = await studio.report()
    assert [(s.segment, s.to_encoder) for s in report.switches] == [
        (FIRST + 1, "old"),
        (FIRST + 3, "new"),
    ]
    update = report.switches[-1]
    assert (update.from_priority, update.to_priority, update.fallback) == (1, 2, False)
    assert (update.gap_frames, update.overlap_frames) == (0, 6 * 50)
    assert update.frame == (FIRST + 3) * 50
    assert (report.fallbacks, report.gaps, report.mismatches) == (0, 0, 0)


async def test_a_silent_leader_is_replaced_at_the_deadline(studio: Studio) -> None:
    leader, standby = await studio.ready("leader", "standby")
    await leader.push(FIRST, 5)
    await standby.push(FIRST + 1, 0)
    await studio.wait(DEADLINE_US - 1)
    assert await studio.numbers() == [FIRST]
    await studio.wait(1)
    assert await studio.numbers() == [FIRST, FIRST + 1]
    report = await studio.report()
    assert report.fallbacks == 1
    assert report.switches[-1].fallback


async def test_a_missing_segment_becomes_a_gap_entry(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await a.push(FIRST + 2, 1)
    await studio.wait(DEADLINE_US)
    playlist = await studio.playlist()
    assert playlist.media_sequence == FIRST
    assert [bool(s.gap_tag) for s in playlist.segments] == [False, True, False]
    assert (await studio.get(f"v0/{FIRST + 1}.m4s")).status == 404
    assert await a.push(FIRST + 1, 1) == [410, 410, 410]
    assert (await studio.report()).gaps == 1


async def test_what_is_published_never_changes(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    assert await b.push(FIRST, 9) == [201, 201, 201]
    assert (await studio.get(f"v0/{FIRST}.m4s")).body == a.media("v0", FIRST)
    assert await a.push(FIRST + 1, 1) == [201, 201, 201]  # but term 9 is known now
    assert await studio.numbers() == [FIRST]
    await b.push(FIRST + 1, 9)
    assert (await studio.get(f"v0/{FIRST + 1}.m4s")).body == b.media("v0", FIRST + 1)


async def test_duplicates_are_answered_as_held(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    assert await a.push(FIRST, 1) == [200, 200, 200]
    assert (await a.track("v0", FIRST + 1, 1)).status == 201
    assert (await a.track("v0", FIRST + 1, 1)).status == 200
    assert (await studio.report()).mismatches == 0


async def test_a_resend_may_raise_the_priority(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 1)
    await b.push(FIRST + 1, 0)
    assert await studio.numbers() == [FIRST]
    assert await b.push(FIRST + 1, 2) == [200, 200, 200]
    assert await studio.numbers() == [FIRST, FIRST + 1]


async def test_no_playlist_names_a_segment_that_is_not_there(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    for i in range(40):
        k = FIRST + i
        if i % 7:
            await a.push(k, 1)
        await b.push(k, 2 if i % 5 == 0 else 0)
        await studio.wait(SEGMENT_US)
        for track in ("v0", "audio"):
            for number in await studio.numbers(track):
                answer = await studio.get(f"{track}/{number}.m4s", Range="bytes=0-3")
                assert answer.status == 206


async def test_old_segments_leave_the_playlist_and_then_the_disk(studio: Studio) -> None:
    [a] = await studio.ready("a")
    sequences = []
    for i in range(30):
        await a.push(FIRST + i, 1)
        await studio.wait(SEGMENT_US)
        sequences.append((await studio.playlist()).media_sequence)
    assert sequences == sorted(sequences)
    assert await studio.numbers() == list(range(FIRST + 20, FIRST + 30))  # 20 s
    live = studio.settings.data / "channels" / NAMESPACE / CHANNEL / "live" / "v0"
    kept = sorted(int(p.stem) for p in live.iterdir())
    assert kept == list(range(FIRST + 9, FIRST + 30))  # a window more, and a segment
    assert (await studio.get(f"v0/{FIRST}.m4s")).status == 404
    assert (await studio.get(f"v0/{FIRST + 9}.m4s")).status == 200


async def test_a_restarted_origin_goes_on_where_it_was(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    for k in range(FIRST, FIRST + 4):
        await a.push(k, 1)
        await b.push(k, 0)
    await a.push(FIRST + 5, 1)
    await studio.wait(DEADLINE_US)  # a gap
    await b.track("v0", FIRST + 6, 2)  # undecided
    await b.track("v1", FIRST + 6, 2)
    names = ["master.m3u8", *(f"{t}/media.m3u8" for t in ("v0", "v1", "audio"))]
    before = [await studio.get(name) for name in names]
    report = await studio.report()
    await studio.restart()
    after = [await studio.get(name) for name in names]
    assert [x.body for x in after] == [x.body for x in before]
    assert [x.headers["ETag"] for x in after] == [x.headers["ETag"] for x in before]
    again = await studio.report()
    assert again.model_copy(update={"inputs": report.inputs}) == report
    # nobody has to introduce himself again, and what was pushed before is not lost
    assert (await b.track("audio", FIRST + 6, 2)).status == 201
    assert (await studio.get(f"v1/{FIRST + 6}.m4s")).body == b.media("v1", FIRST + 6)
    playlist = await studio.get("v0/media.m3u8")
    assert playlist.text.startswith(before[1].text)
    assert (await b.track("v0", FIRST + 6, 2)).status == 200
    assert await a.push(FIRST + 4, 1) == [410, 410, 410]
    assert await a.push(FIRST + 7, 1) == [201, 201, 201]
    assert (await studio.numbers())[-1] == FIRST + 6  # term 2 outlived the restart


async def test_a_publication_cut_short_is_finished_at_restart(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    await a.push(FIRST + 1, 1)
    before = await studio.get("v0/media.m3u8")
    root = studio.settings.data / "channels" / NAMESPACE / CHANNEL
    await studio.stop()
    _undo_move(root, "v1", FIRST + 1, "a")
    _undo_move(root, "audio", FIRST + 1, "a")
    with (root / "journal.jsonl").open("ab") as journal:
        journal.write(b'{"t":"publish","segm')  # a torn line
    await studio.start()
    assert (await studio.get("v0/media.m3u8")).body == before.body
    assert (await studio.get(f"audio/{FIRST + 1}.m4s")).body == a.media("audio", FIRST + 1)
    assert (await studio.report()).gaps == 0


async def test_a_published_segment_lost_on_disk_is_a_gap_after_restart(studio: Studio) -> None:
    [a] = await studio.ready("a")
    for k in range(FIRST, FIRST + 3):
        await a.push(k, 1)
    root = studio.settings.data / "channels" / NAMESPACE / CHANNEL
    await studio.stop()
    (root / "live" / "v1" / f"{FIRST + 1}.m4s").unlink()
    await studio.start()
    assert await studio.numbers("v0") == [FIRST, FIRST + 2]
    assert (await studio.playlist()).media_sequence == FIRST
    assert (await studio.report()).gaps == 1


async def test_a_failing_disk_makes_a_gap_and_no_half_segment(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    root = studio.settings.data / "channels" / NAMESPACE / CHANNEL
    blocker = root / "live" / "audio" / f"{FIRST + 1}.m4s"
    blocker.mkdir()  # a folder of that name: the rename fails
    (blocker / "x").touch()
    for track in ("v0", "v1"):
        await a.track(track, FIRST + 1, 1)
    await a.track("audio", FIRST + 1, 1)
    assert not (root / "live" / "v0" / f"{FIRST + 1}.m4s").exists()
    await a.push(FIRST + 2, 1)
    assert await studio.numbers() == [FIRST, FIRST + 2]
    assert (await studio.report()).gaps == 1


async def test_the_journal_is_compacted_and_says_the_same(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitless_origin.store.JOURNAL_LINES_MAX", 20)
    a, b = await studio.ready("a", "b")
    for i in range(30):
        await (a, b)[i // 10 % 2].push(FIRST + i, 1 + i // 10)
        await studio.wait(SEGMENT_US)
    journal = studio.settings.data / "channels" / NAMESPACE / CHANNEL / "journal.jsonl"
    lines = read(journal.read_bytes())
    assert len(lines) <= 21
    assert not isinstance(lines[0], PublishLine)
    before, report = await studio.get("v0/media.m3u8"), await studio.report()
    await studio.restart()
    assert (await studio.get("v0/media.m3u8")).body == before.body
    again = await studio.report()
    assert again.model_copy(update={"inputs": report.inputs}) == report


async def test_a_silent_channel_may_become_another(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    small = studio.description.tracks[1:]
    other = studio.description.model_copy(update={"tracks": small})
    assert (await a.describe(other)).status == 409
    await studio.wait(20 * 1_000_000 + 1)
    assert (await a.describe(other)).status == 201
    report = await studio.report()
    assert report.fingerprint == other.fingerprint()
    assert report.last_segment is None
    studio.description = other
    await a.introduce()
    assert await a.push(FIRST + 11, 1) == [201, 201]
    await studio.restart()
    assert await studio.numbers("v1") == [FIRST + 11]


async def test_a_silent_channel_may_come_back_with_other_init_segments(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    await a.push(FIRST, 3)
    c = studio.encoder("c")
    c.salt = b"a new codec library"
    assert (await c.describe()).status == 201
    assert (await c.init("v0")).status == 409
    await studio.wait(20 * 1_000_000 + 1)
    await c.introduce()
    assert (await studio.playlist()).segments == []  # the old ones do not fit the new init
    assert (await b.track("v0", FIRST + 11, 0)).status == 412
    assert (await b.init("v0")).status == 409
    await c.push(FIRST + 11, 4)
    await studio.wait(DEADLINE_US)
    assert await studio.numbers() == [FIRST + 11]
    await studio.restart()
    assert await studio.numbers() == [FIRST + 11]
    assert (await studio.report()).selected_priority == 4


async def test_a_window_may_change_with_an_update(studio: Studio) -> None:
    a, b = await studio.ready("a", "b")
    for i in range(10):
        await a.push(FIRST + i, 1)
    shorter = studio.description.model_copy(update={"window_seconds": 10})
    assert (await b.describe(shorter)).status == 201
    assert (await b.describe(shorter)).status == 200
    await a.push(FIRST + 10, 1)
    assert await studio.numbers() == list(range(FIRST + 6, FIRST + 11))


def _undo_move(root: Path, track: str, segment: int, encoder: str) -> None:
    folder = root / "pending" / str(segment) / encoder
    folder.mkdir(parents=True, exist_ok=True)
    (root / "live" / track / f"{segment}.m4s").rename(folder / f"1-{track}.m4s")
