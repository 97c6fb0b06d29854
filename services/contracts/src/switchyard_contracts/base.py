"""The base of every resource type: camelCase outside, snake_case inside, frozen, and strict about unknown fields."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

GROUP = "switchyard.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_DEPLOYMENT = f"{GROUP}/deployment"
LABEL_REVISION = f"{GROUP}/revision"
LABEL_ROLLOUT = f"{GROUP}/rollout"
LABEL_REQUEST = f"{GROUP}/retrain-request"
"""On the Job that answers a request to retrain, and on the ModelRevision that came of it: the request's id."""
PROMOTED_AT = f"{GROUP}/promoted-at"
ROLLED_BACK_AT = f"{GROUP}/rolled-back-at"
ROUTED_AT = f"{GROUP}/routed-at"
FIELD_MANAGER = "switchyard-operator"

NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"


class Shape(BaseModel):
    """A part of a resource. Unknown fields are errors: a misspelt limit must never pass as no limit."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    def to_json(self) -> dict[str, Any]:
        """The resource's own form: camelCase, without what was never said."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Status(Shape):
    """What the operator writes. A field of a newer release is passed over, so a downgrade can still read it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


def _write_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Timestamp = Annotated[
    datetime, PlainSerializer(_write_time, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]

ResourceName = Annotated[str, StringConstraints(pattern=NAME_PATTERN, min_length=1, max_length=63)]
Text = Annotated[str, StringConstraints(max_length=1024)]
Message = Annotated[str, StringConstraints(max_length=4096)]
JsonPath = Annotated[
    str, Field(max_length=256, pattern=r"^\$([.][A-Za-z_][A-Za-z0-9_]*|\[[0-9]{1,4}\]|\['[^']{1,64}'\])*$")
]
"""An RFC 9535 singular path, such as `$.delay` or `$.items[0].score`: it names one value or none."""
