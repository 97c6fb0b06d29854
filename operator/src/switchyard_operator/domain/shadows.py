"""The shadows beside a model: which are sent copies of stable's requests, since when, and what their pairs say.

They stand apart from the rollout (the strategy Shadow is one, and stands in `shadow`): it waits for none of them, none
is ever given traffic, and all that they share is the route, in which a sample comes and goes without touching a weight.
It comes once all of the shadow's pods are ready. It does not go when they fail: what a shadow leaves unanswered speaks
against it, and a route that followed its pods would begin a generation each time one of them falls over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from switchyard_contracts.evidence import Evidence
from switchyard_contracts.judgement import Budget, Verdict
from switchyard_contracts.model_deployment import (
    Metric,
    MetricVerdict,
    ModelDeploymentSpec,
    Role,
    ShadowState,
    ShadowStatus,
)
from switchyard_contracts.model_route import Route
from switchyard_contracts.quantities import format_percent
from switchyard_contracts.shadows import ShadowModel
from switchyard_contracts.verdicts import budget

from switchyard_operator.domain import analysis
from switchyard_operator.domain.analysis import Question
from switchyard_operator.domain.lineage import Lineage
from switchyard_operator.domain.pods import readiness
from switchyard_operator.domain.world import Beside, Compared, World

PACE = timedelta(seconds=30)
"""Between two looks at what pairs say of shadows: nothing waits for it."""
MOST_GENERATIONS = 200
"""The monitor is asked for so many at a time; older ones give way."""
REFUSED_WRITE = "RefusedByApiServer"
PROOFS = (Verdict.PASS.value, Verdict.FAIL.value)
UNREADY = (ShadowState.PROVISIONING, ShadowState.NOT_READY)
"""States of one that waits for its pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One shadow, before anybody is asked about it."""

    said: ShadowModel
    status: ShadowStatus
    """As it will be told, but for what is judged now."""
    pods: int = 0
    """How many it should have now."""
    wanted: int = 0
    """How much of stable's requests it should be sent now, in basis points."""
    sent: int = 0
    """How much it is sent by the route as it is."""

    @property
    def revision(self) -> str:
        """Its revision's name; empty where there is none."""
        return self.status.revision


def take(world: World, line: Lineage) -> tuple[Standing, ...]:
    """Where each of them stands."""
    return tuple(_stands(each, world, line) for each in world.shadows)


def _stands(each: Beside, world: World, line: Lineage) -> Standing:
    said, name = each.said, each.revision
    if each.fault:
        return Standing(said=said, status=_status(said, ShadowState.REFUSED, "Invalid", each.fault))
    if line.stable is None:
        text = "nothing serves yet that it could be compared with"
        return Standing(said=said, status=_status(said, ShadowState.WAITING, "NothingServes", text, revision=name))
    if name in (line.stable.name, line.target.name):
        serves = name == line.stable.name
        reason, text = ("Serving", "it is what serves") if serves else ("Asked", "it is what spec.model asks for")
        return Standing(said=said, status=_status(said, ShadowState.ASIDE, reason, text, revision=name))
    pods, sent = world.workload(name), _sent(world, name)
    state, reason = ShadowState.COMPARING, ""
    if sent and not pods.ready:
        state, reason = ShadowState.NOT_READY, "NoReadyPods"
    elif not sent and pods.ready < said.replicas:
        state, reason = ShadowState.PROVISIONING, "WaitingForPods"
    words = f"; {pods.problem}" if pods.problem else ""
    text = f"{readiness(pods.ready, said.replicas)}{words}" if reason else ""
    status = _status(said, state, reason, text, revision=name)
    return Standing(
        said=said,
        status=status.model_copy(update=_remembered(world, said, name, sent=sent)),
        pods=said.replicas,
        wanted=0 if state is ShadowState.PROVISIONING else said.sample.value,
        sent=sent,
    )


def _status(said: ShadowModel, state: ShadowState, reason: str, message: str, *, revision: str = "") -> ShadowStatus:
    return ShadowStatus(name=said.name, revision=revision, state=state, reason=reason, message=message[:4096])


def _sent(world: World, revision: str) -> int:
    entries: Sequence[Route] = world.route.spec.routes if world.route else ()
    return next((entry.sample_bp or 0 for entry in entries if entry.revision == revision), 0)


def _remembered(world: World, said: ShadowModel, revision: str, *, sent: int) -> dict[str, object]:
    """What was compared so far, with the same revision against the same; and the generation of now."""
    held = next((item for item in world.status.shadows if item.name == said.name), None)
    # A route that is gone is written anew by the same pass; who serves then is found by the next.
    against = world.route.spec.stable.revision if world.route else held.against if held else ""
    if held is None or (held.revision, held.against) != (revision, against):
        held = None
    found: dict[str, object] = {"sample": format_percent(sent) if sent else "", "against": against}
    if held:
        found |= {"since": held.since, "generations": held.generations, "pairs": held.pairs, "verdicts": held.verdicts}
        found["proven"] = held.proven or (held.verdict if held.verdict in PROOFS else "")
    if not sent or world.route is None:
        return found
    generations, newest = held.generations if held else [], world.route.generation
    if newest not in generations:
        found["generations"] = [*generations, newest][-MOST_GENERATIONS:]
    if held is None or held.since is None:
        found["since"] = min(world.now, world.route.written_at or world.now)
    return found


def samples(standing: Sequence[Standing], *, acknowledged: bool) -> tuple[tuple[str, int], ...]:
    """Who is sent how much, as (revision, basis points): less at once, more when every gateway has the last route."""
    found = []
    for each in standing:
        share = each.wanted if acknowledged else min(each.wanted, each.sent)
        if share:
            found.append((each.revision, share))
    return tuple(found)


def pods(standing: Sequence[Standing]) -> Mapping[str, int]:
    """How many pods each revision has for being a shadow."""
    return {each.revision: each.pods for each in standing if each.pods}


def metrics(spec: ModelDeploymentSpec) -> list[Metric]:
    """What shadows are judged by: decide metrics, where pairs can say something of them."""
    return [metric for metric in spec.analysis.metrics if metric.role is Role.DECIDE] if spec.judged_by_pairs else []


def questions(spec: ModelDeploymentSpec, each: Standing) -> tuple[Question, ...]:
    """What to ask of one of them; nothing before it was sent anything."""
    status = each.status
    generations = tuple(status.generations)
    if not generations:
        return ()
    return tuple(
        Question(
            metric,
            status.revision,
            status.against,
            generations,
            status.since,
            status.since,
            block=spec.analysis.block,
            mirrored=generations,
        )
        for metric in metrics(spec)
    )


def judge(spec: ModelDeploymentSpec, asked: Sequence[Question], answers: Mapping[str, Evidence | str]) -> Compared:
    """What the answers come to. Each shadow has the error budget of a rollout of its own, against each stable."""
    judged = tuple(
        analysis.judge_one(question, answers[question.metric.name], spec=spec, spend=_spending(spec))
        for question in asked
    )
    counts = [
        answer.paired.seen + answer.paired.pending
        for answer in answers.values()
        if not isinstance(answer, str) and answer.paired
    ]
    return Compared(judged=judged, pairs=max(counts, default=None))


def _spending(spec: ModelDeploymentSpec) -> Budget:
    return budget(spec.analysis.model_copy(update={"metrics": metrics(spec)}), steps=1, attempt=1, paired=True)


def told(world: World, standing: Sequence[Standing]) -> tuple[ShadowStatus, ...]:
    """Each as the status says it."""
    return tuple(_told(world, each) for each in standing)


def _told(world: World, each: Standing) -> ShadowStatus:
    status, found = each.status, world.compared.get(each.said.name)
    known = world.revisions.get(each.revision)
    changes: dict[str, object] = {
        "version": (known.version if known else "") or each.said.model.version or "",
        "ready_replicas": world.workload(each.revision).ready if each.revision else 0,
    }
    verdicts = analysis.shown(found.judged, now=world.now) if found else status.verdicts
    if found and found.pairs is not None:
        changes["pairs"] = found.pairs
    changes |= {"verdicts": verdicts, "verdict": (verdict := analysis.summary(verdicts))}
    if verdict in PROOFS:
        changes["proven"] = verdict
    if status.state is ShadowState.COMPARING:
        changes["reason"], changes["message"] = _findings(world.spec, status, verdicts)
    return status.model_copy(update=changes)


def _findings(spec: ModelDeploymentSpec, status: ShadowStatus, verdicts: Sequence[MetricVerdict]) -> tuple[str, str]:
    if not metrics(spec):
        return "NothingToJudge", "no metric with role: decide can be judged by pairs; its answers are only recorded"
    if not verdicts:
        return "AwaitingEvidence", "it is about to be sent its sample" if not status.sample else "no pair is judged yet"
    worst = min(verdicts, key=lambda item: analysis.WORST.index(Verdict(item.verdict)))
    return worst.reason, "; ".join(f"{item.name}: {item.message}" for item in verdicts)[:4096]


def hindered(told: Sequence[ShadowStatus], revision: str, words: str) -> tuple[ShadowStatus, ...]:
    """The same, where the API server does not let the operator make what one of them needs."""
    changes = {"state": ShadowState.REFUSED, "reason": REFUSED_WRITE, "message": words[:4096]}
    return tuple(item.model_copy(update=changes) if item.revision == revision else item for item in told)


def hindered_still(told: Sequence[ShadowStatus], held: Sequence[ShadowStatus]) -> tuple[ShadowStatus, ...]:
    """The same in a pass that makes nothing for any of them: what the API server refused last is refused still."""
    refused = {item.revision: item.message for item in held if item.reason == REFUSED_WRITE}
    found = tuple(told)
    for item in told:
        if item.revision in refused and item.state in (*UNREADY, ShadowState.COMPARING):
            found = hindered(found, item.revision, refused[item.revision])
    return found


def role_in(told: Sequence[ShadowStatus], revision: str) -> ShadowStatus | None:
    """What a revision is as a shadow; None where it is none at present."""
    return next((item for item in told if item.revision == revision and item.state is not ShadowState.ASIDE), None)
