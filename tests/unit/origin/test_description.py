"""Channel descriptions: what is refused, and what differs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.component.origin.cmaf_maker import PAL, describe

from hitless_origin.description import difference, read_description
from hitless_origin.errors import PushRefused

GOOD = describe(PAL)


def _body(**changed: Any) -> bytes:
    return json.dumps({**GOOD.model_dump(mode="json", by_alias=True), **changed}).encode()


def _track(index: int, **changed: Any) -> list[dict[str, Any]]:
    tracks = GOOD.model_dump(mode="json", by_alias=True)["tracks"]
    tracks[index].update(changed)
    return list(tracks)


def test_a_good_one_is_read() -> None:
    assert read_description(_body()) == GOOD


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{}", "rateNum: Field required"),
        (_body(rateNum=0), "rateNum"),
        (_body(more=1), "more"),
        (_body(segmentFrames=24), "gopFrames"),
        (_body(windowSeconds=86_401), "windowSeconds"),
        (_body(tracks=[]), "tracks"),
        (_body(tracks=GOOD.model_dump(mode="json", by_alias=True)["tracks"][2:]), "tracks"),
        (_body(tracks=_track(1, name="v0")), "tracks"),
        (_body(tracks=_track(0, name="../x")), "name"),
        (_body(tracks=_track(0, timescale=90_000)), "tracks.v0.timescale"),
        (_body(tracks=_track(2, timescale=44_100)), "tracks.audio.timescale"),
        (_body(tracks=_track(2, sampleRate=44_100)), "tracks.audio.sampleRate"),
        (_body(tracks=_track(0, codecs='x"\n#EXT')), "tracks.v0.codecs"),
        (_body(tracks=_track(2, language='en"')), "tracks.audio.language"),
        (_body(tracks=_track(0, width=None)), "tracks.v0.width"),
    ],
)
def test_a_bad_one_is_refused_with_its_field(body: bytes, says: str) -> None:
    with pytest.raises(PushRefused) as caught:
        read_description(body)
    assert caught.value.status == 400
    assert says in caught.value.error


def test_bandwidth_and_window_may_change() -> None:
    other = read_description(_body(windowSeconds=60, tracks=_track(0, bandwidth=1)))
    assert difference(GOOD, other) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (_body(gopFrames=25), ("gop_frames", "50", "25")),
        (_body(tracks=_track(1, width=300)), ("tracks.v1.width", "320", "300")),
        (_body(tracks=_track(2, language="de")), ("tracks.audio.language", "und", "de")),
        (_body(tracks=_track(2)[::-1]), ("tracks", "v0, v1, audio", "audio, v1, v0")),
    ],
)
def test_the_first_difference_is_named(body: bytes, expected: tuple[str, str, str]) -> None:
    assert difference(GOOD, read_description(body)) == expected
