"""Draws the scenario, the faults and the user's doings of a seed. The only place with randomness.

Faults are drawn towards the moments that matter: two thirds of them wait for a phase of a handover
and strike within two seconds after it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from hitless_handover.messages import HandoverMode
from hitless_sim import faults as f
from hitless_sim.facts import Quality
from hitless_sim.faults import Fault, NetKind, Place, Target, UserEvent, When
from hitless_sim.scenario import SEGMENT_US, Image, Scenario

SECOND_US = 1_000_000
FIRST_UPDATE_US = (9 * SECOND_US, 15 * SECOND_US)  # the channel is on air by then
HEAL_US = (44 * SECOND_US, 76 * SECOND_US)
FAULTS = (0, 1, 2, 3, 4, 5, 6, 8)
FAULT_WEIGHTS = (12, 24, 20, 14, 10, 8, 7, 5)
LAST_STRIKE_US = 5 * SECOND_US  # before all is healed

_HANDOVER_MOMENTS = (
    *("Handover:Starting", "Handover:Negotiating", "Handover:Negotiating", "Handover:Armed"),
    *("Handover:Armed", "Handover:Armed", "Handover:Holding", "Handover:Holding"),
    *("Handover:Completed", "Handover:Aborting", "Handover:RolledBack", "Channel:Degraded"),
)
_PEER_MOMENTS = (
    *("Successor:Begun", "Incumbent:Announced", "Successor:Verified", "Incumbent:Agreed"),
    *("Successor:Armed", "Successor:Armed", "Incumbent:Armed", "Incumbent:Switched"),
    *("Successor:Switched", "Successor:Aborted", "Incumbent:Aborted"),
)


def draw(
    seed: int, *, stale_pods: bool
) -> tuple[Scenario, tuple[Fault, ...], tuple[UserEvent, ...]]:
    """All of a plan."""
    rng = random.Random(seed)
    scenario = _with_parts(_scenario(rng), random.Random(f"parts {seed}"))
    scenario = _with_discontinuity(scenario, random.Random(f"discontinuity {seed}"))
    user = _user(rng, scenario)
    count = rng.choices(FAULTS, FAULT_WEIGHTS)[0]
    faults = tuple(_fault(rng, scenario) for _ in range(count))
    if stale_pods:
        stale = f.StalePods(
            when=_when(rng, scenario),
            duration_us=_span(rng, 2, 15),
            lag_us=_span(rng, 1, 8),
        )
        faults = (*faults, stale)
    faults = (*faults, *_emptied(random.Random(f"emptied {seed}"), scenario))
    return scenario, faults, user


def _span(rng: random.Random, least_s: float, most_s: float) -> int:
    """Microseconds, in whole milliseconds."""
    return rng.randint(int(least_s * 1000), int(most_s * 1000)) * 1000


# --- the scenario -----------------------------------------------------------------------------


def _scenario(rng: random.Random) -> Scenario:
    mode = rng.choices(list(HandoverMode), (60, 20, 20))[0]
    has_origin = rng.random() >= 0.06
    if not has_origin and rng.random() < 0.6:
        mode = HandoverMode.CEASE
    return Scenario(
        mode=mode,
        hot_spare=rng.random() < 0.25,
        has_origin=has_origin,
        operators=2 if rng.random() < 0.15 else 1,
        images=_images(rng),
        offset_us=_span(rng, 0, SEGMENT_US / SECOND_US),
        boot_us=_span(rng, 0.3, 2.5),
        warm_us=_span(rng, 0.1, 1.0),
        lags_us=tuple(_span(rng, 0.05, 1.2) for _ in range(4)),
        distances_us=tuple(_span(rng, 0.001, 0.02) for _ in range(4)),
        watch_us=_span(rng, 0.005, 0.15),
        lead_segments=rng.choice((1, 1, 2)),
        verify_segments=rng.choice((1, 1, 2)),
        hold_segments=rng.choice((2, 2, 3)),
        start_s=15,
        negotiate_s=15,
        confirm_s=8,
        heal_us=_span(rng, HEAL_US[0] / SECOND_US, HEAL_US[1] / SECOND_US),
        rounds_max=rng.choice((5, 5, 5, 1)),
    )


def _with_parts(scenario: Scenario, rng: random.Random) -> Scenario:
    """A quarter of the channels are of low latency. It changes nothing else of a seed."""
    if not scenario.has_origin or rng.random() >= 0.25:
        return scenario
    return replace(scenario, parts=4, gop_parts=rng.choice((2, 4)))


def _with_discontinuity(scenario: Scenario, rng: random.Random) -> Scenario:
    """On half of the other channels other renditions are welcome; another anchor never is."""
    if scenario.parts or rng.random() < 0.5:
        return scenario
    images = tuple(
        replace(image, quality=Quality.GOOD) if image.own_ladder else image
        for image in scenario.images
    )
    return replace(scenario, allow_discontinuity=True, images=images)


def _images(rng: random.Random) -> tuple[Image, ...]:
    """v1 is good; v2 and v3 mostly are, at times of the next protocol; `bad` is what it says."""
    bad = rng.choice(
        (
            Image(name="bad", quality=Quality.BAD_PICTURE),
            Image(name="bad", quality=Quality.BAD_PICTURE),
            Image(name="bad", quality=Quality.MISMATCH, own_ladder=True),
            Image(name="bad", quality=Quality.MISMATCH),
            Image(name="bad", pulls=False),
            Image(name="bad", protocol=2),
        )
    )
    return (
        Image(name="v1"),
        Image(name="v2", protocol=1 if rng.random() < 0.1 else 0),
        Image(name="v3"),
        bad,
    )


# --- the user ---------------------------------------------------------------------------------


def _user(rng: random.Random, scenario: Scenario) -> tuple[UserEvent, ...]:
    """An update soon after the birth, mostly; then up to three more things."""
    first = When(delay_us=rng.randint(*FIRST_UPDATE_US))
    image = "bad" if rng.random() < 0.15 else "v2"
    events: list[UserEvent] = []
    if rng.random() < 0.97:
        events.append(f.SetImage(when=first, image=image))
    for _ in range(rng.choices((0, 1, 2, 3), (35, 35, 20, 10))[0]):
        events.extend(_user_event(rng, scenario))
    return tuple(events)


def _user_event(rng: random.Random, scenario: Scenario) -> tuple[UserEvent, ...]:
    when = _user_when(rng, scenario)
    kind = rng.choices(
        ("image", "pause", "abort", "spare", "bounds", "delete"), (45, 12, 18, 10, 12, 3)
    )[0]
    match kind:
        case "image":
            image = rng.choice(("v1", "v1", "v2", "v3", "v3", "bad"))
            return (f.SetImage(when=when, image=image),)
        case "pause":
            later = When(delay_us=rng.randint(when.delay_us, scenario.heal_us))
            return (f.SetPaused(when=when, paused=True), f.SetPaused(when=later, paused=False))
        case "abort":
            phase = rng.choice(("Starting", "Negotiating", "Armed", "Armed", "Holding"))
            delay_us = _span(rng, 0, 3)
            return (f.CallOff(when=When(delay_us=delay_us, after=f"Handover:{phase}")),)
        case "spare":
            return (f.SetHotSpare(when=when, hot_spare=not scenario.hot_spare),)
        case "bounds":
            return (_bounds(rng),)
        case _:
            return (f.DeleteChannel(when=when),)


def _user_when(rng: random.Random, scenario: Scenario) -> When:
    if rng.random() < 0.6:
        return When(delay_us=rng.randint(FIRST_UPDATE_US[1], scenario.heal_us))
    return When(
        delay_us=_span(rng, 0, 4),
        after=rng.choice(_HANDOVER_MOMENTS),
        nth=1 if rng.random() < 0.8 else 2,
    )


def _bounds(rng: random.Random) -> UserEvent:
    """Early, so that the first update has to keep within them."""
    early = _span(rng, 6, 14)
    not_before_us = _span(rng, 0, 20) if rng.random() < 0.7 else None
    first_us = not_before_us or 0
    not_after_us = first_us + _span(rng, 0, 25) if rng.random() < 0.6 else None
    return f.SetBounds(
        when=When(delay_us=early), not_before_us=not_before_us, not_after_us=not_after_us
    )


# --- faults -----------------------------------------------------------------------------------

Drawer = Callable[[random.Random, When, Scenario], Fault]


def _fault(rng: random.Random, scenario: Scenario) -> Fault:
    make = rng.choices([row[0] for row in _DRAWERS], [row[1] for row in _DRAWERS])[0]
    return make(rng, _when(rng, scenario), scenario)


def _emptied(rng: random.Random, scenario: Scenario) -> tuple[Fault, ...]:
    """In an eighth of the worlds nodes are emptied. It changes nothing else of a seed."""
    if rng.random() >= 0.125:
        return ()
    return tuple(
        f.NodeEmptied(when=_when(rng, scenario), target=_target(rng))
        for _ in range(rng.choice((1, 1, 2)))
    )


def _when(rng: random.Random, scenario: Scenario) -> When:
    roll = rng.random()
    if roll < 0.35:
        last_us = scenario.heal_us - LAST_STRIKE_US
        return When(delay_us=rng.randint(FIRST_UPDATE_US[0], last_us))
    moments = _HANDOVER_MOMENTS if roll < 0.7 else _PEER_MOMENTS
    # As often at once, between two effects, as within the next two seconds, or the next six.
    delay_us = rng.choice((0, _span(rng, 0, 0.1), _span(rng, 0, 2), _span(rng, 0, 6)))
    nth = rng.choices((1, 2, 3), (80, 15, 5))[0]
    return When(delay_us=delay_us, after=rng.choice(moments), nth=nth)


def _target(rng: random.Random) -> Target:
    return rng.choices(list(Target), (45, 45, 10))[0]


def _network(rng: random.Random, when: When, _: Scenario) -> Fault:
    source, target = rng.choice(_PATHS)
    if rng.random() < 0.5:
        source, target = target, source
    kind = rng.choices(list(NetKind), (15, 10, 15, 12, 16, 32))[0]
    extra_us = _span(rng, 0.2, 6) if kind in {NetKind.REORDER, NetKind.DELAY} else 0
    return f.NetFault(
        when=when,
        duration_us=rng.choice((_span(rng, 0.1, 2), _span(rng, 1, 8), _span(rng, 5, 25))),
        kind=kind,
        source=source,
        target=target,
        both_ways=rng.random() < 0.6,
        percent=rng.choice((20, 50, 80)),
        extra_us=extra_us,
        seed=rng.randrange(1 << 32),
    )


_PATHS = (
    (Place.OPERATORS, Place.API),
    (Place.OPERATORS, Place.ORIGIN),
    (Place.OPERATORS, Place.INCUMBENT),
    (Place.OPERATORS, Place.INCUMBENT),
    (Place.OPERATORS, Place.SUCCESSOR),
    (Place.OPERATORS, Place.SUCCESSOR),
    (Place.OPERATORS, Place.ENCODERS),
    (Place.INCUMBENT, Place.SUCCESSOR),
    (Place.INCUMBENT, Place.SUCCESSOR),
    (Place.INCUMBENT, Place.SUCCESSOR),
    (Place.INCUMBENT, Place.ORIGIN),
    (Place.SUCCESSOR, Place.ORIGIN),
    (Place.ENCODERS, Place.ORIGIN),
)


def _api(rng: random.Random, when: When, _: Scenario) -> Fault:
    match rng.randrange(5):
        case 0:
            return f.ApiDown(when=when, duration_us=_span(rng, 0.2, 15))
        case 1:
            return f.AnswersLost(when=when, count=rng.randint(1, 3))
        case 2:
            every_us = _span(rng, 0.01, 0.4)
            return f.ForeignWrites(when=when, count=rng.randint(1, 20), every_us=every_us)
        case 3:
            return f.CreateRefused(when=when, duration_us=_span(rng, 1, 20))
        case _:
            return f.WatchLost(when=when, duration_us=_span(rng, 2, 30))


def _start(rng: random.Random, when: When, _: Scenario) -> Fault:
    when = When(delay_us=rng.randint(0, FIRST_UPDATE_US[1])) if rng.random() < 0.6 else when
    when = When(delay_us=max(when.delay_us, FIRST_UPDATE_US[0])) if not when.after else when
    if rng.random() < 0.5:
        return f.SlowStart(when=when, extra_us=_span(rng, 2, 20))
    return f.PullFails(when=when, duration_us=_span(rng, 2, 25))


def _loss(rng: random.Random, when: When, _: Scenario) -> Fault:
    """An encoder dies, in one way or another."""
    target = rng.choices(list(Target), (48, 48, 4))[0]
    roll = rng.random()
    if roll < 0.2:
        return f.Evict(when=when, target=target)
    if roll < 0.4:
        return f.NodeLost(
            when=when,
            target=target,
            sees_peers=rng.random() < 0.4,
            sees_origin=rng.random() < 0.6,
        )
    return f.Crash(
        when=when,
        target=target,
        effect=rng.choice((0, rng.randint(1, 4), rng.randint(1, 12))),
        restart_us=_span(rng, 0.5, 12) if rng.random() < 0.6 else None,
    )


def _illness(rng: random.Random, when: When, _: Scenario) -> Fault:
    """An encoder lives on and does not do what it should."""
    target, roll = _target(rng), rng.randrange(5)
    duration_us = rng.choice((_span(rng, 0.3, 4), _span(rng, 2, 12), _span(rng, 6, 35)))
    match roll:
        case 0 | 1:
            return f.EncoderPaused(when=when, target=target, duration_us=duration_us)
        case 2:
            speed_percent = rng.choice((25, 50, 80, 95))
            return f.EncoderSlow(
                when=when, target=target, duration_us=duration_us, speed_percent=speed_percent
            )
        case 3:
            return f.EncoderDeaf(when=when, target=target, duration_us=duration_us)
        case _:
            track = rng.choice(("v", "a"))
            return f.Truncated(when=when, target=target, duration_us=duration_us, track=track)


def _input(rng: random.Random, when: When, _: Scenario) -> Fault:
    target = rng.choice(list(Target))
    if rng.random() < 0.45:
        return f.InputJumped(when=when, target=target)
    return f.InputLost(when=when, target=target, duration_us=_span(rng, 0.5, 20))


def _skew(rng: random.Random, when: When, scenario: Scenario) -> Fault:
    skew_us = rng.choice((-1, 1)) * rng.choice((_span(rng, 0.1, 3), _span(rng, 2, 60)))
    duration_us = _span(rng, 5, 60)
    if rng.random() < 0.6:
        return f.EncoderSkewed(
            when=when, target=_target(rng), duration_us=duration_us, skew_us=skew_us
        )
    which = rng.randrange(scenario.operators)
    return f.OperatorSkewed(when=when, which=which, duration_us=duration_us, skew_us=skew_us)


def _origin(rng: random.Random, when: When, _: Scenario) -> Fault:
    if rng.random() < 0.6:
        return f.OriginRestarts(when=when, down_us=_span(rng, 0.2, 6))
    return f.OriginPaused(when=when, duration_us=_span(rng, 0.2, 6))


def _operator(rng: random.Random, when: When, scenario: Scenario) -> Fault:
    which = rng.randrange(scenario.operators)
    effect = rng.choice((0, 1, 1, 2, 2, rng.randint(3, 12)))
    if rng.random() < 0.6:
        down_us = rng.choice((_span(rng, 0.1, 2), _span(rng, 2, 30)))
        return f.OperatorCrash(when=when, which=which, effect=effect, down_us=down_us)
    duration_us = rng.choice((_span(rng, 0.2, 4), _span(rng, 3, 30)))
    return f.OperatorPaused(when=when, which=which, effect=effect, duration_us=duration_us)


_DRAWERS: tuple[tuple[Drawer, int], ...] = (
    (_network, 30),
    (_loss, 18),
    (_operator, 16),
    (_illness, 12),
    (_api, 8),
    (_input, 6),
    (_origin, 5),
    (_skew, 5),
    (_start, 4),
)
