"""A bounded hand-over between two threads that anybody may close."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Closed(Exception):
    """The mailbox was closed: nothing goes in or comes out any more."""


class Mailbox(Generic[Item]):
    """Items in order, at most `capacity`; put() waits for room, get() for an item.

    Who waits for room is woken when half of it is free: woken for each single place, two busy
    threads would change places for every item, and on a busy machine wait for each other's turn.
    """

    def __init__(self, capacity: int) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._closed = False
        lock = threading.RLock()
        self._filled = threading.Condition(lock)
        self._emptied = threading.Condition(lock)

    def put(self, item: Item) -> None:
        """Add an item, waiting for room. Raises Closed."""
        with self._emptied:
            self._emptied.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._filled.notify()

    def get(self) -> Item:
        """The oldest item, waiting for one. Raises Closed at once after close()."""
        with self._filled:
            self._filled.wait_for(lambda: self._closed or bool(self._items))
            if self._closed:
                raise Closed
            item = self._items.popleft()
            if len(self._items) <= self._capacity // 2:
                self._emptied.notify_all()
            return item

    def __len__(self) -> int:
        with self._filled:
            return len(self._items)

    def close(self) -> None:
        """Wake all who wait; what is inside is dropped."""
        with self._filled:
            self._closed = True
            self._items.clear()
            self._filled.notify_all()
            self._emptied.notify_all()
