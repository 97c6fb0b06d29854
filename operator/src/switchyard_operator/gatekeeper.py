"""Asks the gates that stand in a rollout's way: what is known, the candidate's pods, and whoever else decides.

Each is asked until it has decided. What it says goes into the status first, and counts in the pass after that.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from switchyard_contracts.gates import Gate, GateType, GateVerdict, OfflineEvaluation, WebhookGate
from switchyard_contracts.judgement import counted

from switchyard_operator.domain import decision, gate_checks, gates, jobs, kinds, reviews, schemas
from switchyard_operator.domain.bearings import Bearings
from switchyard_operator.domain.gates import Answer, State
from switchyard_operator.domain.reviews import Review
from switchyard_operator.domain.world import Revision, World
from switchyard_operator.errors import AlreadyThere, Refused, TryLater
from switchyard_operator.ports import Cluster, Models, Webhooks

KNOWN = frozenset({GateType.PROVENANCE, GateType.VERSION, GateType.APPROVAL})
"""Gates that ask nobody; they are looked at first, so that nobody is asked in vain."""

PACE = timedelta(seconds=10)
"""Between two tries of a webhook that has not decided; meanwhile its last answer holds."""


class Gatekeeper:
    """Answers in, verdicts out."""

    def __init__(self, *, cluster: Cluster, models: Models, webhooks: Webhooks) -> None:
        self._cluster = cluster
        self._models = models
        self._webhooks = webhooks
        self._heard: dict[str, tuple[datetime, Answer]] = {}
        """By a question's key: when it was asked last and what was said, while that decides nothing."""

    def ask(self, world: World, known: Bearings) -> World:
        """The world with what the gates say now."""
        due = decision.gates_due(world, known)
        verdicts: list[GateVerdict] = []
        for gate in sorted(due, key=lambda gate: gate.type not in KNOWN):
            if any(verdict.state == State.FAILED.value for verdict in verdicts):
                break
            answer = self._answer(gate, world, known)
            verdicts.append(gates.settle(gate, answer, memory=known.memory, now=world.now))
        return replace(world, gated=tuple(verdicts))

    def _answer(self, gate: Gate, world: World, known: Bearings) -> Answer:
        target, stable = known.lineage.target, known.lineage.stable
        match gate.type:
            case GateType.PROVENANCE:
                return gate_checks.provenance(gate, target.spec.provenance, world.spec.model.provenance)
            case GateType.VERSION:
                said = world.spec.model.version or target.version
                return gate_checks.version(said, stable.version if stable else None)
            case GateType.APPROVAL:
                return gate_checks.approval(gate)
            case GateType.SCHEMA:
                return self._schema(world, target, stable)
            case GateType.WEBHOOK if gate.webhook:
                question = reviews.review(gate, world, target=target, stable=stable)
                return self._webhook(gate.webhook, question, now=world.now)
            case GateType.OFFLINE_EVALUATION if gate.offline_evaluation:
                return self._evaluation(gate, gate.offline_evaluation, world, target=target, stable=stable)
            case _:
                return self._smoke(gate, world, known)

    def _evaluation(
        self, gate: Gate, said: OfflineEvaluation, world: World, *, target: Revision, stable: Revision | None
    ) -> Answer:
        """Make its Job, or read what became of it."""
        name = jobs.name(target, gate)
        held = self._cluster.read(kinds.JOB, world.namespace, name)
        if held is None:
            wanted = jobs.body(world.namespace, gate, said, target=target, stable=stable)
            try:
                held = self._cluster.create(wanted)
            except AlreadyThere:
                return Answer(State.WAITING, f"Job {name} is there")
            except Refused as error:
                return Answer(State.ERROR, f"{error}; mend the quota, policy or role that is named")
        made = self._cluster.find(kinds.POD, namespace=world.namespace, labels={jobs.LABEL_JOB: name})
        return jobs.read(held, made, gate=gate, target=target)

    def _schema(self, world: World, target: Revision, stable: Revision | None) -> Answer:
        """What both Bentos say of themselves, by one pod of each."""
        if stable is None:
            return Answer(State.PASSED, "nothing serves yet that it would have to be compatible with")
        documents = []
        for revision in (stable, target):
            addresses = world.workload(revision.name).addresses
            if not addresses:
                return Answer(State.ERROR, f"{revision.name} has no ready pod to ask for its /schema.json")
            try:
                documents.append(self._models.schema(addresses[0], revision.spec.pod.port))
            except TryLater as error:
                return Answer(State.ERROR, str(error))
        paths = world.spec.serving.paths or stable.status.paths
        return schemas.compatible(*documents, paths=paths)

    def _webhook(self, said: WebhookGate, question: Review, *, now: datetime) -> Answer:
        at, last = self._heard.get(question.key, (None, None))
        if at is not None and last is not None and now - at < PACE:
            return last
        answer = self._webhooks.ask(said.url, question, timeout=said.timeout)
        if answer.state in (State.PASSED, State.FAILED):
            self._heard.pop(question.key, None)
        else:
            self._heard[question.key] = now, answer
        return answer

    def _smoke(self, gate: Gate, world: World, known: Bearings) -> Answer:
        """Every request to every pod; one that is not answered now may be answered later, until the deadline."""
        target = known.lineage.target
        addresses = world.workload(target.name).addresses
        requests = gate.smoke.requests if gate.smoke else []
        if not addresses:
            return Answer(State.ERROR, f"{target.name} has no ready pod to ask")
        for address in addresses:
            for request in requests:
                if fault := self._models.smoke(address, target.spec.pod.port, path=request.path, body=request.body):
                    return Answer(State.WAITING, f"{request.path} on pod {address}: {fault}")
        return Answer(State.PASSED, f"{counted(len(addresses), 'pod')} answered {counted(len(requests), 'request')}")
