"""Parsers that nobody here wrote read what we publish as we mean it, and have nothing to say of it.

One channel with everything: real pictures and sound in parts, a gap, a declared discontinuity, the
segment in the making; live, by number, and as pieces. PyPI's m3u8 and mpegdash, npm's m3u8-parser,
mpd-parser and mp4box, and Debian's mediainfo.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

import m3u8
import pytest
from mpegdash.parser import MPEGDASHParser
from tests.component.encoder.studio import Recording, make_config, record
from tests.component.origin.editions import Differing
from tests.component.origin.studio import Encoder, running

from hitless_encoder.plan import plan_media
from hitless_handover.timeline import MICROSECONDS
from hitless_origin.view import duration_ticks, start_ticks
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.ingest import ChannelDescription, TrackDescription

FRAMES = 30  # a segment of a second
GOP_FRAMES, PART_FRAMES = 15, 5
PRESET = "ultrafast"
WHOLE, GAP, NEW_FROM = 8, 2, 5  # of the segments, counted from the first
OPEN_PARTS = 2
PLAYERS = Path(__file__).parents[3] / ".venv" / "players" / "node_modules"
SCRIPT = Path(__file__).with_name("parsers.cjs")
RUN_S_MAX = 120
VIDEO = ("v144", "v240", "v360")
MEDIA = {track: f"{track}/media.m3u8" for track in (*VIDEO, "audio")}
NAMES = ("master.m3u8", "manifest.mpd", *MEDIA.values())
BASE = "http://origin/live/demo/news"

pytestmark = pytest.mark.skipif(not PLAYERS.is_dir(), reason="no parsers: hack/setup players")


class Piece(Enum):
    """Of the channel: its first segment and the one after its last, counted from the first."""

    LIVE = (0, None)
    CATCH_UP = (1, 6)
    START_OVER = (4, None)

    def query(self, first: int) -> str:
        start, end = self.value
        if self is Piece.LIVE:
            return ""
        return f"?start={first + start}" + ("" if end is None else f"&end={first + end}")

    def segments(self) -> range:
        start, end = self.value
        return range(start, WHOLE if end is None else end)


def _config(*sizes: tuple[int, int, int]) -> EncoderConfig:
    return make_config(
        sizes=sizes, segment_frames=FRAMES, gop_frames=GOP_FRAMES, part_frames=PART_FRAMES
    )


OLD = _config((426, 240, 300), (256, 144, 150))
NEW = _config((640, 360, 500), (256, 144, 150))


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """texts: by name and piece. first: the number of the first segment."""

    texts: dict[tuple[str, Piece], str]
    first: int
    now_us: int
    old: ChannelDescription
    new: ChannelDescription
    media: dict[str, list[bytes]]  # of the new edition: init segment, then segments

    def description(self, index: int) -> ChannelDescription:
        return self.new if index >= NEW_FROM else self.old


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return asyncio.run(_publish(tmp_path_factory.mktemp("origin")))


async def _publish(folder: Path) -> Published:
    before = await record(OLD, segments=WHOLE + 1, preset=PRESET)
    after = await record(NEW, segments=WHOLE + 1, preset=PRESET)
    numbers = sorted(after.segments)
    first = numbers[0]
    async with running(folder / "data") as studio:
        studio.description = plan_media(OLD, PRESET).description
        old = studio.encoder("old")
        new = Differing(studio, "new", plan_media(NEW, PRESET).description)
        await _introduce(old, before)
        await _introduce(new, after)
        studio.clock.now_us = first * MICROSECONDS
        for index, number in enumerate(numbers[:WHOLE]):
            await studio.wait(MICROSECONDS)
            made, encoder, term = (after, new, 2) if index >= NEW_FROM else (before, old, 1)
            for track, body in made.segments[number].items() if index != GAP else ():
                answer = await encoder.put(f"{track}/{number}.m4s", body, priority=term)
                assert answer.status == 201, answer.text
        await studio.wait(MICROSECONDS // 2)
        for track, body in after.segments[numbers[WHOLE]].items():
            for part, chunk in enumerate(list(_chunks(body))[:OPEN_PARTS]):
                answer = await new.put(f"{track}/{numbers[WHOLE]}.{part}.m4s", chunk, priority=2)
                assert answer.status == 202, answer.text
        texts = {}
        for piece in Piece:
            for name in NAMES:
                answer = await studio.get(name + piece.query(first))
                assert answer.status == 200, answer.text
                texts[name, piece] = answer.text
        texts["numbered.mpd", Piece.LIVE] = (await studio.get("numbered.mpd")).text
        tracks = {track.name for track in new.description.tracks}
        return Published(
            texts=texts,
            first=first,
            now_us=studio.clock.now_us,
            old=old.description,
            new=new.description,
            media={
                track: [after.inits[track], *(after.segments[n][track] for n in numbers[NEW_FROM:])]
                for track in tracks
            },
        )


async def _introduce(encoder: Encoder, made: Recording) -> None:
    assert (await encoder.describe()).status == 201
    for track, init in made.inits.items():
        assert (await encoder.put(f"{track}/init.mp4", init)).status == 201


def _chunks(body: bytes) -> Iterator[bytes]:
    """A segment's parts, each to the end of its mdat."""
    begin = at = 0
    while at < len(body):
        kind = body[at + 4 : at + 8]
        at += int.from_bytes(body[at : at + 4], "big")
        if kind == b"mdat":
            yield body[begin:at]
            begin = at


def _node(jobs: list[dict[str, Any]]) -> list[Any]:
    """What parsers.cjs makes of them; they may not warn of anything."""
    ended = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
        env={**os.environ, "NODE_PATH": str(PLAYERS)},
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    results: list[Any] = json.loads(ended.stdout)
    for result in results:
        said = [text for text in result["said"] if "defaulting HOLD-BACK" not in text]
        assert said == []
    return results


# --- playlists ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """date_ms: where the playlist says it. edition: 0 or 1, by the init segment."""

    uri: str
    duration: Fraction
    gap: bool
    discontinuity: bool
    date_ms: int | None
    edition: int
    parts: int


def _track(description: ChannelDescription, name: str) -> TrackDescription:
    [found] = [track for track in description.tracks if track.name == name]
    return found


def _source(published: Published, track: str, index: int) -> TrackDescription:
    """What stands in for a track that an edition has not."""
    stand_ins = {("v360", False): "v240", ("v240", True): "v144"}
    name = stand_ins.get((track, index >= NEW_FROM), track)
    return _track(published.description(index), name)


def _expected(published: Published, track: str, piece: Piece) -> list[Entry]:
    entries = []
    for index in piece.segments():
        number, source = published.first + index, _source(published, track, index)
        timeline = published.description(index).timeline()
        dated = index in (piece.segments()[0], GAP + 1, NEW_FROM)
        start = Fraction(start_ticks(source, timeline, number) * 1000, source.timescale)
        folder = "" if source.name == track else f"../{source.name}/"
        in_parts = piece is not Piece.CATCH_UP and index > NEW_FROM
        entries.append(
            Entry(
                uri=f"{folder}{number}.m4s",
                duration=Fraction(duration_ticks(source, timeline, number), source.timescale),
                gap=index == GAP,
                discontinuity=index == NEW_FROM,
                date_ms=round(start) if dated else None,
                edition=int(index >= NEW_FROM),
                parts=timeline.segment_frames // PART_FRAMES if in_parts else 0,
            )
        )
    return entries


def _by_pypi(text: str) -> list[Entry]:
    playlist = m3u8.loads(text)
    listed = [s for s in playlist.segments if s.uri]
    inits = list(dict.fromkeys(s.init_section.uri for s in listed))
    return [
        Entry(
            uri=s.uri,
            duration=_microseconds(s.duration),
            gap=bool(s.gap_tag),
            discontinuity=s.discontinuity,
            date_ms=s.program_date_time and round(s.program_date_time.timestamp() * 1000),
            edition=inits.index(s.init_section.uri),
            parts=len(s.parts),
        )
        for s in listed
    ]


def _by_npm(text: str) -> list[Entry]:
    [playlist] = _node([{"reader": "m3u8", "text": text}])
    inits = list(dict.fromkeys(s["map"]["uri"] for s in playlist["segments"]))
    return [
        Entry(
            uri=s["uri"],
            duration=_microseconds(s["duration"]),
            gap=s.get("custom", {}).get("gap", False),
            discontinuity=s.get("discontinuity", False),
            date_ms=round(s["programDateTime"]) if "dateTimeString" in s else None,
            edition=inits.index(s["map"]["uri"]),
            parts=len(s.get("parts", ())),
        )
        for s in playlist["segments"]
    ]


def _microseconds(seconds: float) -> Fraction:
    return Fraction(round(seconds * MICROSECONDS), MICROSECONDS)


@pytest.mark.parametrize("read", [_by_pypi, _by_npm], ids=["m3u8", "m3u8-parser"])
@pytest.mark.parametrize("piece", Piece, ids=lambda piece: piece.name)
@pytest.mark.parametrize("track", MEDIA)
def test_every_segment_of_a_playlist(
    published: Published, track: str, piece: Piece, read: Callable[[str], list[Entry]]
) -> None:
    found = read(published.texts[MEDIA[track], piece])
    expected = _expected(published, track, piece)
    if track == "v240" and piece is Piece.LIVE:
        assert any(entry.uri.startswith("../") for entry in found)
    assert [replace(e, duration=Fraction(0)) for e in found] == [
        replace(e, duration=Fraction(0)) for e in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert abs(one.duration - other.duration) <= Fraction(1, MICROSECONDS)


@pytest.mark.parametrize("piece", Piece, ids=lambda piece: piece.name)
def test_what_playlists_say_of_themselves(published: Published, piece: Piece) -> None:
    jobs = [{"reader": "m3u8", "text": published.texts[name, piece]} for name in MEDIA.values()]
    for text, npm in zip([job["text"] for job in jobs], _node(jobs), strict=True):
        pypi = m3u8.loads(text)
        first = published.first + piece.segments()[0]
        whole = piece is Piece.CATCH_UP
        assert pypi.media_sequence == npm["mediaSequence"] == first
        assert pypi.discontinuity_sequence == npm["discontinuitySequence"] == 0
        assert pypi.target_duration == npm["targetDuration"] == 1
        assert pypi.is_endlist == npm.get("endList", False) == whole
        assert pypi.is_independent_segments
        assert npm["independentSegments"]
        assert (pypi.start is not None) == ("start" in npm) == (piece is Piece.START_OVER)
        if whole:
            assert "preloadSegment" not in npm
            continue
        made = npm["preloadSegment"]
        assert len(made["parts"]) == OPEN_PARTS
        hint = f"{published.first + WHOLE}.{OPEN_PARTS}.m4s"
        assert made["preloadHints"][0]["uri"].endswith(hint)
        assert pypi.preload_hint.uri.endswith(hint)
        assert pypi.part_inf.part_target == npm["partTargetDuration"] == 0.170667
        assert npm["serverControl"]["canBlockReload"]
        assert {r["lastMsn"] for r in npm["renditionReports"]} == {published.first + WHOLE}
        assert {r["lastPart"] for r in npm["renditionReports"]} == {OPEN_PARTS - 1}


@pytest.mark.parametrize("piece", Piece, ids=lambda piece: piece.name)
def test_the_multivariant_playlist(published: Published, piece: Piece) -> None:
    text, query = published.texts["master.m3u8", piece], piece.query(published.first)
    pypi, [npm] = m3u8.loads(text), _node([{"reader": "m3u8", "text": text}])
    tracks = [t for t in published.new.tracks if t.type == "video"]
    [sound] = [t for t in published.new.tracks if t.type == "audio"]
    assert [
        (p.uri, p.stream_info.codecs, p.stream_info.resolution, p.stream_info.bandwidth)
        for p in pypi.playlists
    ] == [
        (
            f"{t.name}/media.m3u8{query}",
            f"{t.codecs},{sound.codecs}",
            (t.width, t.height),
            t.bandwidth + sound.bandwidth,
        )
        for t in tracks
    ]
    assert [
        (p["uri"], p["attributes"]["CODECS"], p["attributes"]["RESOLUTION"])
        for p in npm["playlists"]
    ] == [
        (
            f"{t.name}/media.m3u8{query}",
            f"{t.codecs},{sound.codecs}",
            {"width": t.width, "height": t.height},
        )
        for t in tracks
    ]
    assert npm["mediaGroups"]["AUDIO"]["audio"]["audio"]["uri"] == f"audio/media.m3u8{query}"


# --- MPDs ---------------------------------------------------------------------------------------


def _with_track(published: Published, piece: Piece, track: str) -> list[int]:
    """The segments that an MPD has of a track: an edition without it has no such Representation."""
    return [
        index
        for index in piece.segments()
        if index != GAP and track in {t.name for t in published.description(index).tracks}
    ]


def _start(published: Published, track: str, index: int) -> tuple[int, Fraction, Fraction]:
    """In ticks, in seconds since 1970, and how long it is."""
    description = published.description(index)
    found = _track(description, track)
    number, timeline = published.first + index, description.timeline()
    ticks = start_ticks(found, timeline, number)
    length = Fraction(duration_ticks(found, timeline, number), found.timescale)
    return ticks, Fraction(ticks, found.timescale), length


def _representations(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    sound = manifest["mediaGroups"]["AUDIO"]["audio"]
    playlists = [
        *manifest["playlists"],
        *(p for group in sound.values() for p in group["playlists"]),
    ]
    return {playlist["attributes"]["NAME"]: playlist for playlist in playlists}


@pytest.mark.parametrize("piece", Piece, ids=lambda piece: piece.name)
def test_every_segment_of_an_mpd(published: Published, piece: Piece) -> None:
    text = published.texts["manifest.mpd", piece]
    job = {"reader": "mpd", "text": text, "url": f"{BASE}/manifest.mpd", "now": 0}
    [npm] = _node([job])
    zero = 0 if piece is Piece.LIVE else published.first + piece.segments()[0]
    found = _representations(npm)
    assert set(found) == {track for track in MEDIA if _with_track(published, piece, track)}
    for track, playlist in found.items():
        expected = [_start(published, track, i) for i in _with_track(published, piece, track)]
        assert [s["resolvedUri"] for s in playlist["segments"]] == [
            f"{BASE}/{track}/t{ticks}.m4s" for ticks, _, _ in expected
        ]
        for segment, (_, start, length) in zip(playlist["segments"], expected, strict=True):
            assert segment["presentationTime"] == pytest.approx(float(start - zero), abs=1e-5)
            assert segment["duration"] == pytest.approx(float(length))
        described = _track(published.description(_with_track(published, piece, track)[0]), track)
        assert playlist["attributes"]["CODECS"] == described.codecs
        assert playlist["attributes"]["BANDWIDTH"] == described.bandwidth
    pypi = MPEGDASHParser.parse(text)
    assert pypi.type == ("static" if piece is Piece.CATCH_UP else "dynamic")
    listed: dict[str, list[int]] = {}
    for adaptation in (a for period in pypi.periods for a in period.adaptation_sets):
        [template] = adaptation.segment_templates
        for representation in adaptation.representations:
            starts, end = listed.setdefault(representation.id, []), 0
            for run in template.segment_timelines[0].Ss:
                begin = end if run.t is None else run.t
                end = begin + run.d * (1 + (run.r or 0))
                starts += range(begin, end, run.d)
    assert listed == {
        track: [_start(published, track, i)[0] for i in _with_track(published, piece, track)]
        for track in found
    }


def test_the_clock_of_an_mpd(published: Published) -> None:
    for name in ("manifest.mpd", "numbered.mpd"):
        text = published.texts[name, Piece.LIVE]
        [npm] = _node([{"reader": "mpd", "text": text, "url": f"{BASE}/{name}", "now": 0}])
        assert npm["clock"]["value"] == "utc"
        assert npm["clock"]["schemeIdUri"] == "urn:mpeg:dash:utc:http-xsdate:2014"


def test_numbers_are_promised_from_the_gap_on(published: Published) -> None:
    """mpd-parser counts a Period on after the next one has begun, though that ends it (ISO/IEC
    23009-1, 5.3.2.1); such names the origin has not, for the revision in them is another one's.
    It knows no availabilityTimeOffset, so its last number is that of the last whole segment.
    """
    text, url = published.texts["numbered.mpd", Piece.LIVE], f"{BASE}/numbered.mpd"
    now_ms = published.now_us // 1000
    [npm] = _node([{"reader": "mpd", "text": text, "url": url, "now": now_ms}])
    for track, playlist in _representations(npm).items():
        expected = [i for i in _with_track(published, Piece.LIVE, track) if i > GAP]
        uris = [segment["resolvedUri"] for segment in playlist["segments"]]
        revisions = list(dict.fromkeys(uri.partition("?v=")[2] for uri in uris))
        old = [i for i in expected if i < NEW_FROM]
        found: list[str] = []
        for revision in revisions:
            named = [uri for uri in uris if uri.endswith(revision)]
            is_old = bool(old) and revision == revisions[0]
            found += named[: len(old)] if is_old else named
        assert [uri.partition("?v=")[0] for uri in found] == [
            f"{BASE}/{track}/{published.first + index}.m4s" for index in expected
        ]
    pypi = MPEGDASHParser.parse(text)
    assert [period.id for period in pypi.periods] == ["0", str(published.first + NEW_FROM)]
    for period in pypi.periods:
        for adaptation in period.adaptation_sets:
            [template] = adaptation.segment_templates
            assert template.availability_time_offset == 0.829333
            assert template.duration == template.timescale == 30_000


# --- media --------------------------------------------------------------------------------------


def _samples(published: Published, track: TrackDescription) -> tuple[int, int, int]:
    """First decode time, one step, and how many samples the new edition's segments have."""
    timeline = published.new.timeline()
    begin, end = (
        start_ticks(track, timeline, published.first + index) for index in (NEW_FROM, WHOLE + 1)
    )
    step = timeline.frame_ticks if track.type == "video" else track.frame_samples
    return begin, step, (end - begin) // step


def test_mp4box_reads_every_sample(published: Published) -> None:
    for track in published.new.tracks:
        bodies = [base64.b64encode(body).decode() for body in published.media[track.name]]
        [read] = _node([{"reader": "mp4", "bodies": bodies}])
        begin, step, count = _samples(published, track)
        assert (read["tracks"], read["timescale"]) == (1, track.timescale)
        assert read["codec"].lower() == track.codecs.lower()
        assert "cmfc" in read["brands"]
        assert [s["dts"] for s in read["samples"]] == [begin + i * step for i in range(count)]
        assert {s["duration"] for s in read["samples"]} == {step}
        numbers = range(published.first + NEW_FROM, published.first + WHOLE + 1)
        assert list(dict.fromkeys(read["sequences"])) == list(numbers)
        if track.type == "video":
            assert read["video"] == {"width": track.width, "height": track.height}
            keys = [i for i, s in enumerate(read["samples"]) if s["sync"]]
            assert keys == list(range(0, count, GOP_FRAMES))
        else:
            assert read["audio"]["sample_rate"] == published.new.audio_rate
            assert read["audio"]["channel_count"] == track.channels


def test_mediainfo_names_the_same_codecs(published: Published, tmp_path: Path) -> None:
    for track in published.new.tracks:
        path = tmp_path / f"{track.name}.mp4"
        path.write_bytes(b"".join(published.media[track.name]))
        ended = subprocess.run(
            ["mediainfo", "--Output=JSON", str(path)],
            capture_output=True,
            timeout=RUN_S_MAX,
            check=True,
        )
        general, stream = json.loads(ended.stdout)["media"]["track"]
        _, step, count = _samples(published, track)
        assert general["CodecID"] == "cmf2"
        assert (stream["@type"].lower(), int(stream["FrameCount"])) == (track.type, count)
        seconds = Fraction(step * count, track.timescale)
        assert float(stream["Duration"]) == pytest.approx(float(seconds), abs=0.001)
        if track.type == "video":
            assert (int(stream["Width"]), int(stream["Height"])) == (track.width, track.height)
            profile = f"avc1.6400{int(float(stream['Format_Level']) * 10):02x}"
            assert (stream["Format"], profile) == ("AVC", track.codecs.lower())
            assert (stream["FrameRate_Mode"], stream["FrameRate"]) == ("CFR", "30.000")
        else:
            assert (stream["Format"], stream["CodecID"]) == ("AAC", "mp4a-40-2")
            assert int(stream["SamplingRate"]) == published.new.audio_rate
            assert int(stream["Channels"]) == track.channels
