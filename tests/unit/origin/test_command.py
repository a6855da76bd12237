"""Options and environment of `python -m hitless_origin`, and what it says when it can't start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hitless_origin.__main__ import main, read_settings
from hitless_origin.settings import PlainInput
from hitless_origin.tokens import main as print_token


def test_options_win_over_the_environment() -> None:
    environment = {"HITLESS_ORIGIN_PORT": "9000", "HITLESS_ORIGIN_DATA": "/x"}
    settings = read_settings(["--port", "9001"], environment)
    assert (settings.port, settings.data, settings.host) == (9001, Path("/x"), "127.0.0.1")


def test_a_plain_input_has_an_id_and_a_priority() -> None:
    assert read_settings([], {}).plain is None
    plain = PlainInput(encoder="studio", priority=3)
    assert read_settings(["--plain-input", "studio:3"], {}).plain == plain


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--port", "70000"], {}, "give 0 to 65535"),
        ([], {"HITLESS_ORIGIN_PORT": "many"}, "invalid int value: 'many'"),
        (["--deadline-percent", "0"], {}, "give 10 to 1000"),
        (["--channels-max", "0"], {}, "give at least 1"),
        (["--waiting-max", "-1"], {}, "give at least 0"),
        (["--bytes-max", "8GB"], {}, "give bytes, or 500Mi"),
        (["--bytes-max", "0"], {}, "give bytes, or 500Mi"),
        (["--plain-input", "studio"], {}, "as `studio:0`"),
        (["--plain-input", "../x:0"], {}, "as `studio:0`"),
        ([], {"HITLESS_ORIGIN_PLAIN_INPUT": "studio:-1"}, "as `studio:0`"),
        (["--ingest-tokens", "off"], {}, "give required or optional"),
    ],
)
def test_a_wrong_setting_is_said(
    arguments: list[str],
    environment: dict[str, str],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        read_settings(arguments, environment)
    assert caught.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4096", 4096),
        ("500k", 500_000),
        ("500Ki", 512_000),
        ("8Gi", 8 << 30),
        ("2T", 2 * 10**12),
        ("", None),
    ],
)
def test_bytes_are_written_as_in_kubernetes(text: str, found: int | None) -> None:
    assert read_settings(["--bytes-max", text], {}).bytes_max == found


def test_a_bucket_has_a_folder_beside_it() -> None:
    settings = read_settings(["--data", "s3://bucket/prefix", "--cache", "/cache"], {})
    assert (settings.bucket, settings.data) == ("s3://bucket/prefix", Path("/cache"))
    assert read_settings(["--data", "/data", "--cache", "/cache"], {}).data == Path("/data")


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "s3://bucket/prefix?versionId=1"])
def test_a_bucket_without_a_name_is_said(url: str, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["--data", url]) == 2
    assert "give s3://bucket or s3://bucket/prefix" in caplog.text


def test_a_taken_port_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port), "--data", str(tmp_path)]) == 2
    assert "choose another --host or --port" in caplog.text


def test_unusable_keys_end_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, keys = str(tmp_path / "data"), str(tmp_path / "none")
    assert main(["--port", "0", "--data", data, "--ingest-keys-file", keys]) == 2
    assert f"--ingest-keys-file {keys}: No such file" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["news"], "give NAMESPACE/CHANNEL"),
        (["live/News"], "give NAMESPACE/CHANNEL"),
        (["live/news"], "No such file"),
    ],
)
def test_a_token_that_can_not_be_printed_is_said(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        print_token([*arguments, "--ingest-keys-file", "/nowhere/keys"])
    assert caught.value.code == 2
    assert says in capsys.readouterr().err
