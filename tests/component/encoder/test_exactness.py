"""Each codec with each rate control: the same bytes from any process, whenever it began."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from hitless_wire.video_codecs import SOFTWARE, RateControl

SEGMENT_US = 1_000_000
START_US = 1_790_000_000 * SEGMENT_US
CASES = [(codec, control) for codec in SOFTWARE for control in RateControl]

# One ladder with a rendition for each case, in virtual time.
RECORD = """
import asyncio, hashlib, json, sys
from tests.component.encoder.studio import make_config, record
from hitless_wire.encoder_config import EncoderConfig
from hitless_wire.video_codecs import SOFTWARE, RateControl

plain = json.loads(make_config(segment_frames=30).to_json())
plain["profiles"] = [
    {"name": f"{codec}-{control.lower()}", "width": 138, "height": 78, "maxKbps": 200}
    | {"codec": codec, "rateControl": control}
    | ({"targetKbps": 150} if control is RateControl.ABR else {})
    for codec in SOFTWARE for control in RateControl
]
config = EncoderConfig.model_validate(plain)
made = asyncio.run(record(config, segments=2, start_us=int(sys.argv[1])))
print(json.dumps({
    "inits": {name: hashlib.sha256(data).hexdigest() for name, data in made.inits.items()},
    "segments": {
        str(k): {name: hashlib.sha256(data).hexdigest() for name, data in tracks.items()}
        for k, tracks in made.segments.items()
    },
}))
"""

Digests = dict[str, dict[str, dict[str, str]]]


def recorded(start_us: int, filled_with: str) -> Digests:
    """What a process makes whose new memory is filled with a byte (glibc's M_PERTURB)."""
    done = subprocess.run(
        [sys.executable, "-c", RECORD, str(start_us)],
        env={**os.environ, "MALLOC_PERTURB_": filled_with},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: Digests = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def earlier() -> Digests:
    return recorded(START_US, "1")


@pytest.fixture(scope="module")
def later() -> Digests:
    """It begins within the segment before the last that the earlier one makes."""
    return recorded(START_US + SEGMENT_US + 400_000, "170")


@pytest.mark.parametrize(("codec", "control"), CASES)
def test_the_first_common_segment_is_the_same_bytes(
    codec: str, control: RateControl, earlier: Digests, later: Digests
) -> None:
    track = f"{codec}-{control.lower()}"
    common = sorted(set(earlier["segments"]) & set(later["segments"]))
    assert common == [min(later["segments"])]
    for number in common:
        assert earlier["segments"][number][track] == later["segments"][number][track]
    assert earlier["inits"][track] == later["inits"][track]
