"""Conditions: what is true of a deployment, in the words that Kubernetes tools read.

`Accepted`, `Available`, `TrafficSynced` and `Judged` are judged one by one; `Ready` is computed from them.
`Reconciling` and `Stalled` are kstatus' and stand only while they are true, never both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from switchyard_contracts.base import Message, Status, Timestamp

ConditionStatus = Literal["True", "False", "Unknown"]

ACCEPTED = "Accepted"
"""The spec can be honoured. Reasons: Valid, ShadowEnded, TrialEnded, Invalid, TestUnderWay, RolledBackRevision."""
AVAILABLE = "Available"
"""Users get answers. Reasons: Serving, Impaired, NoReadyPods, NotDeployed."""
TRAFFIC_SYNCED = "TrafficSynced"
"""Every ready gateway runs the newest route. Reasons: Acknowledged, Waiting, GatewaySilent, RejectedByGateway,
NoGateway."""
JUDGED = "Judged"
"""The evidence says what is to be known. Reasons: Passed, Failed, AwaitingEvidence, NothingToJudge, NoWinner,
EvidenceUnavailable."""
READY = "Ready"
"""All of the above, said by the worst of them."""
RECONCILING = "Reconciling"
"""Something is on its way to be as the spec says: a rollout that is not over, or pods that are not ready. Reasons: the
rollout's own, WaitingForPods."""
STALLED = "Stalled"
"""A person has to act: the revision was taken back or refused, or failed where `rollback.automatic` is false; the spec
cannot be honoured; the API server refuses what it asks for. Reasons: the rollout's own, those of `Accepted`,
RefusedByApiServer."""

TAKEN_BACK = "RolledBackRevision"
"""Why `Accepted` is False once the spec asks for a revision that was taken back."""


class Condition(Status):
    """One thing that is true, false or not known, since when and why."""

    type: str
    status: ConditionStatus
    reason: str
    message: Message = ""
    observed_generation: int = 0
    last_transition_time: Timestamp


def put(held: Iterable[Condition], new: Condition) -> list[Condition]:
    """Replace the condition of that type; its clock moves only when its status does."""
    by_type = {condition.type: condition for condition in held}
    old = by_type.get(new.type)
    if old and old.status == new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    by_type[new.type] = new
    return sorted(by_type.values(), key=lambda condition: (condition.type != READY, condition.type))


def drop(held: Iterable[Condition], kind: str) -> list[Condition]:
    """Take away a condition that stands only while it is true."""
    return [condition for condition in held if condition.type != kind]


def summary(parts: Sequence[Condition], *, generation: int, now: datetime) -> Condition:
    """Ready, said by the worst part: False speaks before Unknown, and both before True."""
    worst = min(parts, key=lambda part: ("False", "Unknown", "True").index(part.status))
    return Condition(
        type=READY,
        status=worst.status,
        reason="Ready" if worst.status == "True" else worst.reason,
        message="" if worst.status == "True" else worst.message,
        observed_generation=generation,
        last_transition_time=now,
    )
