"""The model itself, as a resource names it: a BentoML image, what configures it, and what is known of its making."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from switchyard_contracts.base import ResourceName, Shape, Text
from switchyard_contracts.containers import EnvVar, Image

SEMANTIC_VERSION = r"^[0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6}(-[0-9A-Za-z.-]{1,40})?(\+[0-9A-Za-z.-]{1,40})?$"


class ConfigSource(Shape):
    """A whole ConfigMap or Secret as environment. A ConfigMap is copied with the revision, so that it rolls back."""

    config_map: ResourceName | None = None
    """The name of a ConfigMap of the deployment's namespace."""
    secret: ResourceName | None = None
    """The name of a Secret of the deployment's namespace."""


class ModelConfig(Shape):
    """Configuration that belongs to the model: a change of it is a new revision."""

    env: Annotated[list[EnvVar], Field(max_length=64)] = []
    """Environment variables of the model's container."""
    env_from: Annotated[list[ConfigSource], Field(max_length=16)] = []
    """Whole ConfigMaps and Secrets as environment."""


class Provenance(Shape):
    """From which code and data the model came."""

    git_commit: Text | None = None
    """The commit of the code that trained the model."""
    data_digest: Text | None = None
    """A digest of the data it was trained on."""
    training_run: Text | None = None
    """The id of the run, in whatever tracks your runs."""
    pipeline: Text | None = None
    """The name of the pipeline that made it."""
    retrain_request: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$", max_length=32)] | None = None
    """The id of the request to retrain that it answers, as SWITCHYARD_RETRAIN_REQUEST told whoever trained it."""


class Model(Shape):
    """The model: a BentoML image, and what is known of its making."""

    image: Image
    """The BentoML image, by tag or digest; `kubectl switchyard pin` turns a tag into a digest."""
    version: Annotated[str, StringConstraints(pattern=SEMANTIC_VERSION, max_length=64)] | None = None
    """The model's semantic version. Where it is not said, the Bento's own, as a pod answers it."""
    provenance: Provenance | None = None
    config: ModelConfig | None = None


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    ConfigSource: [
        {"rule": "has(self.configMap) != has(self.secret)", "message": "set exactly one of configMap and secret"},
    ],
}
