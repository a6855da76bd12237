"""HLS playlists as values: what the probe needs of RFC 8216bis, parsed with m3u8.

Pure: text in, values out. Raises PlaylistError for what is no playlist or can't be followed (byte
ranges, encryption). Durations are integer microseconds, because EXTINF is a decimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urljoin, urlsplit

import m3u8

from hitless_cli.probe.boxes import TrackKind
from hitless_cli.probe.errors import PlaylistError
from hitless_cli.probe.settings import RENDITIONS_MAX, SEGMENTS_LISTED_MAX

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """A media playlist of the stream. width, height: pixels, where RESOLUTION says them."""

    name: str
    kind: TrackKind
    url: str
    width: int | None = None
    height: int | None = None
    bandwidth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A partial segment (EXT-X-PART)."""

    url: str
    duration_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSegment:
    """A segment as a media playlist lists it. sequence: its media sequence number."""

    sequence: int
    url: str
    init_url: str
    duration_us: int
    gap: bool = False
    discontinuity: bool = False
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPlaylist:
    """One version of a media playlist. open_parts: those of the segment not yet complete."""

    first_sequence: int
    target_s: int
    ended: bool
    segments: tuple[ListedSegment, ...]
    open_parts: tuple[Part, ...] = ()

    @property
    def next_sequence(self) -> int:
        """The media sequence number of the segment that is not listed yet."""
        return self.first_sequence + len(self.segments)


def read_master(text: str, url: str) -> tuple[Rendition, ...]:
    """The renditions of a multivariant playlist: video by size, smallest first, then audio.

    For a media playlist: itself, as one rendition of a kind yet to be seen (taken for video).
    """
    playlist = _parse(text, url)
    if not playlist.is_variant:
        return (Rendition(name=_name(url), kind=TrackKind.VIDEO, url=url),)
    found: dict[str, Rendition] = {}
    for variant in playlist.playlists:
        target = urljoin(url, variant.uri)
        width, height = variant.stream_info.resolution or (None, None)
        found[target] = Rendition(
            name=_name(target),
            kind=_variant_kind(variant.stream_info.codecs, height),
            url=target,
            width=width,
            height=height,
            bandwidth=variant.stream_info.bandwidth or 0,
        )
    for media in playlist.media:
        if media.type == "AUDIO" and media.uri:
            target = urljoin(url, media.uri)
            found[target] = Rendition(name=_name(target), kind=TrackKind.AUDIO, url=target)
    if not 1 <= len(found) <= RENDITIONS_MAX:
        raise PlaylistError(f"{url} lists {len(found)} renditions, want 1 to {RENDITIONS_MAX}")
    return _distinct(sorted(found.values(), key=_smallest_first))


def read_media(text: str, url: str) -> MediaPlaylist:
    """One version of a media playlist."""
    playlist = _parse(text, url)
    if playlist.is_variant:
        raise PlaylistError(f"{url} is a multivariant playlist where a media playlist was expected")
    if not playlist.target_duration:
        raise PlaylistError(f"{url} has no EXT-X-TARGETDURATION")
    if len(playlist.segments) > SEGMENTS_LISTED_MAX:
        raise PlaylistError(f"{url} lists more than {SEGMENTS_LISTED_MAX} segments")
    first = playlist.media_sequence or 0
    whole = [entry for entry in playlist.segments if entry.uri]
    pending = [entry for entry in playlist.segments if not entry.uri]
    return MediaPlaylist(
        first_sequence=first,
        target_s=int(playlist.target_duration),
        ended=bool(playlist.is_endlist),
        segments=tuple(_segment(url, first + i, entry) for i, entry in enumerate(whole)),
        open_parts=tuple(part for entry in pending for part in _parts(url, entry)),
    )


def _parse(text: str, url: str) -> Any:
    if not text.lstrip("\ufeff").startswith("#EXTM3U"):
        raise PlaylistError(f"{url} is no HLS playlist: it does not begin with #EXTM3U")
    try:
        return m3u8.loads(text, uri=url)
    except Exception as error:  # m3u8 raises whatever its parsing stumbles over
        raise PlaylistError(f"{url} can't be parsed: {error!r}") from error


def _segment(url: str, sequence: int, entry: Any) -> ListedSegment:
    if entry.byterange:
        raise PlaylistError(f"{url} uses EXT-X-BYTERANGE, which the probe does not follow")
    if entry.key is not None and entry.key.method != "NONE":
        raise PlaylistError(f"{url} is encrypted (EXT-X-KEY), which the probe does not follow")
    if entry.init_section is None:
        raise PlaylistError(f"{url} has no EXT-X-MAP: the probe plays fMP4 (CMAF) segments only")
    return ListedSegment(
        sequence=sequence,
        url=urljoin(url, entry.uri),
        init_url=urljoin(url, entry.init_section.uri),
        duration_us=_microseconds(entry.duration),
        gap=bool(entry.gap_tag),
        discontinuity=bool(entry.discontinuity),
        parts=_parts(url, entry),
    )


def _parts(url: str, entry: Any) -> tuple[Part, ...]:
    return tuple(
        Part(
            url=urljoin(url, part.uri) + (f"#{part.byterange}" if part.byterange else ""),
            duration_us=_microseconds(part.duration),
        )
        for part in entry.parts
    )


def _microseconds(seconds: float | None) -> int:
    return int(Decimal(str(seconds or 0)) * _MICROSECONDS)


def _variant_kind(codecs: str | None, height: int | None) -> TrackKind:
    """A variant without a picture size whose only codec is a sound's is audio."""
    if height is None and codecs and all(c.strip()[:4] in _SOUND for c in codecs.split(",")):
        return TrackKind.AUDIO
    return TrackKind.VIDEO


_SOUND = ("mp4a", "Opus", "opus", "ac-3", "ec-3", "fLaC", "flac")


def _name(url: str) -> str:
    """`v240` for …/v240/media.m3u8; the file's stem where the folder says nothing."""
    parts = [part for part in urlsplit(url).path.split("/") if part]
    stem = parts[-1].rsplit(".", 1)[0] if parts else "stream"
    return parts[-2] if len(parts) > 1 and stem in _GENERIC else stem


_GENERIC = ("media", "index", "playlist", "stream", "prog_index", "chunklist", "master")


def _smallest_first(rendition: Rendition) -> tuple[bool, int, int]:
    area = (rendition.width or 0) * (rendition.height or 0)
    return rendition.kind is not TrackKind.VIDEO, area, rendition.bandwidth


def _distinct(renditions: list[Rendition]) -> tuple[Rendition, ...]:
    """Names must tell renditions apart: number them when they don't."""
    if len({r.name for r in renditions}) == len(renditions):
        return tuple(renditions)
    return tuple(
        Rendition(
            name=f"{r.name}-{index}",
            kind=r.kind,
            url=r.url,
            width=r.width,
            height=r.height,
            bandwidth=r.bandwidth,
        )
        for index, r in enumerate(renditions)
    )
