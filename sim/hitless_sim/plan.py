"""A seed's plan: the scenario, what goes wrong in it and what the user does. JSON in and out.

`plan_of` is the only place with randomness; everything after it follows from the plan.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from typing import Any

from hitless_handover.messages import HandoverMode
from hitless_sim import faults as kinds
from hitless_sim.draw import draw
from hitless_sim.facts import Quality
from hitless_sim.faults import Fault, UserEvent, When
from hitless_sim.scenario import Image, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All of a run. seed: that it was drawn from; it has no part in the run itself."""

    seed: int
    scenario: Scenario
    faults: tuple[Fault, ...]
    user: tuple[UserEvent, ...]


def plan_of(seed: int, *, stale_pods: bool = False) -> Plan:
    """Draw a plan. stale_pods: with a stale list of pods, which the real operator rules out."""
    scenario, faults, user = draw(seed, stale_pods=stale_pods)
    return Plan(seed=seed, scenario=scenario, faults=faults, user=user)


def items(plan: Plan) -> tuple[Fault | UserEvent, ...]:
    """What a smaller plan might do without."""
    return (*plan.faults, *plan.user)


def with_items(plan: Plan, kept: Sequence[Fault | UserEvent]) -> Plan:
    """The plan with these items only."""
    return replace(
        plan,
        faults=tuple(item for item in kept if isinstance(item, Fault)),
        user=tuple(item for item in kept if isinstance(item, UserEvent)),
    )


# --- for people -------------------------------------------------------------------------------


def describe(plan: Plan) -> list[str]:
    """One line for the scenario, one for each item."""
    return [f"seed {plan.seed}: {_text(plan.scenario)}", *(_line(item) for item in items(plan))]


def _line(item: Fault | UserEvent) -> str:
    after = f"{item.when.after or 'start'} no. {item.when.nth}" if item.when.after else "start"
    return f"{after} + {item.when.delay_us / 1e6:.3f} s: {_text(item)}"


def _text(value: Fault | UserEvent | Scenario | Image) -> str:
    rows = [
        f"{field.name}={_short(getattr(value, field.name))}"
        for field in fields(value)
        if field.name != "when"
    ]
    return f"{type(value).__name__}({', '.join(rows)})"


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_short(each) for each in value) + "]"
    return _text(value) if isinstance(value, Image) else str(value)


# --- for files --------------------------------------------------------------------------------

TAG = "is"
_VALUES: dict[str, type[Any]] = {"When": When, "Scenario": Scenario, "Image": Image, "Plan": Plan}
_KINDS: dict[str, type[Any]] = _VALUES | {
    kind.__name__: kind
    for kind in vars(kinds).values()
    if isinstance(kind, type) and issubclass(kind, Fault | UserEvent)
}
_ENUMS: dict[str, type[Enum]] = {
    kind.__name__: kind
    for kind in (HandoverMode, Quality, kinds.Target, kinds.Place, kinds.NetKind)
}


def plan_to_json(plan: Plan) -> str:
    """As plan_from_json reads it: an object names its class under TAG."""
    return json.dumps(_document(plan), indent=1, ensure_ascii=False) + "\n"


def plan_from_json(text: str) -> Plan:
    """Raises ValueError for what is no plan."""
    plan = json.loads(text, object_hook=_value)
    if not isinstance(plan, Plan):
        raise ValueError(f"not a plan but {type(plan).__name__}")
    return plan


def _document(value: Any) -> Any:
    if isinstance(value, Enum):
        return {TAG: type(value).__name__, "value": value.value}
    if is_dataclass(value):
        rows = {field.name: _document(getattr(value, field.name)) for field in fields(value)}
        return {TAG: type(value).__name__, **rows}
    return [_document(each) for each in value] if isinstance(value, tuple) else value


def _value(document: dict[str, Any]) -> Any:
    kind = document.pop(TAG, "")
    if kind in _ENUMS:
        return _ENUMS[kind](document["value"])
    if kind not in _KINDS:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(sorted(_KINDS))}")
    try:
        return _KINDS[kind](**{name: _frozen(value) for name, value in document.items()})
    except TypeError as error:
        raise ValueError(f"{kind}: {error}") from error


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
