"""Options and environment of `python -m hitless_origin`, and what it says when it can't start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hitless_origin.__main__ import main, read_settings


def test_options_win_over_the_environment() -> None:
    environment = {"HITLESS_ORIGIN_PORT": "9000", "HITLESS_ORIGIN_DATA": "/x"}
    settings = read_settings(["--port", "9001"], environment)
    assert (settings.port, settings.data, settings.host) == (9001, Path("/x"), "127.0.0.1")


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--port", "70000"], {}, "give 0 to 65535"),
        ([], {"HITLESS_ORIGIN_PORT": "many"}, "invalid int value: 'many'"),
        (["--deadline-percent", "0"], {}, "give 10 to 1000"),
        (["--channels-max", "0"], {}, "give at least 1"),
        (["--waiting-max", "-1"], {}, "give at least 0"),
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


def test_a_taken_port_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--port", str(port), "--data", str(tmp_path)]) == 2
    assert "choose another --host or --port" in caplog.text
