"""Kubernetes events on a real cluster: on the right objects, with what to do, and counted when a state comes again."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client
from switchyard_testkit.apiserver import api_client
from switchyard_testkit.models import Models
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(240)
BY_HAND = {
    "serving": {"paths": ["/predict"], "port": 3000},
    "strategy": {"type": "BlueGreen", "blueGreen": {"autoPromote": False}},
}


def events(models: Models, name: str, kind: str = "ModelDeployment") -> dict[str, Any]:
    """What `kubectl events --for` shows of an object, by reason."""
    with api_client(models.installation.slot) as api:
        selector = f"involvedObject.kind={kind},involvedObject.name={name}"
        found = client.CoreV1Api(api).list_namespaced_event(models.namespace, field_selector=selector)
    return {event.reason: event for event in found.items}


def wait_for(models: Models, name: str, reason: str, *, count: int = 1, kind: str = "ModelDeployment") -> Any:
    def told() -> Any:
        event = events(models, name, kind).get(reason)
        return event if event is not None and event.count >= count else None

    return until(told, f"{kind} {name} has the event {reason}, {count} times", seconds=60)


def test_a_person_is_told_what_waits_for_them_and_a_state_that_comes_again_is_counted(models: Models) -> None:
    models.apply("delay", env={"VERSION": "1.0.0"}, spec=BY_HAND)
    models.serving("delay", "1.0.0")
    first = wait_for(models, "delay", "Deployed")
    assert (first.type, first.source.component) == ("Normal", "switchyard-operator")

    models.apply("delay", env={"VERSION": "2.0.0"}, spec=BY_HAND)
    waiting = wait_for(models, "delay", "AwaitingPerson")
    assert waiting.type == "Warning"
    assert "kubectl switchyard promote delay" in waiting.message

    rollout = models.status("delay")["rollout"]
    assert models.command("delay", "pause", rollout=rollout["id"])["result"] == "Accepted"
    wait_for(models, "delay", "Paused")
    assert models.command("delay", "resume", rollout=rollout["id"])["result"] == "Accepted"
    again = wait_for(models, "delay", "AwaitingPerson", count=2)
    assert again.metadata.uid == waiting.metadata.uid
    assert again.last_timestamp >= again.first_timestamp  # of whole seconds

    assert models.command("delay", "abort", rollout=rollout["id"], reason="seen enough")["result"] == "Accepted"
    back = wait_for(models, "delay", "TakenBack")
    assert back.type == "Normal"
    assert "seen enough" in back.message
    assert wait_for(models, rollout["revision"], "TakenBack", kind="ModelRevision").message == back.message
