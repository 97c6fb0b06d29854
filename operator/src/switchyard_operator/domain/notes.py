"""What people are told by Kubernetes events: what happened to a rollout, and what waits for a person, with what to do.

A `Warning` is what a person must act on; everything else is `Normal`. What the status said before is not said again, so
an operator that starts anew tells nothing twice. A state that comes and goes is one event that is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.quantities import format_percent

from switchyard_operator.domain import turns
from switchyard_operator.domain.episodes import episodes
from switchyard_operator.domain.lineage import BY_A_PERSON
from switchyard_operator.domain.plan import Plan
from switchyard_operator.domain.remedies import failing, remedy
from switchyard_operator.domain.rules import DEAD_AFTER, FROZEN, Move
from switchyard_operator.domain.sync import SyncState
from switchyard_operator.domain.world import World

GATES = frozenset({"NeverReady", "SmokeFailed"})
SYNC_REASONS = {
    SyncState.REJECTED: ("RouteRejected", "The route before it goes on; change what the words name"),
    SyncState.SILENT: ("GatewaySilent", "The rollout holds until it answers; look at that pod"),
    SyncState.NO_GATEWAY: ("NoGateway", "Nobody is answered; look at the gateway's StatefulSet"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One event: for whom, in which words, and what makes two of them the same."""

    reason: str
    message: str
    same: str
    """Notes of one reason with the same mark are one happening."""
    warning: bool = False
    revision: str = ""
    """The ModelRevision that it is told of too."""


def notes(world: World, plan: Plan) -> tuple[Note, ...]:
    """What this pass has to tell."""
    return (
        *_rollout(world, plan),
        *_queued(world, plan),
        *_pods(world, plan),
        *_gateways(world, plan),
        *_stable(world),
        *_shadows(world, plan),
    )


def _rollout(world: World, plan: Plan) -> Iterator[Note]:
    held, old, said = plan.memory, world.status.rollout, plan.decision
    who, back = _who(plan), f"kubectl switchyard retry {world.name}"
    first = plan.bearings.lineage.stable is None
    traffic = str(world.route.generation) if world.route else ""
    if (old is None or old.id != held.id) and held.phase not in (Phase.ROLLED_BACK, Phase.REFUSED, Phase.COMPLETED):
        steps = ", ".join(step.name for step in plan.bearings.course.steps)
        text = f"{who} is on its way" + (f": {steps}" if steps else "")
        yield Note(reason="RolloutStarted", message=text, same=held.id)
    match said.move:
        case Move.ENTER if first:
            pass  # it is Deployed within the second, or something else is told
        case Move.ENTER | Move.LOWER:
            yield _entered(world, plan)
        case Move.PROMOTE:
            numbers = "; ".join(f"{item.name}: {item.message}" for item in held.verdicts if item.verdict == "Pass")
            text = f"{who} serves as the first revision" if first else f"{who} is the model now" + _because(numbers)
            reason, about = ("Deployed", "") if first else ("Promoted", held.revision)
            yield Note(reason=reason, message=text, same=held.id, revision=about)
        case Move.END:
            yield Note(reason=said.reason, message=f"{who}: {said.message}", same=held.id, revision=held.revision)
    same = old is not None and (old.id, old.phase, old.reason) == (held.id, held.phase, held.reason)
    if same and said.move is not Move.TAKE_BACK:
        return  # and the way back is told by the pass that marks it, though the status knew of it before
    match held.phase:
        case Phase.ROLLING_BACK if held.reason in GATES:
            text = f"{who} got no traffic: {held.message}. {remedy(held.message)}; then deploy again, or {back}"
            yield Note(reason="GateFailed", message=text, same=held.id, warning=True, revision=held.revision)
        case Phase.ROLLING_BACK if held.reason == "GateFailed":
            text = f"{who} does not go on: {held.message}. Deploy a mended revision, or let it try again: {back}"
            yield Note(reason="GateFailed", message=text, same=held.id, warning=True, revision=held.revision)
        case Phase.ROLLING_BACK:
            words = held.message if held.message.startswith("taken back") else f"taken back: {held.message}"
            text = f"{who} was {words}. Deploy a mended revision, or let it try again: {back}"
            by_us = held.reason not in BY_A_PERSON
            yield Note(reason="TakenBack", message=text, same=held.id, warning=by_us, revision=held.revision)
        case Phase.ROLLED_BACK:
            stable = plan.bearings.lineage.stable
            text = f"all of the traffic is {stable.version or stable.name if stable else 'stable'}'s, on every gateway"
            yield Note(reason="BackOnStable", message=text, same=held.id)
        case Phase.REFUSED:
            text = (
                f"{who} does not serve, and no revision did before it: {held.message}. Deploy a mended one, or {back}"
            )
            yield Note(reason="Refused", message=text, same=held.id, warning=True, revision=held.revision)
        case Phase.COMPLETED if held.reason == "Promoted":
            text = f"{who} stays: the time in which it could have been taken back is over"
            yield Note(reason="Completed", message=text, same=held.id)
        case Phase.PAUSED if held.reason == "Paused":
            text = f"{who} is {held.message} at {format_percent(held.weight_bp)}; a ModelCommand resume lets it go on"
            yield Note(reason="Paused", message=text, same=held.id)
        case Phase.PAUSED if held.reason == FROZEN:
            text = f"{who} stays at {format_percent(held.weight_bp)}: {held.message}"
            yield Note(reason=FROZEN, message=text, same=f"{held.id} {held.frozen_until}")
        case Phase.PAUSED if held.reason == "AwaitingApproval":
            text = f"{who} waits for a person at {format_percent(held.weight_bp)}: {held.message}"
            yield Note(reason="AwaitingApproval", message=text, same=f"{held.id} {held.message}", warning=True)
        case Phase.PAUSED:
            text = (
                f"{who} waits for a person at {format_percent(held.weight_bp)}: {held.message}."
                f" kubectl switchyard promote {world.name}, or abort {world.name}"
            )
            yield Note(reason="AwaitingPerson", message=text, same=f"{held.id} {held.step} {held.reason}", warning=True)
        case Phase.SUSPENDED:
            yield Note(reason="Suspended", message=f"{who}: {held.message}", same=f"{held.id} {traffic}")
        case Phase.AWAITING_EVIDENCE if held.reason == "EvidenceUnavailable":
            advice = "see that the monitor answers and reads from Kafka"
            if any(verdict.reason == "SRM" for verdict in held.verdicts):
                advice = (
                    "see who repeats or drops requests of one revision alone; a person may abort, or promote the step"
                )
            text = (
                f"{who} holds at {format_percent(held.weight_bp)}: {held.message}. Nothing is decided without evidence;"
                f" {advice}"
            )
            yield Note(reason="EvidenceUnavailable", message=text, same=f"{held.id} {held.step}", warning=True)
        case Phase.AWAITING_EVIDENCE:
            text = f"{who} holds at {format_percent(held.weight_bp)} for evidence: {held.waiting_for or held.message}"
            yield Note(reason="AwaitingEvidence", message=text, same=f"{held.id} {held.step}")


def _queued(world: World, plan: Plan) -> Iterator[Note]:
    """A newer model waits for its turn, and for what."""
    newer = world.revisions.get(world.asked)
    told = next((item for item in world.status.conditions if item.type == "Accepted"), None)
    if newer is None or newer.sent_home or (told and told.reason == turns.QUEUED and newer.name in told.message):
        return
    held = plan.memory
    name = f"{newer.version} ({newer.name})" if newer.version else newer.name
    waits = f", which waits for {held.waiting_for}" if held.waiting_for else ""
    text = (
        f"{name} waits until the rollout of {_who(plan)} is over{waits} (spec.onSpecChange is Queue)."
        f" kubectl switchyard abort {world.name}, or promote {world.name} --full, ends it sooner"
    )
    yield Note(reason=turns.QUEUED, message=text, same=f"{held.id} {newer.name}", revision=newer.name)


def _entered(world: World, plan: Plan) -> Note:
    """The route is written with another weight."""
    held, said, who = plan.memory, plan.decision, _who(plan)
    same = f"{held.id} {said.index} {world.route.generation if world.route else ''}"
    if said.move is Move.LOWER:
        text = f"{who} gets {format_percent(said.weight)} while its pods are short: {said.message}"
        return Note(reason="WeightLowered", message=text, same=same)
    match said.reason:
        case "Stepped":
            return Note(reason="StepEntered", message=f"{who} enters {said.message}", same=same)
        case "Expedited":
            text = f"{who}: {said.message}. Find out why stable's pods died: it is what one would go back to"
            return Note(reason="Expedited", message=text, same=same, warning=True)
        case _:
            return Note(reason=said.reason, message=f"{who}: {said.message}", same=same)


def _pods(world: World, plan: Plan) -> Iterator[Note]:
    """Pods that will not become ready by themselves, told while there is still time to mend it."""
    held, old = plan.memory, world.status.rollout
    if plan.decision.move is not Move.HOLD or plan.decision.reason not in ("WaitingForPods", "CandidateNotReady"):
        return
    cause = failing(held.message)
    if cause and not (old and old.id == held.id and failing(old.message) == cause):
        text = f"{_who(plan)} is not ready: {held.message}. {remedy(held.message)}"
        yield Note(reason=cause, message=text, same=held.id, warning=True, revision=held.revision)


def _gateways(world: World, plan: Plan) -> Iterator[Note]:
    sync = plan.bearings.sync
    told = next((item.reason for item in world.status.conditions if item.type == "TrafficSynced"), "")
    if sync.state in SYNC_REASONS and told != sync.reason:
        reason, advice = SYNC_REASONS[sync.state]
        same = f"{world.route.generation if world.route else ''}"
        yield Note(reason=reason, message=f"{sync.message}. {advice}", same=same, warning=True)
    mute = [report for report in world.gateways if report.unrecorded]
    if mute and plan.bearings.questions:
        words = "; ".join(f"{report.pod}: {report.unrecorded}" for report in mute)
        text = (
            f"evidence of {_who(plan)} is missing, because exchanges are answered and not kept: {words}."
            " See that Kafka takes events and the shipper runs, or give the gateway's volume more room"
        )
        yield Note(reason="ExchangesNotRecorded", message=text, same=plan.memory.id, warning=True)


def _stable(world: World) -> Iterator[Note]:
    """What users are answered by has no pod left."""
    if world.route is None:
        return
    name = world.route.spec.stable.revision
    pods = world.workload(name)
    since = pods.lost_at or pods.unready_since
    if pods.ready or not pods.exists or since is None or world.now - since < DEAD_AFTER:
        return
    words = f": {pods.problem}" if pods.problem else ""
    version = world.revisions[name].version if name in world.revisions else ""
    text = (
        f"stable {version or name} has no ready pod{words}. {remedy(pods.problem)}; those it has to answer get errors"
    )
    yield Note(reason="StableDead", message=text, same=f"{name} {since.isoformat()}", warning=True, revision=name)


def _shadows(world: World, plan: Plan) -> Iterator[Note]:
    """What became of those that are compared beside the rollout."""
    for each in episodes(world, plan.shadows):
        about = each.shadow.revision
        yield Note(reason=each.reason, message=each.message, same=each.same, warning=each.warning, revision=about)


def _who(plan: Plan) -> str:
    held = plan.memory
    return f"{held.version} ({held.revision})" if held.version else held.revision


def _because(words: str) -> str:
    return f": {words}" if words else ""
