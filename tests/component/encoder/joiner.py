"""One process that reads a live source: prints the anchor, then `frame picture-hash sound-hash`.

Arguments: URL, the anchor as JSON or "", source.timecode or "". Ends when its standard input does.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from contextlib import closing

from tests.component.encoder.films import HEIGHT, WIDTH

from hitless_encoder.clock import SystemClock
from hitless_encoder.sources.live import LiveSource
from hitless_encoder.sources.transport import transport_of
from hitless_encoder.verify import luma
from hitless_handover.timeline import Anchor, Timeline
from hitless_wire.source_resources import SourceTimecode

LINE = Timeline(rate_num=30, rate_den=1, segment_frames=60, gop_frames=60)


def main(url: str, told: str, timecode: str) -> None:
    anchor = Anchor(**json.loads(told)) if told else None
    stated = SourceTimecode(timecode) if timecode else None
    source = LiveSource(
        transport_of(url, timecode=stated),
        timeline=LINE,
        size=(WIDTH, HEIGHT),
        anchor=anchor,
        clock=SystemClock(),
        timecode=stated,
    )

    def wait_for_the_end() -> None:
        sys.stdin.read()
        source.close()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    with closing(source.blocks()) as blocks:
        for number, block in enumerate(blocks):
            if number == 0:
                used = source.report().anchor
                assert used is not None
                print(json.dumps({name: getattr(used, name) for name in Anchor.__slots__}))
            picture = hashlib.sha256(luma(block.picture).tobytes()).hexdigest()[:12]
            sound = hashlib.sha256(block.pcm.tobytes()).hexdigest()[:12]
            print(block.frame, picture, sound, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
