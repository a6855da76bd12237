"""The base of all models of the custom resources and of what goes over HTTP; types they share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$")]
Instant = Annotated[AwareDatetime, Field(json_schema_extra={"format": "date-time"})]


class Model(BaseModel):
    """Base: camelCase outside, snake_case inside, frozen, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


def without_none(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """A dumped model without these fields where they are None."""
    return {name: v for name, v in body.items() if name not in names or v is not None}
