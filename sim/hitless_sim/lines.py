"""A fact as a line of the trace: short enough to read forty of them."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from hitless_handover.supervisor_model import ChannelRecord, EncoderRecord, HandoverRecord
from hitless_sim.facts import Ended, Fact, Stored


def line_of(fact: Fact) -> str:
    """What happened, with its time as the trace has it."""
    match fact:
        case Stored(record=record, version=version, by=by):
            text = f"Stored version={version} by={by} {_record(record)}"
        case Ended(record=record):
            rest = f"pods={fact.pods} leading={fact.leading} on_air={fact.on_air}"
            text = f"Ended {rest} {_record(record)}"
        case _:
            text = _text(fact)
    return f"{fact.at_us} fact {text}"


def _text(value: Any) -> str:
    """A value without what says nothing."""
    if isinstance(value, Enum):
        return str(value)
    if not is_dataclass(value):
        return str(value)
    rows = []
    for field in fields(value):
        inner = getattr(value, field.name)
        if field.name not in ("at_us", "policy", "timeline", "criteria") and inner is not None:
            rows.append(f"{field.name}={_text(inner)}")
    return f"{type(value).__name__}({', '.join(rows)})"


def _record(record: ChannelRecord) -> str:
    rows = [f"{record.phase} term={record.term}", f"active={_encoder(record.active)}"]
    if record.spare is not None:
        rows.append(f"spare={_encoder(record.spare)}")
    if record.handover is not None:
        rows.append(_update(record.handover))
    if record.refused_digest:
        rows.append(f"refused={record.refused_digest}")
    if record.problem is not None:
        rows.append(f"problem={record.problem.reason}")
    return " ".join(rows)


def _encoder(encoder: EncoderRecord | None) -> str:
    return "none" if encoder is None else f"{encoder.name}@{encoder.term}/{encoder.digest}"


def _update(update: HandoverRecord) -> str:
    confirmed = "".join(
        letter if confirmation is not None else "-"
        for letter, confirmation in (
            ("i", update.incumbent_confirmation),
            ("s", update.successor_confirmation),
            ("o", update.origin_confirmation),
        )
    )
    why = f" {update.reason}" if update.reason else ""
    return (
        f"{update.handover_id}:{update.phase}({update.incumbent.name}→{update.successor.name} "
        f"segment={update.segment} {confirmed}{why})"
    )
