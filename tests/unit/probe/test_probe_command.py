from __future__ import annotations

import io
import subprocess
import sys

from click.testing import CliRunner

from hitless_cli.__main__ import COMMANDS, main
from hitless_cli.probe.command import ProgressPrinter, progress_line
from hitless_cli.probe.report import Progress

PROGRESS = Progress(
    segment=7,
    frame=420,
    seen=60,
    lost=1,
    repeated=2,
    out_of_order=3,
    faults=6,
    late=0,
    lag_s=4.25,
    encoder="enc-b",
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_help_lists_the_commands_and_imports_none() -> None:
    code = (
        "import sys; from hitless_cli.__main__ import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "assert not {'av', 'numpy', 'aiohttp', 'pydantic'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout.decode()


def test_help_of_the_probe() -> None:
    result = CliRunner().invoke(main, ["probe", "--help"])
    assert result.exit_code == 0
    for option in ("--seconds", "--from-start", "--json", "--pattern", "--until-segment"):
        assert option in result.output


def test_usage_errors_give_2() -> None:
    assert CliRunner().invoke(main, ["probe"]).exit_code == 2
    assert CliRunner().invoke(main, ["probe", "http://o", "--pattern", "x"]).exit_code == 2
    assert CliRunner().invoke(main, ["nonesuch"]).exit_code == 2


def test_a_terminal_gets_one_line_rewritten() -> None:
    stream = Terminal()
    printer = ProgressPrinter(stream)
    printer(PROGRESS)
    printer.close()
    assert stream.getvalue() == f"\r\x1b[K{progress_line(PROGRESS)}\n"
    assert "lost 1" in progress_line(PROGRESS)
    assert "lag 4.2 s" in progress_line(PROGRESS)


def test_a_log_gets_plain_lines_now_and_then() -> None:
    stream = io.StringIO()
    printer = ProgressPrinter(stream)
    printer(PROGRESS)
    printer.close()
    assert stream.getvalue() == ""
