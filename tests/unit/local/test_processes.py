"""Child processes, ports, the data directory, and an encoder's seat."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.local.values import V1

from hitless_cli.local import ports
from hitless_cli.local.encoders import LIVENESS_QUESTIONS, Encoders, Seat, backoff_s, seen
from hitless_cli.local.errors import DataDirError
from hitless_cli.local.home import ENCODER_LOGS_MAX, opened
from hitless_cli.local.processes import BoundedLog, Child, Program, exit_text
from hitless_handover.supervisor_model import CreateEncoder, DeleteEncoder, EncoderState

DEADLINE_S = 30.0
ORDER = CreateEncoder(encoder=V1, anchor=None)


def python(log: Path, code: str) -> Program:
    return Program(name="test", command=(sys.executable, "-c", code), env={"A": "b"}, log=log)


async def exited(child: Child, wake: asyncio.Event) -> None:
    await asyncio.wait_for(wake.wait(), DEADLINE_S)
    assert child.exit_code is not None


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_child_ends_by_itself(tmp_path: Path) -> None:
    wake = asyncio.Event()
    code = "import os, sys; print(os.environ['A']); print('last'); sys.exit(3)"
    child = await Child.start(python(tmp_path / "log", code), wake.set)
    await exited(child, wake)
    assert (child.exit_code, child.last_line) == (3, "last")
    await child.stop(0.0)
    assert (tmp_path / "log").read_text() == "b\nlast\n"


async def test_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('ready', flush=True); time.sleep(600)"
    )
    child = await Child.start(python(tmp_path / "log", code), lambda: None)
    await until(lambda: child.last_line == "ready")
    await child.stop(0.1)
    assert child.exit_code == -9


async def test_missing_program(tmp_path: Path) -> None:
    wake = asyncio.Event()
    program = Program(name="x", command=("/no/such",), env={}, log=tmp_path / "log")
    child = await Child.start(program, wake.set)
    await exited(child, wake)
    assert (child.exit_code, child.last_line) == (127, "/no/such: No such file or directory")
    await child.stop(0.0)


def test_exit_text() -> None:
    assert exit_text(0) == "exit code 0"
    assert exit_text(-9) == "killed by SIGKILL"
    assert exit_text(-250) == "killed by signal 250"


def test_log_is_bounded(tmp_path: Path) -> None:
    log = BoundedLog(tmp_path / "log", bytes_max=20)
    for number in range(10):
        log.write(b"line %d\n" % number)
    log.write(b"half a ")
    log.write(b"line")
    log.close()
    assert log.last_line == "half a line"
    assert {path.name for path in tmp_path.iterdir()} == {"log", "log.1"}
    assert all(path.stat().st_size <= 20 for path in tmp_path.iterdir())


def test_free_port_avoids() -> None:
    first = ports.free_port("127.0.0.1")
    assert ports.why_not_free("127.0.0.1", first) is None
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", first))
        listener.listen()
        assert ports.why_not_free("127.0.0.1", first) is not None
    assert ports.free_port("127.0.0.1", avoid=frozenset({first})) != first


@pytest.mark.parametrize(
    ("host", "result"),
    [("0.0.0.0", "127.0.0.1:80"), ("::", "[::1]:80"), ("::1", "[::1]:80"), ("a.b", "a.b:80")],
)
def test_reachable(host: str, result: str) -> None:
    assert ports.authority(ports.reachable_host(host), 80) == result


def test_temporary_home_is_removed() -> None:
    with opened(None) as home:
        assert home.logs.is_dir()
    assert not home.root.exists()


def test_home_is_used_once(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(DataDirError, match="another"), opened(tmp_path):
        pass
    with opened(tmp_path) as home:
        assert home.origin.is_dir()


def test_old_encoder_logs_go(tmp_path: Path) -> None:
    with opened(tmp_path) as home:
        for number in range(ENCODER_LOGS_MAX + 5):
            home.encoder_log(f"demo-{number}").touch()
        assert len(list(home.logs.glob("encoder-*"))) == ENCODER_LOGS_MAX


def test_back_off_grows_and_the_first_loss_does_not_wait() -> None:
    assert [backoff_s(n) for n in range(5)] == [0.0, 0.0, 1.0, 2.0, 4.0]
    assert backoff_s(100) == 30.0


def test_seat_states() -> None:
    seat = Seat(order=ORDER, due_s=0.0)
    assert seen(seat, "127.0.0.1", 0.0).state is EncoderState.PENDING
    seat.failure = "exit code 3"
    view = seen(seat, "127.0.0.1", 0.0)
    assert (view.state, view.message) == (EncoderState.FAILED, "exit code 3")


async def test_silent_encoder_is_killed_only_after_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hitless_cli.local.encoders.LIVENESS_S", 0.0)

    def launch(order: CreateEncoder, port: int) -> Program:
        return python(tmp_path / "log", "import time; time.sleep(600)")

    encoders = Encoders(launch, host="127.0.0.1", wake=lambda: None)
    encoders.create(ORDER)
    await encoders.tend()
    uid = encoders.views()["demo-1"].uid
    encoders.asked("demo-1", uid, answered=True)
    await encoders.tend()
    assert encoders.views()["demo-1"].ready
    for _ in range(LIVENESS_QUESTIONS):
        assert encoders.views()["demo-1"].state is EncoderState.RUNNING
        encoders.asked("demo-1", uid, answered=False)
    async with asyncio.timeout(DEADLINE_S):
        while encoders.views()["demo-1"].state is not EncoderState.FAILED:
            await encoders.tend()
            await asyncio.sleep(0.02)
    assert encoders.views()["demo-1"].message == "killed by SIGKILL"
    await encoders.close(last="demo-1")


async def test_encoder_is_tried_twice_and_shown_as_failed(tmp_path: Path) -> None:
    wake = asyncio.Event()
    used: list[int] = []

    def launch(order: CreateEncoder, port: int) -> Program:
        used.append(port)
        return python(tmp_path / "log", "import sys; sys.exit('bad settings')")

    encoders = Encoders(launch, host="127.0.0.1", wake=wake.set)
    encoders.create(ORDER)
    encoders.create(ORDER)
    async with asyncio.timeout(DEADLINE_S):
        while encoders.views()["demo-1"].state is not EncoderState.FAILED:
            await encoders.tend()
            await asyncio.sleep(0.02)
    view = encoders.views()["demo-1"]
    assert view.message == "exit code 1: bad settings"
    assert len(set(used)) == 2
    encoders.delete(DeleteEncoder(name="demo-1", uid="another"))
    assert "demo-1" in encoders.views()
    encoders.delete(DeleteEncoder(name="demo-1", uid=view.uid))
    await encoders.close(last=None)
    assert encoders.views() == {}
