"""Says where two encoders' init segments differ, in place of two digests that only differ.

What is equal stays equal and what differs stays different: the machine decides as it would have.
Called by service.py when a successor synchronises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hitless_encoder.errors import BoxError
from hitless_encoder.verify import first_difference
from hitless_handover.messages import SyncInfo


def told_apart(
    own: SyncInfo, other: SyncInfo, inits: Mapping[str, bytes], theirs: Mapping[str, bytes]
) -> tuple[SyncInfo, SyncInfo]:
    """Both with box and field for a digest, where digests differ and the bytes are known."""
    ours, others = dict(own.init_digests), dict(other.init_digests)
    for track in ours.keys() & others.keys() & inits.keys() & theirs.keys():
        if ours[track] == others[track]:
            continue
        try:
            found = first_difference(inits[track], theirs[track])
        except BoxError as error:
            others[track] = str(error)
        else:
            if found is not None:
                ours[track] = f"{found.path} {found.own}"
                others[track] = f"{found.path} {found.other}"
    return (
        replace(own, init_digests=tuple(sorted(ours.items()))),
        replace(other, init_digests=tuple(sorted(others.items()))),
    )
