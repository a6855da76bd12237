"""The mark of a pod that was to be evicted: an annotation, so that it outlives the operator.

Owns its name, its age and its reading. It is pure. `apply.py` writes it, `observe.py` reads it.
"""

from __future__ import annotations

from hitless_handover.timeline import MICROSECONDS
from hitless_operator.channel import Document
from hitless_operator.moments import from_time

ANNOTATION = "hitless.video/eviction-requested"  # its value: when, as RFC 3339
# Whoever evicts asks again: kubectl every 5 s, Karpenter and VPA within a minute or so, the
# descheduler by default every 5 minutes. Nobody asked for this long: nobody wants it any more.
LAPSES_S = 600
RENEWED_AFTER_S = 60  # not with each question: each write of a pod is a look at its channel


def is_marked(pod: Document, now_us: int) -> bool:
    """Whether its eviction was asked for and nobody has lost interest since."""
    age_us = _age_us(pod, now_us)
    return age_us is not None and age_us < LAPSES_S * MICROSECONDS


def is_fresh(pod: Document, now_us: int) -> bool:
    """Whether the mark need not be written again."""
    age_us = _age_us(pod, now_us)
    return age_us is not None and age_us < RENEWED_AFTER_S * MICROSECONDS


def _age_us(pod: Document, now_us: int) -> int | None:
    """How far its time is from now; None without a mark that can be read.

    Either way: the clocks of two replicas differ, and a mark of next year has no meaning.
    """
    text = (pod["metadata"].get("annotations") or {}).get(ANNOTATION)
    try:
        return None if text is None else abs(now_us - from_time(text))
    except ValueError:
        return None
