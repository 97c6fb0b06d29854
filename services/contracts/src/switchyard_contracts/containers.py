"""What a container is made of, as the resources say it: an image, its environment, what it may take of the node."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema, model_validator

from switchyard_contracts.base import Shape

IMAGE_PATTERN = r"^[a-z0-9][a-zA-Z0-9._:/-]{0,255}(@sha256:[a-f0-9]{64})?$"

Image = Annotated[str, StringConstraints(pattern=IMAGE_PATTERN, max_length=512)]
QUANTITY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,6})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"


def _spelt(value: object) -> object:
    """`nvidia.com/gpu: 1` is `"1"`, as Kubernetes reads it too."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    BeforeValidator(_spelt),
    StringConstraints(pattern=QUANTITY_PATTERN, max_length=24),
    WithJsonSchema({"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN, "minimum": 0, "maxLength": 24}),
]


class EnvVar(Shape):
    """One environment variable; Secrets are referenced, never copied."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    """The variable's name."""
    value: Annotated[str, StringConstraints(max_length=8192)] = ""
    """Its value."""


class Resources(Shape):
    """Requests and limits of a container, as Kubernetes writes quantities."""

    requests: Annotated[dict[str, Quantity], Field(max_length=8)] = {}
    """What the scheduler sets aside, such as `cpu: 500m` and `memory: 1Gi`."""
    limits: Annotated[dict[str, Quantity], Field(max_length=8)] = {}
    """GPUs among them, by the name that their device plugin gives them: `nvidia.com/gpu: 1`."""

    @model_validator(mode="after")
    def _devices_are_whole(self) -> Self:
        for name, wanted in (*self.requests.items(), *self.limits.items()):
            if "/" not in name:
                continue
            if not wanted.isdecimal():
                raise ValueError(
                    f"limits.{name}: {wanted!r} is no number of devices; they are given out whole, such as 1"
                )
            if self.limits.get(name) != wanted:
                raise ValueError(
                    f"limits.{name}: devices are not shared, so it must equal requests.{name}; say the limit"
                )
        return self
