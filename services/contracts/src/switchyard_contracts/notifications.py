"""Notifications: whom to tell what became of a rollout, or of a shadow beside the model, and what they are told.

Receivers stand in the chart's values and not in a ModelDeployment: their addresses and keys are secrets (a Slack URL is
one), and to read them by name the operator would need the right to read every Secret of every namespace. What is still
owed stands in the status of the deployment that it is about, written together with what it tells of, so that neither an
operator that dies nor a receiver that is away loses it.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from switchyard_contracts.base import Message, ResourceName, Shape, Status, Timestamp
from switchyard_contracts.quantities import Duration, parse_duration

TOPIC_NOTIFICATIONS = "switchyard.notifications"
URL_OR_NONE = r"^(https?://[A-Za-z0-9.\[\]:-]{1,253}(/\S*)?)?$"


class Event(StrEnum):
    """What is told of."""

    PROMOTED = "Promoted"
    HELD = "Held"
    """It waits for a person, or evidence has been awaited for longer than `heldAfter`."""
    ROLLED_BACK = "RolledBack"
    REFUSED = "Refused"
    """A first revision that never served, a spec that cannot be honoured, or a newer model that had to stay back."""
    COMPARED = "Compared"
    """A rollout is over in which the candidate was only compared, as a shadow or in a trial on users; stable stays."""
    SHADOW = "Shadow"
    """One of spec.shadows is compared now, was judged, is compared no more, or cannot be; `reason` says which."""


class Figure(Status):
    """What one metric came to, in numbers."""

    name: str
    metric: str
    role: str
    verdict: str
    message: str = ""
    samples: int = 0
    needed: int | None = None
    value: float | None = None
    against: float | None = None
    bound: float | None = None
    paired: bool = False


class Notification(Status):
    """One happening, and who has not been told of it yet."""

    id: str
    """Made of the deployment's uid, the rollout (or the shadow) and the event: the same happening has the same one."""
    event: Event
    rollout: str = ""
    """Empty for a spec that was refused, which began none, and for a shadow, which is in none."""
    shadow: str = ""
    """The name of the shadow that it is about; then `revision`, `version` and `figures` are the shadow's."""
    against: str = ""
    """The revision that the shadow is compared with; empty while it is compared with none."""
    revision: str = ""
    version: str = ""
    at: Timestamp
    step: str = ""
    weight: str = ""
    """The candidate's share of the traffic then: `5%`."""
    reason: str = ""
    message: Message = ""
    waiting_for: Message = ""
    figures: list[Figure] = []
    to: list[str] = []
    """The receivers that it is still owed to."""


class Notifications(Status):
    """What was told of this deployment, and what is still owed."""

    told: list[str] = []
    """The newest ids, so that nothing is told twice on purpose."""
    waiting: list[Notification] = []

    @field_validator("waiting", mode="before")
    @classmethod
    def _readable(cls, said: object) -> object:
        """Those that can be read: one event of a newer release must not keep the whole status from an older one."""
        if not isinstance(said, list):
            return said
        return [found for item in said if (found := _read(item)) is not None]


def _read(said: object) -> Notification | None:
    """What is owed; None where it is not of this release, and so nobody could be told of it."""
    try:
        return Notification.model_validate(said)
    except ValidationError:
        return None


class WebhookReceiver(Shape):
    """A POST to a URL; any 2xx is its receipt."""

    url: Annotated[str, StringConstraints(pattern=URL_OR_NONE, max_length=1024)] = ""
    """Empty where it is a secret: then it is the key `url` of `secret`."""
    secret: Annotated[str, StringConstraints(max_length=253)] = ""
    """A Secret beside the operator: its `key` signs what is sent (HMAC-SHA-256), its `url` stands in for `url`."""
    format: Literal["json", "slack"] = "json"
    timeout: Duration = parse_duration("10s")

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if not self.url and not self.secret:
            raise ValueError("url: say it, or name a Secret with the key url in `secret`")
        if not timedelta(milliseconds=100) <= self.timeout <= timedelta(seconds=30):
            raise ValueError("timeout: must be from 100ms to 30s; what is late is sent again")
        return self


class KafkaReceiver(Shape):
    """A record on a topic of the brokers that the chart names, keyed `<namespace>/<name>`."""

    topic: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = TOPIC_NOTIFICATIONS


class Receiver(Shape):
    """Somebody who is told, of which deployments, and of what."""

    name: ResourceName
    deployments: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9-]+/(\*|[a-z0-9.-]+))$", max_length=128)]],
        Field(min_length=1, max_length=256),
    ] = ["*"]
    """`namespace/name`, `namespace/*` or `*`, as the tokens of feedback say it."""
    on: Annotated[list[Event], Field(min_length=1, max_length=8)] = list(Event)
    webhook: WebhookReceiver | None = None
    kafka: KafkaReceiver | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.webhook is None) == (self.kafka is None):
            raise ValueError("set exactly one of webhook and kafka")
        return self

    def hears(self, subject: str, event: Event) -> bool:
        """Whether it is told of this event of `<namespace>/<name>`."""
        scopes = {"*", subject, f"{subject.partition('/')[0]}/*"}
        return event in self.on and not scopes.isdisjoint(self.deployments)
