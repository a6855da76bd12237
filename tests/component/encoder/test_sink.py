"""Pushing: order, headers, what the origin's answers cause, bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.component.encoder.studio import START_US, Receiver, make_config, receiver

from hitless_encoder.plan import Media, plan_media
from hitless_encoder.sink import (
    KEPT_SEGMENTS,
    QUEUE_SEGMENTS,
    STANDBY_WAITING_MAX,
    Channel,
    PushOutcome,
    Sink,
)
from hitless_handover.leadership import Lead
from hitless_wire.ingest import ChannelDescription
from hitless_wire.ingest_tokens import TokenFile

MEDIA = plan_media(make_config(sizes=((256, 144, 300),)), "veryfast")


class Watch:
    """Each pause takes its time at once."""

    def __init__(self) -> None:
        self.now = START_US

    def now_us(self) -> int:
        return self.now

    def sleep_until(self, *_: object) -> None:
        raise AssertionError("the sink does not block")

    async def pause(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)
        await asyncio.sleep(0)


class Pushes:
    """What the sink told."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.begun: list[int] = []
        self.ended: dict[int, PushOutcome] = {}
        self.failed: list[BaseException] = []
        self.silent = False
        self.withholding = False
        self.priority: int | None = None

    def lead_of(self, segment: int) -> Lead:
        self.asked.append(segment)
        priority = segment * 10 if self.priority is None else self.priority
        return Lead(segment, priority, silent=self.silent)

    def is_silent(self, _segment: int) -> bool:
        return self.withholding

    def pushed(self, segment: int, outcome: PushOutcome) -> None:
        self.ended[segment] = outcome

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 — callbacks of the object under test
            await asyncio.sleep(0.001)


@asynccontextmanager
async def sink_to(
    url: str,
    pushes: Pushes,
    *,
    media: Media = MEDIA,
    encoder: str = "one",
    token: TokenFile | None = None,
) -> AsyncIterator[Sink]:
    """A sink at work; what it does goes into `pushes`."""
    sink = Sink(
        channel=Channel(
            base_url=url,
            namespace="tests",
            channel="channel",
            encoder_id=encoder,
            description=media.description,
            inits=media.inits,
            token=token,
        ),
        clock=Watch(),
        lead_of=pushes.lead_of,
        is_silent=pushes.is_silent,
        on_segment=pushes.begun.append,
        on_pushed=pushes.pushed,
        on_failed=pushes.failed.append,
    )
    await sink.start()
    try:
        yield sink
    finally:
        await sink.close()


@asynccontextmanager
async def pushing(
    end: Receiver, base_url: str | None = None, media: Media = MEDIA
) -> AsyncIterator[tuple[Sink, Pushes]]:
    pushes = Pushes()
    async with sink_to(base_url or end.url, pushes, media=media) as sink:
        yield sink, pushes


def segment(number: int) -> dict[str, bytes]:
    return {"v144": b"video %d" % number, "audio": b"audio %d" % number}


async def test_description_and_inits_come_first_and_once() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        sink.offer(7, segment(7))
        sink.offer(8, segment(8))
        await pushes.until(lambda: 8 in pushes.ended)
        assert end.order[:3] == ["description.json", "v144/init.mp4", "audio/init.mp4"]
        assert sorted(end.order[3:5]) == ["audio/7.m4s", "v144/7.m4s"]
        assert sorted(end.order[5:]) == ["audio/8.m4s", "v144/8.m4s"]
        told = ChannelDescription.model_validate_json(end.bodies["description.json"])
        assert told == MEDIA.description
        assert end.bodies["audio/8.m4s"] == b"audio 8"
        assert end.bodies["v144/init.mp4"] == MEDIA.inits["v144"]
        assert pushes.ended == {7: PushOutcome.STORED, 8: PushOutcome.STORED}


async def test_the_priority_is_asked_once_and_is_the_same_for_all_tracks() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        end.answers["v144/7.m4s"] = [503, 503]
        sink.offer(7, segment(7))
        await pushes.until(lambda: 7 in pushes.ended)
        assert pushes.asked == [7]
        sent = {(path, h["Hitless-Priority"], h["Hitless-Encoder"]) for path, h in end.headers}
        assert {s for s in sent if s[0].endswith(".m4s")} == {
            ("v144/7.m4s", "70", "one"),
            ("audio/7.m4s", "70", "one"),
        }
        assert end.order.count("audio/7.m4s") == 1, "what is stored is not sent again"
        assert end.order.count("v144/7.m4s") == 3


async def test_after_412_the_description_is_pushed_again() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        sink.offer(7, segment(7))
        await pushes.until(lambda: 7 in pushes.ended)
        end.answers["v144/8.m4s"] = [412]
        sink.offer(8, segment(8))
        await pushes.until(lambda: 8 in pushes.ended)
        assert pushes.ended[8] is PushOutcome.STORED
        assert end.order.count("description.json") == 2
        assert end.order.count("audio/init.mp4") == 2


async def test_an_origin_that_has_forgotten_all_gets_its_last_segments_again() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        for number in range(1, KEPT_SEGMENTS + 3):
            sink.offer(number, segment(number))
        await pushes.until(lambda: KEPT_SEGMENTS + 2 in pushes.ended)
        end.order.clear()
        end.headers.clear()
        end.answers = {"audio/8.m4s": [503, 412]}  # it is another one after the first answer
        sink.offer(8, segment(8))
        await pushes.until(lambda: 8 in pushes.ended)
        again = end.order.index("description.json")
        assert sorted(end.order[:again]) == ["audio/8.m4s", "audio/8.m4s", "v144/8.m4s"]
        media = [path for path in end.order[again:] if path.startswith("v144/")]
        assert media == ["v144/init.mp4", *(f"v144/{k}.m4s" for k in range(3, 9))]
        priorities = {path: h["Hitless-Priority"] for path, h in end.headers}
        assert (priorities["audio/3.m4s"], priorities["audio/8.m4s"]) == ("30", "80")
        assert pushes.begun == list(range(1, 9)), "asked and told of each once"
        assert set(pushes.ended.values()) == {PushOutcome.STORED}


async def test_what_another_one_delivers_is_not_restored() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        sink.offer(7, segment(7))
        await pushes.until(lambda: 7 in pushes.ended)
        pushes.silent = True
        sink.offer(8, segment(8))
        await pushes.until(lambda: 8 in pushes.ended)
        pushes.silent = False
        end.answers["v144/9.m4s"] = [412]
        sink.offer(9, segment(9))
        await pushes.until(lambda: 9 in pushes.ended)
        assert end.order.count("v144/7.m4s") == 1


async def test_an_origin_that_is_away_loses_nothing_as_long_as_the_queue_holds() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        end.answers = {".m4s": [503] * 20, "description.json": [503] * 10}
        for number in range(1, QUEUE_SEGMENTS + 1):
            sink.offer(number, segment(number))
        await pushes.until(lambda: QUEUE_SEGMENTS in pushes.ended)
        assert set(pushes.ended.values()) == {PushOutcome.STORED}
        assert sink.report().dropped == 0


@pytest.mark.parametrize("status", [400, 403, 409, 410, 413])
async def test_a_refusal_is_final_and_told(status: int) -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        end.answers["v144/7.m4s"] = [status]
        sink.offer(7, segment(7))
        sink.offer(8, segment(8))
        await pushes.until(lambda: 8 in pushes.ended)
        assert pushes.ended == {7: PushOutcome.REFUSED, 8: PushOutcome.STORED}
        assert end.order.count("v144/7.m4s") == 1
        assert sink.report().failures == 1


async def test_an_endless_412_ends() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        end.answers["7.m4s"] = [412] * 1000
        sink.offer(7, segment(7))
        await pushes.until(lambda: 7 in pushes.ended)
        assert pushes.ended[7] is PushOutcome.EXPIRED


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("x1\n")
    return path


async def test_a_wrong_token_is_tried_again_and_other_refusals_are_not(token_file: Path) -> None:
    async with receiver() as end:
        pushes = Pushes()
        end.challenges = {"description.json": [401, 403]}
        end.answers = {"v144/7.m4s": [403]}
        async with sink_to(end.url, pushes, token=TokenFile(token_file)) as sink:
            sink.offer(7, segment(7))
            sink.offer(8, segment(8))
            await pushes.until(lambda: 8 in pushes.ended)
        assert pushes.ended == {7: PushOutcome.REFUSED, 8: PushOutcome.STORED}
        assert {headers["Authorization"] for _, headers in end.headers} == {"Bearer x1"}
        assert end.order.count("description.json") == 3
        assert end.order.count("v144/7.m4s") == 1


async def test_an_encoder_without_a_token_gives_up_a_segment_that_needs_one() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        end.challenges = {"7.m4s": [401] * 4}
        sink.offer(7, segment(7))
        await pushes.until(lambda: 7 in pushes.ended)
        assert pushes.ended[7] is PushOutcome.REFUSED
        assert "Authorization" not in end.headers[0][1]


async def test_an_unreachable_origin_is_tried_for_a_bounded_time() -> None:
    async with receiver() as end, pushing(end, "http://127.0.0.1:9") as (sink, pushes):
        sink.offer(7, segment(7))
        await pushes.until(lambda: 7 in pushes.ended)
        assert pushes.ended[7] is PushOutcome.EXPIRED
        assert sink.report().failures == 1
        assert "http://127.0.0.1:9/ingest/tests/channel/description.json" in sink.report().message


async def test_a_failing_callback_is_told() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):

        def refuse(_segment: int) -> Lead:
            raise LookupError("no term")

        sink._lead_of = refuse
        sink.offer(7, segment(7))
        await pushes.until(lambda: bool(pushes.failed))
        assert str(pushes.failed[0]) == "no term"


async def test_what_was_withheld_is_sent_first_when_it_is_wanted_after_all() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        pushes.silent = True
        for number in (7, 8, 9):
            sink.offer(number, segment(number))
        await pushes.until(lambda: 9 in pushes.ended)
        assert set(pushes.ended.values()) == {PushOutcome.WITHHELD}
        assert end.headers == []
        pushes.silent, pushes.asked = False, []
        sink.offer(10, segment(10))
        sink.resend({9: segment(9), 8: segment(8)})
        await pushes.until(lambda: pushes.ended.get(10) is PushOutcome.STORED)
        assert pushes.asked == [8, 9, 10]
        assert pushes.ended[8] is pushes.ended[9] is PushOutcome.STORED


async def test_a_full_queue_drops_its_oldest() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        for number in range(QUEUE_SEGMENTS + 3):  # before the sink's task runs at all
            sink.offer(number, segment(number))
        await pushes.until(lambda: QUEUE_SEGMENTS + 2 in pushes.ended)
        overtaken = [k for k, o in pushes.ended.items() if o is PushOutcome.OVERTAKEN]
        assert overtaken == [0, 1, 2]
        assert pushes.begun == list(range(3, QUEUE_SEGMENTS + 3))
        assert sink.report().dropped == 3


async def test_a_standby_gives_way_where_the_origin_is_slow() -> None:
    numbers = range(1, QUEUE_SEGMENTS)
    outcomes: dict[int, list[PushOutcome]] = {}
    for priority in (0, 5):
        async with receiver() as end, pushing(end) as (sink, pushes):
            pushes.priority = priority
            for number in numbers:  # the sink's task has not run yet: nothing is answered
                sink.offer(number, segment(number))
            await pushes.until(lambda: set(pushes.ended) == set(numbers))
            outcomes[priority] = [pushes.ended[number] for number in numbers]
            assert sink.report().failures == sink.report().dropped == 0
    late = len(numbers) - STANDBY_WAITING_MAX - 1
    assert outcomes[5] == [PushOutcome.STORED] * len(numbers)
    assert outcomes[0][:late] == [PushOutcome.YIELDED] * late
    assert outcomes[0][late:] == [PushOutcome.STORED] * (STANDBY_WAITING_MAX + 1)


async def test_a_standby_soon_gives_up_an_origin_that_is_away() -> None:
    async with receiver() as end, pushing(end) as (sink, pushes):
        pushes.priority = 0
        end.answers["1.m4s"] = [503] * 200
        sink.offer(1, segment(1))
        await pushes.until(lambda: 1 in pushes.ended)
        assert pushes.ended[1] is PushOutcome.EXPIRED
        tries = end.order.count("v144/1.m4s")
        end.answers["2.m4s"] = [503] * 200
        pushes.priority = 5
        sink.offer(2, segment(2))
        await pushes.until(lambda: 2 in pushes.ended)
        assert end.order.count("v144/2.m4s") > 3 * tries
