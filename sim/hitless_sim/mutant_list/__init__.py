"""The planted bugs: data only, so that a process can read it before it imports the core.

Each is wrong, not merely different: something that docs/invariants.md says is never true comes of
it. A mutant whose text is gone is written anew for what took its place.
"""

from __future__ import annotations

from hitless_sim.mutant_list.mutant import Mutant
from hitless_sim.mutant_list.of_encoders import ENCODERS
from hitless_sim.mutant_list.of_operator import OPERATOR
from hitless_sim.mutant_list.of_origin import ORIGIN

__all__ = ["MUTANTS", "Mutant"]

MUTANTS: tuple[Mutant, ...] = (*ENCODERS, *ORIGIN, *OPERATOR)
