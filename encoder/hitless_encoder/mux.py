"""CMAF by hand: init segments and media segments as bytes (ISO/IEC 23000-19, 14496-12/-14/-15).

Pure functions: the same arguments give the same bytes in every process and version. FFmpeg's
muxers restart `tfdt` and sequence numbers with each process, so they are not used. A media segment
is `styp`, then `moof mdat` for each chunk; the sequence number is the segment number modulo 2**32,
`tfdt` is absolute.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hitless_encoder.boxes import box, full_box

TRACK_ID = 1
_MOVIE_TIMESCALE = 1000
_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_SYNC_SAMPLE = 0x02000000  # depends on no other sample
_DEPENDENT_SAMPLE = 0x01010000  # depends on others, not a sync sample
_TFHD_DEFAULT_BASE_IS_MOOF = 0x020000
_TFHD_DEFAULT_DURATION = 0x000008
_TFHD_DEFAULT_FLAGS = 0x000020
_TRUN_DATA_OFFSET = 0x000001
_TRUN_SAMPLE_SIZE = 0x000200
_TRUN_SAMPLE_FLAGS = 0x000400
_SEQUENCE_MASK = 0xFFFFFFFF
_NTP_EPOCH_SECONDS = 2_208_988_800  # from 1900 to 1970
_PRFT_CAPTURED = 24  # the time is that of the scene, but for a constant (14496-12, 8.16.5)
_MDAT_HEADER_BYTES = 8
_OBJECT_MPEG4_AUDIO, _STREAM_AUDIO = 0x40, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One coded picture or audio frame. sync: a decoder can start here."""

    data: bytes
    sync: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEntry:
    """How samples are coded. kind: four-character code of the sample entry.

    configuration: boxes that a decoder needs, type and content each. boxes: the same, written
    already. brand: further brand of the init segment, where the codec's binding asks for one.
    """

    kind: bytes
    configuration: tuple[tuple[bytes, bytes], ...] = ()
    boxes: bytes = b""
    brand: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class BitRates:
    """What `btrt` says (14496-12, 8.5.2): decoder's buffer in bytes; bit/s at most, on average."""

    buffer_bytes: int
    max_bps: int
    average_bps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoHeader:
    """What the init segment of a video track says. timescale: ticks/s."""

    width: int
    height: int
    timescale: int
    frame_ticks: int
    entry: SampleEntry
    rates: BitRates | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioHeader:
    """What the init segment of an audio track says.

    config: AudioSpecificConfig of AAC, content of `dOps` of Opus. opus: which of the two it is.
    """

    rate: int
    channels: int
    frame_samples: int
    config: bytes
    language: str
    opus: bool = False
    rates: BitRates | None = None


def _brands(kind: bytes, major: bytes, *compatible: bytes) -> bytes:
    return box(kind, major, struct.pack(">I", 0), *compatible)


def _language_code(language: str) -> int:
    """Three packed letters (14496-12, 8.4.2); a two-letter code is written as `und`."""
    letters = language if len(language) == 3 else "und"
    return sum((ord(c) - 0x60) << shift for c, shift in zip(letters, (10, 5, 0), strict=True))


def _header_box(*, timescale: int, language: str) -> bytes:
    return full_box(
        b"mdhd", 0, 0, struct.pack(">IIIIHH", 0, 0, timescale, 0, _language_code(language), 0)
    )


def _track_box(*, width: int, height: int, volume: int, media: bytes) -> bytes:
    tkhd = full_box(
        b"tkhd",
        0,
        7,  # enabled, in movie, in preview
        struct.pack(">IIIII8xHHHH", 0, 0, TRACK_ID, 0, 0, 0, 0, volume, 0),
        _UNITY_MATRIX,
        struct.pack(">II", width << 16, height << 16),
    )
    return box(b"trak", tkhd, media)


def _media_box(mdhd: bytes, handler: bytes, name: bytes, header: bytes, entry: bytes) -> bytes:
    hdlr = full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, handler), name + b"\0")
    dref = full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1))
    tables = box(
        b"stbl",
        full_box(b"stsd", 0, 0, struct.pack(">I", 1), entry),
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )
    return box(b"mdia", mdhd, hdlr, box(b"minf", header, box(b"dinf", dref), tables))


def _movie(track: bytes, default_duration: int, default_flags: int) -> bytes:
    mvhd = full_box(
        b"mvhd",
        0,
        0,
        struct.pack(">IIIIIH10x", 0, 0, _MOVIE_TIMESCALE, 0, 0x10000, 0x100),
        _UNITY_MATRIX,
        bytes(24),
        struct.pack(">I", TRACK_ID + 1),
    )
    trex = full_box(
        b"trex", 0, 0, struct.pack(">IIIII", TRACK_ID, 1, default_duration, 0, default_flags)
    )
    return box(b"moov", mvhd, track, box(b"mvex", trex))


def _rates_box(rates: BitRates | None) -> bytes:
    if rates is None:
        return b""
    fields = (rates.buffer_bytes, rates.max_bps, rates.average_bps)
    return box(b"btrt", struct.pack(">III", *fields))


def video_init(header: VideoHeader) -> bytes:
    """The CMAF header of a video track.

    Without `rates` it holds no bit rate: that may then change without a new init segment.
    """
    coded = header.entry
    entry = box(
        coded.kind,
        struct.pack(">6xH16xHHIIIH", 1, header.width, header.height, 0x480000, 0x480000, 0, 1),
        bytes(32),
        struct.pack(">HH", 24, 0xFFFF),
        *(box(kind, content) for kind, content in coded.configuration),
        coded.boxes,
        box(b"pasp", struct.pack(">II", 1, 1)),
        _rates_box(header.rates),
    )
    media = _media_box(
        _header_box(timescale=header.timescale, language="und"),
        b"vide",
        b"Video",
        full_box(b"vmhd", 0, 1, bytes(8)),
        entry,
    )
    track = _track_box(width=header.width, height=header.height, volume=0, media=media)
    brands = (b"iso6", b"cmfc", b"cmf2", b"dash", coded.brand)
    return _brands(b"ftyp", b"cmf2", *brands) + _movie(track, header.frame_ticks, _DEPENDENT_SAMPLE)


def _descriptor(tag: int, *parts: bytes) -> bytes:
    """An MPEG-4 descriptor (14496-1); all of ours are shorter than 128 bytes."""
    body = b"".join(parts)
    return bytes((tag, len(body))) + body


def elementary_stream(object_type: int, stream_type: int, config: bytes) -> bytes:
    """An `esds` box. Types by 14496-1 tables 5 and 6; config: decoder specific, may be empty."""
    decoder = _descriptor(
        4,
        bytes((object_type, stream_type << 2 | 1)),
        bytes(3 + 4 + 4),  # buffer size and bit rates: unknown, so that they may change
        _descriptor(5, config) if config else b"",
    )
    return full_box(
        b"esds", 0, 0, _descriptor(3, struct.pack(">HB", TRACK_ID, 0), decoder, b"\x06\x01\x02")
    )


def audio_init(header: AudioHeader) -> bytes:
    """The CMAF header of an audio track; its timescale is the sampling rate."""
    entry = box(
        b"Opus" if header.opus else b"mp4a",
        struct.pack(">6xH8xHHHHI", 1, header.channels, 16, 0, 0, header.rate << 16),
        box(b"dOps", header.config)
        if header.opus
        else elementary_stream(_OBJECT_MPEG4_AUDIO, _STREAM_AUDIO, header.config),
        _rates_box(header.rates),
    )
    media = _media_box(
        _header_box(timescale=header.rate, language=header.language),
        b"soun",
        b"Audio",
        full_box(b"smhd", 0, 0, bytes(4)),
        entry,
    )
    track = _track_box(width=0, height=0, volume=0x100, media=media)
    brand = b"copu" if header.opus else b"caac"
    return _brands(b"ftyp", b"cmf2", b"iso6", b"cmfc", b"cmf2", brand, b"dash") + _movie(
        track, header.frame_samples, _SYNC_SAMPLE
    )


def _fragment(
    *, sequence: int, decode_ticks: int, duration_ticks: int, run: bytes, flags: int
) -> bytes:
    tfhd = full_box(
        b"tfhd",
        0,
        _TFHD_DEFAULT_BASE_IS_MOOF | _TFHD_DEFAULT_DURATION | _TFHD_DEFAULT_FLAGS,
        struct.pack(">III", TRACK_ID, duration_ticks, flags),
    )
    tfdt = full_box(b"tfdt", 1, 0, struct.pack(">Q", decode_ticks))
    mfhd = full_box(b"mfhd", 0, 0, struct.pack(">I", sequence & _SEQUENCE_MASK))
    return box(b"moof", mfhd, box(b"traf", tfhd, tfdt, run))


def _run(samples: Sequence[Sample], *, with_flags: bool, data_offset: int) -> bytes:
    flags = _TRUN_DATA_OFFSET | _TRUN_SAMPLE_SIZE | (_TRUN_SAMPLE_FLAGS if with_flags else 0)
    sizes = (struct.pack(">I", len(sample.data)) for sample in samples)
    if with_flags:
        sizes = (
            struct.pack(">II", len(sample.data), _SYNC_SAMPLE if sample.sync else _DEPENDENT_SAMPLE)
            for sample in samples
        )
    return full_box(b"trun", 0, flags, struct.pack(">Ii", len(samples), data_offset), *sizes)


def _reference_time(decode_ticks: int, timescale: int) -> bytes:
    """`prft`: the chunk's first sample is of the UTC time that the timeline gives it.

    Not the time of encoding: so the bytes depend on the sample's place alone.
    """
    seconds, rest = divmod(decode_ticks, timescale)
    ntp = ((seconds + _NTP_EPOCH_SECONDS) << 32 | (rest << 32) // timescale) & 0xFFFF_FFFF_FFFF_FFFF
    return full_box(b"prft", 1, _PRFT_CAPTURED, struct.pack(">IQQ", TRACK_ID, ntp, decode_ticks))


def media_chunk(
    samples: Sequence[Sample],
    *,
    segment: int,
    decode_ticks: int,
    duration_ticks: int,
    first: bool = True,
    timescale: int | None = None,
) -> bytes:
    """A CMAF chunk of samples in decode order, which is presentation order.

    The chunks of a segment, one after the other, are the segment; only its `first` says so by a
    `styp`. decode_ticks: absolute time of the first sample, duration_ticks: of each sample, both in
    the track's timescale. timescale: given, the chunk gets a `prft`.
    """
    uniform = all(sample.sync for sample in samples)

    def fragment(data_offset: int) -> bytes:
        return _fragment(
            sequence=segment,
            decode_ticks=decode_ticks,
            duration_ticks=duration_ticks,
            run=_run(samples, with_flags=not uniform, data_offset=data_offset),
            flags=_SYNC_SAMPLE if uniform else _DEPENDENT_SAMPLE,
        )

    moof = fragment(len(fragment(0)) + _MDAT_HEADER_BYTES)
    styp = _brands(b"styp", b"msdh", b"msdh", b"msix", b"cmfs", b"cmff") if first else b""
    prft = b"" if timescale is None else _reference_time(decode_ticks, timescale)
    return styp + prft + moof + box(b"mdat", *(sample.data for sample in samples))
