"""What a rollout waits for, at this moment: a hold is counted down here, since a status says it only now and then."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from switchyard_contracts.model_deployment import RolloutStatus
from switchyard_contracts.spans import span

from switchyard_cli.course import Course, Way, plot
from switchyard_cli.facts import Deployment

HOLDING = "Holding"
"""The reason by which the operator says that a step's time runs."""


def waits(item: Deployment, *, now: datetime) -> str:
    """The sentence, empty where nothing is waited for."""
    rollout = item.rollout
    if rollout is None or rollout.reason != HOLDING:
        return rollout.waiting_for if rollout else ""
    course, records = course_of(item, rollout), rollout.steps_done
    step = next((one for one in course.steps if one.name == rollout.step), None) if course else None
    since = records[-1].synced_at if records else None
    if step is None or since is None:
        return rollout.waiting_for
    left = math.ceil((step.hold - (now - since)).total_seconds())
    if left <= 0:
        # What comes after the hold, a guard or the next step, is the operator's to say, and it has not looked since.
        return f"the operator's next pass, as step {step.name} has had its {span(step.hold)}"
    return f"{span(timedelta(seconds=left))} more of step {step.name}"


def course_of(item: Deployment, rollout: RolloutStatus) -> Course | None:
    """The steps of the rollout as the spec has them now; None where the spec cannot be read."""
    if item.spec is None:
        return None
    return plot(item.spec, Way(rollout.way) if rollout.way in list(Way) else Way.NEW)
