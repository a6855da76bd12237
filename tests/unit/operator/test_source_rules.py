"""A source's time code: the resource definition's rules and the model say the same of each URL."""

from __future__ import annotations

from typing import Any

import cel
import pytest
from pydantic import ValidationError

from hitless_operator import crd
from hitless_wire.source_resources import TIMECODE_LIVE, TIMECODE_OF_HLS, TIMECODE_OF_SENDER, Source

SCHEMA: dict[str, Any] = crd.document()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
RULES: list[dict[str, str]] = SCHEMA["properties"]["spec"]["properties"]["source"][
    "x-kubernetes-validations"
]
GROUP = "udp://239.1.2.3:5000"


@pytest.mark.parametrize(
    ("url", "timecode", "message"),
    [
        ("testpattern:", None, None),
        (GROUP, None, None),
        (GROUP, "PictureTiming", None),
        ("rtmps://h/live", "PictureTiming", None),
        ("https://h/live.m3u8", "PictureTiming", None),
        ("http://h/live.m3u8", "ProgramDateTime", None),
        ("https://h/live.m3u8", "ProducerReferenceTime", None),
        ("rtsp://h/live", "ProducerReferenceTime", None),
        ("testpattern:", "PictureTiming", TIMECODE_LIVE),
        ("file:///film.mp4", "ProgramDateTime", TIMECODE_LIVE),
        (GROUP, "ProgramDateTime", TIMECODE_OF_HLS),
        ("rtsp://h/live", "ProgramDateTime", TIMECODE_OF_HLS),
        (GROUP, "ProducerReferenceTime", TIMECODE_OF_SENDER),
        ("rtmp://h/live", "ProducerReferenceTime", TIMECODE_OF_SENDER),
    ],
)
def test_rules_and_model_agree(url: str, timecode: str | None, message: str | None) -> None:
    source = {"url": url} if timecode is None else {"url": url, "timecode": timecode}
    broken = [r["message"] for r in RULES if not cel.evaluate(r["rule"], {"self": source})]
    assert broken[:1] == ([] if message is None else [message])
    if message is None:
        assert Source.model_validate(source).model_dump(mode="json") == source
        return
    with pytest.raises(ValidationError) as refused:
        Source.model_validate(source)
    assert message in str(refused.value)


def test_another_kind_of_time_code_is_refused() -> None:
    with pytest.raises(ValidationError, match="PictureTiming"):
        Source(url=GROUP, timecode="Genlock")  # type: ignore[arg-type]
