"""Telling others what happened: Kubernetes events for people, records on Kafka for machines. Nothing waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.base import FIELD_MANAGER, LABEL_DEPLOYMENT, LABEL_REVISION
from switchyard_contracts.canonical import digest
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.quantities import format_percent
from switchyard_contracts.topics import ModelRecord, RolloutRecord

from switchyard_operator.cache import Key
from switchyard_operator.domain.commands import Answer
from switchyard_operator.domain.decision import Plan
from switchyard_operator.domain.lineage import write_time
from switchyard_operator.domain.rules import Move
from switchyard_operator.domain.world import Body, Command, World
from switchyard_operator.ports import Bus

logger = logging.getLogger(__name__)

WARNINGS = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.REFUSED})


class Notes(Protocol):
    """Where Kubernetes events go; losing one is never an error."""

    def post(self, body: Body) -> None:
        """Create the event if it is not there yet."""


class Reporter:
    """Says each thing once: what it said last is remembered, and ids are hashes of the content."""

    def __init__(self, *, bus: Bus, notes: Notes, reasserted: Callable[[str], None]) -> None:
        self._bus = bus
        self._notes = notes
        self._reasserted = reasserted
        self._last: dict[Key, str] = {}

    def tell(self, world: World, plan: Plan) -> None:
        """What a pass came to."""
        key = world.namespace, world.name
        self._bus.publish_model(model_record(world, plan))
        record = rollout_record(world, plan)
        if self._last.get(key) == record.id:
            return
        self._last[key] = record.id
        self._bus.publish_rollout(record)
        self._tell_people(world, plan)

    def _tell_people(self, world: World, plan: Plan) -> None:
        """An event for each act, and for each phase of a step once."""
        held, old, acted = plan.memory, world.status.rollout, plan.decision.move is not Move.HOLD
        if not acted and old and (old.id, old.phase) == (held.id, held.phase):
            return
        traffic = str(world.route.generation) if acted and world.route else ""
        at = f" at {format_percent(held.weight_bp)}" if held.weight_bp else ""
        words = f"{held.version or held.revision}: {held.phase.value}{at}: {held.message}"
        kind = "Warning" if held.phase in WARNINGS else "Normal"
        salt = digest([held.id, held.step, held.phase, traffic])
        self._note(world, kind=kind, reason=held.reason or held.phase.value, message=words, salt=salt)

    def answered(self, world: World, command: Command, answer: Answer) -> None:
        """A command's result."""
        result = answer.status
        words = f"{command.spec.verb.value} by {command.spec.requested_by}: {result.result}: {result.message}"
        kind = "Normal" if result.result == "Accepted" else "Warning"
        self._note(world, kind=kind, reason=f"Command{result.result}", message=words, salt=command.uid)

    def rejected(self, body: Body, error: SpecRejected) -> None:
        """A spec that cannot be honoured."""
        metadata = body["metadata"]
        generation = str(metadata.get("generation"))
        self._post(metadata, kind="Warning", reason=error.reason, message=str(error), salt=generation, at=None)

    def reasserted(self, held: Body) -> None:
        """A child that is written again; where somebody else wrote to it too, it is counted, and who it was is said."""
        fields = held["metadata"].get("managedFields") or []
        others = sorted({item.get("manager", "") for item in fields} - {FIELD_MANAGER, "kube-controller-manager"})
        if others:
            self._reasserted(held["kind"])
            name = f"{held['kind']} {held['metadata']['namespace']}/{held['metadata']['name']}"
            labels = held["metadata"].get("labels") or {}
            names = {
                "object": name,
                "deployment": f"{held['metadata']['namespace']}/{labels.get(LABEL_DEPLOYMENT, '')}",
                "revision": labels.get(LABEL_REVISION, ""),
            }
            logger.warning("%s was changed by %s; set back", name, ", ".join(others), extra=names)

    def gone(self, key: Key) -> None:
        """The deployment was deleted."""
        self._last.pop(key, None)
        self._bus.forget_model("/".join(key))

    def _note(self, world: World, *, kind: str, reason: str, message: str, salt: str) -> None:
        metadata = {"namespace": world.namespace, "name": world.name, "uid": world.uid}
        self._post(metadata, kind=kind, reason=reason, message=message, salt=salt, at=write_time(world.now))

    def _post(self, metadata: Any, *, kind: str, reason: str, message: str, salt: str, at: str | None) -> None:
        name = f"{metadata['name']}.{digest([metadata['uid'], reason, salt])[:16]}"
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "switchyard.dev/v1alpha1",
                "kind": "ModelDeployment",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "count": 1,
        }
        if at:
            body |= {"firstTimestamp": at[:19] + "Z", "lastTimestamp": at[:19] + "Z"}
        self._notes.post(body)


def model_record(world: World, plan: Plan) -> ModelRecord:
    """The deployment as the monitor needs to know it."""
    line = plan.bearings.lineage
    route = world.route
    return ModelRecord(
        namespace=world.namespace,
        name=world.name,
        generation=world.generation,
        monitoring=world.spec.monitoring,
        analysis=world.spec.analysis,
        stable=line.stable.name if line.stable else "",
        traffic=route.generation if route else 0,
        routes=list(route.spec.routes) if route else [],
        rollout_id=route.spec.rollout_id if route else "",
        versions={
            name: revision.version
            for name, revision in sorted(world.revisions.items())
            if name in plan.replicas or name in (line.target.name, line.stable.name if line.stable else "")
        },
    )


def rollout_record(world: World, plan: Plan) -> RolloutRecord:
    """Where the rollout stands; its id is a hash of that, so that saying it twice is saying it once."""
    held = plan.memory
    traffic = world.route.generation if world.route else 0
    verdicts = [(item.name, item.verdict) for item in held.verdicts]
    said = [held.id, held.phase, held.step, held.weight_bp, traffic, held.reason, verdicts]
    return RolloutRecord(
        id=digest([world.namespace, world.name, world.uid, *said])[:32],
        namespace=world.namespace,
        name=world.name,
        rollout=held.id,
        revision=held.revision,
        version=held.version,
        at=world.now,
        phase=held.phase.value,
        step=held.step,
        weight_bp=held.weight_bp,
        traffic=traffic,
        reason=held.reason,
        message=held.message,
        waiting_for=held.waiting_for,
        verdicts=held.verdicts,
    )
