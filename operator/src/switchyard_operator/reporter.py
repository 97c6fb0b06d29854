"""Telling others what happened: Kubernetes events for people, records on Kafka for machines. Nothing waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.base import FIELD_MANAGER, LABEL_DEPLOYMENT, LABEL_REVISION
from switchyard_contracts.canonical import digest
from switchyard_contracts.model_deployment import Analysis, Monitoring, ShadowState, ShadowStatus
from switchyard_contracts.topics import ModelRecord, RolloutRecord, ShadowRecord

from switchyard_operator.cache import Key
from switchyard_operator.domain.commands import Answer
from switchyard_operator.domain.lineage import write_time
from switchyard_operator.domain.notes import Note, notes
from switchyard_operator.domain.plan import Plan
from switchyard_operator.domain.remedies import failing
from switchyard_operator.domain.world import Body, Command, World
from switchyard_operator.ports import Bus

logger = logging.getLogger(__name__)

MOST_WORDS = 1024
"""Of one shadow's message in a record; what is judged is told by its verdicts."""


class Notes(Protocol):
    """Where Kubernetes events go; losing one is never an error."""

    def post(self, body: Body) -> None:
        """Create the event; one that is there already is counted up, and says what it says now."""


class Reporter:
    """Says each thing once: what it said last is remembered, and ids are hashes of the content."""

    def __init__(self, *, bus: Bus, notes: Notes, reasserted: Callable[[str], None]) -> None:
        self._bus = bus
        self._notes = notes
        self._reasserted = reasserted
        self._last: dict[Key, str] = {}
        self._noted: dict[Key, frozenset[Note]] = {}
        """What the last pass told of each: a state is told when it begins, not for as long as it lasts."""
        self._hindered: dict[Key, str] = {}

    def tell(self, world: World, plan: Plan) -> None:
        """What a pass came to."""
        key = world.namespace, world.name
        self._bus.publish_model(model_record(world, plan))
        self._hindered.pop(key, None)
        self._tell_people(key, world, plan)
        record = rollout_record(world, plan)
        if self._last.get(key) == record.id:
            return
        self._last[key] = record.id
        self._bus.publish_rollout(record)

    def _tell_people(self, key: Key, world: World, plan: Plan) -> None:
        """An event for what happened or began to be so, on the deployment and on the revision that it is about."""
        found = notes(world, plan)
        before = {(note.reason, note.same) for note in self._noted.get(key, ())}
        self._noted[key] = frozenset(found)
        for note in found:
            if (note.reason, note.same) in before:
                continue
            kind = "Warning" if note.warning else "Normal"
            self._note(world, kind=kind, reason=note.reason, message=note.message, salt=note.same)
            if (revision := world.revisions.get(note.revision)) is not None:
                place = {"namespace": world.namespace, "name": revision.name, "uid": revision.uid}
                words = {"reason": note.reason, "message": note.message, "salt": note.same}
                self._post(place, kind=kind, at=write_time(world.now), of="ModelRevision", **words)

    def hindered(self, world: World, message: str) -> None:
        """The API server does not let the operator do what it must; told once until a pass succeeds."""
        key = world.namespace, world.name
        if self._hindered.get(key) == message:
            return
        self._hindered[key] = message
        text = f"{message}. Mend the quota, policy or role that is named; it is tried again every 30 s"
        self._note(world, kind="Warning", reason="Hindered", message=text, salt=message)

    def answered(self, world: World, command: Command, answer: Answer) -> None:
        """A command's result."""
        result = answer.status
        words = f"{command.spec.verb.value} by {command.spec.requested_by}: {result.result}: {result.message}"
        kind = "Normal" if result.result == "Accepted" else "Warning"
        self._note(world, kind=kind, reason=f"Command{result.result}", message=words, salt=command.uid)

    def rejected(self, body: Body, error: SpecRejected, *, now: datetime) -> None:
        """A spec that cannot be honoured."""
        metadata = body["metadata"]
        generation = str(metadata.get("generation"))
        text = f"{error}; what was accepted before goes on"
        self._post(metadata, kind="Warning", reason="SpecRefused", message=text, salt=generation, at=write_time(now))

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
        self._noted.pop(key, None)
        self._hindered.pop(key, None)
        self._bus.forget_model("/".join(key))

    def _note(self, world: World, *, kind: str, reason: str, message: str, salt: str) -> None:
        metadata = {"namespace": world.namespace, "name": world.name, "uid": world.uid}
        self._post(metadata, kind=kind, reason=reason, message=message, salt=salt, at=write_time(world.now))

    def _post(
        self,
        metadata: Any,
        *,
        kind: str,
        reason: str,
        message: str,
        salt: str,
        at: str,
        of: str = "ModelDeployment",
    ) -> None:
        name = f"{metadata['name']}.{digest([metadata['uid'], reason, salt])[:16]}"
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "switchyard.dev/v1alpha1",
                "kind": of,
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
            "firstTimestamp": at[:19] + "Z",
            "lastTimestamp": at[:19] + "Z",
        }
        self._notes.post(body)


def model_record(world: World, plan: Plan) -> ModelRecord:
    """The deployment as the monitor needs to know it."""
    line = plan.bearings.lineage
    route = world.route
    return ModelRecord(
        namespace=world.namespace,
        name=world.name,
        generation=world.generation,
        monitoring=_published(world.spec.monitoring),
        analysis=_own(world.spec.analysis),
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
    """Where the rollout and the shadows stand; its id is a hash of that, so that saying it twice is saying it once."""
    held = plan.memory
    traffic = world.route.generation if world.route else 0
    verdicts = [(item.name, item.verdict) for item in held.verdicts]
    said = [held.id, held.phase, held.step, held.weight_bp, traffic, held.reason, verdicts]
    beside = [_standing(item) for item in plan.shadows]
    return RolloutRecord(
        id=digest([world.namespace, world.name, world.uid, *said, *([beside] if beside else [])])[:32],
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
        shadows=[_shadow_record(item) for item in plan.shadows],
    )


def _standing(item: ShadowStatus) -> list[object]:
    """What of a shadow is news when it is another: no numbers, and of its pods' words the name of what they lack."""
    verdicts = [(verdict.name, verdict.verdict) for verdict in item.verdicts]
    lacks = "" if item.state is ShadowState.COMPARING else f"{item.reason} {failing(item.message)}"
    return [item.name, item.revision, item.state, item.sample, item.against, lacks, verdicts]


def _shadow_record(item: ShadowStatus) -> ShadowRecord:
    return ShadowRecord(
        name=item.name,
        revision=item.revision,
        version=item.version,
        state=item.state.value,
        sample=item.sample,
        against=item.against,
        since=item.since,
        pairs=item.pairs,
        reason=item.reason,
        message=item.message[:MOST_WORDS],
        verdict=item.verdict,
        verdicts=item.verdicts,
    )


def _published(monitoring: Monitoring | None) -> Monitoring | None:
    """Without how a model is trained anew: the monitor only asks for it, and others read the topic too."""
    if monitoring is None or monitoring.retrain is None:
        return monitoring
    return monitoring.model_copy(update={"retrain": monitoring.retrain.published})


def _own(analysis: Analysis) -> Analysis:
    """Without what Prometheus is asked: the monitor has no part in it, and an older one could not read it."""
    return analysis.model_copy(update={"metrics": [metric for metric in analysis.metrics if not metric.promql]})
