"""What is to be done about a deployment: one value, from what is known, by no other means.

Three situations. The spec asks for what is stable: settle, and watch while a promotion is young. It asks for a revision
that was sent home: serve stable and say so. Else a rollout is under way, and `rules` decides its next move.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from switchyard_contracts.experiments import TRIAL_ENDED
from switchyard_contracts.gates import Gate
from switchyard_contracts.judgement import Verdict
from switchyard_contracts.model_deployment import SHADOW_ENDED, HistoryEntry, Phase, Role, RolloutStatus
from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.quantities import FULL, format_duration

from switchyard_operator.domain import (
    bearings,
    capacity,
    fleet,
    freezing,
    gates,
    lineage,
    memory,
    past,
    patience,
    plan,
    retreat,
    rules,
)
from switchyard_operator.domain.bearings import Bearings
from switchyard_operator.domain.lineage import Lineage
from switchyard_operator.domain.memory import Place
from switchyard_operator.domain.plan import Plan
from switchyard_operator.domain.routes import Shares
from switchyard_operator.domain.rules import Decision, Move, Seen
from switchyard_operator.domain.step import mirrored
from switchyard_operator.domain.steps import watch
from switchyard_operator.domain.world import NO_WORKLOAD, Revision, Smoke, World

LEAVING = {SHADOW_ENDED: Phase.SHADOWING, TRIAL_ENDED: Phase.PROGRESSING}
"""The phase of a revision that goes home in peace, until it has left the traffic."""


def decide(world: World, known: Bearings) -> Plan:
    """The plan. `known` is `bearings.take(world)`; the world may have gained evidence and a smoke answer since."""
    if known.lineage.target.sent_home:
        return _stay_home(world, known)
    if known.lineage.settled:
        return _settle(world, known)
    return _roll(world, known)


# --- a rollout under way -------------------------------------------------------------------------------------------


def _roll(world: World, known: Bearings) -> Plan:
    line = known.lineage
    serving = world.route.spec.stable.revision if world.route else ""
    ended = past.superseded(world, line)
    stranger = bearings.stranger(world, line)
    if line.stable is None and serving and serving != line.target.name and serving in world.revisions:
        # The first revision was switched to but not marked yet, and the spec has moved on: what serves is stable.
        found = world.revisions[serving]
        if not found.sent_home:
            return plan.mark_first(world, known, lineage.promoted(serving, now=world.now), ended=())
    if line.stable and stranger:
        text = f"{stranger} leaves the traffic; {line.target.name} starts from the first step against stable"
        held = Decision(move=Move.HOLD, phase=Phase.PENDING, reason="Replacing", message=text)
        return retreat.to_stable(world, known, held, ended=ended)
    if line.stable and world.route is None:
        held = Decision(move=Move.HOLD, phase=Phase.PENDING, reason="Restoring", message="the route of stable is gone")
        return retreat.to_stable(world, known, held, ended=ended)
    wished = _wished(world, known)
    decision = gates.stand(
        wished,
        _shut(known, wished),
        memory=known.memory,
        fresh={verdict.name: verdict for verdict in world.gated},
        index=known.spot.index,
        automatic=world.spec.rollback.automatic,
    )
    return _carry_out(world, known, decision, ended=ended)


def gates_due(world: World, known: Bearings) -> tuple[Gate, ...]:
    """The gates that stand in the way of what would be done next, and have not decided yet."""
    line = known.lineage
    if not world.spec.gates or line.target.sent_home or line.settled:
        return ()
    found = _shut(known, _wished(world, known))
    verdicts = [(gate, gates.held(known.memory, gate)) for gate in found]
    if any(verdict and verdict.state == gates.State.FAILED.value for _, verdict in verdicts):
        return ()
    return found


def _wished(world: World, known: Bearings) -> Decision:
    return _go_on_back(known) if known.returns else rules.decide(_seen(world, known))


def _go_on_back(known: Bearings) -> Decision:
    """What an operator that died had told already: it is not taken back because evidence is away since."""
    held = known.memory
    return Decision(move=Move.TAKE_BACK, phase=Phase.ROLLING_BACK, reason=held.reason, message=held.message)


def _shut(known: Bearings, decision: Decision) -> tuple[Gate, ...]:
    return gates.standing(decision, course=known.course, memory=known.memory, gates=known.gates, index=known.spot.index)


def _seen(world: World, known: Bearings) -> Seen:
    line, spot, held = known.lineage, known.spot, known.memory
    pods = world.workload(line.target.name)
    record = held.steps_done[-1] if held.steps_done else None
    synced_at = record.synced_at if record and not spot.passed else None
    started = held.started_at or world.now
    short_since = pods.unready_since if spot.index < 0 else pods.lost_at or pods.unready_since
    if not gates.may_provision(held, course=known.course, gates=known.gates):
        started = world.now  # there are no pods, and nobody may ask for them yet
    elif opened := gates.opened_at(held, course=known.course, gates=known.gates):
        started = max(started, opened)
    unready_since = max(started, short_since) if short_since else started
    if spot.index >= 0 and not short_since:
        unready_since = world.now  # more pods were asked for just now, and nobody has said yet that they are missing
    short = short_since if pods.ready < pods.wanted else None
    gating = gates.smoke_fails_since(held) or world.now
    facts = bearings.paths(world, line.target)
    smoke = rules.ANSWERED if gates.smoke_passed(held) else world.smoke
    if smoke.passed and not facts:
        text = "no path is known: /schema.json names none; set spec.serving.paths"
        smoke = Smoke(asked=True, passed=False, message=text)
    stable_pods = world.workload(line.stable.name) if line.stable else NO_WORKLOAD
    dead_since = stable_pods.lost_at or stable_pods.unready_since or world.now
    return Seen(
        steps=known.course.steps,
        index=spot.index,
        passed=spot.passed,
        weight=spot.weight,
        held_for=world.now - synced_at if synced_at else None,
        sync=known.sync,
        wanted=fleet.proven(world, line),
        before=fleet.before(world, line, known.course),
        ready=pods.ready,
        problem=pods.problem,
        unready_for=_waited(world, held, since=unready_since),
        short_for=_waited(world, held, since=short or world.now),
        deadline=world.spec.serving.ready_within,
        smoke=smoke,
        gating_for=_waited(world, held, since=gating),
        has_stable=line.stable is not None,
        stable_ready=stable_pods.ready,
        stable_dead_for=world.now - dead_since,
        judged=world.judged,
        waited=tuple(_waited(world, held, since=item.since or world.now) for item in world.judged),
        granted=frozenset(held.granted),
        paused=held.paused,
        # A route without a path could not be written, whoever wants it.
        overridden=bool(held.overridden and facts),
        suspended=world.spec.suspend,
        frozen=freeze.words if (freeze := freezing.holding(world, held, line.target)) else "",
        automatic=world.spec.rollback.automatic,
        decides=known.course.decides,
        ends=known.course.ends,
        climbs=known.course.climbs and line.stable is not None,
        wish=next((item.wish for item in world.judged if item.wish is not None), None),
    )


def _waited(world: World, held: RolloutStatus, *, since: datetime) -> timedelta:
    return patience.elapsed(since, now=world.now, pauses=held.pauses)


def _carry_out(world: World, known: Bearings, decision: Decision, *, ended: tuple[HistoryEntry, ...]) -> Plan:
    line = known.lineage
    if decision.move in (Move.TAKE_BACK, Move.END):
        mark = lineage.sent_home(line.target.name, now=world.now, reason=decision.reason, message=decision.message)
        return plan.mark_first(world, known, mark, decision=decision, ended=ended)
    if decision.move is Move.PROMOTE:
        mark = lineage.promoted(line.target.name, now=world.now)
        return plan.mark_first(world, known, mark, decision=decision, ended=ended)
    if decision.move is Move.SHIFT:
        # The record first: a route that is behind it is brought up by the pass that follows, also after a crash.
        shifted = replace(known, memory=memory.shift(known.memory, decision.weight))
        return replace(plan.finish(world, shifted, decision, ended=ended), again=timedelta(0))
    route = None
    if known.course.climbs and known.spot.in_route and known.spot.index >= 0 and _only_enters(decision, known.spot):
        # Weights between two steps belong to neither: which it is has to stand in the status before they move.
        return _enter(world, known, decision, ended=ended)
    if decision.move in (Move.ENTER, Move.LOWER):
        route = plan.compose_route(world, known, _shares(world, known, decision))
    elif world.route and not world.spec.suspend:
        # The same shares, in case paths, timeout or a version were edited in place.
        route = plan.compose_route(world, known, _same_shares(world, known))
    if route and world.route and route == world.route.spec:
        route = None
        if decision.move is Move.ENTER:
            # No weight moves, so the route cannot say that the step was entered.
            return _enter(world, known, decision, ended=ended)
    return plan.finish(world, known, decision, route=route, ended=ended)


def _only_enters(decision: Decision, spot: Place) -> bool:
    return decision.move is Move.ENTER and decision.index > spot.index and decision.weight == spot.weight


def _enter(world: World, known: Bearings, decision: Decision, *, ended: tuple[HistoryEntry, ...]) -> Plan:
    """A step is entered by its record alone."""
    entered = memory.enter(known.memory, known.course, decision.index, now=world.now)
    found = plan.finish(world, replace(known, memory=entered), decision, ended=ended)
    return replace(found, again=timedelta(0))


def _shares(world: World, known: Bearings, decision: Decision) -> Shares:
    line = known.lineage
    if line.stable is None:
        return Shares(stable=line.target)
    if decision.weight == FULL and decision.index == known.course.final:
        return Shares(stable=line.target, warm=(line.stable,))
    mirror = _mirror(world, known, index=decision.index, weight=decision.weight)
    return Shares(stable=line.stable, candidate=line.target, weight=decision.weight, mirror=mirror)


def _mirror(world: World, known: Bearings, *, index: int, weight: int) -> int:
    """What a step mirrors now. It goes with the step's weight, and never outlives the step."""
    steps, pods = known.course.steps, world.workload(known.lineage.target.name)
    step = steps[index] if 0 <= index < len(steps) else None
    return mirrored(step, weight=weight, wanted=fleet.proven(world, known.lineage), ready=pods.ready)


def _same_mirror(world: World, known: Bearings) -> int:
    """The mirror where the weight stays: less at once, more only when every gateway has what was written last."""
    spot = known.spot
    able = 0 if spot.passed else _mirror(world, known, index=spot.index, weight=spot.weight)
    return able if known.sync.acknowledged else min(able, spot.mirror)


def _same_shares(world: World, known: Bearings) -> Shares:
    line, spot = known.lineage, known.spot
    if not spot.in_route:
        return Shares(stable=line.stable or line.target, warm=_warm_in_route(world, line))
    if spot.index < 0 and line.stable and not _is_candidate(world, line.target):
        return Shares(stable=line.stable, warm=(line.target,))
    if line.stable is None:
        return Shares(stable=line.target)
    if spot.index == known.course.final and spot.weight == FULL:
        return Shares(stable=line.target, warm=(line.stable,))
    mirror = _same_mirror(world, known)
    return Shares(stable=line.stable, candidate=line.target, weight=spot.weight, mirror=mirror)


def _is_candidate(world: World, target: Revision) -> bool:
    """In the route as more than a warm one that people may reach by header, or a shadow that it was."""
    entries = world.route.spec.routes if world.route else []
    aside = (RouteRole.PREVIEW, RouteRole.SHADOW)
    return any(entry.revision == target.name and entry.role not in aside for entry in entries)


def _warm_in_route(world: World, line: Lineage) -> tuple[Revision, ...]:
    """While a new rollout starts, whoever was warm stays reachable until the first step replaces the list."""
    if capacity.is_frugal(world) and not line.settled:
        return ()  # its pod is the room that the candidate needs
    if line.previous is None or world.route is None or not bearings.still_warm(world, line):
        return ()
    return (line.previous,)


# --- at rest -------------------------------------------------------------------------------------------------------


def _settle(world: World, known: Bearings) -> Plan:
    line, held = known.lineage, known.memory
    assert line.stable is not None
    ended = past.superseded(world, line)
    decision = _watch(world, known)
    if decision.move is Move.TAKE_BACK:
        mark = lineage.sent_home(line.target.name, now=world.now, reason=decision.reason, message=decision.message)
        return plan.mark_first(world, known, mark, decision=decision)
    # Whatever phase a crash left it in: only what was just begun anew, as all is well again, did not end here.
    if held.phase is not Phase.PENDING and decision.phase is Phase.COMPLETED and not bearings.over(held):
        ended = (*ended, past.closing(held, decision, world))
    return retreat.to_stable(world, known, decision, ended=ended)


def _watch(world: World, known: Bearings) -> Decision:
    line, held = known.lineage, known.memory
    promoted = line.target.promoted_at or world.now
    if world.spec.suspend:
        return Decision(
            move=Move.HOLD,
            phase=Phase.SUSPENDED,
            reason="Suspended",
            message="spec.suspend is true; nothing is decided",
        )
    if bearings.over(held):
        return Decision(move=Move.HOLD, phase=held.phase, reason=held.reason, message=held.message)
    if line.previous is None:
        return Decision(
            move=Move.HOLD,
            phase=Phase.COMPLETED,
            reason="Deployed",
            message="the first revision; nothing to go back to",
        )
    if known.returns:
        return _go_on_back(known)
    until = promoted + watch(world.spec)
    failed = [
        item for item in world.judged if item.metric.role is not Role.OBSERVE and item.judgement.verdict is Verdict.FAIL
    ]
    if failed:
        text = "; ".join(f"{item.metric.name}: {item.judgement.message}" for item in failed)
        if world.spec.rollback.automatic:
            return Decision(
                move=Move.TAKE_BACK,
                phase=Phase.ROLLING_BACK,
                reason="AnalysisFailed",
                message=f"taken back after its promotion: {text}",
            )
        return Decision(
            move=Move.HOLD,
            phase=Phase.WATCHING,
            reason="AnalysisFailed",
            message=f"{text} (rollback.automatic is false: roll back by a ModelCommand)",
        )
    if world.now >= until:
        return Decision(
            move=Move.HOLD,
            phase=Phase.COMPLETED,
            reason="Promoted",
            message=f"watched for {format_duration(watch(world.spec))}, nothing spoke against it",
        )
    return Decision(
        move=Move.HOLD,
        phase=Phase.WATCHING,
        reason="Promoted",
        message="promoted; the old revision is the way back",
        waiting_for=f"late evidence until {until.isoformat(timespec='seconds').replace('+00:00', 'Z')}",
    )


def _stay_home(world: World, known: Bearings) -> Plan:
    """The spec asks for a revision that was taken back: serve stable, and say so until a retry or another spec."""
    line, held = known.lineage, known.memory
    home = line.target
    outcome = Phase.COMPLETED if home.compared else Phase.ROLLED_BACK if line.stable else Phase.REFUSED
    there, _, _ = memory.place(world.route, home.name)
    settled = not there and (line.stable is None or known.sync.acknowledged)
    text = home.because_message or "taken back"
    waits = ["a new revision, or a retry by a ModelCommand" if settled else known.sync.message]
    if line.stable and (short := retreat.short(world, line.stable)):
        waits.append(short)
    decision = Decision(
        move=Move.HOLD,
        phase=outcome if settled else LEAVING.get(home.because, Phase.ROLLING_BACK),
        reason=home.because or "RolledBack",
        message=text,
        waiting_for="; ".join(waits),
    )
    ended = past.superseded(world, line)
    if settled and held.phase is not outcome:
        ended = (*ended, past.closing(held, decision, world))
    if line.stable is None:
        return plan.finish(world, known, decision, drop_route=world.route is not None, ended=ended)
    return retreat.to_stable(world, known, decision, ended=ended)
