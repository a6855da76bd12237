"""Two web players play through a handover: the short version of hack.players_proof.

Then they play it again, as start-over and as catch-up. And the origin's page shows it, at two
widths, and asks nobody else.
"""

from __future__ import annotations

from pathlib import Path

from hack.players_proof.channel import FPS, running
from hack.players_proof.screens import screenshots
from hack.players_proof.watch import ALL, Player, watching
from tests.component.local.test_codecs import folder

PLAYERS = tuple(player for player in ALL if player.name in ("hls.js, HLS", "Shaka, DASH"))
AFTER_PICTURES = 2 * FPS
AROUND_S = 4  # before and after the handover, two segments each


def pieces(second: int) -> tuple[Player, ...]:
    """What players are asked to play of the time around this second since 1970."""
    start, end = f"?start={second - AROUND_S}", f"&end={second + AROUND_S}"
    asked = (
        ("start-over", "hls", f"master.m3u8{start}"),
        ("catch-up", "shaka", f"manifest.mpd{start}{end}"),
    )
    return tuple(Player(name=n, player=p, manifest=m, low_latency=False) for n, p, m in asked)


async def test_pictures_of_a_handover_come_in_order(tmp_path: Path) -> None:
    async with running(tmp_path, "v1", "None") as channel:
        async with watching(channel.port, PLAYERS, tmp_path) as stage:
            await channel.until("both play", lambda: stage.all_have_drawn(FPS))
            summary = await channel.handover("v2", "None")
            assert summary["outcome"] == "Completed", summary
            number = (summary["frame"] + AFTER_PICTURES) & 0xFFFFFFFF
            await channel.until("both are past it", lambda: stage.all_are_past(number))
        found = await channel.metrics()
        second = summary["frame"] // FPS
        last = (FPS * (second + AROUND_S) - 1) & 0xFFFFFFFF
        (tmp_path / "again").mkdir()
        async with watching(channel.port, pieces(second), tmp_path / "again") as again:
            await channel.until("both saw the piece", lambda: again.all_are_past(last))
        assert await screenshots(channel.origin, tmp_path, folder(tmp_path, "screens")) == []
    begin = FPS * (second - AROUND_S) & 0xFFFFFFFF
    for each in again.watched.values():
        assert each.first is not None
        assert begin <= each.first < begin + FPS, each  # not at the live edge
        assert (each.undecoded, each.disordered, each.unsteady, each.unreadable) == (0,) * 4, each
    assert again.watched["catch-up"].last == last
    for each in stage.watched.values():
        before = (summary["frame"] & 0xFFFFFFFF) - 1
        assert each.first is not None
        assert each.first < before, each
        # stalls, and pictures never drawn, are a slow machine's: hack.players_proof judges them
        assert (each.undecoded, each.disordered, each.unsteady) == (0, 0, 0), each
        assert (each.unreadable, each.segments_skipped) == (0, 0), each
    viewers = 'hitless_origin_viewers{namespace="default",channel="demo"} 2'
    assert viewers in found, found
