"""The encoder as a process: real time, real signals, and the bytes of any other encoder."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from tests.component.encoder.studio import Receiver, make_config, receiver, record

import hitless_encoder
from hitless_wire import exits

SMALL = ((256, 144, 300),)


async def start(config: str, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        hitless_encoder.__name__,
        *arguments,
        env={**os.environ, "HITLESS_ENCODER_CONFIG": config, **variables},
        stderr=asyncio.subprocess.PIPE,
    )


async def first_segment(end: Receiver, process: asyncio.subprocess.Process) -> None:
    """Wait until a segment has come in, or the process has ended."""
    pushed = asyncio.create_task(
        end.wait_until(lambda: any(path.endswith(".m4s") for path in end.bodies))
    )
    ended = asyncio.create_task(process.wait())
    _, pending = await asyncio.wait((pushed, ended), return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


async def test_a_process_makes_the_bytes_that_a_session_makes_in_virtual_time() -> None:
    async with receiver() as end:
        config = make_config(sizes=SMALL, segment_frames=30, ingest_url=end.url)
        process = await start(config.to_json(), "--grpc-host", "127.0.0.1", "--grpc-port", "0")
        await first_segment(end, process)
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
        assert process.returncode == 0, log.decode()
        pushed = {p: b for p, b in end.bodies.items() if p.startswith("v144/") and "init" not in p}
        number = int(min(pushed).removeprefix("v144/").removesuffix(".m4s"))
        start_us = (number - 1) * 1_000_000 + 1
        again = await record(
            make_config(sizes=SMALL, segment_frames=30), segments=1, start_us=start_us
        )
        assert again.segments[number]["v144"] == end.bodies[f"v144/{number}.m4s"]
        assert again.segments[number]["audio"] == end.bodies[f"audio/{number}.m4s"]
        newest = max(int(p.split("/")[1].removesuffix(".m4s")) for p in pushed)
        assert f"audio/{newest}.m4s" in end.bodies, "the last segment is whole"


@pytest.mark.parametrize(
    ("config", "variables", "message"),
    [
        ("{}", {}, "HITLESS_ENCODER_CONFIG: namespace: Field required"),
        (
            make_config(sizes=SMALL).to_json(),
            {"HITLESS_PRESET": "placebo"},
            "preset 'placebo' is unknown",
        ),
        (
            make_config(sizes=SMALL)
            .to_json()
            .replace('"name":"v144"', '"name":"v144","codec":"h264_nvenc"'),
            {},
            "profiles.v144.codec: ",
        ),
    ],
)
async def test_a_wrong_configuration_exits_with_78_and_says_why_to_the_kubelet(
    config: str, variables: dict[str, str], message: str, tmp_path: Path
) -> None:
    words = tmp_path / "termination-log"
    words.write_text("of the container before, which had more to say than this one has " * 9)
    process = await start(config, HITLESS_TERMINATION_LOG=str(words), **variables)
    _, log = await process.communicate()
    assert process.returncode == exits.CONFIGURATION
    assert message in words.read_text()
    assert len(words.read_text().splitlines()) == 1
    assert message in log.decode()
    assert "Traceback" not in log.decode()
