"""A bounded hand-over between two threads that anybody may close."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Closed(Exception):
    """The mailbox was closed: nothing goes in or comes out any more."""


class Mailbox(Generic[Item]):
    """Items in order, at most `capacity`; put() waits for room, get() for an item."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> None:
        """Add an item, waiting for room. Raises Closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._items) < self._capacity)
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> Item:
        """The oldest item, waiting for one. Raises Closed at once after close()."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._items))
            if self._closed:
                raise Closed
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)

    def close(self) -> None:
        """Wake all who wait; what is inside is dropped."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
