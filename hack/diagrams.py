"""Makes the state diagrams and word tables in docs/protocol.md from the core's own.

A block stands between `<!-- generated: NAME -->` and `<!-- end -->`; nothing else is touched. With
--check, changes nothing and fails when a block differs. `hack/diagrams` calls it.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import io
import re
import sys
import tokenize
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from hitless_handover import peer_rules, supervisor_update
from hitless_handover.messages import PeerPhase, Refusal
from hitless_handover.supervisor_model import HandoverPhase

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "protocol.md"
_BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Phase = TypeVar("Phase", bound=StrEnum)


class DocumentError(Exception):
    """A block that can't be made, or has no place; says which."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the blocks, or say what is stale. Exit code 1 when something is, or can't be made."""
    parser = argparse.ArgumentParser(prog="hack/diagrams", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when stale")
    parser.add_argument("document", type=Path, nargs="?", default=DOCUMENT)
    options = parser.parse_args(arguments)
    document: Path = options.document
    old = document.read_text()
    try:
        new = filled(old, {name: make() for name, make in BLOCKS.items()})
    except DocumentError as error:
        print(f"{document}: {error}", file=sys.stderr)
        return 1
    if not options.check:
        document.write_text(new)
        return 0
    if new == old:
        return 0
    lines = (old.splitlines(keepends=True), new.splitlines(keepends=True))
    sys.stdout.writelines(difflib.unified_diff(*lines, str(document), "generated"))
    print(f"{document} is stale: run hack/diagrams", file=sys.stderr)
    return 1


def filled(document: str, blocks: Mapping[str, str]) -> str:
    """The document with these blocks, each in its one place. Raises DocumentError."""
    places = [match["name"] for match in _BLOCK.finditer(document)]
    if sorted(places) != sorted(blocks):
        raise DocumentError(f"has places for {sorted(places)}, expected {sorted(blocks)}")
    return _BLOCK.sub(lambda m: f"{m[1]}\n{blocks[m['name']]}\n{m[3]}", document)


def peer_phases() -> str:
    """An encoder's side. Where it begins is not in the table: each role's first step makes it."""
    starts = {PeerPhase.BEGUN: "successor", PeerPhase.ANNOUNCED: "incumbent"}
    return "\n".join(
        [state_diagram(peer_rules.TRANSITIONS, starts), word_table(PeerPhase, "phase")]
    )


def update_phases() -> str:
    """An update, as the operator sees it."""
    starts = {HandoverPhase.STARTING: ""}
    return "\n".join(
        [
            state_diagram(supervisor_update.TRANSITIONS, starts),
            word_table(HandoverPhase, "phase"),
        ]
    )


def refusals() -> str:
    """Why an encoder says no."""
    return word_table(Refusal, "reason")


BLOCKS: Mapping[str, Callable[[], str]] = {
    "peer-phases": peer_phases,
    "update-phases": update_phases,
    "refusals": refusals,
}


def state_diagram(
    transitions: Mapping[Phase, frozenset[Phase]], starts: Mapping[Phase, str]
) -> str:
    """A table of transitions as mermaid. starts: the first phases, and who begins there."""
    order = list(transitions)
    rows = [f"[*] --> {phase}" + (f": {who}" if who else "") for phase, who in starts.items()]
    for phase, nexts in transitions.items():
        rows.extend(f"{phase} --> {after}" for after in sorted(nexts, key=order.index))
        if not nexts:
            rows.append(f"{phase} --> [*]")
    body = "".join(f"    {row}\n" for row in rows)
    return f"```mermaid\nstateDiagram-v2\n{body}```\n"


def word_table(words: type[StrEnum], title: str) -> str:
    """Each word and what it means, as markdown."""
    said = meanings(words)
    rows = "".join(f"| `{word}` | {said[word.name]} |\n" for word in words)
    return f"| {title} | meaning |\n|---|---|\n{rows}"


def meanings(words: type[StrEnum]) -> dict[str, str]:
    """The comment behind each member, by the member's name. Raises DocumentError."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(words)).readline):
        if token.type == tokenize.COMMENT:
            found[token.line.split()[0]] = token.string.lstrip("# ")
    if silent := [name for name in words.__members__ if name not in found]:
        raise DocumentError(f"{words.__name__}: no comment behind {', '.join(silent)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
