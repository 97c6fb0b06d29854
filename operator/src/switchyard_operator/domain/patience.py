"""Deadlines stand still while the rollout is held: time in which it was paused, suspended or frozen is not waited."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from switchyard_contracts.model_deployment import Pause

MOST = 32
"""More pauses than this are told as the newest ones."""


def elapsed(since: datetime, *, now: datetime, pauses: Sequence[Pause]) -> timedelta:
    """How long it has been, but for the pauses."""
    stood = sum((_overlap(pause, since=since, now=now) for pause in pauses), timedelta(0))
    return max(timedelta(0), now - since - stood)


def noted(pauses: Sequence[Pause], *, held: bool, now: datetime) -> list[Pause]:
    """The pauses with the present one begun, or with the last one ended."""
    running = bool(pauses) and pauses[-1].until is None
    if held and not running:
        return [*pauses, Pause(since=now)][-MOST:]
    if running and not held:
        return [*pauses[:-1], pauses[-1].model_copy(update={"until": now})]
    return list(pauses)


def _overlap(pause: Pause, *, since: datetime, now: datetime) -> timedelta:
    return max(timedelta(0), min(now, pause.until or now) - max(since, pause.since))
