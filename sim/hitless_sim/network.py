"""The network of the simulated world: calls, their deadlines, and what faults do to messages.

A call is a request and a response; each takes its time and may be lost, late or doubled. A request
that arrives late is still carried out. The caller hears exactly once: an answer, or None.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

from hitless_sim.clockwork import Clockwork, Process
from hitless_sim.faults import NetKind

Done = Callable[[Any], None]
Handler = Callable[[Any, Any, "Call"], None]


class Call:
    """One call under way. handle(process, argument, call) ends in `Network.answer`, or never."""

    __slots__ = ("argument", "caller", "deadline_us", "done", "handle", "settled", "target")

    def __init__(  # noqa: PLR0917 - made a thousand times a run; keywords cost
        self,
        caller: Process,
        target: str,
        handle: Handler,
        argument: Any,
        done: Done,
        deadline_us: int,
    ) -> None:
        self.caller = caller
        self.target = target
        self.handle = handle
        self.argument = argument
        self.done = done
        self.deadline_us = deadline_us
        self.settled = False


class Ends:
    """The places on one side of a fault. everywhere: besides those named, all but these."""

    __slots__ = ("_but", "_names", "_others")

    def __init__(
        self, names: Collection[str], *, others_but: Collection[str] | None = None
    ) -> None:
        self._names = frozenset(names)
        self._others = others_but is not None
        self._but = frozenset(others_but or ())

    def has(self, name: str) -> bool:
        """Whether it is one of them."""
        return name in self._names or (self._others and name not in self._but)


class BadPath:
    """A network fault in force until `end_us`."""

    __slots__ = ("both_ways", "end_us", "extra_us", "kind", "percent", "rng", "source", "target")

    def __init__(  # noqa: PLR0917 - as NetFault has them
        self,
        kind: NetKind,
        source: Ends,
        target: Ends,
        both_ways: bool,
        percent: int,
        extra_us: int,
        seed: int,
        end_us: int,
    ) -> None:
        self.kind = kind
        self.source, self.target = source, target
        self.both_ways = both_ways
        self.percent = percent
        self.extra_us = extra_us
        self.rng = random.Random(seed)
        self.end_us = end_us

    def concerns(self, source: str, target: str) -> bool:
        """Whether a message goes this way."""
        if self.source.has(source) and self.target.has(target):
            return True
        return self.both_ways and self.source.has(target) and self.target.has(source)

    def arrivals(self, arrival_us: int) -> tuple[int, ...]:
        """When the copies of a message arrive that would arrive then."""
        match self.kind:
            case NetKind.PARTITION:
                return ()
            case NetKind.CLOG:
                return (max(arrival_us, self.end_us),)
            case NetKind.DELAY:
                return (arrival_us + self.extra_us,)
        if self.rng.randrange(100) >= self.percent:
            return (arrival_us,)
        match self.kind:
            case NetKind.LOSS:
                return ()
            case NetKind.DUPLICATE:
                return (arrival_us, arrival_us + 1 + self.rng.randrange(500_000))
            case _:
                return (arrival_us + self.rng.randrange(self.extra_us + 1),)


class Network:
    """Who listens where, and the faults in force."""

    __slots__ = ("_clock", "bad", "hosts", "refusing")

    def __init__(self, clock: Clockwork) -> None:
        self._clock = clock
        self.hosts: dict[str, Process] = {}
        self.refusing: set[str] = set()  # addresses at which nobody listens, but that answer so
        self.bad: list[BadPath] = []

    def call(  # noqa: PLR0917 - made a thousand times a run; keywords cost
        self,
        caller: Process,
        target: str,
        handle: Handler,
        argument: Any,
        done: Done,
        timeout_us: int,
    ) -> None:
        """Ask. `done` gets what `answer` is given; None when there is no answer in time."""
        clock = self._clock
        now_us = clock.now_us
        call = Call(caller, target, handle, argument, done, now_us + timeout_us)
        if not self.bad:
            clock.at(now_us + caller.distance_us, None, self._arrive, call)
            return
        arrivals = self._arrivals(caller.name, target, now_us + caller.distance_us)
        for arrival_us in arrivals:
            clock.at(arrival_us, None, self._arrive, call)
        if not arrivals:
            clock.at(call.deadline_us, caller, self._fail, call)

    def answer(self, call: Call, value: Any) -> None:
        """Answer a call."""
        if call.settled:
            return
        clock = self._clock
        host = self.hosts.get(call.target)
        back_us = clock.now_us + (call.caller if host is None else host).distance_us
        if self.bad:
            arrivals = self._arrivals(call.target, call.caller.name, back_us)
            back_us = min(arrivals, default=call.deadline_us + 1)
        if back_us > call.deadline_us:
            clock.at(call.deadline_us, call.caller, self._fail, call)
        else:
            clock.at(back_us, call.caller, self._finish, call, value)

    def _arrive(self, call: Call) -> None:
        host = self.hosts.get(call.target)
        if host is None:
            if call.target in self.refusing:
                self._clock.at(self._clock.now_us, call.caller, self._fail, call)
            else:
                self._clock.at(call.deadline_us, call.caller, self._fail, call)
        elif host.paused:
            self._clock.at(call.deadline_us, call.caller, self._fail, call)
            host.backlog.append((call.handle, (host, call.argument, call)))
        else:
            call.handle(host, call.argument, call)

    def hang(self, call: Call) -> None:
        """The call is never answered, or nobody knows when."""
        self._clock.at(call.deadline_us, call.caller, self._fail, call)

    def refuse(self, call: Call) -> None:
        """The connection breaks."""
        way_us = call.caller.distance_us
        self._clock.at(self._clock.now_us + way_us, call.caller, self._fail, call)

    def _finish(self, call: Call, value: Any) -> None:
        if not call.settled:
            call.settled = True
            call.done(value)

    def _fail(self, call: Call) -> None:
        if not call.settled:
            call.settled = True
            call.done(None)

    def _arrivals(self, source: str, target: str, arrival_us: int) -> tuple[int, ...]:
        """When the copies of a message arrive that would arrive then."""
        arrivals: tuple[int, ...] = (arrival_us,)
        for path in self.bad:
            if path.concerns(source, target):
                arrivals = tuple(late for each in arrivals for late in path.arrivals(each))
        return arrivals
