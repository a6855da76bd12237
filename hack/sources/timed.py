"""A film whose pictures carry the time of the day, in H.264's picture timing SEI, as a live stream.

No encoder at hand writes it, so it is put into the coded pictures on their way (ITU-T H.264,
sections D.1.3 and D.2.3). The film's sequence parameters must announce it: x264's `pic-struct`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container.output import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from hack.sources.film import LINE, RATE

_START_CODE = b"\0\0\1"
_SEI, _PICTURE_TIMING = 6, 1
_CODED = (1, 5)  # NAL unit types of a picture
_TS_TICKS = 90_000 // RATE
_END_S_MAX = 10


@contextmanager
def timed_sender(film: Path, url: str) -> Iterator[None]:
    """Sends a film at its own pace as MPEG-TS, each picture with its time code in UTC."""
    ended = threading.Event()
    sender = threading.Thread(target=_send, args=(film, url, ended))
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join(_END_S_MAX)


def _send(film: Path, url: str, ended: threading.Event) -> None:
    with av.open(str(film)) as source, av.open(url, "w", format="mpegts") as target:
        begun_us = time.time_ns() // 1000
        first_frame = LINE.frame_at(begun_us)
        outputs = {one.index: target.add_stream_from_template(one) for one in source.streams}
        for packet in source.demux():
            if packet.dts is None or packet.pts is None:
                continue
            due_us = begun_us + round(packet.dts * packet.time_base * 1_000_000)
            if ended.wait(max(0, due_us - time.time_ns() // 1000) / 1_000_000):
                return
            _relay(packet, outputs[packet.stream_index], target, first_frame)


def _relay(packet: Packet[Any], output: Any, target: OutputContainer, first_frame: int) -> None:
    relayed = packet
    if isinstance(packet.stream, VideoStream):
        assert packet.pts is not None
        label = LINE.timecode(first_frame + packet.pts // _TS_TICKS)
        relayed = Packet(with_timecode(bytes(packet), label))
        relayed.pts, relayed.dts, relayed.time_base = packet.pts, packet.dts, packet.time_base
        relayed.is_keyframe = packet.is_keyframe
    relayed.stream = output
    target.mux(relayed)


def with_timecode(picture: bytes, label: str) -> bytes:
    """A coded picture (Annex B) with a time code HH:MM:SS:FF in place of what timing it had."""
    units = [unit.rstrip(b"\0") for unit in picture.split(_START_CODE)]
    kept = [unit for unit in units if unit and unit[:2] != bytes((_SEI, _PICTURE_TIMING))]
    at = next(n for n, unit in enumerate(kept) if unit[0] & 31 in _CODED)
    kept.insert(at, _timing(label))
    return b"".join(b"\0" + _START_CODE + unit for unit in kept)


def _timing(label: str) -> bytes:
    hours, minutes, seconds, frames = (int(part) for part in label.split(":"))
    fields = (
        (0, 4),  # pic_struct: a frame
        (1, 1),  # clock_timestamp_flag
        (0, 2 + 1 + 5),  # ct_type: progressive; nuit_field_based_flag; counting_type: none left out
        (1, 1),  # full_timestamp_flag
        (0, 2),  # discontinuity_flag, cnt_dropped_flag
        (frames, 8),
        (seconds, 6),
        (minutes, 6),
        (hours, 5),
        (0, 24),  # time_offset
    )
    bits = "".join(f"{value:0{width}b}" for value, width in fields) + "1"
    bits += "0" * (-len(bits) % 8)
    payload = int(bits, 2).to_bytes(len(bits) // 8)
    body = bytes((_PICTURE_TIMING, len(payload))) + payload + b"\x80"
    return bytes((_SEI,)) + _protected(body)


def _protected(body: bytes) -> bytes:
    """With emulation prevention bytes (section 7.4.1)."""
    made, zeros = bytearray(), 0
    for byte in body:
        if zeros >= 2 and byte <= 3:
            made.append(3)
            zeros = 0
        made.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(made)
