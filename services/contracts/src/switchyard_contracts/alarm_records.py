"""What the monitor says of alarms: records of the topic `switchyard.alarms`, and the answers of its API about them."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import ValidationError, ValidationInfo, field_validator

from switchyard_contracts.base import Timestamp
from switchyard_contracts.events import Part


class AlarmEvent(StrEnum):
    """What is said of an alarm."""

    FIRED = "Fired"
    RECOVERED = "Recovered"
    CLOSED = "Closed"
    """It fired, and what it was about is no more: another revision serves, or the rule was changed or taken out."""
    RETRAIN_REQUESTED = "RetrainRequested"


class Standing(StrEnum):
    """What one window says."""

    BREACH = "Breach"
    CLEAR = "Clear"
    BETWEEN = "Between"
    """Within the limit, but not within what clears it."""
    NO_DATA = "NoData"


class Look(Part):
    """One window that was judged, once."""

    start: Timestamp
    standing: Standing
    value: float | None = None
    samples: int = 0
    message: str = ""


class DriftedFeature(Part):
    """What of X or Y differs from the reference by more than is usual."""

    feature: str
    side: str
    aspect: str
    effect: float
    """PSI of a distribution, else a share of rows."""
    usual: float
    """What 99 % of the reference's own windows stay below."""
    p: float | None = None


class AlarmRecord(Part):
    """One thing that is said of an alarm, with the numbers it rests on; a record of the topic `switchyard.alarms`."""

    id: str
    """A hash of the deployment, the rule, the window, the revision and the alarm that was closed before, so that a
    record sent twice is one."""
    event: AlarmEvent
    namespace: str
    name: str
    alarm: str
    """The rule's name."""
    metric: str
    feature: str = ""
    revision: str = ""
    """Which it is about; empty where it is about all who serve."""
    version: str = ""
    at: Timestamp
    """When the window that decided it could be judged, by the events' own clock."""
    fired_at: Timestamp | None = None
    value: float | None = None
    samples: int = 0
    limit: str = ""
    """As people wrote it: `max 12.5`."""
    clear: str = ""
    window_seconds: int = 0
    breaches: int = 0
    of: int = 0
    looks: list[Look] = []
    """The last windows, oldest first."""
    features: list[DriftedFeature] = []
    """The worst first, and not all of many."""
    baseline: str = ""
    """The reference that it was held against."""
    cause: str = ""
    """The id of the alarm, for what follows from one."""
    reason: str = ""
    message: str = ""

    @property
    def subject(self) -> str:
        """`<namespace>/<name>`."""
        return f"{self.namespace}/{self.name}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """From JSON; None where it is not of this release."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None


class AlarmState(Part):
    """How one rule stands."""

    alarm: str
    metric: str
    feature: str = ""
    revision: str = ""
    firing: bool = False
    fired_at: Timestamp | None = None
    """When it fired last, by the events' own clock."""
    event: str = ""
    """The id of the record that said so."""
    value: float | None = None
    limit: str = ""
    clear: str = ""
    next_window: Timestamp | None = None
    """The start of the window that is judged next."""
    looks: list[Look] = []
    message: str = ""


class AlarmBook(Part):
    """A deployment's rules and what was said of them."""

    deployment: str
    alarms: list[AlarmState] = []
    records: list[AlarmRecord] = []
    """The newest, newest first."""
    request: AlarmRecord | None = None
    """The newest request to retrain."""

    @field_validator("alarms", "records", mode="before")
    @classmethod
    def _readable(cls, said: object, info: ValidationInfo) -> object:
        """Those that can be read: one of a newer release must not keep all the others from an older one."""
        kind: type[Part] = AlarmState if info.field_name == "alarms" else AlarmRecord
        return [found for item in said if (found := _read(kind, item)) is not None] if isinstance(said, list) else said

    @field_validator("request", mode="before")
    @classmethod
    def _request(cls, said: object) -> object:
        return None if said is None else _read(AlarmRecord, said)


def _read(kind: type[Part], said: object) -> Part | None:
    try:
        return kind.model_validate(said)
    except ValidationError:
        return None


class AlarmHead(Part):
    """Whether there is anything new about a deployment."""

    deployment: str
    newest: str
    """The id of the newest record."""
    firing: int = 0
