"""Players that nobody here wrote, over handovers, a rollback and a killed encoder: what they draw.

    python -m hack.players_proof --handovers 12 [--only LL-HLS] [--screenshots DIR]

hls.js and Shaka Player, HLS and DASH, low latency on and off, play one channel of `hitless local`
side by side in a headless Chromium. The page reads the number in every picture that is drawn.
Prints a table; exit code 1: a player stalled, or a picture is missing, out of order or off time.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path

from hack.players_proof.channel import FPS, PART_FRAMES, Channel, ProofError, running
from hack.players_proof.judge import table
from hack.players_proof.screens import screenshots
from hack.players_proof.watch import ALL, Player, Stage, watching

SPARE, ALONE = "HotSpare", "None"
VERSIONS = ("v1", "v2")  # presets superfast and veryfast: other bytes
ALIKE = ("v3", "v4")  # the same preset
BEGIN_PICTURES = 2 * FPS
AFTER_PICTURES = 4 * FPS
PAST_S_MAX = 60.0
ENCODERS = 2  # the one on air and its spare


def say(text: str) -> None:
    """A line with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


async def prove(asked: argparse.Namespace, players: tuple[Player, ...], folder: Path) -> list[str]:
    """Run it; what is wrong."""
    faults: list[str] = []
    pictures: Path | None = asked.screenshots
    me = asyncio.current_task()
    assert me is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    async with running(folder, VERSIONS[0], SPARE, asked.part_frames) as channel:
        await channel.until_delivering(ENCODERS)
        async with watching(channel.port, players, folder, catch_up=asked.catch_up) as stage:
            await channel.until("all play", lambda: stage.all_have_drawn(BEGIN_PICTURES))
            say("all play")
            try:
                faults += await _events(channel, asked.handovers)
                await _past_the_last(channel, stage)
            except ProofError as error:
                faults.append(str(error))
            except asyncio.CancelledError:
                faults.append("told to end before the last event")
        watched = list(stage.watched.values())
        report = await channel.report()
        if pictures is not None:
            faults += await screenshots(channel.origin, pictures, folder / "screens")
        say(
            f"origin: {len(report['switches'])} switches, {report['fallbacks']} fallbacks, "
            f"{report['gaps']} gaps, {report['mismatches']} mismatches"
        )
        print("\n".join(await channel.metrics()))
    print(table(watched))
    for each in watched:
        print(f"{each.name}: longest still {each.longest_s:.2f} s after picture {each.longest_at}")
        print("\n".join(f"  {note}" for note in (*each.leaps, *each.notes)))
    faults += [fault for each in watched for fault in each.faults()]
    if report["gaps"]:
        faults.append(f"{report['gaps']} segments were never published")
    return faults


async def _events(channel: Channel, handovers: int) -> list[str]:
    """The handovers; after two thirds the rollback, before the last one the kill."""
    faults: list[str] = []
    for number in range(1, handovers + 1):
        await channel.until_delivering(ENCODERS)
        if number == max(1, handovers * 2 // 3):
            faults += await _rollback(channel)
        elif number == handovers:
            said = await channel.killed_with_a_spare()
            say(f"{number}: {said['message']}")
        else:
            summary = await channel.handover(VERSIONS[number % 2], SPARE)
            faults += _judged(f"{number}", summary, "Completed")
    return faults


async def _rollback(channel: Channel) -> list[str]:
    first = await channel.handover(ALIKE[0], SPARE)
    faults = _judged("before the rollback", first, "Completed")
    await channel.until_delivering(ENCODERS)
    summary = await channel.rolled_back(ALIKE[1], SPARE)
    channel.ask(ALIKE[0], SPARE)  # as its user would: only then a spare of this version can start
    return faults + _judged("the successor was killed", summary, "RolledBack")


def _judged(what: str, summary: dict[str, object], wanted: str) -> list[str]:
    say(f"{what}: {summary['outcome']}, frame {summary['frame']}: {summary['message']}")
    return [] if summary["outcome"] == wanted else [f"{what}: {summary}"]


async def _past_the_last(channel: Channel, stage: Stage) -> None:
    """Until every player has shown what lies after the last switch."""
    switches = (await channel.report())["switches"]
    frame = max((each["frame"] for each in switches), default=0)
    number = (frame + AFTER_PICTURES) & 0xFFFFFFFF
    await channel.until("all are past it", lambda: stage.all_are_past(number), PAST_S_MAX)


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m hack.players_proof", description=__doc__)
    parser.add_argument("--handovers", type=int, default=12)
    parser.add_argument("--only", default="", help="players whose name has this, e.g. DASH")
    parser.add_argument("--part-frames", type=int, default=PART_FRAMES, help=f"of 1/{FPS} s each")
    parser.add_argument(
        "--catch-up", action="store_true", help="low-latency players play faster where behind"
    )
    parser.add_argument("--screenshots", type=Path, help="a folder for pictures of the page")
    parser.add_argument("--keep", type=Path, help="a folder for the logs, instead of a passing one")
    asked = parser.parse_args()
    players = tuple(player for player in ALL if asked.only in player.name)
    with tempfile.TemporaryDirectory(prefix="hitless-players-") as passing:
        folder = asked.keep or Path(passing)
        for needed in (folder / "screens", asked.screenshots):
            if needed is not None:
                needed.mkdir(parents=True, exist_ok=True)
        try:
            faults = asyncio.run(prove(asked, players, folder))
        except ProofError as error:
            faults = [str(error)]
        except asyncio.CancelledError:
            faults = ["told to end"]
    for fault in faults:
        print(f"FAULT {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
