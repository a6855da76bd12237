"""What one origin process is told. Made in `__main__`; read everywhere; changed nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hitless_handover.selection_model import DEADLINE_PERCENT

KEYS_VARIABLE = "HITLESS_ORIGIN_INGEST_KEYS_FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainInput:
    """The encoder that pushes without headers of ours, and the priority of all it pushes."""

    encoder: str
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """data: folder for the channels, or the cache of a bucket. bucket: s3://…, where they are kept
    in place of the folder. deadline_percent: publish deadline, percent of a segment.

    channels_max: channels on this origin. uploads_max: bodies read at the same time; more wait.
    upload_s_max: seconds one body may take. waiting_max: requests of viewers that wait for the next
    part at the same time; more are told to come again. bytes_max: of all channels' segments.
    hls_js: the file of hls.js, as a module, with which the page plays; None: it has no picture.
    plain: whose pushes without our headers are. ingest_keys: the file of keys for the tokens that
    encoders push with; None: anybody may push. tokens_required: else wrong ones are only counted.
    """

    data: Path
    bucket: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    deadline_percent: int = DEADLINE_PERCENT
    channels_max: int = 5000
    uploads_max: int = 64
    upload_s_max: int = 30
    waiting_max: int = 10_000
    bytes_max: int | None = None
    hls_js: Path | None = None
    plain: PlainInput | None = None
    ingest_keys: Path | None = None
    tokens_required: bool = True
