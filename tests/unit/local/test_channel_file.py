"""Reading the channel file: one line for each thing to mend, and noticing changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hitless_cli.local.channel_file import ChannelFile, parse
from hitless_cli.local.errors import ChannelFileError
from hitless_wire.source_resources import SOURCE_URLS

GOOD = """\
apiVersion: hitless.video/v1alpha1
kind: EncoderDeployment
metadata:
  name: demo
  labels: {a: b}
spec:
  image: x/enc:v1
  source: {url: "testpattern:"}
  profiles:
    - {name: v180, width: 320, height: 180, maxKbps: 300}
"""


def errors(text: str) -> tuple[str, ...]:
    with pytest.raises(ChannelFileError) as caught:
        parse(text.encode(), name="c.yaml")
    return caught.value.lines


def test_good_file() -> None:
    read = parse(GOOD.encode(), name="c.yaml")
    assert (read.metadata.namespace, read.metadata.name) == ("default", "demo")
    assert read.spec.profiles[0].max_kbps == 300


def test_other_kinds_may_stand_beside_it() -> None:
    both = "kind: ConfigMap\n---\n" + GOOD
    assert parse(both.encode(), name="c.yaml").metadata.name == "demo"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "width: 320",
            "width: 321",
            "c.yaml: spec.profiles[0].width: Input should be a multiple of 2 (got '321')",
        ),
        ("  image: x/enc:v1\n", "", "c.yaml: spec.image: Field required"),
        ("image:", "imgae:", "c.yaml: spec.imgae: Extra inputs are not permitted"),
        (
            "testpattern:",
            "gopher://x",
            f"c.yaml: spec.source.url: {SOURCE_URLS} (got 'gopher://x')",
        ),
        (
            "kind: EncoderDeployment",
            "kind: Pod",
            "c.yaml: kind: Input should be 'EncoderDeployment' (got 'Pod')",
        ),
        ("  name: demo\n", "", "c.yaml: metadata.name: Field required"),
    ],
)
def test_field_errors(old: str, new: str, line: str) -> None:
    assert line in errors(GOOD.replace(old, new, 1))


def test_every_field_has_its_line() -> None:
    assert len(errors(GOOD.replace("width: 320, height: 180", "width: 1, height: x"))) == 2


def test_values_that_do_not_fit_together() -> None:
    (line,) = errors(GOOD + "  timeline: {segmentFrames: 50, gopFrames: 20}\n")
    assert line.startswith("c.yaml: spec: a segment of 50 frames does not hold whole GOPs of 20")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1", "c.yaml:1:6: expected ',' or ']', but got '<stream end>'"),
        ("", "c.yaml: holds 0 EncoderDeployment documents, expected one"),
        (GOOD + "---\n" + GOOD, "c.yaml: holds 2 EncoderDeployment documents, expected one"),
        ("- 1", "c.yaml: holds list, expected a mapping"),
    ],
)
def test_not_a_deployment(text: str, line: str) -> None:
    assert errors(text)[0].startswith(line)


def test_binary_is_not_yaml() -> None:
    with pytest.raises(ChannelFileError, match="not YAML"):
        parse(b"a: \xc3\x28", name="c.yaml")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ChannelFileError, match="No such file"):
        ChannelFile(tmp_path / "none.yaml").read()


def test_changes_are_seen_once(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    file = ChannelFile(path)
    file.read()
    assert file.read_if_changed() is None
    path.write_text(GOOD.replace("enc:v1", "enc:v22"))
    changed = file.read_if_changed()
    assert changed is not None
    assert changed.spec.image == "x/enc:v22"
    assert file.read_if_changed() is None


def test_invalid_change_is_reported_once_and_absence_is_none(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(GOOD)
    file = ChannelFile(path)
    file.read()
    path.write_text("nothing: here")
    with pytest.raises(ChannelFileError):
        file.read_if_changed()
    assert file.read_if_changed() is None
    path.unlink()
    assert file.read_if_changed() is None
