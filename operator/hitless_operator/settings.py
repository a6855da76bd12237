"""What the operator process is told by its environment: HITLESS_* variables.

Owns names, defaults and limits of these settings. `__main__.py` reads them once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hitless_wire.peers import CALL_S

PREFIX = "HITLESS_"
HttpUrl = Annotated[
    str, Field(pattern=r"^https?://[^/]"), BeforeValidator(lambda url: str(url).rstrip("/"))
]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi)?$")]


def _words(text: object) -> object:
    if not isinstance(text, str):
        return text
    return tuple(word.strip() for word in text.split(",") if word.strip())


class Settings(BaseModel):
    """Each field is the variable HITLESS_<FIELD> in upper case."""

    model_config = ConfigDict(frozen=True)

    origin_url: Annotated[
        HttpUrl, Field(description="Origin that encoders push to and the operator asks.")
    ]
    origin_public_url: Annotated[
        HttpUrl | None, Field(description="The same origin as viewers reach it.")
    ] = None
    namespaces: Annotated[
        tuple[str, ...],
        BeforeValidator(_words),
        Field(description="Namespaces to watch, separated by commas; empty: all."),
    ] = ()
    ingest_keys_file: Annotated[
        str,
        Field(
            description="Keys of the origin, the first one signs: encoders get their channel's "
            "token in a Secret; empty: none."
        ),
    ] = ""
    media_claim: Annotated[
        str,
        Field(description="PersistentVolumeClaim mounted read-only at /media in every encoder."),
    ] = ""
    encoder_cpu_request: Quantity = "200m"
    encoder_memory_request: Quantity = "256Mi"
    encoder_memory_limit: Quantity = "1Gi"
    encoder_priority_class: Annotated[
        str, Field(description="PriorityClass of encoder pods; empty: the cluster's default.")
    ] = ""
    workers: Annotated[int, Field(ge=1, le=256, description="Channels looked at at once.")] = 64
    call_seconds: Annotated[
        int, Field(ge=1, le=30, description="For the answer of an encoder or an origin.")
    ] = CALL_S
    health_host: str = "0.0.0.0"
    health_port: Annotated[int, Field(ge=0, le=65535)] = 8081
    webhook_certificate: Annotated[
        str,
        Field(description="Folder with tls.crt and tls.key of the eviction webhook; empty: none."),
    ] = ""
    webhook_port: Annotated[int, Field(ge=0, le=65535)] = 9443
    lease: Annotated[
        str,
        Field(
            pattern=r"^([a-z0-9.-]{1,63}/[a-z0-9.-]{1,253})?$",
            description="namespace/name of the Lease whose holder works; empty: no other replica.",
        ),
    ] = ""
    pod_name: Annotated[str, Field(description="Reporting instance in Events.")] = "local"
    log_format: Annotated[
        str, Field(pattern=r"^(text|json)$", description="Of the operator and its encoders.")
    ] = "text"
    log_level: Annotated[str, Field(pattern=r"^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"

    @property
    def public_url(self) -> str:
        """Base URL for status.endpoints."""
        return self.origin_public_url or self.origin_url


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read HITLESS_* variables; an empty one counts as absent. Raises pydantic.ValidationError."""
    names = {field: f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    given = {field: environment[name] for field, name in names.items() if environment.get(name)}
    return Settings.model_validate(given)
