"""HLS that states absolute time: what FFmpeg's demuxer reads, looked at on its way.

FFmpeg chooses, reads ahead and demultiplexes as ever; it only asks here for each playlist and
segment. So before a segment's packets come, it is known what the playlist (RFC 8216, section
4.3.2.6) or its `prft` box (ISO/IEC 14496-12, section 8.16.5) says of the first picture. All calls
come from the thread that demultiplexes.
"""

from __future__ import annotations

import http.client
import io
import logging
import struct
import urllib.request
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, TypeVar

import av
import m3u8
from av.packet import Packet

from hitless_encoder.boxes import walk
from hitless_encoder.clock import MICROSECONDS
from hitless_encoder.errors import BoxError, SourceError
from hitless_encoder.sources.absolute import Stated
from hitless_encoder.sources.grid import TS_TIMESCALE, TS_WRAP_TICKS

FETCH_SECONDS = 10
FETCH_BYTES_MAX = 64 << 20
SEGMENTS_KEPT = 64
HEAD_BYTES = 1 << 20  # of a segment are enough for its first picture
HOLD_TARGETS = 3  # target durations behind the end of a playlist, where FFmpeg begins to play
NTP_EPOCH_SECONDS = 2_208_988_800  # from 1900 to 1970, RFC 5905
_TS_TIME_BASE = Fraction(1, TS_TIMESCALE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """A segment's first picture, and when it was, by the statement of that number."""

    pts: int
    time_base: Fraction
    us: int
    number: int


class HlsReader:
    """One connection's files. dates: take EXT-X-PROGRAM-DATE-TIME; else `prft` boxes."""

    def __init__(self, *, dates: bool) -> None:
        self._takes_dates = dates
        self._dates: OrderedDict[str, int] = OrderedDict()
        self._movies: OrderedDict[str, bytes] = OrderedDict()
        self._movie_of: OrderedDict[str, str] = OrderedDict()
        self._starts: OrderedDict[int, _Start] = OrderedDict()
        self._current: _Start | None = None
        self._number = 0
        self.target_us = 0
        self.received_bytes = 0
        self.failure = ""
        self.stopped = False

    def open(self, url: str, _flags: int, options: dict[str, str]) -> io.BytesIO:
        """A playlist, segment or init segment for FFmpeg; its io_open, which must not raise.

        What can't be had is empty: after a segment FFmpeg goes on with the next, after a playlist
        it gives up, and `failure` says why.
        """
        if self.stopped:
            return io.BytesIO()
        try:
            data = fetched(url, options)
        except SourceError as error:
            _log.warning("%s", error)
            self.failure = str(error)
            return io.BytesIO()
        self.failure = ""
        self.received_bytes += len(data)
        if data.startswith(b"#EXTM3U"):
            self._read_playlist(url, data)
        elif url in self._movies:
            self._movies[url] = data
        elif url in self._movie_of:
            self._look_at(url, data)
        return io.BytesIO(data)

    def state(self, packet: Packet[Any]) -> Stated | None:
        """What is said of a packet of the pictures: it counts on from its segment's first."""
        assert packet.pts is not None
        key = _ticks(packet.pts, packet.time_base)
        self._current = self._starts.pop(key, self._current)
        start = self._current
        if start is None or start.time_base != packet.time_base:
            return None
        since = packet.pts - start.pts
        if packet.time_base == _TS_TIME_BASE:
            since = (since + TS_WRAP_TICKS // 2) % TS_WRAP_TICKS - TS_WRAP_TICKS // 2
        us = start.us + round(since * packet.time_base * MICROSECONDS)
        return Stated(us=us, number=start.number)

    def _read_playlist(self, url: str, data: bytes) -> None:
        try:
            playlist = m3u8.loads(data.decode(), uri=url)
        except Exception as error:  # m3u8 raises whatever its parsing stumbles over
            _log.warning("%s: %s", url, error)
            return
        if playlist.target_duration is not None:  # a list of variants has none
            self.target_us = playlist.target_duration * MICROSECONDS
        for segment in playlist.segments:
            if segment.byterange:
                continue  # several of one URL: nothing is said of them
            where, movie = segment.absolute_uri, segment.init_section
            _keep(self._movie_of, where, "" if movie is None else movie.absolute_uri)
            if movie is not None and movie.absolute_uri not in self._movies:
                _keep(self._movies, movie.absolute_uri, b"")
            if segment.current_program_date_time is not None:
                _keep(self._dates, where, _microseconds(segment.current_program_date_time))

    def _look_at(self, url: str, data: bytes) -> None:
        """Note what is said of a segment's first picture."""
        movie = self._movies.get(self._movie_of[url], b"")
        try:
            found = first_picture(movie + data[:HEAD_BYTES])
            if found is None:
                return  # of a rendition of sound
            first, track = found
            us = self._dates.get(url) if self._takes_dates else produced_us(data, first, track)
        except (av.FFmpegError, BoxError, struct.error) as error:
            _log.warning("%s: %s", url, error)
            return
        if us is not None and first.pts is not None:
            self._number += 1
            base = first.time_base
            start = _Start(pts=first.pts, time_base=base, us=us, number=self._number)
            _keep(self._starts, _ticks(first.pts, base), start)


def fetched(url: str, options: dict[str, str]) -> bytes:
    """A file over HTTP, or the part of it that FFmpeg asks for. Raises SourceError."""
    if not url.startswith(("http://", "https://")):
        raise SourceError(f"{url}: only http:// and https:// can be read")
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "hitless"})
        if "end_offset" in options:
            first, end = int(options.get("offset", 0)), int(options["end_offset"])
            request.add_header("Range", f"bytes={first}-{end - 1}")
        with urllib.request.urlopen(request, timeout=FETCH_SECONDS) as answer:
            data: bytes = answer.read(FETCH_BYTES_MAX + 1)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SourceError(f"{url}: {error}") from error
    if len(data) > FETCH_BYTES_MAX:
        raise SourceError(f"{url}: more than {FETCH_BYTES_MAX >> 20} MiB")
    return data


def first_picture(data: bytes) -> tuple[Packet[Any], int] | None:
    """The first packet of the pictures, if any, and their track. Raises av.FFmpegError."""
    with av.open(io.BytesIO(data), "r") as head:
        video = head.streams.best("video")
        packets = () if video is None else head.demux(video)
        first = next((packet for packet in packets if packet.pts is not None), None)
        return None if first is None or video is None else (first, video.id)


def produced_us(segment: bytes, first: Packet[Any], track_id: int) -> int | None:
    """When a segment's first picture was produced, by the `prft` box before it.

    None where there is none, or one of another track. Raises BoxError, struct.error.
    """
    for kind, body in walk(segment):
        if kind == b"moof":
            return None
        if kind == b"prft" and struct.unpack_from(">I", body, 4)[0] == track_id:
            assert first.pts is not None
            ntp = int.from_bytes(body[8:16])
            said_us = (ntp * MICROSECONDS >> 32) - NTP_EPOCH_SECONDS * MICROSECONDS
            media = int.from_bytes(body[16 : 24 if body[0] else 20])
            return said_us + round((first.pts - media) * first.time_base * MICROSECONDS)
    return None


def _keep(kept: OrderedDict[_Key, _Value], key: _Key, value: _Value) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > SEGMENTS_KEPT:
        kept.popitem(last=False)


def _ticks(pts: int, time_base: Fraction) -> int:
    return pts % TS_WRAP_TICKS if time_base == _TS_TIME_BASE else pts


def _microseconds(when: datetime) -> int:
    """A date without a zone is taken as UTC."""
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)
