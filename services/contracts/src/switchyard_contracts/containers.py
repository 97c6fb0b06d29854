"""What a container is made of, as the resources say it: an image, its environment, what it may take of the node."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from switchyard_contracts.base import Shape

IMAGE_PATTERN = r"^[a-z0-9][a-zA-Z0-9._:/-]{0,255}(@sha256:[a-f0-9]{64})?$"

Image = Annotated[str, StringConstraints(pattern=IMAGE_PATTERN, max_length=512)]
Quantity = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{1,15}(\.[0-9]{1,6})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$", max_length=24)
]


class EnvVar(Shape):
    """One environment variable; Secrets are referenced, never copied."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128)]
    value: Annotated[str, StringConstraints(max_length=8192)] = ""


class Resources(Shape):
    """Requests and limits of a container, as Kubernetes writes quantities."""

    requests: Annotated[dict[str, Quantity], Field(max_length=8)] = {}
    limits: Annotated[dict[str, Quantity], Field(max_length=8)] = {}
