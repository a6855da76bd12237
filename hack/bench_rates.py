"""How near each codec's rate control comes to its target, on real clips, segment by segment.

    .venv/bin/python -m hack.bench_rates CLIP...

Every segment is coded as the encoder does it, with a context of its own. Where a clip is too short
it goes on mirrored, and cropped, so that no two segments are alike. Prints a Markdown table:
percent of the target over all segments, then of the lowest and highest segment.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice

import av
import numpy as np
import numpy.typing as npt

from hitless_encoder.video import DEFAULT_PRESET, SegmentEncoder, VideoSettings
from hitless_handover.timeline import Timeline
from hitless_wire.media_resources import Profile
from hitless_wire.video_codecs import SOFTWARE, RateControl

WIDTH, HEIGHT, FPS = 256, 144, 30
LAPS_MAX = 12  # times that a clip is shown, each time cropped and mirrored otherwise

Planes = npt.NDArray[np.uint8]


def pictures(clips: Sequence[str], lap: int) -> Iterator[Planes]:
    """All clips once, at the size of the bench, cropped from another place each lap."""
    for clip in clips:
        with av.open(clip) as container:
            for frame in container.decode(video=0):
                yield _view(frame, lap)


def _view(frame: av.VideoFrame, lap: int) -> Planes:
    wide, high = frame.width, frame.height
    part = Fraction(10 - lap % 4, 10)
    rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    left = int(wide * (1 - part)) * (lap % 3) // 2
    top = int(high * (1 - part)) * (lap % 2)
    cut = rgb[top : top + int(high * part), left : left + int(wide * part)]
    cut = cut[:, ::-1] if lap % 2 else cut
    whole = av.VideoFrame.from_ndarray(np.ascontiguousarray(cut), format="rgb24")
    return np.asarray(whole.reformat(WIDTH, HEIGHT, format="yuv420p").to_ndarray(), np.uint8)


def segments(clips: Sequence[str], frames: int, count: int) -> Iterator[list[Planes]]:
    """Whole segments, until there are enough."""
    shown = (picture for lap in range(LAPS_MAX) for picture in pictures(clips, lap))
    for _ in range(count):
        segment = list(islice(shown, frames))
        if len(segment) < frames:
            return
        yield segment


def kbps(settings: VideoSettings, segment: Sequence[Planes]) -> float:
    """The bit rate of a segment's samples."""
    encoder = SegmentEncoder(settings)
    for planes in segment:
        picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        encoder.stamp(picture)
        encoder.add(picture)
    encoder.finish()
    bits = 8 * sum(len(sample.data) for sample in encoder.samples)
    return bits * FPS / len(segment) / 1000


def row(
    codec: str,
    control: RateControl,
    target: int,
    shown: Sequence[list[Planes]],
    *,
    in_parts: bool,
) -> str:
    """One line of the table."""
    abr = control is RateControl.ABR
    profile = Profile(
        name="v",
        width=WIDTH,
        height=HEIGHT,
        codec=codec,
        rate_control=control,
        max_kbps=target * 3 // 2 if abr else target,
        target_kbps=target if abr else None,
    )
    frames = len(shown[0])
    line = Timeline(rate_num=FPS, rate_den=1, segment_frames=frames, gop_frames=frames)
    settings = VideoSettings(
        profile=profile, timeline=line, preset=DEFAULT_PRESET, in_parts=in_parts
    )
    reached = [100 * kbps(settings, segment) / target for segment in shown]
    mean = sum(reached) / len(reached)
    figures = f"{mean:.0f} | {min(reached):.0f} to {max(reached):.0f}"
    return f"| {codec} | {control} | {target} | {frames / FPS:g} s | {figures} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="hack.bench_rates", description=__doc__)
    parser.add_argument("clips", nargs="+", metavar="CLIP")
    parser.add_argument("--codec", action="append", choices=SOFTWARE)
    parser.add_argument("--kbps", action="append", type=int)
    parser.add_argument("--segment-frames", type=int, default=2 * FPS)
    parser.add_argument("--segments", type=int, default=90)
    parser.add_argument("--parts", action="store_true", help="as for a channel in low latency")
    options = parser.parse_args()
    av.logging.set_level(av.logging.ERROR)
    shown = list(segments(options.clips, options.segment_frames, options.segments))
    seconds = sum(len(segment) for segment in shown) // FPS
    print(f"{seconds} s of {WIDTH}x{HEIGHT} at {FPS} fps\n")
    print("| codec | rate control | target, kbit/s | segment | reached, % | segments, % |")
    print("|---|---|---|---|---|---|", flush=True)
    for codec in options.codec or SOFTWARE:
        for control in (RateControl.ABR, RateControl.CBR):
            for target in options.kbps or (200, 500):
                print(row(codec, control, target, shown, in_parts=options.parts), flush=True)


if __name__ == "__main__":
    main()
