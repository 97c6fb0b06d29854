"""Kopf's door: what it hears is stored and queued, and nothing it hears makes it write."""

from __future__ import annotations

import copy
from typing import Any

import kopf
import pytest
from switchyard_contracts.base import LABEL_DEPLOYMENT
from switchyard_operator import handlers
from switchyard_operator.cache import Cache
from switchyard_operator.domain import kinds
from switchyard_operator.handlers import Door, Pulse
from switchyard_operator.workqueue import WorkQueue


def door() -> Door:
    return Door(cache=Cache(), queue=WorkQueue(lambda: 0.0), monotonic=lambda: 42.0, pulse=Pulse(0.0))


def event(kind: str | None, **labels: str) -> dict[str, Any]:
    metadata = {"name": "delay-x", "namespace": "air", "uid": "1", "resourceVersion": "1", "labels": labels}
    return {"type": kind, "object": {"metadata": metadata}}


@pytest.mark.parametrize("kind", [None, "ADDED", "MODIFIED"])
def test_a_child_is_stored_and_its_deployment_queued(kind: str | None) -> None:
    at = door()
    copy.copy(at).hear(kinds.POD, event(kind, **{LABEL_DEPLOYMENT: "delay"}))
    assert at.queue.get(0) == ("air", "delay")
    assert at.cache.get(kinds.POD, "air", "delay-x") is not None
    assert at.pulse.at == 42.0


def test_a_deletion_is_forgotten_and_its_deployment_queued() -> None:
    at = door()
    at.hear(kinds.POD, event("ADDED", **{LABEL_DEPLOYMENT: "delay"}))
    assert at.queue.get(0)
    at.queue.done(("air", "delay"))
    at.hear(kinds.POD, event("DELETED", **{LABEL_DEPLOYMENT: "delay"}))
    assert at.queue.get(0) == ("air", "delay")
    assert at.cache.get(kinds.POD, "air", "delay-x") is None


def test_nobodys_object_queues_nothing() -> None:
    at = door()
    at.hear(kinds.POD, event("ADDED"))
    assert at.queue.get(0) is None


@pytest.mark.rule("deletion")
def test_the_door_watches_and_needs_no_finalizer() -> None:
    registry = kopf.OperatorRegistry()
    handlers.register(registry)
    watched = {
        handler.selector.any_name or handler.selector.plural
        for handler in registry._watching.get_all_handlers()
        if handler.selector
    }
    assert watched == {kind.plural for kind in (*handlers.OURS, *handlers.CHILDREN)}
    assert not list(registry._changing.get_all_handlers())
    assert not list(registry._spawning.get_all_handlers())
