"""The signals that end `hitless local`, as asyncio events."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Signals:
    """What asks for the end: the first signal stops the children, the second kills them."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.wake = asyncio.Event()

    @contextmanager
    def caught(self, *kills: Callable[[], None]) -> Iterator[None]:
        """Handle them in this block. kills: called at the second signal."""
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            if self.stop.is_set():
                for kill in kills:
                    kill()
            self.stop.set()
            self.wake.set()

        for number in self.NUMBERS:
            loop.add_signal_handler(number, on_signal)
        try:
            yield
        finally:
            for number in self.NUMBERS:
                loop.remove_signal_handler(number)
