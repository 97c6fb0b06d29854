"""Retraining: what is started, once per cool-down, while an alarm says that the model has grown old.

The monitor asks for it, with its evidence; the operator starts the Job or calls the webhook, and tells it the request's
id. A model that comes of it names that id in `model.provenance.retrainRequest`, so it can be told why it was made.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from switchyard_contracts.alarms import LONGEST_COOLDOWN, MOST_ALARMS
from switchyard_contracts.base import Message, ResourceName, Shape, Status, Timestamp
from switchyard_contracts.containers import EnvVar, Image, Resources
from switchyard_contracts.gates import EvaluationData, Word
from switchyard_contracts.model import ConfigSource
from switchyard_contracts.quantities import Duration, format_duration, parse_duration


class TrainingJob(Shape):
    """A Job that trains. It is told which request it answers and by what evidence, in its environment."""

    image: Image
    """The image of the Job's container."""
    command: Annotated[list[Word], Field(max_length=32)] = []
    """What it runs; the image's own entry point where nothing is said."""
    args: Annotated[list[Word], Field(max_length=64)] = []
    """Arguments."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = []
    """Environment variables, beside those by which it is told of the request: SWITCHYARD_RETRAIN_REQUEST,
    SWITCHYARD_RETRAIN_EVIDENCE (JSON), SWITCHYARD_DEPLOYMENT and SWITCHYARD_STABLE_REVISION, _VERSION and _IMAGE."""
    env_from: Annotated[list[ConfigSource], Field(max_length=16)] = []
    """Whole ConfigMaps and Secrets as environment, such as who may push an image."""
    resources: Resources | None = None
    """What its container asks of a node, and may take at most."""
    data: EvaluationData | None = None
    """The data to train on, mounted read-only at /data."""
    service_account_name: ResourceName | None = None
    """The ServiceAccount of its pod; its token is not mounted."""
    within: Duration = parse_duration("6h")
    """How long it may take; at most 7d."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not timedelta(seconds=1) <= self.within <= timedelta(days=7):
            raise ValueError(f"within: {format_duration(self.within)} is not from 1s to 7d; write one such as 6h")
        return self


class TrainingWebhook(Shape):
    """Whom to tell by a POST of the request; any 2xx is its receipt."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.\[\]:-]{1,253}(/[^\s]*)?$", max_length=1024)]
    """Where the request is sent."""
    timeout: Duration = parse_duration("10s")
    """How long it may take to answer; at most 30s."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not timedelta(milliseconds=100) <= self.timeout <= timedelta(seconds=30):
            raise ValueError("timeout: must be from 100ms to 30s; who trains for longer takes the request and answers")
        return self


class Retrain(Shape):
    """By which alarms a model is trained anew, and how. With neither a job nor a webhook it is only asked for."""

    alarms: Annotated[list[ResourceName], Field(min_length=1, max_length=MOST_ALARMS)]
    """The names of alarms; it is asked for while one of them fires."""
    cooldown: Duration = parse_duration("24h")
    """How long it is not asked for again; from 1s to 90d."""
    job: TrainingJob | None = None
    """A Job to start, in the deployment's namespace."""
    webhook: TrainingWebhook | None = None
    """Somebody to tell."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.job and self.webhook:
            raise ValueError("set at most one of job and webhook")
        if not timedelta(seconds=1) <= self.cooldown <= LONGEST_COOLDOWN:
            raise ValueError(f"cooldown: {format_duration(self.cooldown)} is not from 1s to 90d; write one such as 24h")
        return self

    @property
    def published(self) -> Retrain:
        """What others are told of it: when it is asked for, not how it is done."""
        return self.model_copy(update={"job": None, "webhook": None})


class TrainingPhase(StrEnum):
    """What became of a request to retrain."""

    STARTED = "Started"
    """Its Job is there."""
    TOLD = "Told"
    """The webhook has taken it."""
    ASKED = "Asked"
    """The spec names neither: whoever reads the topic or is notified may train."""
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    WAITING = "Waiting"
    """It could not be started yet, or is not due."""
    PASSED_OVER = "PassedOver"
    """It grew too old before it could be started."""


class TrainingState(Status):
    """One request to retrain, and what became of it."""

    request: str
    """Its id, which the candidate that comes of it names."""
    alarm: str = ""
    requested_at: Timestamp | None = None
    """By the events' own clock."""
    started_at: Timestamp | None = None
    phase: TrainingPhase = TrainingPhase.WAITING
    job: str = ""
    because: Message = ""
    """What the alarm said, in numbers."""
    message: Message = ""
    """What came of it."""


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    Retrain: [{"rule": "!(has(self.job) && has(self.webhook))", "message": "set at most one of job and webhook"}],
}
"""What the API server itself checks of retraining."""
