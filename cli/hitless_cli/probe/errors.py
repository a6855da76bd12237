"""The probe's errors, split by who must act. Faults of the stream are not errors: see faults.py."""

from __future__ import annotations


class ProbeError(Exception):
    """Base of everything the probe raises."""


class UnusableStreamError(ProbeError):
    """The caller must act: nothing there to play, or nothing that the probe can play (exit 2)."""


class FetchError(ProbeError):
    """One request failed: connection, timeout, status or size. The probe decides what it means."""


class BoxError(ProbeError):
    """Bytes that are no CMAF header or segment. The message names the box."""


class PlaylistError(ProbeError):
    """Text that is no HLS playlist, or one the probe can't follow. The message names the tag."""
