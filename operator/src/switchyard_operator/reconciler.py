"""The shell: gather, decide, apply the difference, write the status. One pass for one deployment.

At most one risky write in a pass, so that a crash between any two writes leaves a state from which the next pass goes
on; the pass that follows a route's write reads it back and tells of it. Everything risky rests on what was just read: a
route carries its resourceVersion, and the ModelDeployment is read anew before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.base import API_VERSION, LABEL_DEPLOYMENT, ROUTED_AT
from switchyard_contracts.canonical import digest
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.freezes import Freeze
from switchyard_contracts.model import ConfigSource, Model
from switchyard_contracts.model_deployment import ModelDeploymentSpec, ModelDeploymentStatus
from switchyard_contracts.model_revision import (
    ModelRevisionSpec,
    ModelRevisionStatus,
    PodShape,
    hashes,
    pod_shape,
    revision_name,
)
from switchyard_contracts.model_route import ModelRouteSpec, Route
from switchyard_contracts.notifications import Notification, Notifications

from switchyard_operator import gather
from switchyard_operator.cache import Cache, Key
from switchyard_operator.domain import (
    ab_test,
    analysis,
    bearings,
    commands,
    counters,
    decision,
    kinds,
    lineage,
    memory,
    shadows,
    status,
    tidings,
    turns,
    workloads,
)
from switchyard_operator.domain.bearings import Bearings
from switchyard_operator.domain.configs import Config
from switchyard_operator.domain.difference import differs
from switchyard_operator.domain.kinds import Kind
from switchyard_operator.domain.lineage import Mark
from switchyard_operator.domain.outside import Answer
from switchyard_operator.domain.plan import Plan
from switchyard_operator.domain.rules import Move
from switchyard_operator.domain.tidings import NOBODY, Audience
from switchyard_operator.domain.world import Beside, Body, Revision, Smoke, World, is_ending
from switchyard_operator.errors import AlreadyThere, EvidenceUnavailable, Outdated, Refused, TryLater
from switchyard_operator.gatekeeper import Gatekeeper
from switchyard_operator.lookout import Lookout
from switchyard_operator.ports import Cluster, Facts, Gateways, Messenger, Models, Monitor, NoMessenger, Webhooks
from switchyard_operator.reporter import Reporter
from switchyard_operator.umpire import Umpire

logger = logging.getLogger(__name__)

Written = ModelDeploymentStatus | ModelRevisionStatus
"""The statuses that the operator writes."""
NOW = timedelta(0)
AFTERWARDS = timedelta(milliseconds=300)
"""When to look at what one has written oneself: the door does not queue it, and something may follow from it."""
REFUSED_AGAIN = timedelta(seconds=30)
"""When to come again to what only a person can mend; an edit is heard at once."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The last spec of a deployment that could be honoured."""

    edition: tuple[str, int]
    """The deployment's uid and generation."""
    spec: ModelDeploymentSpec
    config: Config


class Reconciler:
    """Brings one deployment a step nearer to what its spec says."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: Cache,
        gateways: Gateways,
        monitor: Monitor,
        models: Models,
        webhooks: Webhooks,
        reporter: Reporter,
        clock: Callable[[], datetime],
        status_interval: timedelta,
        also: Sequence[Kind] = (),
        messenger: Messenger | None = None,
        audience: Audience = NOBODY,
        freezes: Sequence[Freeze] = (),
        lookout: Lookout | None = None,
        resolvers: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._gateways = gateways
        self._monitor = monitor
        self._models = models
        self._gatekeeper = Gatekeeper(cluster=cluster, models=models, webhooks=webhooks)
        self._umpire = Umpire(monitor=monitor, models=models)
        self._reporter = reporter
        self._clock = clock
        self._status_interval = status_interval
        self._workload_kinds = (*kinds.WORKLOAD_KINDS, *also)
        self._messenger = messenger or NoMessenger()
        self._audience = audience
        self._freezes = tuple(freezes)
        self._lookout = lookout
        self._resolvers = tuple(resolvers)
        self._written: dict[str, datetime] = {}
        self._accepted: dict[Key, Accepted] = {}
        self._settled_for: dict[tuple[str, str], str] = {}
        self._facts: dict[Key, Facts] = {}
        """What revisions' pods have said of themselves and no status says yet."""

    def reconcile(self, key: Key) -> timedelta | None:
        """One pass; the answer is when to come again though nothing is heard."""
        before = self._cache.moves(key)
        again = self._reconcile(key)
        if self._cache.moves(key) == before:
            return again
        return min(again, AFTERWARDS) if again is not None else AFTERWARDS

    def _reconcile(self, key: Key) -> timedelta | None:
        body = self._cache.get(kinds.MODEL_DEPLOYMENT, *key)
        if body is None or is_ending(body):
            self._accepted.pop(key, None)
            self._reporter.gone(key)
            self._messenger.gone(key)
            self._umpire.forget(key)
            if self._lookout:
                self._lookout.forget(key)
            return self._clear(key) if body is None else None
        try:
            spec = self._read(key, body)
            config = self._config(key[0], spec)
        except SpecRejected as error:
            return self._reject(key, body, error)
        self._accepted[key] = Accepted(_edition(body), spec, config)
        return self._pass(key, body, spec, config)

    def _pass(
        self,
        key: Key,
        body: Body,
        spec: ModelDeploymentSpec,
        config: Config,
        rejected: SpecRejected | None = None,
    ) -> timedelta | None:
        target = self._ensure_revision(body, spec.model, pod_shape(spec), config)
        beside = self._ensure_shadows(body, spec, config)
        world = self._gather(key, body, spec, target, beside)
        turn = turns.whose(world)
        if turn.mark:
            self._mark(world, turn.mark)
            return NOW
        world, fixed = ab_test.as_stated(replace(world, target=turn.target, asked=turn.asked))
        rejected = rejected or fixed
        known = bearings.take(world)
        if self._obey(key, body, world, known):
            return NOW
        if known.wants_facts and (taught := self._learn(world, known)) is not world:
            world = taught
            known = bearings.take(world)
        world = self._ask(world, known)
        plan = decision.decide(world, known)
        routing = plan.route is not None or plan.drop_route
        lasting = replace(plan, shadows=shadows.hindered_still(plan.shadows, world.status.shadows))
        unheard = routing and world.status.observed_generation not in (0, world.generation)
        ends = plan.decision.move in (Move.END, Move.TAKE_BACK)
        if unheard or (routing and _would_lose(world, plan)) or ends or _reads(world, plan):
            # Only of an edit that was taken note of can the next pass tell a route that is ahead; and the verdicts that
            # end a rollout stand nowhere else: once it is marked or read, nobody asks for evidence again.
            self._note(key, world, lasting, rejected)
        try:
            plan = self._apply(key, body, world, lasting if plan.mark or routing else plan)
        except Refused as error:
            self._write_status(key, world, status.hindered(lasting, str(error)), rejected)
            self._reporter.hindered(world, str(error))
            return REFUSED_AGAIN
        if not routing and not _begins(plan):
            self._write_status(key, world, plan, rejected)
            self._write_revision_statuses(world, plan)
        self._reporter.tell(world, plan)
        return plan.again

    def _read(self, key: Key, body: Body) -> ModelDeploymentSpec:
        """The spec, or `SpecRejected`; what was read of this very generation is not read again."""
        known = self._accepted.get(key)
        if known and known.edition == _edition(body):
            return known.spec
        return self._honourable(acceptance.read(body.get("spec")))

    def _honourable(self, spec: ModelDeploymentSpec) -> ModelDeploymentSpec:
        """The same, unless it asks for what this installation does without."""
        if spec.serving.autoscaling and kinds.AUTOSCALER not in self._workload_kinds:
            raise SpecRejected(
                "spec.serving.autoscaling: this installation makes no HorizontalPodAutoscalers; write"
                " spec.serving.replicas, or have operator.autoscalers set to true in the chart's values",
                reason="Disabled",
            )
        outside = next((place for place, metric in enumerate(spec.analysis.metrics) if metric.promql), None)
        if outside is not None and self._lookout is None:
            raise SpecRejected(
                f"spec.analysis.metrics[{outside}].metric: promql, but this installation knows no Prometheus; have"
                " operator.prometheus.url set in the chart's values, or take the metric out",
                reason="Disabled",
            )
        return spec

    # --- gather ----------------------------------------------------------------------------------------------------

    def _config(self, namespace: str, spec: ModelDeploymentSpec) -> Config:
        """The contents of the spec's ConfigMaps, which belong to the revision."""
        found = self._environment(namespace, spec.model, path="spec.model")
        files: dict[str, dict[str, Any]] = {}
        for index, volume in enumerate(spec.serving.volumes):
            if volume.config_map:
                body = self._config_map(namespace, volume.config_map, path=f"spec.serving.volumes[{index}]")
                files[volume.name] = {key: dict(body[key]) for key in ("data", "binaryData") if body.get(key)}
        return Config(found, files)

    def _environment(self, namespace: str, model: Model, *, path: str) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        sources: Sequence[ConfigSource] = model.config.env_from if model.config else ()
        for index, source in enumerate(sources):
            if source.config_map:
                body = self._config_map(namespace, source.config_map, path=f"{path}.config.envFrom[{index}]")
                found[source.config_map] = dict(body.get("data") or {})
        return found

    def _config_map(self, namespace: str, name: str, *, path: str) -> Body:
        body = self._cluster.read(kinds.CONFIG_MAP, namespace, name)
        if body is None:
            raise SpecRejected(
                f"{path}.configMap: there is no ConfigMap {name!r} in namespace {namespace!r};"
                " create it, or name another"
            )
        return body

    def _ensure_shadows(self, body: Body, spec: ModelDeploymentSpec, config: Config) -> tuple[Beside, ...]:
        """Each shadow's revision. What is wrong with one is its own matter: the model is rolled out all the same."""
        found = []
        for index, said in enumerate(spec.shadows):
            try:
                own = config
                if said.model.config:
                    path = f"spec.shadows[{index}].model"
                    env = self._environment(body["metadata"]["namespace"], said.model, path=path)
                    own = replace(config, env=env)
                revision = self._ensure_revision(body, said.model, pod_shape(spec, said), own)
                found.append(Beside(said=said, revision=revision))
            except (SpecRejected, Refused) as error:
                found.append(Beside(said=said, fault=str(error)))
        return tuple(found)

    def _ensure_revision(self, body: Body, model: Model, shape: PodShape, config: Config) -> str:
        """The revision of these pods; made at first sight, with a copy of its configuration."""
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        model_hash, pod_hash = hashes(shape, config_digests=config.digests)
        target = revision_name(name, pod_hash)
        if self._cache.get(kinds.MODEL_REVISION, namespace, target) is None:
            snapshot = ModelRevisionSpec(
                deployment=name,
                version=model.version or "",
                provenance=model.provenance,
                model_hash=model_hash,
                pod_hash=pod_hash,
                pod=shape,
            )
            wanted = workloads.revision_body(namespace, name=target, owner_uid=body["metadata"]["uid"], spec=snapshot)
            self._create(kinds.MODEL_REVISION, wanted)
        if config.env:
            merged = workloads.merge_config(list(config.env.items()))
            self._copy(namespace, target, lambda revision: workloads.config_body(namespace, revision, merged))
        for volume, files in config.files.items():
            self._copy(namespace, target, partial(workloads.files_body, namespace, volume=volume, files=files))
        return target

    def _copy(self, namespace: str, target: str, make: Callable[[Revision], Body]) -> None:
        """Have the immutable copy of a ConfigMap that belongs to the revision."""
        wanted = make(gather.revision(self._held(kinds.MODEL_REVISION, namespace, target)))
        name = wanted["metadata"]["name"]
        if (namespace, name) in self._settled_for:
            return
        if self._cluster.read(kinds.CONFIG_MAP, namespace, name) is None:
            self._create(kinds.CONFIG_MAP, wanted)
        self._settled_for[namespace, name] = name

    def _gather(self, key: Key, body: Body, spec: ModelDeploymentSpec, target: str, beside: Sequence[Beside]) -> World:
        route = self._cache.get(kinds.MODEL_ROUTE, *key)
        reports = self._gateways.reports("/".join(key), int(route["metadata"]["generation"])) if route else ()
        now = self._clock()
        return gather.world(
            self._cache,
            body,
            spec=spec,
            target=target,
            now=now,
            gateways=reports,
            freezes=self._freezes,
            shadows=beside,
        )

    def _ask(self, world: World, known: Bearings) -> World:
        """Ask the monitor, Prometheus and the candidate's pods whatever the decision will need."""
        answers: dict[str, Evidence | str] = {}
        looks: dict[str, Answer] = {}
        for question in known.questions:
            if question.metric.promql and self._lookout:
                looks[question.metric.name] = self._lookout.see((world.namespace, world.name), question, now=world.now)
                continue
            try:
                answers[question.metric.name] = self._monitor.evidence(f"{world.namespace}/{world.name}", question)
            except EvidenceUnavailable as error:
                answers[question.metric.name] = str(error)
        judged = analysis.judge_all(
            world.spec,
            known.course,
            known.memory,
            known.spot,
            answers=answers,
            looks=looks,
            asked=known.questions,
            now=world.now,
        )
        if silent := counters.silences(judged, answers, now=world.now):
            judged = counters.second_opinion(
                judged,
                silent,
                asked=known.questions,
                counted=self._gateways.counted(f"{world.namespace}/{world.name}"),
                budget=analysis.spending(world.spec, known.course, known.memory),
            )
        smoke = self._smoke(world, known) if known.wants_smoke else Smoke()
        # Of one that is on its way back nobody is asked anything, and its verdicts stay those that sent it home.
        line = known.lineage
        compared = bool(known.questions) or (
            known.spot.index >= 0 and not line.settled and line.stable and not (line.target.sent_home or known.returns)
        )
        world = self._gatekeeper.ask(replace(world, judged=judged if compared else (), smoke=smoke), known)
        return self._umpire.look(world, known)

    def _smoke(self, world: World, known: Bearings) -> Smoke:
        target = known.lineage.target
        warmup = target.spec.pod.warmup
        path, sent = (warmup.path, warmup.body) if warmup else ("/readyz", None)
        for address in world.workload(target.name).addresses:
            if fault := self._models.smoke(address, target.spec.pod.port, path=path, body=sent):
                return Smoke(asked=True, passed=False, message=f"{path} on pod {address}: {fault}")
        return Smoke(asked=True, passed=True)

    def _learn(self, world: World, known: Bearings) -> World:
        """Version and paths from a ready pod, until the revision's status says them, which is with all else in it."""
        learned: dict[str, Revision] = {}
        for name in known.wants_facts:
            revision = world.revisions[name]
            facts = self._facts.get((world.namespace, name))
            try:
                facts = facts or self._models.facts(world.workload(name).addresses[0], revision.spec.pod.port)
            except TryLater:
                continue
            changes: dict[str, object] = {}
            if facts.version and not revision.version:
                changes["version"] = facts.version
            if facts.paths and not revision.status.paths:
                changes["paths"] = list(facts.paths)
            if changes:
                self._facts[world.namespace, name] = facts
                learned[name] = replace(revision, status=revision.status.model_copy(update=changes))
        return replace(world, revisions={**world.revisions, **learned}) if learned else world

    # --- commands --------------------------------------------------------------------------------------------------

    def _obey(self, key: Key, body: Body, world: World, known: Bearings) -> bool:
        """Carry out the oldest command: its effect first, then its result."""
        held = self._cache.children(kinds.MODEL_COMMAND, key)
        waiting = gather.commands(held)
        if not waiting:
            self._forget_old(held, world)
            return False
        command = waiting[0]
        answer = commands.consider(command, world, known)
        for mark in answer.marks:
            self._mark(world, mark)
        if answer.memory:
            changed = world.status.model_copy(update={"rollout": answer.memory})
            self._cache.put(self._cluster.write_status(body, changed.to_json()))
        asked = self._held(kinds.MODEL_COMMAND, key[0], command.name)
        self._cache.put(self._cluster.write_status(asked, answer.status.to_json()))
        self._reporter.answered(world, command, answer)
        return True

    def _clear(self, key: Key) -> timedelta | None:
        """A deployment's commands go with it, and one that names a deployment that never was is told so."""
        held = self._cache.children(kinds.MODEL_COMMAND, key)
        if not held or self._cluster.read(kinds.MODEL_DEPLOYMENT, *key):
            return None  # it is there, and its watch is slower than the command's
        now = self._clock()
        for command in gather.commands(held):
            asked = self._held(kinds.MODEL_COMMAND, key[0], command.name)
            told = commands.unaddressed(*key, now=now)
            self._cache.put(self._cluster.write_status(asked, told.to_json()))
        for body in held:
            status = body.get("status") or {}
            if status.get("result") and (_is_old(body, now) or status.get("reason") != commands.NO_DEPLOYMENT):
                self._delete(kinds.MODEL_COMMAND, key[0], body["metadata"]["name"])
        return commands.KEPT

    def _forget_old(self, held: list[Body], world: World) -> None:
        for body in held:
            if _is_old(body, world.now):
                self._delete(kinds.MODEL_COMMAND, world.namespace, body["metadata"]["name"])

    # --- apply -----------------------------------------------------------------------------------------------------

    def _apply(self, key: Key, body: Body, world: World, plan: Plan) -> Plan:
        """Do it; the plan, with what could not be done for a shadow, which hinders nobody else."""
        where, said = "/".join(key), plan.decision
        if plan.mark:
            names = {**_names(world, plan), "revision": plan.mark.revision}
            logger.info("%s: %s is %s (%s)", where, plan.mark.revision, plan.mark.what, said.message, extra=names)
            self._mark(world, plan.mark)
        elif plan.route:
            weights = ", ".join(_share(entry) for entry in plan.route.routes)
            self._reread(key, body)
            names = {**_names(world, plan), "traffic": self._write_route(world, plan.route)}
            logger.info("%s: route %s (%s: %s)", where, weights, said.reason, said.message, extra=names)
        elif plan.drop_route and world.route:
            self._reread(key, body)
            self._delete(kinds.MODEL_ROUTE, *key)
        else:
            plan = self._ensure_workloads(world, plan)
            self._retire(world, plan)
        return plan

    def _mark(self, world: World, mark: Mark) -> None:
        revision = world.revisions[mark.revision]
        metadata: dict[str, Any] = {"annotations": dict(mark.annotations), "resourceVersion": revision.resource_version}
        patched = self._cluster.patch(kinds.MODEL_REVISION, world.namespace, mark.revision, {"metadata": metadata})
        self._cache.put(patched)

    def _reread(self, key: Key, body: Body) -> None:
        """The decision must rest on the spec of this moment."""
        fresh = self._cluster.read(kinds.MODEL_DEPLOYMENT, *key)
        if fresh is None:
            self._cache.forget(body)
            raise Outdated(f"{'/'.join(key)} is gone")
        self._cache.put(fresh)
        if any(fresh["metadata"].get(field) != body["metadata"].get(field) for field in ("uid", "generation")):
            raise Outdated(f"{'/'.join(key)} was edited while this pass looked at it")

    def _write_route(self, world: World, spec: ModelRouteSpec) -> int:
        """Write it; the generation that it became."""
        metadata: dict[str, Any] = {
            "name": world.name,
            "namespace": world.namespace,
            "labels": {LABEL_DEPLOYMENT: world.name, "app.kubernetes.io/managed-by": "switchyard"},
            "ownerReferences": workloads.owned_by("ModelDeployment", name=world.name, uid=world.uid),
            "annotations": {ROUTED_AT: lineage.write_time(self._clock())},
        }
        body = {"apiVersion": API_VERSION, "kind": "ModelRoute", "metadata": metadata, "spec": spec.to_json()}
        if world.route:
            metadata["resourceVersion"] = world.route.resource_version
            self._cache.put(self._cluster.replace(body))
        else:
            self._create(kinds.MODEL_ROUTE, body)
        return int(self._held(kinds.MODEL_ROUTE, world.namespace, world.name)["metadata"]["generation"])

    def _ensure_workloads(self, world: World, plan: Plan) -> Plan:
        beside = shadows.pods(plan.bearings.shadows)
        for name in sorted(plan.replicas, key=lambda name: (name in beside, name)):
            try:
                self._ensure_pods(world, plan, name)
            except Refused as error:
                if name not in beside:
                    raise
                plan = replace(plan, shadows=shadows.hindered(plan.shadows, name, str(error)))
        return plan

    def _ensure_pods(self, world: World, plan: Plan, name: str) -> None:
        revision, replicas = world.revisions[name], plan.replicas[name]
        for wanted in workloads.bodies(
            world.namespace,
            revision,
            replicas=replicas,
            serving=world.spec.serving,
            resolvers=self._resolvers,
        ):
            if kinds.ALL[wanted["kind"]] in self._workload_kinds:
                self._ensure(wanted)
        self._scale(world, plan, revision)

    def _scale(self, world: World, plan: Plan, revision: Revision) -> None:
        """Have an autoscaler, or none: one that is kept warm has a number of pods of its own."""
        said = world.spec.serving.autoscaling
        if said and revision.name in plan.floors:
            least = min(said.max_replicas, plan.floors[revision.name])
            self._ensure(workloads.autoscaler(world.namespace, revision, least=least, said=said))
        else:
            self._delete(kinds.AUTOSCALER, world.namespace, revision.name)

    def _ensure(self, wanted: Body) -> None:
        """Apply, unless it is so already, or is as near to it as the API server lets it be."""
        kind, metadata = kinds.ALL[wanted["kind"]], wanted["metadata"]
        held = self._cache.get(kind, metadata["namespace"], metadata["name"])
        place = (kind.kind, f"{metadata['namespace']}/{metadata['name']}")
        if held is not None:
            if kind is kinds.DEPLOYMENT:
                wanted = workloads.keep_pods(wanted, held)
            if not differs(_comparable(wanted), held):
                return
            if self._settled_for.get(place) == _print(wanted, held):
                return
            self._reporter.reasserted(held)
        applied = self._cluster.apply(wanted)
        self._cache.put(applied)
        if differs(_comparable(wanted), applied):
            self._settled_for[place] = _print(wanted, applied)

    def _retire(self, world: World, plan: Plan) -> None:
        for name in plan.retire:
            for kind in self._workload_kinds:
                self._delete(kind, world.namespace, name)

    def _delete(self, kind: Kind, namespace: str, name: str) -> None:
        held = self._cache.get(kind, namespace, name)
        if held is not None:
            self._cluster.delete(kind, namespace, name)
            self._cache.forget(held)

    def _create(self, kind: Kind, wanted: Body) -> None:
        """Create; what is there already was made by a pass that did not live to see it."""
        try:
            self._cache.put(self._cluster.create(wanted))
        except AlreadyThere as error:
            metadata = wanted["metadata"]
            found = self._cluster.read(kind, metadata["namespace"], metadata["name"])
            if found is None:
                raise Outdated(f"{kind.kind} {metadata['name']} came and went") from error
            self._cache.put(found)
            if kind is kinds.MODEL_ROUTE:
                raise Outdated(f"ModelRoute {metadata['name']} exists already") from error

    # --- status ----------------------------------------------------------------------------------------------------

    def _reject(self, key: Key, body: Body, error: SpecRejected) -> timedelta | None:
        """Say why; and go on with the last spec that was accepted, so that a slip disarms no guard and no abort."""
        held = gather.status(body)
        generation = int(body["metadata"].get("generation", 1))
        now = self._clock()
        changed = status.refused(held, error, generation=generation, now=now)
        refused = changed != held
        words = {"reason": error.reason, "message": str(error)}
        fresh = [tidings.refused_spec(body["metadata"]["uid"], generation=generation, now=now, **words)] * refused
        changed = changed.model_copy(update={"notifications": self._owing(key, held, fresh)})
        if changed != held:
            body = self._cluster.write_status(body, changed.to_json())
            self._cache.put(body)
        self._messenger.owe(key, tidings.owed(changed.notifications))
        if refused:
            self._reporter.rejected(body, error, now=now)
        accepted = self._accepted.get(key)
        if accepted is None or accepted.edition[0] != body["metadata"]["uid"]:
            return REFUSED_AGAIN
        again = self._pass(key, body, accepted.spec, accepted.config, error)
        return min(again, REFUSED_AGAIN) if again is not None else REFUSED_AGAIN

    def _write_status(self, key: Key, world: World, plan: Plan, rejected: SpecRejected | None) -> None:
        body = self._held(kinds.MODEL_DEPLOYMENT, *key)
        fresh = tidings.news(world, plan, self._audience) if self._audience.receivers else ()
        owing = self._owing(key, world.status, fresh)
        new = status.build(world, plan, rejected).model_copy(update={"notifications": owing})
        if self._due("/".join(key), new, world.status, world.now):
            self._cache.put(self._cluster.write_status(body, new.to_json()))
            # Only what stands in the status is told: an operator that dies before that has told nobody.
            self._messenger.owe(key, tidings.owed(owing))
        else:
            self._messenger.owe(key, tidings.owed(world.status.notifications))

    def _note(self, key: Key, world: World, plan: Plan, rejected: SpecRejected | None) -> None:
        """The status before what rests on it; but where users are taken back to stable, they come first."""
        try:
            self._write_status(key, world, plan, rejected)
        except Refused as error:
            if not _gives_back(world, plan):
                raise
            text = "%s goes back, though its status cannot say so: %s"
            logger.warning(text, "/".join(key), error, extra=_names(world, plan))

    def _owing(self, key: Key, held: ModelDeploymentStatus, fresh: Iterable[Notification]) -> Notifications | None:
        return tidings.remember(
            held.notifications,
            fresh,
            subject="/".join(key),
            audience=self._audience,
            done=self._messenger.done(key),
        )

    def _write_revision_statuses(self, world: World, plan: Plan) -> None:
        if plan.mark:
            return
        for name in sorted(world.revisions):
            self._write_revision_status(world, plan, world.revisions[name])

    def _write_revision_status(self, world: World, plan: Plan, revision: Revision) -> None:
        body = self._cache.get(kinds.MODEL_REVISION, world.namespace, revision.name)
        if body is None:
            return
        held, new = gather.revision_status(body), status.revision_status(world, plan, revision)
        if not body.get("status") and status.nothing_yet(new):
            return
        if self._due(f"{world.namespace}/{revision.name}@", new, held, world.now):
            self._cache.put(self._cluster.write_status(body, new.to_json()))
            self._facts.pop((world.namespace, revision.name), None)

    def _due(self, what: str, new: Written, held: Written, now: datetime) -> bool:
        """Whether a status is written: at once when a state moved, seldom when only numbers did."""
        if new == held:
            return False
        last = self._written.get(what)
        early = last is not None and now - last < self._status_interval
        if early and status.shape(new) == status.shape(held):
            return False
        self._written[what] = now
        return True

    def _held(self, kind: Kind, namespace: str, name: str) -> Body:
        body = self._cache.get(kind, namespace, name)
        if body is None:
            raise Outdated(f"{kind.kind} {namespace}/{name} is gone")
        return body


def _edition(body: Body) -> tuple[str, int]:
    """Which spec it is: whoever edits one makes another generation of it."""
    return body["metadata"]["uid"], int(body["metadata"].get("generation", 0))


def _is_old(command: Body, now: datetime) -> bool:
    return now - datetime.fromisoformat(command["metadata"]["creationTimestamp"]) > commands.KEPT


def _would_lose(world: World, plan: Plan) -> bool:
    """Whether the mirrored generation that this pass ends is in no status yet; its pairs would count for nothing."""
    held = world.status.rollout
    known = memory.mirrored(held) if held and held.id == plan.memory.id else []
    if world.route is None:
        return False
    newest = world.route.generation
    told = {item.name: item.generations for item in world.status.shadows}
    if any(newest in item.generations and newest not in told.get(item.name, ()) for item in plan.shadows):
        return True
    return newest in set(memory.mirrored(plan.memory)) - set(known)


def _gives_back(world: World, plan: Plan) -> bool:
    """Whether users come back to stable by this pass, or by those that follow its mark."""
    if plan.mark:
        return plan.decision.move is Move.TAKE_BACK
    stable = plan.bearings.lineage.stable
    if not (stable and plan.route):
        return False
    return _given(plan.route, stable.name) > (_given(world.route.spec, stable.name) if world.route else 0)


def _given(route: ModelRouteSpec, revision: str) -> int:
    return next((entry.weight_bp for entry in route.routes if entry.revision == revision), 0)


def _reads(world: World, plan: Plan) -> bool:
    """Whether an A/B test was read in this pass, of which no status knows yet."""
    held, now = world.status.rollout, plan.memory.trial
    before = held.trial if held and held.id == plan.memory.id else None
    return now is not None and now.read is not None and (before is None or before.read is None)


def _begins(plan: Plan) -> bool:
    """Whether a first revision becomes stable: it compared nothing, and the pass that comes at once tells the end."""
    return plan.decision.move is Move.PROMOTE and plan.bearings.lineage.stable is None


def _names(world: World, plan: Plan) -> dict[str, object]:
    """What a line of the log about this pass is found by."""
    held = plan.memory
    return {
        "deployment": f"{world.namespace}/{world.name}",
        "rollout": held.id,
        "revision": held.revision,
        "step": held.step,
        "reason": plan.decision.reason,
    }


def _share(entry: Route) -> str:
    copies = f" and {entry.mirror_bp} mirrored" if entry.mirror_bp else ""
    sample = f" and {entry.sample_bp} of stable's requests" if entry.sample_bp else ""
    return f"{entry.revision} {entry.weight_bp}{copies}{sample}"


def _comparable(wanted: Body) -> Body:
    """What of a wanted object is compared: all but the words that name it."""
    return {key: value for key, value in wanted.items() if key not in ("apiVersion", "kind")}


def _print(wanted: Body, actual: Body) -> str:
    return f"{digest(wanted)}:{actual['metadata'].get('generation')}"
