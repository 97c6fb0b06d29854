"""ModelCommand: a person's word to a rollout. Consumed once; the result stands in its status."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from switchyard_contracts.base import Message, ResourceName, Shape, Status, Timestamp


class Verb(StrEnum):
    PROMOTE = "promote"
    ABORT = "abort"
    RETRY = "retry"
    PAUSE = "pause"
    RESUME = "resume"
    ROLLBACK = "rollback"
    APPROVE = "approve"


class ModelCommandSpec(Shape):
    """Who wants what, of which rollout. A command that names no live rollout is refused."""

    deployment: ResourceName
    verb: Verb
    rollout: Annotated[str, Field(max_length=80)] | None = None
    """`<revision>.<attempt>`; needed for promote, abort, pause, resume, approve."""
    step: ResourceName | None = None
    """For promote: the step it was meant for, so that the same command cannot promote twice."""
    revision: ResourceName | None = None
    """For retry: which revision may try again. For rollback: which revision to go back to."""
    override: bool | None = None
    """For promote of every step: one ready pod is enough, and gates are passed too. Needs a reason; it is recorded."""
    gate: ResourceName | None = None
    """For approve: the gate that is approved; needed where more than one waits for a person."""
    reason: Annotated[str, Field(max_length=1024)] = ""
    requested_by: Annotated[str, Field(min_length=1, max_length=256)]
    """The caller's own user name; an admission policy holds it to that."""


class ModelCommandStatus(Status):
    """What became of it, said once."""

    result: Literal["Accepted", "Refused"] | None = None
    reason: str = ""
    message: Message = ""
    observed_at: Timestamp | None = None


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    ModelCommandSpec: [
        {"rule": "self == oldSelf", "message": "a command cannot be edited; create another"},
        {
            "rule": "self.verb == 'approve' || !has(self.gate)",
            "message": "gate may be set only for approve",
            "fieldPath": ".gate",
        },
        {
            "rule": "!(self.verb in ['promote', 'abort', 'pause', 'resume', 'approve']) || has(self.rollout)",
            "message": "this verb needs the rollout it is meant for (status.rollout.id of the ModelDeployment)",
            "fieldPath": ".rollout",
        },
        {
            "rule": "!(self.verb in ['retry', 'rollback']) || has(self.revision)",
            "message": "this verb needs the revision it is meant for",
            "fieldPath": ".revision",
        },
        {
            "rule": "!has(self.override) || !self.override || (self.verb == 'promote' && !has(self.step))",
            "message": "override is for a promote of every step; leave step out, or override",
            "fieldPath": ".override",
        },
        {
            "rule": "!has(self.override) || !self.override || self.reason != ''",
            "message": "an override needs a reason, which is recorded",
            "fieldPath": ".reason",
        },
    ],
}
