"""One operator process of the simulated world: the real supervisor, and what carries it out.

Mirrors hitless_operator: reconcile.py and observe.py (a look: read, list, ask, decide, store, act),
apply.py (the fences), queue.py (when to look again). A look is a generator that yields its calls,
so that a crash or a pause may fall between any two of them.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hitless_handover import peer_model as m
from hitless_handover.supervisor import asks, supervise
from hitless_handover.supervisor_model import (
    AbortHandover,
    Action,
    BeginHandover,
    BindIncumbent,
    ChannelRecord,
    ChannelView,
    CreateEncoder,
    Decision,
    DeleteEncoder,
    EncoderState,
    EncoderView,
    GrantTerm,
    Problem,
    ReleaseHandover,
)
from hitless_sim.api_server import (
    API,
    CHANNEL,
    CHANNEL_UID,
    ApiServer,
    Document,
    PodOrder,
    Refused,
)
from hitless_sim.clockwork import Process
from hitless_sim.encoder_shell import Encoder
from hitless_sim.facts import Acted, AnchorTold
from hitless_sim.origin_shell import ORIGIN, Origin

if TYPE_CHECKING:
    from hitless_sim.network import Handler
    from hitless_sim.world import World

OPERATOR_DISTANCE_US = 3_000
API_TIMEOUT_US = 10_000_000
PEER_TIMEOUT_US = 3_000_000
BACKOFF_FIRST_US = 200_000
BACKOFF_MAX_US = 30_000_000
FAILED_CREATE = "FailedCreate"

Ask = tuple[str, "Handler", Any, int]
Look = Generator[list[Ask], list[Any], int | None]


class TryAgain(Exception):
    """The look could not be finished: the same again after the back-off."""


class Operator(Process):
    """A process that looks at the channel whenever something changes, and at times it chose."""

    __slots__ = (
        "_again",
        "_answers",
        "_due_us",
        "_failures",
        "_look",
        "_open_calls",
        "_stored",
        "_waiting",
        "_world",
        "number",
    )

    def __init__(self, world: World, number: int) -> None:
        super().__init__(f"op{number}", OPERATOR_DISTANCE_US)
        self._world = world
        self.number = number
        self._look: Look | None = None
        self._answers: list[Any] = []
        self._open_calls = 0
        self._again = False
        self._waiting = False
        self._due_us: int | None = None
        self._failures = 0
        self._stored = -1

    def now_us(self) -> int:
        """What this process believes."""
        return self._world.clock.now_us + self.skew_us

    # --- the queue ---

    def told(self, version: int | None) -> None:
        """By a watch; what it has written itself is no news."""
        if version is None or version > self._stored:
            self.add()

    def add(self) -> None:
        """Look as soon as the look under way is over."""
        self._due_us = None
        if self._look is not None:
            self._again = True
        elif not self._waiting:
            self._waiting = True
            self._world.clock.at(self._world.clock.now_us, self, self._begin)

    @property
    def idle(self) -> bool:
        """Nothing to do, and nothing planned."""
        return self._look is None and self._due_us is None and not self._waiting

    def _add_in(self, delay_us: int) -> None:
        if delay_us <= 0:
            self.add()
            return
        if self._waiting:
            return
        clock = self._world.clock
        due_us = clock.now_us + delay_us
        if self._due_us is None or due_us < self._due_us:
            self._due_us = due_us
            clock.at(due_us, self, self._due, due_us)

    def _due(self, due_us: int) -> None:
        if due_us == self._due_us:
            self.add()

    def _begin(self) -> None:
        self._waiting = False
        self._look = self._look_at_channel()
        self._go_on([])

    def _go_on(self, answers: list[Any]) -> None:
        """To the next calls of the look, or to its end."""
        look = self._look
        assert look is not None
        try:
            asked = look.send(answers) if answers else next(look)
        except StopIteration as end:
            self._failures = 0
            self._ended(end.value)
            return
        except TryAgain as why:
            if self._world.clock.trace is not None:
                self._world.clock.tell(f"{self.name} tries again: {why}")
            self._failures += 1
            exponent = min(self._failures - 1, 16)
            self._ended(min(BACKOFF_FIRST_US * 2**exponent, BACKOFF_MAX_US))
            return
        self._ask(asked)

    def _ended(self, delay_us: int | None) -> None:
        self._look = None
        if self._again:
            self._again = False
            if not self._failures:
                delay_us = 0
        if delay_us is not None:
            self._add_in(delay_us)

    def _ask(self, asked: list[Ask]) -> None:
        if not asked:
            self._world.clock.at(self._world.clock.now_us, self, self._go_on, [])
            return
        self._answers = [None] * len(asked)
        self._open_calls = len(asked)
        network, answers, look = self._world.network, self._answers, self._look
        for index, (target, handle, argument, timeout_us) in enumerate(asked):

            def done(value: Any, index: int = index) -> None:
                answers[index] = value
                self._answered(look)

            network.call(self, target, handle, argument, done, timeout_us)

    def _answered(self, look: Look | None) -> None:
        if look is not self._look:
            return
        self._open_calls -= 1
        if not self._open_calls:
            self._go_on(self._answers)

    def _failpoint(self) -> Generator[list[Ask], list[Any], None]:
        """Before a write or an order: the process may end here, or stand still."""
        if not self.before_effect():
            yield []

    # --- a look ---

    def _look_at_channel(self) -> Look:
        document = (yield [(API, ApiServer.on_get, None, API_TIMEOUT_US)])[0]
        if document is None:
            raise TryAgain("the API server does not answer")
        if document.deleted:
            return None
        read = document.version
        view = yield from self._observe(document)
        now_us = self.now_us()
        decision = supervise(document.desired, document.record, view, now_us)
        self._tell_anchor(view, document.record, decision.record)
        if decision.record != document.record or decision.actions:
            document = yield from self._store(document, decision.record)
        try:
            for action in decision.actions:
                yield from self._act(document, action, view)
        except CreateRefused as refusal:
            yield from self._say_refused(document, decision, refusal.problem)
            raise TryAgain("an encoder can't be created") from refusal
        if decision.wake_at_us is None:
            return None if document.version == read else 0
        return max(0, decision.wake_at_us - now_us)

    def _tell_anchor(
        self, view: ChannelView, before: ChannelRecord, decided: ChannelRecord
    ) -> None:
        active, updates = decided.active, (before.handover, decided.handover)
        updating = any(update is not None and update.live for update in updates)
        report = None if active is None else view.encoder(active.name).report
        if updating or report is None or report.anchor is None:
            return
        self._world.say(
            AnchorTold(
                at_us=self._world.clock.now_us,
                name=report.identity.encoder_id,
                term=report.leading_term,
                anchor=report.anchor,
                decided=decided,
            )
        )

    def _observe(self, document: Document) -> Generator[list[Ask], list[Any], ChannelView]:
        views = (yield [(API, ApiServer.on_list, None, API_TIMEOUT_US)])[0]
        if views is None:
            raise TryAgain("the API server does not answer")
        encoders: dict[str, EncoderView] = dict(views)
        refused = _refused_encoder(document.record)
        if refused is not None:
            encoders.setdefault(refused.name, refused)
        names = [
            name for name in sorted(asks(document.desired, document.record)) if name in encoders
        ]
        asked = [name for name in names if encoders[name].address]
        calls: list[Ask] = [
            (encoders[name].address, Encoder.on_report, None, PEER_TIMEOUT_US) for name in asked
        ]
        with_origin = bool(names) and document.desired.has_origin
        if with_origin:
            calls.append((ORIGIN, Origin.on_report, None, PEER_TIMEOUT_US))
        answers = (yield calls) if calls else []
        for name, report in zip(asked, answers, strict=False):
            encoders[name] = replace(encoders[name], report=report)
        return ChannelView(
            channel_uid=CHANNEL_UID,
            channel=CHANNEL,
            encoders=encoders,
            origin=answers[-1] if with_origin else None,
        )

    def _store(
        self, document: Document, record: ChannelRecord
    ) -> Generator[list[Ask], list[Any], Document]:
        """Write the record over the version that was read; with actions also if it is equal."""
        yield from self._failpoint()
        argument = (document.version, record, self.name)
        version = (yield [(API, ApiServer.on_put, argument, API_TIMEOUT_US)])[0]
        if not isinstance(version, int):
            raise TryAgain(f"the record could not be stored: {version}")
        self._stored = version
        return replace(document, record=record, version=version)

    def _say_refused(
        self, document: Document, decision: Decision, problem: Problem
    ) -> Generator[list[Ask], list[Any], None]:
        record = replace(decision.record, problem=problem)
        if record != document.record:
            yield from self._store(document, record)

    # --- actions ---

    def _act(
        self, document: Document, action: Action, view: ChannelView
    ) -> Generator[list[Ask], list[Any], None]:
        match action:
            case CreateEncoder():
                yield from self._create(document, action)
            case DeleteEncoder():
                if action.uid:
                    yield from self._tell_acted(action, document)
                    argument = (action.name, action.uid, self.name)
                    answer = yield [(API, ApiServer.on_delete, argument, API_TIMEOUT_US)]
                    if answer[0] is None:
                        raise TryAgain(f"{action.name} could not be deleted")
            case _:
                yield from self._tell_acted(action, document)
                order = _order_of(action, view)
                if order is not None:
                    yield [order]

    def _create(
        self, document: Document, action: CreateEncoder
    ) -> Generator[list[Ask], list[Any], None]:
        encoder = action.encoder
        if document.desired.digest != encoder.digest:
            raise TryAgain(f"{encoder.name} was decided from another spec than the present one")
        yield from self._tell_acted(action, document)
        order = PodOrder(encoder, action.anchor, document.desired, self.name)
        answer = (yield [(API, ApiServer.on_create, order, API_TIMEOUT_US)])[0]
        if answer is Refused.REJECTED:
            message = f"{encoder.name}: exceeded quota"
            raise CreateRefused(Problem(reason=FAILED_CREATE, message=message))
        if answer is None:
            raise TryAgain(f"{encoder.name} could not be created")

    def _tell_acted(
        self, action: Action, document: Document
    ) -> Generator[list[Ask], list[Any], None]:
        yield from self._failpoint()
        world = self._world
        world.say(
            Acted(at_us=world.clock.now_us, action=action, version=document.version, by=self.name)
        )


class CreateRefused(Exception):
    """The cluster does not let an encoder be created."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _order_of(
    order: GrantTerm | BeginHandover | BindIncumbent | AbortHandover | ReleaseHandover,
    view: ChannelView,
) -> Ask | None:
    """The call of an order; None when the encoder has no address."""
    address = view.encoder(order.name).address
    if not address:
        return None
    match order:
        case GrantTerm():
            take = m.Take(term=order.term, from_segment=order.from_segment)
            return (address, Encoder.on_order, take, PEER_TIMEOUT_US)
        case BeginHandover():
            begin = m.Begin(
                handover_id=order.handover_id,
                term=order.term,
                incumbent_id=order.incumbent,
                criteria=order.criteria,
                deadline_us=order.deadline_us,
            )
            argument = (begin, view.encoder(order.incumbent).address)
            return (address, Encoder.on_begin, argument, PEER_TIMEOUT_US)
        case BindIncumbent():
            arm = m.Arm(handover_id=order.handover_id, frame=order.frame)
            return (address, Encoder.on_call, arm, PEER_TIMEOUT_US)
        case AbortHandover():
            abort = m.Abort(handover_id=order.handover_id, reason=order.reason, term=order.term)
            return (address, Encoder.on_order, abort, PEER_TIMEOUT_US)
        case ReleaseHandover():
            release = m.Release(handover_id=order.handover_id)
            return (address, Encoder.on_order, release, PEER_TIMEOUT_US)


def _refused_encoder(record: ChannelRecord) -> EncoderView | None:
    """The encoder whose creation was refused, from the record that says so."""
    problem = record.problem
    if problem is None or problem.reason != FAILED_CREATE:
        return None
    name, _, message = problem.message.partition(": ")
    return EncoderView(name=name, state=EncoderState.MISSING, reason=FAILED_CREATE, message=message)
