"""Declared discontinuities: an encoder of another edition pushes, and viewers go on."""

from __future__ import annotations

import json
from collections.abc import Sequence

import m3u8
import pytest
from mpegdash.parser import MPEGDASHParser
from tests.component.origin.cmaf_maker import FIRST, init_segment
from tests.component.origin.editions import Differing, changed, other_ladder
from tests.component.origin.studio import (
    CHANNEL,
    DEADLINE_US,
    NAMESPACE,
    SEGMENT_US,
    Answer,
    Encoder,
    Studio,
)

from hitless_origin.edition import EDITIONS_MAX

OLD_TRACKS, NEW_TRACKS = ("v0", "v1", "audio"), ("hd", "v0", "sound")
ALL_TRACKS = ("hd", "v0", "sound", "v1", "audio")
WINDOW_US = 20 * 1_000_000
N = FIRST + 3  # the first segment of the other edition


def _error(answer: Answer) -> str:
    return str(json.loads(answer.body)["error"])


async def _two(studio: Studio) -> tuple[Encoder, Differing]:
    [old] = await studio.ready("old")
    new = Differing(studio, "new", other_ladder())
    return old, new


async def _switched(studio: Studio, segments: int = 6) -> tuple[Encoder, Differing]:
    """From old to new at N by term; both deliver all segments, the new one first."""
    old, new = await _two(studio)
    await old.push(FIRST, 1)
    await new.introduce()
    for k in range(FIRST + 1, FIRST + segments):
        assert set(await new.push(k, 2 if k >= N else 0)) == {201}
        assert set(await old.push(k, 1 if k < N else 0)) == {201}
    return old, new


async def _playlists(studio: Studio, names: Sequence[str] = ALL_TRACKS) -> dict[str, m3u8.M3U8]:
    return {name: await studio.playlist(name) for name in names}


async def _is_whole(studio: Studio) -> None:
    """All playlists: the same numbers without a gap, the same discontinuities, and files."""
    playlists = await _playlists(studio)
    shapes = set()
    for name, playlist in playlists.items():
        numbers = [int(s.uri.split("/")[-1].removesuffix(".m4s")) for s in playlist.segments]
        assert numbers == list(
            range(playlist.media_sequence, playlist.media_sequence + len(numbers))
        )
        assert not any(s.gap_tag for s in playlist.segments)
        shapes.add(
            (
                playlist.media_sequence,
                playlist.discontinuity_sequence,
                playlist.target_duration,
                tuple(s.discontinuity for s in playlist.segments),
            )
        )
        for uri in {u for s in playlist.segments for u in (s.uri, s.init_section.uri)}:
            assert (await studio.get(_below(name, uri))).status == 200
    assert len(shapes) == 1


def _below(track: str, uri: str) -> str:
    return uri.removeprefix("../") if uri.startswith("../") else f"{track}/{uri}"


async def _bodies(studio: Studio) -> list[bytes]:
    names = ["master.m3u8", *(f"{name}/media.m3u8" for name in ALL_TRACKS)]
    return [(await studio.get(name)).body for name in [*names, "manifest.mpd"]]


# --- what may be pushed ---------------------------------------------------------------------------


async def test_without_the_header_another_edition_is_refused(studio: Studio) -> None:
    await studio.ready("old")
    new = Differing(studio, "new", other_ladder(), allowed=False)
    answer = await new.describe()
    assert answer.status == 409
    assert "audio_rate differs" in _error(answer)
    assert (await studio.report()).mismatches == 1
    twin = Differing(studio, "twin", studio.description, allowed=False)
    twin.salt = b"another profile"
    assert (await twin.describe()).status == 201
    assert (await twin.init("v0")).status == 409


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rate_num": 50, "segment_frames": 100, "gop_frames": 100}, "rate_num"),
        ({"segment_frames": 100}, "segment_frames"),
    ],
)
async def test_the_segment_grid_can_not_change(
    studio: Studio, fields: dict[str, int], says: str
) -> None:
    await studio.ready("old")
    edition = studio.description.model_copy(update=fields)
    ticks = {"timescale": edition.timeline().timescale}
    tracks = [t if t.type == "audio" else changed(t, **ticks) for t in edition.tracks]
    edition = edition.model_copy(update={"tracks": tuple(tracks)})
    answer = await Differing(studio, "new", edition).describe()
    assert (answer.status, _error(answer)) == (
        409,
        f"description: {says} differs from what channel demo/news holds",
    )
    assert "new channel" in json.loads(answer.body)["hint"]


async def test_a_track_keeps_its_type(studio: Studio) -> None:
    await studio.ready("old")
    v0, v1, audio = studio.description.tracks
    swapped = (v1, changed(v0, name="v9"), changed(audio, name="v0"))
    edition = studio.description.model_copy(update={"tracks": swapped})
    answer = await Differing(studio, "new", edition).describe()
    assert answer.status == 409
    assert "tracks.v0.type" in _error(answer)


async def test_the_target_duration_can_not_change(studio: Studio) -> None:
    """62 frames of 25 are 2.48 s; in AAC frames of 8 kHz 2.56 s, which would round to 3."""
    described = studio.description.model_copy(update={"segment_frames": 62, "gop_frames": 62})
    studio.description = described
    await studio.ready("old")
    v0, v1, audio = described.tracks
    slow = changed(audio, timescale=8000, sample_rate=8000)
    edition = described.model_copy(update={"audio_rate": 8000, "tracks": (v0, v1, slow)})
    answer = await Differing(studio, "new", edition).describe()
    assert answer.status == 409
    assert json.loads(answer.body)["expected"] == "2 s"


async def test_pushes_are_judged_by_the_encoders_own_edition(studio: Studio) -> None:
    old, new = await _two(studio)
    await old.push(FIRST, 1)
    await new.introduce()
    assert (await old.put("hd/init.mp4", b"")).status == 404
    assert (await new.put(f"v1/{N}.m4s", b"")).status == 404
    wrong = new.media("sound", N, step_ticks=1000)
    assert (await new.put(f"sound/{N}.m4s", wrong)).status == 409
    assert (await new.track("sound", N)).status == 201


async def test_nothing_is_taken_before_all_init_segments(studio: Studio) -> None:
    """Only then it is known which edition its segments are of."""
    _, new = await _two(studio)
    await new.describe()
    for name in ("hd", "v0"):
        assert (await new.init(name)).status == 201
    answer = await new.track("v0", N)
    assert (answer.status, _error(answer)) == (
        412,
        "new has not pushed the init segment of sound",
    )
    await studio.restart()
    assert (await new.track("v0", N)).status == 412
    assert (await new.init("sound")).status == 201
    assert (await new.track("v0", N)).status == 201


async def test_editions_are_bounded_and_let_go(studio: Studio) -> None:
    [old] = await studio.ready("old")
    await old.push(FIRST, 1)
    for i in range(EDITIONS_MAX):
        edition = other_ladder().model_copy(update={"gop_frames": (25, 10, 5, 2)[i]})
        newcomer = Differing(studio, f"new{i}", edition)
        answer = await newcomer.describe()
        assert answer.status == (201 if i < EDITIONS_MAX - 1 else 403), answer.text
    assert f"holds {EDITIONS_MAX} editions" in _error(answer)
    await studio.wait(WINDOW_US + 1)
    await old.push(FIRST + 11, 1)
    assert (await newcomer.describe()).status == 201  # the others are silent
    root = studio.settings.data / "channels" / NAMESPACE / CHANNEL
    assert len(list((root / "editions").iterdir())) == EDITIONS_MAX - 1


async def test_an_encoder_has_one_edition(studio: Studio) -> None:
    [old] = await studio.ready("old")
    await old.push(FIRST, 1)
    same_name = Differing(studio, "old", other_ladder())
    answer = await same_name.describe()
    assert (answer.status, _error(answer)) == (409, "old has pushed another description before")
    await studio.wait(WINDOW_US + 1)
    await same_name.introduce()
    await same_name.push(FIRST + 11, 2)
    await studio.wait(DEADLINE_US)
    assert (await studio.report()).discontinuities == 1


# --- what viewers see -----------------------------------------------------------------------------


async def test_terms_decide_between_editions(studio: Studio) -> None:
    old, new = await _switched(studio)
    for k in range(FIRST, FIRST + 6):
        encoder, absent = (new, "v1") if k >= N else (old, "hd")
        for track in encoder.description.tracks:
            answer = await studio.get(f"{track.name}/{k}.m4s")
            assert answer.body == encoder.media(track.name, k)
        assert (await studio.get(f"{absent}/{k}.m4s")).status == 404
    await _is_whole(studio)
    for playlist in (await _playlists(studio)).values():
        assert [s.discontinuity for s in playlist.segments] == [k == N for k in _range(FIRST, 6)]
    report = await studio.report()
    assert report.fingerprint == new.edition.fingerprint()
    assert [(s.segment, s.discontinuity) for s in report.switches] == [(N, True)]
    assert (report.discontinuities, report.gaps, report.fallbacks) == (1, 0, 0)
    metrics = (await studio.call("GET", "/metrics")).text
    labels = '{namespace="demo",channel="news"}'
    assert f"hitless_origin_discontinuities_total{labels} 1" in metrics


def _range(first: int, count: int) -> range:
    return range(first, first + count)


async def test_init_segments_are_served_by_revision(studio: Studio) -> None:
    old, new = await _switched(studio)
    before, after = {s.init_section.uri for s in (await studio.playlist("v0")).segments}
    found = {(await studio.get(f"v0/{uri}")).body for uri in (before, after)}
    assert found == {
        init_segment(encoder.description.tracks[i]) for encoder, i in ((old, 0), (new, 1))
    }
    for track in new.description.tracks:
        assert (await studio.get(f"{track.name}/init.mp4")).body == init_segment(track)
    assert (await studio.get("v1/init.mp4")).body == init_segment(old.description.tracks[1])
    assert (await studio.get("v0/init.mp4?v=00000000")).status == 404


async def test_equal_descriptions_with_other_init_segments_are_two_editions(
    studio: Studio,
) -> None:
    [old] = await studio.ready("old")
    await old.push(FIRST, 1)
    new, spare = (Differing(studio, name, studio.description) for name in ("new", "spare"))
    new.salt = spare.salt = b"another profile"
    await new.introduce()
    await spare.introduce()
    await new.push(FIRST + 1, 2)
    await spare.push(FIRST + 2, 3)
    playlist = await studio.playlist()
    assert [s.discontinuity for s in playlist.segments] == [False, True, False]
    uris = [s.init_section.uri for s in playlist.segments]
    v0 = studio.description.tracks[0]
    assert (await studio.get(f"v0/{uris[0]}")).body == init_segment(v0)
    assert (await studio.get(f"v0/{uris[2]}")).body == init_segment(v0, salt=new.salt)
    assert len(studio.origin.channels.popitem()[1].editions.held) == 2


async def test_a_rollback_is_a_second_discontinuity(studio: Studio) -> None:
    old, _ = await _switched(studio)
    await old.push(FIRST + 6, 3)
    await _is_whole(studio)
    playlist = await studio.playlist("v1")
    assert [
        k for k, s in zip(_range(FIRST, 7), playlist.segments, strict=True) if s.discontinuity
    ] == [
        N,
        FIRST + 6,
    ]
    assert playlist.segments[-1].uri == f"{FIRST + 6}.m4s"
    report = await studio.report()
    assert report.discontinuities == 2
    assert [(s.segment, s.to_encoder) for s in report.switches if s.discontinuity] == [
        (N, "new"),
        (FIRST + 6, "old"),
    ]


async def test_a_hot_standby_of_the_old_edition_goes_on(studio: Studio) -> None:
    old, new = await _switched(studio)
    for k in _range(FIRST + 6, 3):
        await old.push(k, 0)
        await studio.wait(DEADLINE_US)
    await _is_whole(studio)
    report = await studio.report()
    assert (report.last_segment, report.selected_encoder) == (FIRST + 8, "old")
    assert (report.fallbacks, report.discontinuities, report.gaps) == (3, 2, 0)
    await new.push(FIRST + 9, 2)
    assert (await studio.report()).discontinuities == 3


async def test_a_spare_of_the_same_edition_goes_on_without_a_mark(studio: Studio) -> None:
    _, new = await _switched(studio)
    spare = Differing(studio, "spare", new.edition)
    await spare.introduce()
    await spare.push(FIRST + 6, 0)
    await studio.wait(DEADLINE_US)
    await _is_whole(studio)
    report = await studio.report()
    assert (report.selected_encoder, report.discontinuities) == ("spare", 1)
    assert [s.discontinuity for s in report.switches] == [True, False]


async def test_the_boundary_leaves_and_is_counted(studio: Studio) -> None:
    old, new = await _switched(studio)
    seen = []
    for k in _range(FIRST + 6, 25):
        await studio.wait(SEGMENT_US)
        assert set(await new.push(k, 2)) == {201}
        await _is_whole(studio)
        playlist = await studio.playlist("v1")
        seen.append((playlist.media_sequence > N, playlist.discontinuity_sequence or 0))
    assert set(seen) == {(False, 0), (True, 1)}
    assert "#EXT-X-DISCONTINUITY\n" not in (await studio.get("v0/media.m3u8")).text
    [period] = MPEGDASHParser.parse((await studio.get("manifest.mpd")).text).periods
    assert period.id == str(N)
    # its encoder is silent, but nobody needs the room: v1 still has a stand-in, also after this
    await studio.restart()
    await _is_whole(studio)
    assert (await studio.playlist("v1")).discontinuity_sequence == 1
    assert (await old.describe()).status == 200


async def test_a_restart_changes_no_byte(studio: Studio) -> None:
    _, new = await _switched(studio)
    before, report = await _bodies(studio), await studio.report()
    await new.track("hd", FIRST + 6, 2)  # undecided
    await studio.restart()
    assert await _bodies(studio) == before
    again = await studio.report()
    assert again.model_copy(update={"inputs": report.inputs}) == report
    for track in ("v0", "sound"):
        assert (await new.track(track, FIRST + 6, 2)).status == 201
    await _is_whole(studio)
    assert (await studio.report()).discontinuities == 1


async def test_a_folder_of_an_older_origin_is_read(studio: Studio) -> None:
    """Without the fields that its lines had not yet."""
    [old] = await studio.ready("old")
    for k in _range(FIRST, 3):
        await old.push(k, 1)
    names = ("master.m3u8", "v0/media.m3u8", "v1/media.m3u8", "audio/media.m3u8")
    before = [(await studio.get(name)).body for name in names]
    await studio.stop()
    path = studio.settings.data / "channels" / NAMESPACE / CHANNEL / "journal.jsonl"
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    for line in lines:
        for field in ("edition", "may_differ"):
            line.pop(field, None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    await studio.start()
    assert [(await studio.get(name)).body for name in names] == before
    new = Differing(studio, "new", other_ladder())
    await new.introduce()
    assert await new.push(N, 2) == [201, 201, 201]
    await _is_whole(studio)
    assert (await studio.report()).discontinuities == 1


async def test_a_compacted_journal_says_the_same(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitless_origin.store.JOURNAL_LINES_MAX", 5)
    old, _ = await _switched(studio)
    await old.push(FIRST + 6, 3)
    before = await _bodies(studio)
    await studio.restart()
    assert await _bodies(studio) == before


async def test_dash_has_a_period_for_each_run(studio: Studio) -> None:
    old, _ = await _switched(studio)
    await old.push(FIRST + 6, 3)
    periods = MPEGDASHParser.parse((await studio.get("manifest.mpd")).text).periods
    assert [p.id for p in periods] == ["0", str(N), str(FIRST + 6)]
    assert [p.start for p in periods] == [
        "PT0S",
        f"PT{N * 2}S",
        f"PT{(FIRST + 6) * 2}S",
    ]
    listed = []
    for period in periods:
        for adaptation in period.adaptation_sets:
            [template] = adaptation.segment_templates
            for representation in adaptation.representations:
                init = template.initialization.replace("$RepresentationID$", representation.id)
                assert (await studio.get(init)).status == 200
                ticks = 0
                for entry in template.segment_timelines[0].Ss:
                    ticks = ticks if entry.t is None else entry.t
                    for _ in range(1 + (entry.r or 0)):
                        name = f"{representation.id}/t{ticks}.m4s"
                        assert (await studio.get(name)).status == 200, name
                        listed.append(name)
                        ticks += entry.d
    assert len(listed) == 7 * 3


async def test_a_channel_that_never_changed_says_nothing_new(studio: Studio) -> None:
    [a] = await studio.ready("a")
    await a.push(FIRST, 1)
    answer = await studio.call("GET", f"/api/v1/channels/{NAMESPACE}/{CHANNEL}")
    assert b"iscontinuit" not in answer.body, "older operators refuse fields they do not know"
    for name in ("v0/media.m3u8", "audio/media.m3u8"):
        assert "DISCONTINUITY" not in (await studio.get(name)).text
