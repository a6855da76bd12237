"""What a planted bug is."""

from __future__ import annotations

from dataclasses import dataclass

CORE = "hitless_handover"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug. old: occurs exactly once in the module's source. breaks: what it is to break."""

    name: str
    module: str
    old: str
    new: str
    breaks: str
