"""`hitless local` with real child processes: the stand-ins of this directory."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.component.local.driver import children, local_run, until


def change(channel: Path, old: str, new: str) -> None:
    """As an editor does: a new file in place of the old one."""
    text = channel.read_text()
    assert old in text
    text = text.replace(old, new)
    beside = channel.with_suffix(".new")
    beside.write_text(text)
    beside.replace(channel)


async def test_update_hands_over_and_ends(channel: Path, data: Path) -> None:
    async with local_run(channel, data, "--update", "v2", "--exit-after-update") as run:
        assert await run.end() == 0, run.rows
    (summary,) = run.summaries()
    assert summary["outcome"] == "Completed"
    assert summary["lost_frames"] == 0
    assert set(summary["confirmed"]) == {"incumbent", "successor", "origin"}
    assert list(summary["phase_us"]) == ["Starting", "Negotiating", "Armed", "Holding"]
    assert run.rows[0]["type"] == "addresses"
    record = run.record()
    assert record["active"]["image"] == "example.org/encoder:v2"
    assert record["active"]["term"] == record["term"] == 2


async def test_changed_file_hands_over_and_a_broken_one_does_not(channel: Path, data: Path) -> None:
    async with local_run(channel, data) as run:
        await run.until_notice("OnAir")
        change(channel, "width: 320", "width: 321")
        invalid = await run.until_notice("ChannelFileInvalid")
        assert "spec.profiles[0].width" in invalid["message"]
        change(channel, "width: 321", "width: 320")
        change(channel, "encoder:v1", "encoder:v2")
        done = await run.until_notice("HandoverCompleted")
        assert "demo-2" in done["message"]
        report = await run.report()
        assert report["selectedEncoder"] == "demo-2"
        assert [s["gapFrames"] for s in report["switches"]] == [0]
        await until(lambda: len(run.encoder_pids()) == 1, "the incumbent is gone")
        assert await run.stop(signal.SIGINT) == 0


async def test_successor_that_crashes_leaves_the_channel_on_air(channel: Path, data: Path) -> None:
    async with local_run(channel, data, "--update", "crash", "--exit-after-update") as run:
        assert await run.end() == 1
    (summary,) = run.summaries()
    assert summary["outcome"] == "Aborted"
    assert "exit code 3" in summary["message"]
    assert "no such codec: oops" in summary["message"]
    assert run.record()["active"]["name"] == "demo-1"


async def test_encoder_that_can_not_work_is_named_and_not_started_again(
    channel: Path, data: Path
) -> None:
    change(channel, "encoder:v1", "encoder:unable")
    async with local_run(channel, data) as run:
        trouble = await run.until_notice("EncoderConfigInvalid")
        assert "profiles.v180.codec: no such encoder here" in trouble["message"]
        assert run.record()["active"]["name"] == "demo-1"
        change(channel, "encoder:unable", "encoder:v1")
        await run.until_notice("OnAir")
        change(channel, "encoder:v1", "encoder:unable")
        aborted = await run.until_notice("HandoverAborted")
        assert "EncoderConfigInvalid" in aborted["message"]
        assert not run.notices("EncoderLost")
        assert await run.stop() == 0


async def test_refused_update_is_aborted(channel: Path, data: Path) -> None:
    change(channel, "encoder:v1", "encoder:fussy")
    async with local_run(channel, data, "--update", "v2", "--exit-after-update") as run:
        assert await run.end() == 1
    (summary,) = run.summaries()
    assert (summary["outcome"], summary["reason"]) == ("Aborted", "Verification")


async def test_killed_encoder_is_replaced_under_a_new_term(channel: Path, data: Path) -> None:
    async with local_run(channel, data) as run:
        await run.until_notice("OnAir")
        (pid,) = run.encoder_pids()
        os.kill(pid, signal.SIGKILL)
        lost = await run.until_notice("EncoderLost")
        assert "demo-1" in lost["message"]
        await run.until_notice("OnAir", 2)
        assert run.record()["active"]["term"] == 2
        await until(lambda: len(run.encoder_pids()) == 1, "the lost one is cleared away")


async def test_encoder_lost_in_the_hold_is_no_loss(channel: Path, data: Path) -> None:
    change(channel, "holdSegments: 1", "holdSegments: 4")
    async with local_run(channel, data, "--update", "v2", "--exit-after-update") as run:
        await run.until_notice("HandoverConfirmed")
        incumbent = run.record()["handover"]["incumbent"]["name"]
        (pid,) = [p for p in run.encoder_pids() if incumbent in environment(p)]
        os.kill(pid, signal.SIGKILL)
        assert await run.end() == 0
    assert run.summaries()[0]["outcome"] == "Completed"


def environment(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


async def test_killed_origin_is_started_again(channel: Path, data: Path) -> None:
    async with local_run(channel, data) as run:
        await run.until_notice("OnAir")
        (pid,) = [p for p in children(data) if f"--data\0{data}/origin" in command(p)]
        os.kill(pid, signal.SIGKILL)
        await run.until_notice("OriginLost")


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


async def test_sigkill_of_the_parent_leaves_nobody(channel: Path, data: Path) -> None:
    async with local_run(channel, data) as run:
        await run.until_notice("OnAir")
        assert len(children(data)) == 3
        await run.stop(signal.SIGKILL)
        await until(lambda: not children(data), "all children gone", 10.0)


async def test_second_run_goes_on_with_terms_and_history(channel: Path, data: Path) -> None:
    async with local_run(channel, data, "--update", "v2", "--exit-after-update") as run:
        assert await run.end() == 0
    change(channel, "encoder:v1", "encoder:v2")
    async with local_run(channel, data) as run:
        await run.until_notice("EncoderLost")
        await run.until_notice("OnAir")
        record = run.record()
    assert record["active"]["term"] == record["term"] == 3
    assert [h["phase"] for h in record["history"]] == ["Completed"]


async def test_run_killed_in_a_handover_is_resumed(channel: Path, data: Path) -> None:
    async with local_run(channel, data, "--update", "v2") as run:
        await run.until_notice("HandoverStarted")
        await run.stop(signal.SIGKILL)
    async with local_run(channel, data) as run:
        await run.until_notice("OnAir")
        record = run.record()
    assert record["handover"]["phase"] == "Aborted"
    assert record["active"]["term"] > record["handover"]["term"]


async def test_data_directory_is_used_once(channel: Path, data: Path) -> None:
    async with local_run(channel, data) as first:
        await first.until_notice("OnAir")
        async with local_run(channel, data) as second:
            assert await second.end() == 2
            await until(lambda: bool(second.errors), "an error line")
            assert "another `hitless local` uses it" in second.errors
            # the check at the end of `second` sees the children of `first`: stop them before
            await first.stop()


async def test_origin_that_cannot_start_is_an_error(channel: Path, data: Path) -> None:
    programs = ("--origin-command", "/bin/false")
    async with local_run(channel, data, programs=programs) as run:
        assert await run.end() == 1
    assert "origin: exit code 1" in run.errors
