"""The base of all models of the custom resources and of what goes over HTTP."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Base: camelCase outside, snake_case inside, frozen, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


def without_none(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """A dumped model without these fields where they are None."""
    return {name: v for name, v in body.items() if name not in names or v is not None}
