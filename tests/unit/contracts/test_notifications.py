"""What is owed to receivers, as another release may have written it."""

from __future__ import annotations

from typing import Any

from switchyard_contracts.model_deployment import ModelDeploymentStatus, Phase


def owed(id: str, event: str) -> dict[str, Any]:
    return {"id": id, "event": event, "at": "2026-01-01T12:00:00.000000Z", "to": ["desk"]}


def test_a_notification_of_a_newer_release_is_passed_over_and_the_status_is_read() -> None:
    rollout = {"id": "delay-1.1", "revision": "delay-1", "phase": "Watching", "way": "Canary"}
    waiting = [owed("new", "Eclipse"), owed("known", "Held")]
    body = {"rollout": rollout, "notifications": {"told": ["new", "known"], "waiting": waiting}}
    status = ModelDeploymentStatus.model_validate(body)
    assert status.rollout
    assert status.rollout.phase is Phase.WATCHING
    assert status.notifications
    assert [(item.id, item.to) for item in status.notifications.waiting] == [("known", ["desk"])]
    assert status.notifications.told == ["new", "known"]
