"""What one origin process is told. Made in `__main__`; read everywhere; changed nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hitless_handover.selection_model import DEADLINE_PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """data: folder for the channels. deadline_percent: publish deadline, percent of a segment.

    channels_max: channels on this origin. uploads_max: bodies read at the same time; more wait.
    upload_s_max: seconds one body may take. waiting_max: requests of viewers that wait for the next
    part at the same time; more are told to come again.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    deadline_percent: int = DEADLINE_PERCENT
    channels_max: int = 5000
    uploads_max: int = 64
    upload_s_max: int = 30
    waiting_max: int = 10_000
