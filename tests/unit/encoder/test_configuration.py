"""What a wrong configuration says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hitless_encoder.__main__ import read_config
from hitless_encoder.errors import ConfigurationError

GOOD: dict[str, Any] = {
    "namespace": "n",
    "channel": "c",
    "encoderId": "e",
    "source": {"url": "testpattern:"},
    "timeline": {"frameRate": "30"},
    "profiles": [{"name": "v", "width": 640, "height": 360, "maxKbps": 800}],
    "audio": [{}],
    "ingestUrl": "http://origin",
    "windowSeconds": 60,
}


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.json"
    path.write_text(text)
    return str(path)


def test_a_file_is_read(tmp_path: Path) -> None:
    assert read_config(written(tmp_path, json.dumps(GOOD))).channel == "c"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HITLESS_ENCODER_CONFIG", json.dumps(GOOD))
    assert read_config(None).encoder_id == "e"


def test_each_wrong_field_gets_a_line(tmp_path: Path) -> None:
    bad = GOOD | {"windowSeconds": "long", "source": {"url": "mms://x"}}
    with pytest.raises(ConfigurationError) as caught:
        read_config(written(tmp_path, json.dumps(bad)))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "config.json: source.url: " in lines[0]
    assert "config.json: windowSeconds: Input should be a valid integer" in lines[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timeline": {"frameRate": "30", "gopFrames": 7}}, "choose gopFrames that divides"),
        ({"timeline": {"frameRate": "30", "segmentFrames": 10}}, "change segmentFrames"),
    ],
)
def test_a_timeline_that_can_not_be_is_explained(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read_config(written(tmp_path, json.dumps(GOOD | changes)))


def test_no_configuration_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HITLESS_ENCODER_CONFIG", raising=False)
    with pytest.raises(ConfigurationError, match="give --config FILE or set"):
        read_config(None)
    with pytest.raises(ConfigurationError, match="No such file"):
        read_config(str(tmp_path / "nowhere.json"))
    with pytest.raises(ConfigurationError, match="document: Invalid JSON"):
        read_config(written(tmp_path, "{"))
