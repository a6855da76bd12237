"""A connection that breaks and is made anew: no frame is left out, and the numbers run on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from itertools import pairwise

from tests.component.encoder.films import HEIGHT, WIDTH, Film, transport_stream
from tests.component.encoder.studio import VirtualClock, read_number

from hitless_encoder.sources.live import LiveSource
from hitless_encoder.sources.transport import transport_of
from hitless_encoder.verify import luma

FILM = Film(frames=600, rate=Fraction(30), gop=30, open_gop=False)
LOST_FRAMES = 45  # of the film, about, in the bytes that nobody was connected for


@contextmanager
def served(parts: Sequence[bytes]) -> Iterator[int]:
    """A TCP server that sends each connection its part, then closes it; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for part in parts:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(part)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def test_a_new_connection_goes_on_where_the_old_one_ended_with_no_frame_left_out() -> None:
    stream = transport_stream(FILM)
    packets = len(stream) // 188
    first = packets // 2 * 188
    rest = (packets // 2 + packets * LOST_FRAMES // FILM.frames) * 188
    with served([stream[:first], stream[rest:]]) as port:
        source = LiveSource(
            transport_of(f"tcp://127.0.0.1:{port}", poll_seconds=0.01),
            timeline=FILM.timeline,
            size=(WIDTH, HEIGHT),
            anchor=None,
            clock=VirtualClock(),
            poll_seconds=0.01,
        )
        shown: list[tuple[int, int | None]] = []
        with closing(source.blocks()) as blocks:
            for block in blocks:
                shown.append((block.frame, read_number(luma(block.picture), HEIGHT)))
                if (shown[-1][1] or 0) > FILM.frames - 90:
                    break
    frames = [frame for frame, _ in shown]
    assert frames == list(range(frames[0], frames[0] + len(frames)))
    numbers = [number for _, number in shown]
    offsets = {frame - number for frame, number in shown if number is not None}
    repeated = sum(one == two for one, two in pairwise(numbers))
    assert frames[0] - (numbers[0] or 0) == frames[-1] - (numbers[-1] or 0)
    assert len(offsets) == repeated + 1
    assert FILM.gop <= repeated <= LOST_FRAMES + 4 * FILM.gop
    assert source.report().repeated == repeated
