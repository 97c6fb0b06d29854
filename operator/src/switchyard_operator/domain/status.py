"""The status that people and tools read, built whole from the world and the plan; times move only when states do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from switchyard_contracts import conditions
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.conditions import Condition, ConditionStatus
from switchyard_contracts.experiments import TRIAL_ENDED
from switchyard_contracts.judgement import Verdict
from switchyard_contracts.model_deployment import (
    HistoryEntry,
    MetricVerdict,
    ModelDeploymentStatus,
    Phase,
    Role,
    RolloutStatus,
    Served,
    ServingState,
    ShadowStatus,
)
from switchyard_contracts.model_revision import ModelRevisionStatus, RevisionPhase
from switchyard_contracts.model_route import Route
from switchyard_contracts.quantities import format_percent

from switchyard_operator.domain import analysis, episodes, fleet, memory, shadows, turns
from switchyard_operator.domain.plan import Plan
from switchyard_operator.domain.pods import readiness
from switchyard_operator.domain.rules import Move
from switchyard_operator.domain.shadows import REFUSED_WRITE
from switchyard_operator.domain.sync import Sync, SyncState
from switchyard_operator.domain.world import Judged, Revision, World

HISTORY = 10


@dataclass(frozen=True, slots=True)
class Said:
    """One condition's content, without its clock."""

    status: ConditionStatus
    reason: str
    message: str


def hindered(plan: Plan, words: str) -> Plan:
    """The plan whose writes the API server refuses: nothing of it came true, and the rollout says why.

    A rollout that is over remembers its own end, and one that is to go back why; then the conditions alone say it.
    """
    if plan.memory.phase in memory.ENDED or plan.decision.move is Move.TAKE_BACK:
        return replace(plan, hindrance=words)
    changes = {
        "reason": REFUSED_WRITE,
        "message": words[:4096],
        "waiting_for": "another spec, or what refuses it to be changed",
    }
    return replace(plan, memory=plan.memory.model_copy(update=changes), hindrance=words)


def build(world: World, plan: Plan, rejected: SpecRejected | None = None) -> ModelDeploymentStatus:
    """The whole status after a pass; `rejected` is why the newest spec cannot be honoured and an older one holds."""
    line = plan.bearings.lineage
    settled = line.settled
    rollout = _steady(world.status.rollout, plan.memory)
    candidate = (
        None if settled or line.target.sent_home else Served(revision=line.target.name, version=line.target.version)
    )
    parts = {
        conditions.ACCEPTED: _accepted(world, plan, rejected),
        conditions.AVAILABLE: _available(world),
        conditions.TRAFFIC_SYNCED: _synced(plan.bearings.sync),
        conditions.JUDGED: _judged(world.judged, plan),
    }
    return ModelDeploymentStatus(
        observed_generation=world.generation,
        serving=serving(world),
        desired_version=world.revisions[world.asked].version if world.asked else line.target.version,
        stable=Served(revision=line.stable.name, version=line.stable.version) if line.stable else None,
        candidate=candidate,
        warm=Served(revision=plan.warm.name, version=plan.warm.version) if plan.warm else None,
        warm_until=plan.warm_until,
        rollout=rollout,
        shadows=[_steadily(world.status.shadows, item) for item in plan.shadows],
        conditions=_conditions(world, plan, parts, rollout=rollout, rejected=rejected),
        history=_history(world.status.history, plan.ended),
        shadow_history=[*world.status.shadow_history, *episodes.ended(world, plan.shadows)][-HISTORY:],
    )


def refused(held: ModelDeploymentStatus, error: SpecRejected, *, generation: int, now: Any) -> ModelDeploymentStatus:
    """A spec that cannot be honoured: what serves goes on serving, and the status says what to change."""
    changed = list(held.conditions)
    for kind, said in (
        (conditions.ACCEPTED, Said("False", error.reason, str(error))),
        (conditions.STALLED, Said("True", error.reason, str(error))),
    ):
        changed = conditions.put(changed, _condition(kind, said, generation=generation, now=now))
    changed = conditions.drop(changed, conditions.RECONCILING)
    parts = [item for item in changed if item.type not in (conditions.READY, conditions.STALLED)]
    changed = conditions.put(changed, conditions.summary(parts, generation=generation, now=now))
    return held.model_copy(update={"observed_generation": generation, "conditions": changed})


def serving(world: World) -> ServingState:
    """What users get: every revision that has a share is held against what it should have."""
    if world.route is None:
        return ServingState.UNAVAILABLE
    shares = [entry for entry in world.route.spec.routes if entry.weight_bp]
    pods = [
        (world.workload(entry.revision).ready, fleet.due(world, entry.revision, entry.weight_bp)) for entry in shares
    ]
    if not any(ready for ready, _ in pods) and not world.workload(world.route.spec.stable.revision).ready:
        return ServingState.UNAVAILABLE
    full = all(ready >= max(1, due) for ready, due in pods)
    return ServingState.AVAILABLE if full else ServingState.IMPAIRED


def revision_status(world: World, plan: Plan, revision: Revision) -> ModelRevisionStatus:
    """What became of one revision."""
    line = plan.bearings.lineage
    pods = world.workload(revision.name)
    routed = {entry.revision: entry.weight_bp for entry in world.route.spec.routes} if world.route else {}
    weight = routed.get(revision.name, 0)
    changes: dict[str, Any] = {
        "phase": _revision_phase(plan, revision),
        "version": revision.version,
        "attempts": revision.attempt,
        "ready_replicas": pods.ready,
        "weight_bp": weight,
        "weight": format_percent(weight) if revision.name in routed else "",
        "created_at": revision.status.created_at or revision.created_at,
        "promoted_at": revision.promoted_at,
        "rolled_back_at": revision.sent_home_at,
        "first_served_at": revision.status.first_served_at or (world.now if weight else None),
    }
    if revision.sent_home:
        changes |= {"reason": revision.because, "message": revision.because_message}
    elif revision.name == plan.memory.revision:
        changes |= {"reason": plan.memory.reason, "message": ""}
    if revision.name == plan.memory.revision and plan.memory.verdicts:
        changes["verdict"] = analysis.summary(plan.memory.verdicts)
        changes["verdicts"] = _keep_times(revision.status.verdicts, plan.memory.verdicts)
    elif line.target.name != revision.name and changes["phase"] is RevisionPhase.RETIRED:
        changes["reason"] = "Replaced"
    if revision.name == plan.memory.revision and plan.memory.gates:
        changes["gates"] = plan.memory.gates
    if changes["phase"] is RevisionPhase.SHADOW and (beside := shadows.role_in(plan.shadows, revision.name)):
        verdicts = _keep_times(revision.status.verdicts, beside.verdicts)
        changes |= {"reason": beside.reason, "message": "", "verdict": beside.verdict, "verdicts": verdicts}
    return revision.status.model_copy(update=changes)


def nothing_yet(new: ModelRevisionStatus) -> bool:
    """Of a revision that waits for its pods and its first traffic, the rollout says everything there is to say."""
    return new.phase is RevisionPhase.CANDIDATE and not (new.weight or new.gates or new.verdicts)


def _revision_phase(plan: Plan, revision: Revision) -> RevisionPhase:
    line = plan.bearings.lineage
    if revision.compared:
        return RevisionPhase.RETIRED
    if turns.refused(revision):
        return RevisionPhase.REFUSED
    if revision.sent_home:
        return RevisionPhase.ROLLED_BACK if revision.promoted_at or line.stable else RevisionPhase.REFUSED
    if line.stable and revision.name == line.stable.name:
        return RevisionPhase.STABLE
    if revision.name == line.target.name:
        return RevisionPhase.CANDIDATE
    if line.previous and revision.name == line.previous.name and revision.name in plan.replicas:
        return RevisionPhase.WARM
    if shadows.role_in(plan.shadows, revision.name):
        return RevisionPhase.SHADOW
    return RevisionPhase.RETIRED


def shape(status: ModelDeploymentStatus | ModelRevisionStatus) -> Any:
    """A status without its numbers: while this stays, the rest may move at most once a minute."""
    return _without_numbers(status.to_json())


NUMBERS = frozenset({"at", "samples", "needed", "value", "against", "bound", "pairs"})
SENTENCES = frozenset({"message", "waitingFor"})


def _without_numbers(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: re.sub(r"[0-9][0-9,.]*", "#", value) if key in SENTENCES else _without_numbers(value)
            for key, value in node.items()
            if key not in NUMBERS
        }
    return [_without_numbers(item) for item in node] if isinstance(node, list) else node


def _steady(old: RolloutStatus | None, new: RolloutStatus) -> RolloutStatus:
    if old is None or old.id != new.id:
        return new
    return new.model_copy(update={"verdicts": _keep_times(old.verdicts, new.verdicts)})


def _steadily(old: Sequence[ShadowStatus], new: ShadowStatus) -> ShadowStatus:
    before = next((item for item in old if item.name == new.name), None)
    return new.model_copy(update={"verdicts": _keep_times(before.verdicts, new.verdicts)}) if before else new


def _keep_times(old: Sequence[MetricVerdict], new: Sequence[MetricVerdict]) -> list[MetricVerdict]:
    """A verdict's time moves only when what it says does."""
    known = {item.name: item for item in old}
    kept = []
    for item in new:
        before = known.get(item.name)
        same = before is not None and before.model_copy(update={"at": item.at}) == item
        kept.append(before if same and before is not None else item)
    return kept


def _history(held: Sequence[HistoryEntry], ended: Sequence[HistoryEntry]) -> list[HistoryEntry]:
    """What ended, oldest first. Who is promoted and taken back later has both ends, each with what was known then."""
    entries = list(held)
    for entry in ended:
        if not any(known.id == entry.id and known.outcome is entry.outcome for known in entries):
            entries.append(entry)
    return entries[-HISTORY:]


def _accepted(world: World, plan: Plan, rejected: SpecRejected | None) -> Said:
    if rejected:
        return Said("False", rejected.reason, str(rejected))
    if newer := turns.accepted(world):
        return Said(*newer)
    target = plan.bearings.lineage.target
    if target.compared:
        text = f"{target.name} was compared, as asked; set another strategy and retry it to let it take over"
        return Said("True", target.because, text)
    if target.sent_home:
        text = f"{target.name} was taken back ({target.because}); it stays back until a retry command names it"
        return Said("False", conditions.TAKEN_BACK, text)
    return Said("True", "Valid", "")


def _available(world: World) -> Said:
    state = serving(world)
    if world.route is None:
        return Said("False", "NotDeployed", "nothing serves yet")
    if state is ServingState.AVAILABLE:
        return Said("True", "Serving", "")
    words = "; ".join(_pods(world, entry) for entry in world.route.spec.routes if entry.weight_bp)
    if state is ServingState.IMPAIRED:
        return Said("True", "Impaired", words)
    return Said("False", "NoReadyPods", words)


def _pods(world: World, entry: Route) -> str:
    pods, due = world.workload(entry.revision), fleet.due(world, entry.revision, entry.weight_bp)
    why = pods.problem
    if pods.wanted < due:
        why = f"{why}; " if why else ""
        why += "capacity: frugal has no room for more until others have gone"
    return f"{entry.revision}: {readiness(pods.ready, max(pods.wanted, due))}{f' ({why})' if why else ''}"


def _synced(sync: Sync) -> Said:
    match sync.state:
        case SyncState.ACKNOWLEDGED:
            return Said("True", "Acknowledged", sync.message)
        case SyncState.SILENT | SyncState.REJECTED:
            return Said("False", sync.reason, sync.message)
        case SyncState.UNKNOWN:
            return Said("Unknown", "Waiting", sync.message)
        case _:
            return Said("Unknown", sync.reason, sync.message)


def _judged(judged: Sequence[Judged], plan: Plan) -> Said:
    target, phase = plan.bearings.lineage.target, plan.decision.phase
    if target.compared:
        deciding = [item.verdict for item in plan.memory.verdicts if item.role is Role.DECIDE]
        passed = bool(deciding) and set(deciding) == {Verdict.PASS.value}
        open_end = "NoWinner" if target.because == TRIAL_ENDED else "NothingToJudge"
        return Said("True", "Passed" if passed else open_end, target.because_message)
    if target.sent_home:
        return Said("False", "Failed", target.because_message)
    speaking = [item for item in judged if item.metric.role is not Role.OBSERVE]
    if phase is Phase.COMPLETED or (not speaking and phase is Phase.WATCHING):
        return Said("True", "Passed", "") if plan.memory.verdicts else Said("True", "NothingToJudge", "")
    if not speaking:
        return Said("True", "NothingToJudge", "")
    words = "; ".join(f"{item.metric.name}: {item.judgement.message}" for item in speaking)
    verdicts = {item.judgement.verdict for item in speaking}
    if Verdict.FAIL in verdicts:
        return Said("False", "Failed", words)
    if phase is Phase.WATCHING or verdicts == {Verdict.PASS}:
        return Said("True", "Passed", words)
    if Verdict.ERROR in verdicts:
        return Said("Unknown", "EvidenceUnavailable", words)
    return Said("Unknown", "AwaitingEvidence", words)


def _conditions(
    world: World, plan: Plan, parts: dict[str, Said], *, rollout: RolloutStatus, rejected: SpecRejected | None
) -> list[Condition]:
    now, generation = world.now, world.generation
    found: list[Condition] = list(world.status.conditions)
    for kind, said in parts.items():
        found = conditions.put(found, _condition(kind, said, generation=generation, now=now))
    judged = [item for item in found if item.type in parts]
    if plan.hindrance:
        judged.append(
            _condition("Applied", Said("False", REFUSED_WRITE, plan.hindrance), generation=generation, now=now)
        )
    if not _arrived(world, plan):
        on_the_way = Said("Unknown", rollout.phase.value, rollout.message)
        judged.append(_condition("Arrived", on_the_way, generation=generation, now=now))
    found = conditions.put(found, conditions.summary(judged, generation=generation, now=now))
    stalled = _stalled(world, plan, rollout, rejected)
    for kind, abnormal in (
        (conditions.RECONCILING, None if stalled else _reconciling(world, plan, rollout)),
        (conditions.STALLED, stalled),
    ):
        if abnormal:
            found = conditions.put(found, _condition(kind, abnormal, generation=generation, now=now))
        else:
            found = conditions.drop(found, kind)
    return found


def _arrived(world: World, plan: Plan) -> bool:
    """Whether what the spec asks for is so: its revision is stable and alone in the traffic, or was compared as asked.

    While this is not so, no tool that waits for the deployment may take it for done.
    """
    target = plan.bearings.lineage.target
    if target.compared:
        return plan.decision.phase is Phase.COMPLETED
    if not plan.bearings.lineage.settled or world.route is None:
        return False
    others = (entry for entry in world.route.spec.routes if entry.revision != target.name)
    return not any(entry.weight_bp or entry.mirror_bp for entry in others)


def _stalled(world: World, plan: Plan, rollout: RolloutStatus, rejected: SpecRejected | None) -> Said | None:
    """What only a person can mend."""
    if rejected:
        return Said("True", rejected.reason, str(rejected))
    if plan.hindrance:
        return Said("True", REFUSED_WRITE, plan.hindrance)
    newer = world.revisions.get(world.asked)
    if newer and turns.refused(newer) and rollout.phase in memory.ENDED | {Phase.WATCHING}:
        return Said("True", newer.because, newer.because_message)
    left_to_people = rollout.phase in (Phase.PAUSED, Phase.WATCHING) and rollout.reason == "AnalysisFailed"
    if left_to_people or rollout.phase in (Phase.ROLLED_BACK, Phase.REFUSED):
        return Said("True", rollout.reason or rollout.phase.value, rollout.message)
    return None


def _reconciling(world: World, plan: Plan, rollout: RolloutStatus) -> Said | None:
    """What is still on its way to be as the spec says. Where nothing is, a suspended deployment is at rest."""
    settled = plan.bearings.lineage.settled
    resting = memory.ENDED | {Phase.WATCHING} | ({Phase.SUSPENDED} if settled else set())
    if rollout.phase not in resting or not _arrived(world, plan):
        return Said("True", rollout.reason or rollout.phase.value, rollout.message)
    ready, wanted = world.workload(plan.bearings.lineage.target.name).ready, fleet.least(world.spec.serving)
    if settled and ready < wanted:
        return Said("True", "WaitingForPods", readiness(ready, wanted))
    return None


def _condition(kind: str, said: Said, *, generation: int, now: Any) -> Condition:
    return Condition(
        type=kind,
        status=said.status,
        reason=said.reason,
        message=said.message[:4096],
        observed_generation=generation,
        last_transition_time=now,
    )
