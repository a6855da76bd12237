"""Who gets an answer at the ring of a bell, and who has to make one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from unittest.mock import Mock

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from hitless_origin.early import Crowds, Place
from hitless_origin.waits import Bell


class Pipe(asyncio.Transport):
    """A connection. unread: bytes that its client has left."""

    def __init__(self, unread: int = 0, *, closing: bool = False) -> None:
        super().__init__()
        self.unread, self.closing = unread, closing
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closing


def _request(pipe: Pipe, method: str = "GET", **headers: str) -> web.Request:
    return make_mocked_request(method, "/", headers=headers, transport=pipe, protocol=Mock())


@pytest.fixture
def bell() -> Bell:
    return Bell()


class Answer:
    """Made on demand; how often."""

    def __init__(self) -> None:
        self.ready, self.made = False, 0

    def __call__(self) -> bytes | None:
        self.made += self.ready
        return b"answer" if self.ready else None


async def test_a_crowd_gets_one_answer_once(bell: Bell) -> None:
    crowds, answer, pipes = Crowds(), Answer(), [Pipe() for _ in range(3)]
    with ExitStack() as joined:
        places = [
            joined.enter_context(crowds.join(_request(p), bell, "same", answer)) for p in pipes
        ]
        bell.ring()
        assert not any(place.sent for place in places)
        answer.ready = True
        for _ in range(2):
            bell.ring()
        assert [p.written for p in pipes] == [[b"answer"]] * 3
        assert all(place.sent for place in places)
        assert len(bell.callers) == 1
    assert not bell.callers


async def test_kinds_and_bells_are_apart(bell: Bell) -> None:
    crowds, other, pipes = Crowds(), Bell(), [Pipe() for _ in range(3)]
    kinds: list[tuple[Bell, str, Callable[[], bytes]]] = [
        (bell, "a", lambda: b"a"),
        (bell, "b", lambda: b"b"),
        (other, "a", lambda: b"other"),
    ]
    with ExitStack() as joined:
        for pipe, (own, kind, answer) in zip(pipes, kinds, strict=True):
            joined.enter_context(crowds.join(_request(pipe), own, kind, answer))
        bell.ring()
        assert [p.written for p in pipes] == [[b"a"], [b"b"], []]


async def test_who_leaves_is_not_written_to(bell: Bell) -> None:
    crowds, gone, stays = Crowds(), Pipe(), Pipe()
    with crowds.join(_request(stays), bell, 1, lambda: b"x"):
        with pytest.raises(ZeroDivisionError), crowds.join(_request(gone), bell, 1, lambda: b"x"):
            _ = 1 // 0
        bell.ring()
    assert (gone.written, stays.written) == ([], [b"x"])


@pytest.mark.parametrize(
    "pipe", [Pipe(unread=1), Pipe(closing=True)], ids=["unread bytes", "closing"]
)
async def test_what_can_not_be_taken_now_is_left_to_the_task(bell: Bell, pipe: Pipe) -> None:
    with Crowds().join(_request(pipe), bell, 1, lambda: b"x") as place:
        bell.ring()
        assert (place.sent, pipe.written) == (False, [])


@pytest.mark.parametrize(
    ("method", "headers"),
    [("HEAD", {}), ("GET", {"If-None-Match": '"x"'})],
    ids=["HEAD", "a tag"],
)
async def test_other_answers_are_left_to_the_task(
    bell: Bell, method: str, headers: dict[str, str]
) -> None:
    pipe = Pipe()
    with Crowds().join(_request(pipe, method, **headers), bell, 1, lambda: b"x") as place:
        assert not bell.callers
        bell.ring()
        assert (place.sent, pipe.written) == (False, [])


def test_a_connection_that_has_gone_has_no_place() -> None:
    place = Place(None)
    place.send(b"x")
    assert not place.sent
