"""What is to be done about a deployment: one value, from what is known, by no other means.

Three situations. The spec asks for what is stable: settle, and watch while a promotion is young. It asks for a revision
that was sent home: serve stable and say so. Else a rollout is under way, and `rules` decides its next move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from switchyard_contracts.gates import Gate
from switchyard_contracts.judgement import Verdict
from switchyard_contracts.model_deployment import Capacity, HistoryEntry, Phase, Role, RolloutStatus
from switchyard_contracts.model_route import ModelRouteSpec, Route, RouteRole
from switchyard_contracts.quantities import FULL, format_duration, format_percent

from switchyard_operator.domain import (
    analysis,
    fleet,
    freezing,
    frugal,
    gates,
    lineage,
    memory,
    patience,
    routes,
    rules,
)
from switchyard_operator.domain.analysis import Question
from switchyard_operator.domain.lineage import Lineage, Mark
from switchyard_operator.domain.memory import Place
from switchyard_operator.domain.routes import Shares
from switchyard_operator.domain.rules import Decision, Move, Seen
from switchyard_operator.domain.step import mirrored, needed
from switchyard_operator.domain.steps import Course, Way, course, watch
from switchyard_operator.domain.sync import Sync, SyncState, compare
from switchyard_operator.domain.world import NO_WORKLOAD, Revision, Smoke, World

DEMOTION_PATIENCE = timedelta(seconds=30)
"""How long a way back waits for the old revision's full scale before it is content with one ready pod."""

SOON = timedelta(milliseconds=300)
"""When something is expected from a gateway."""
POLL = timedelta(seconds=2)
"""While evidence is awaited."""
WATCH_POLL = timedelta(seconds=5)
"""While late evidence is looked out for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearings:
    """What follows from the world before any evidence is asked for."""

    lineage: Lineage
    course: Course
    spot: Place
    sync: Sync
    memory: RolloutStatus
    gates: tuple[Gate, ...] = ()
    """What this rollout has to pass beside evidence, in order."""
    questions: tuple[Question, ...] = ()
    wants_smoke: bool = False
    wants_facts: tuple[str, ...] = ()
    """Revisions whose version or paths are not known, and that have a ready pod to tell them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the shell does: at most one of mark, route and drop_route, else the workloads."""

    decision: Decision
    memory: RolloutStatus
    bearings: Bearings
    mark: Mark | None = None
    route: ModelRouteSpec | None = None
    drop_route: bool = False
    replicas: Mapping[str, int] = field(default_factory=dict)
    """Revisions that have pods, and how many."""
    floors: Mapping[str, int] = field(default_factory=dict)
    """Of these, the ones that are scaled by their load, and their autoscalers' minimum."""
    retire: tuple[str, ...] = ()
    """Revisions whose pods may go now."""
    warm: Revision | None = None
    warm_until: datetime | None = None
    ended: tuple[HistoryEntry, ...] = ()
    again: timedelta | None = None
    hindrance: str = ""
    """Why the API server refused what the plan writes."""


def bearings(world: World) -> Bearings:
    """Where things stand, and what has to be asked before a decision."""
    line = lineage.trace(world.revisions, world.target)
    sync = synchronised(world)
    held = gates.recall(memory.recall(world, line), line.target)
    way = course(world.spec, Way(held.way))
    spot = memory.locate(
        way,
        held.steps_done,
        route=world.route,
        target=line.target.name,
        edited=world.status.observed_generation not in (0, world.generation),
    )
    if not line.target.sent_home:
        arrived = sync.acknowledged and _scaled(world, line, way, spot)
        held = memory.follow(held, way, spot, route=world.route, arrived=arrived, now=world.now)
    against = _against(line)
    watching = line.settled and not _over(held)
    live = not line.target.sent_home and (not line.settled or watching)
    pods = world.workload(line.target.name)
    enough = pods.ready >= fleet.before(world, line, way) and not gates.smoke_passed(held)
    return Bearings(
        lineage=line,
        course=way,
        spot=spot,
        sync=sync,
        memory=held,
        gates=gates.applicable(world.spec, way),
        questions=analysis.questions(world.spec, held, way, spot, against=against) if live and against else (),
        wants_smoke=live and spot.index < 0 and enough and not line.settled,
        wants_facts=_ignorant(world, line),
    )


def decide(world: World, known: Bearings) -> Plan:
    """The plan. `known` is `bearings(world)`; the world may have gained evidence and a smoke answer since."""
    if known.lineage.target.sent_home:
        return _stay_home(world, known)
    if known.lineage.settled:
        return _settle(world, known)
    return _roll(world, known)


def synchronised(world: World) -> Sync:
    """Whether the gateways run the newest route."""
    if world.route is None:
        return Sync(SyncState.UNKNOWN, "there is no route yet")
    held = next((item for item in world.status.conditions if item.type == "TrafficSynced"), None)
    since = held.last_transition_time if held and held.status != "True" else world.now
    # Who was named as silent stays so until it speaks, though its condition's clock began anew when it was named.
    named = held is not None and held.reason == SyncState.SILENT.value
    waited = timedelta.max if named else world.now - since
    return compare(world.gateways, generation=world.route.generation, waiting_for=waited)


def _against(line: Lineage) -> str:
    if not line.settled:
        return line.stable.name if line.stable else ""
    return line.previous.name if line.previous else ""


def _scaled(world: World, line: Lineage, way: Course, spot: Place) -> bool:
    """Whether the pods are ready that a step which only scales asks for."""
    step = way.steps[spot.index] if 0 <= spot.index < way.final else None
    return step is None or not step.scales or world.workload(line.target.name).ready >= step.pods


def _over(held: RolloutStatus) -> bool:
    return held.phase in memory.ENDED


def _ignorant(world: World, line: Lineage) -> tuple[str, ...]:
    names = []
    for revision in {item.name: item for item in (line.target, line.stable) if item}.values():
        unknown = not revision.version or not (world.spec.serving.paths or revision.status.paths)
        if unknown and world.workload(revision.name).addresses:
            names.append(revision.name)
    return tuple(names)


# --- a rollout under way -------------------------------------------------------------------------------------------


def _roll(world: World, known: Bearings) -> Plan:
    line = known.lineage
    serving = world.route.spec.stable.revision if world.route else ""
    ended = _superseded(world, line)
    stranger = _stranger(world, line)
    if line.stable is None and serving and serving != line.target.name and serving in world.revisions:
        # The first revision was switched to but not marked yet, and the spec has moved on: what serves is stable.
        found = world.revisions[serving]
        if not found.sent_home:
            return _mark(world, known, lineage.promoted(serving, now=world.now), ended=())
    if line.stable and stranger:
        text = f"{stranger} leaves the traffic; {line.target.name} starts from the first step against stable"
        held = Decision(move=Move.HOLD, phase=Phase.PENDING, reason="Replacing", message=text)
        return _return_to_stable(world, known, held, ended=ended)
    if line.stable and world.route is None:
        held = Decision(move=Move.HOLD, phase=Phase.PENDING, reason="Restoring", message="the route of stable is gone")
        return _return_to_stable(world, known, held, ended=ended)
    wished = rules.decide(_seen(world, known))
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
    found = _shut(known, rules.decide(_seen(world, known)))
    verdicts = [(gate, gates.held(known.memory, gate)) for gate in found]
    if any(verdict and verdict.state == gates.State.FAILED.value for _, verdict in verdicts):
        return ()
    return found


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
    facts = _paths(world, line.target)
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
    )


def _waited(world: World, held: RolloutStatus, *, since: datetime) -> timedelta:
    return patience.elapsed(since, now=world.now, pauses=held.pauses)


def _carry_out(world: World, known: Bearings, decision: Decision, *, ended: tuple[HistoryEntry, ...]) -> Plan:
    line = known.lineage
    if decision.move in (Move.TAKE_BACK, Move.END):
        mark = lineage.sent_home(line.target.name, now=world.now, reason=decision.reason, message=decision.message)
        return _mark(world, known, mark, decision=decision, ended=ended)
    if decision.move is Move.PROMOTE:
        mark = lineage.promoted(line.target.name, now=world.now)
        return _mark(world, known, mark, decision=decision, ended=ended)
    route = None
    if known.course.climbs and known.spot.in_route and known.spot.index >= 0 and _only_enters(decision, known.spot):
        # Weights between two steps belong to neither: which it is has to stand in the status before they move.
        return _enter(world, known, decision, ended=ended)
    if decision.move in (Move.ENTER, Move.LOWER):
        route = _route(world, known, _shares(world, known, decision))
    elif world.route and not world.spec.suspend:
        # The same shares, in case paths, timeout or a version were edited in place.
        route = _route(world, known, _same_shares(world, known))
    if route and world.route and route == world.route.spec:
        route = None
        if decision.move is Move.ENTER:
            # No weight moves, so the route cannot say that the step was entered.
            return _enter(world, known, decision, ended=ended)
    return _finish(world, known, decision, route=route, ended=ended)


def _only_enters(decision: Decision, spot: Place) -> bool:
    return decision.move is Move.ENTER and decision.index > spot.index and decision.weight == spot.weight


def _enter(world: World, known: Bearings, decision: Decision, *, ended: tuple[HistoryEntry, ...]) -> Plan:
    """A step is entered by its record alone."""
    entered = memory.enter(known.memory, known.course, decision.index, now=world.now)
    plan = _finish(world, replace(known, memory=entered), decision, ended=ended)
    return replace(plan, again=timedelta(0))


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
    """In the route as more than a warm one that people may reach by header."""
    entries = world.route.spec.routes if world.route else []
    return any(entry.revision == target.name and entry.role is not RouteRole.PREVIEW for entry in entries)


def _warm_in_route(world: World, line: Lineage) -> tuple[Revision, ...]:
    """While a new rollout starts, whoever was warm stays reachable until the first step replaces the list."""
    if _frugal(world) and not line.settled:
        return ()  # its pod is the room that the candidate needs
    if line.previous is None or world.route is None or not _still_warm(world, line):
        return ()
    return (line.previous,)


# --- at rest -------------------------------------------------------------------------------------------------------


def _settle(world: World, known: Bearings) -> Plan:
    line, held = known.lineage, known.memory
    assert line.stable is not None
    ended = _superseded(world, line)
    decision = _watch(world, known)
    if decision.move is Move.TAKE_BACK:
        mark = lineage.sent_home(line.target.name, now=world.now, reason=decision.reason, message=decision.message)
        return _mark(world, known, mark, decision=decision)
    # Whatever phase a crash left it in: only what was just begun anew, as all is well again, did not end here.
    if held.phase is not Phase.PENDING and decision.phase is Phase.COMPLETED and not _over(held):
        ended = (*ended, _entry(held, decision, world))
    return _return_to_stable(world, known, decision, ended=ended)


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
    if _over(held):
        return Decision(move=Move.HOLD, phase=held.phase, reason=held.reason, message=held.message)
    if line.previous is None:
        return Decision(
            move=Move.HOLD,
            phase=Phase.COMPLETED,
            reason="Deployed",
            message="the first revision; nothing to go back to",
        )
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
    outcome = Phase.COMPLETED if home.shadowed else Phase.ROLLED_BACK if line.stable else Phase.REFUSED
    there, _, _ = memory.place(world.route, home.name)
    settled = not there and (line.stable is None or known.sync.acknowledged)
    text = home.because_message or "taken back"
    waits = ["a new revision, or a retry by a ModelCommand" if settled else known.sync.message]
    if line.stable and (short := _short(world, line.stable)):
        waits.append(short)
    decision = Decision(
        move=Move.HOLD,
        phase=outcome if settled else Phase.SHADOWING if home.shadowed else Phase.ROLLING_BACK,
        reason=home.because or "RolledBack",
        message=text,
        waiting_for="; ".join(waits),
    )
    ended = _superseded(world, line)
    if settled and held.phase is not outcome:
        ended = (*ended, _entry(held, decision, world))
    if line.stable is None:
        return _finish(world, known, decision, drop_route=world.route is not None, ended=ended)
    return _return_to_stable(world, known, decision, ended=ended)


def _return_to_stable(world: World, known: Bearings, decision: Decision, *, ended: tuple[HistoryEntry, ...]) -> Plan:
    """All of the traffic to stable: at once when it serves already, else as soon as its pods can take it."""
    line = known.lineage
    assert line.stable is not None
    if world.spec.suspend and world.route and not line.target.sent_home:
        # What was taken back by a person's command leaves all the same: suspend holds decisions, not an abort.
        return _finish(world, known, decision, ended=ended)
    if not _paths(world, line.stable):
        return _finish(world, known, decision, ended=ended)
    warm = (line.previous,) if line.previous and _still_warm(world, line) else ()
    want = _route(world, known, Shares(stable=line.stable, warm=warm))
    if _frugal(world) and (heavy := _leaving(world, line.stable)):
        left = _left_to(world, line.stable, heavy)
        if left and _is_at_once(world, line, heavy):
            return _finish(world, known, decision, route=want, ended=ended)
        if left:
            return _go_back_by_pods(world, known, decision, heavy=heavy, left=left, ended=ended)
    if world.route and world.route.spec == want:
        return _finish(world, known, decision, ended=ended)
    serving = world.route.spec.stable.revision if world.route else ""
    if not _can_take_over(world, line.stable, serving=serving, wanted=fleet.full(world, line)):
        pods = world.workload(line.stable.name)
        text = f"{decision.message}; stable has {pods.ready} of {fleet.full(world, line)} pods ready to take over"
        return _finish(world, known, replace(decision, waiting_for=text), ended=ended)
    return _finish(world, known, decision, route=want, ended=ended)


def _frugal(world: World) -> bool:
    return world.spec.strategy.capacity is Capacity.FRUGAL


def _leaving(world: World, stable: Revision) -> Route | None:
    """Whoever has most of the traffic that is stable's by right."""
    entries = world.route.spec.routes if world.route else []
    others = [entry for entry in entries if entry.weight_bp and entry.revision != stable.name]
    return max((entry for entry in others if entry.revision in world.revisions), key=_weight, default=None)


def _weight(entry: Route) -> int:
    return entry.weight_bp


def _is_at_once(world: World, line: Lineage, heavy: Route) -> bool:
    """A person's end of a rollout stands above frugality, but no traffic is sent where no pod is."""
    ordered = lineage.is_ended_by_a_person(line, world.revisions[heavy.revision])
    return ordered and line.stable is not None and world.workload(line.stable.name).ready > 0


def _short(world: World, stable: Revision) -> str:
    """What is missing of stable, where it had to take over before it had the pods; nothing where all are there."""
    pods, full = world.workload(stable.name), world.spec.serving.replicas
    if not _frugal(world) or pods.wanted >= full:
        return ""
    return (
        f"stable to have all of its pods: {pods.ready} of {full} ready, and more come as others go (capacity: frugal)"
    )


def _left_to(world: World, stable: Revision, heavy: Route) -> int:
    """What has to stay with it until stable has pods for more."""
    return frugal.onward(
        heavy.weight_bp,
        0,
        wanted=world.spec.serving.replicas,
        ready=world.workload(heavy.revision).ready,
        stable_ready=world.workload(stable.name).ready,
    )


def _go_back_by_pods(
    world: World, known: Bearings, decision: Decision, *, heavy: Route, left: int, ended: tuple[HistoryEntry, ...]
) -> Plan:
    """Stable's pods first, then their share of the traffic; the mirror ends at once."""
    stable = known.lineage.stable
    assert stable is not None
    ready, full = world.workload(stable.name).ready, world.spec.serving.replicas
    how = "a pod at a time (capacity: frugal)" if ready else "as soon as it has a ready pod"
    text = (
        f"stable to take over {how}: {ready} of {full} pods ready,"
        f" {format_percent(left)} of the traffic is still with {heavy.revision}"
    )
    if not known.sync.acknowledged:
        text = f"{text}; {known.sync.message}"
    said = replace(decision, waiting_for=text)
    want = _route(world, known, Shares(stable=stable, candidate=world.revisions[heavy.revision], weight=left))
    same = world.route is not None and world.route.spec == want
    return _finish(world, known, said, route=None if same or left == FULL else want, ended=ended)


def _can_take_over(world: World, stable: Revision, *, serving: str, wanted: int) -> bool:
    pods = world.workload(stable.name)
    if serving == stable.name:
        return True
    if pods.ready >= wanted:
        return True
    if not pods.ready:
        return False
    other = world.revisions.get(serving)
    since = other.sent_home_at if other else None
    return since is None or world.now - since > DEMOTION_PATIENCE or not world.workload(serving).ready


# --- the parts of a plan -------------------------------------------------------------------------------------------


def _mark(
    world: World,
    known: Bearings,
    mark: Mark,
    *,
    decision: Decision | None = None,
    ended: tuple[HistoryEntry, ...] = (),
) -> Plan:
    """A mark first, by itself: whatever follows from it is found by the next pass, also after a crash."""
    chosen = decision or Decision(move=Move.HOLD, phase=known.memory.phase, reason="Marked", message=mark.what)
    floors = _floors(world, known, chosen)
    replicas = _replicas(world, known, chosen, floors)
    return Plan(
        decision=chosen,
        memory=_remember(known.memory, chosen, world, known),
        bearings=known,
        mark=mark,
        replicas=replicas,
        floors=floors,
        ended=ended,
        again=timedelta(0),
    )


def _finish(
    world: World,
    known: Bearings,
    decision: Decision,
    *,
    route: ModelRouteSpec | None = None,
    drop_route: bool = False,
    ended: tuple[HistoryEntry, ...] = (),
) -> Plan:
    line = known.lineage
    warm = line.previous if line.settled and line.previous and _still_warm(world, line) else None
    until = _warm_until(world, line) if warm else None
    floors = _floors(world, known, decision)
    replicas = _replicas(world, known, decision, floors)
    retire: tuple[str, ...] = ()
    if route is None and not drop_route and (known.sync.acknowledged or world.route is None):
        kept = {*replicas, *(entry.revision for entry in (world.route.spec.routes if world.route else ()))}
        retire = tuple(sorted(name for name, pods in world.workloads.items() if pods.exists and name not in kept))
    held = _remember(known.memory, decision, world, known)
    return Plan(
        decision=decision,
        memory=held,
        bearings=known,
        route=route,
        drop_route=drop_route,
        replicas=replicas,
        floors=floors,
        retire=retire,
        warm=warm,
        warm_until=until,
        ended=ended,
        again=SOON if route else _again(world, known, decision, acted=drop_route, warm_until=until),
    )


def _again(
    world: World, known: Bearings, decision: Decision, *, acted: bool, warm_until: datetime | None
) -> timedelta | None:
    """When to look again even if nothing is heard."""
    if acted or _decided(world, known):
        return timedelta(0)
    times = []
    if known.sync.state not in (SyncState.ACKNOWLEDGED, SyncState.UNKNOWN):
        times.append(SOON if known.sync.state is SyncState.WAITING else POLL)
    if decision.phase is Phase.WATCHING:
        times.append(WATCH_POLL)
    elif decision.phase not in memory.ENDED and decision.phase is not Phase.SUSPENDED:
        times.append(POLL)
    if warm_until:
        times.append(max(SOON, warm_until - world.now))
    return min(times) if times else None


def _decided(world: World, known: Bearings) -> bool:
    """Whether a gate has decided that the status does not know of yet: the pass that follows goes on from there."""
    ends = (gates.State.PASSED.value, gates.State.FAILED.value)
    known_ends = {(each.name, each.definition) for each in known.memory.gates if each.state in ends}
    return any(each.state in ends and (each.name, each.definition) not in known_ends for each in world.gated)


def _route(world: World, known: Bearings, shares: Shares) -> ModelRouteSpec:
    """The route of these shares; it names the rollout while the target is in the traffic, and until it is replaced."""
    line, standing = known.lineage, world.route.spec.rollout_id if world.route else ""
    target_in = line.target in (shares.stable, shares.candidate)
    rollout = known.memory.id if target_in and not line.settled else "" if line.target.sent_home else standing
    return routes.compose(
        shares,
        paths=_paths(world, shares.stable),
        timeout=world.spec.serving.timeout,
        rollout_id=rollout,
        split=routes.sticky(world.spec.strategy.sticky, namespace=world.namespace, rollout_id=rollout),
    )


def _paths(world: World, revision: Revision) -> list[str]:
    return list(world.spec.serving.paths or revision.status.paths)


def _floors(world: World, known: Bearings, decision: Decision) -> Mapping[str, int]:
    spot = known.spot
    return fleet.floors(
        world, known.lineage, known.course, index=spot.index, weight=spot.weight, reason=decision.reason
    )


def _replicas(world: World, known: Bearings, decision: Decision, floors: Mapping[str, int]) -> dict[str, int]:
    """Who has pods, and how many: whoever has an autoscaler, as many as that says, and no fewer than its minimum."""
    if _frugal(world):
        return _frugal_replicas(world, known)
    most = world.spec.serving.autoscaling.max_replicas if world.spec.serving.autoscaling else 0
    wanted = _full_replicas(world, known, decision)
    for name in wanted.keys() & floors.keys():
        wanted[name] = min(most, max(floors[name], world.workload(name).wanted))
    return wanted


def _full_replicas(world: World, known: Bearings, decision: Decision) -> dict[str, int]:
    """Stable has all of its pods, and the target as many as its steps say. Nobody with traffic loses pods here."""
    line, full = known.lineage, fleet.full(world, known.lineage)
    wanted: dict[str, int] = {}
    if line.stable:
        wanted[line.stable.name] = full
    opened = gates.may_provision(known.memory, course=known.course, gates=known.gates)
    if not line.target.sent_home and (opened or line.settled or world.workload(line.target.name).exists):
        wanted[line.target.name] = _own(world, known, decision)
    if line.previous and line.previous.name not in wanted and _still_warm(world, line):
        wanted[line.previous.name] = min(full, world.spec.rollback.warm.replicas)
    if world.route:
        for entry in world.route.spec.routes:
            pods = world.workload(entry.revision)
            if wanted.get(entry.revision) == full:
                continue
            serving = entry.weight_bp > 0 or not known.sync.acknowledged
            if serving and pods.exists and entry.revision in world.revisions:
                scaled = known.sync.acknowledged and entry.role is RouteRole.CANDIDATE
                least = needed(full, entry.weight_bp) if scaled and entry.revision in wanted else pods.wanted
                wanted[entry.revision] = max(wanted.get(entry.revision, 0), least)
    return wanted


def _frugal_replicas(world: World, known: Bearings) -> dict[str, int]:
    """Never more than replicas + 1 in all: stable has what its share asks for, then the target, then who is warm."""
    line, full, spot = known.lineage, world.spec.serving.replicas, known.spot
    shares = {entry.revision: entry.weight_bp for entry in world.route.spec.routes} if world.route else {}
    wishes: dict[str, int] = {}
    rolls = not (line.settled or line.target.sent_home or _stranger(world, line))
    goal = spot.weight
    if spot.index >= 0 and not spot.passed:
        goal = FULL if spot.index >= known.course.final else known.course.steps[spot.index].weight
    if line.stable:
        away = min(spot.weight, goal) if rolls and spot.in_route else 0
        wishes[line.stable.name] = frugal.enough(full, FULL - away) if away else full
    opened = gates.may_provision(known.memory, course=known.course, gates=known.gates)
    if rolls and (opened or world.workload(line.target.name).exists):
        wishes[line.target.name] = frugal.towards(spot.weight, goal, wanted=full) if line.stable else full
    if line.settled and line.previous and _still_warm(world, line) and world.workload(line.previous.name).exists:
        wishes.setdefault(line.previous.name, 1)
    holdings = {}
    for name in [*wishes, *sorted(set(world.workloads) - set(wishes))]:
        pods, share = world.workload(name), shares.get(name, 0)
        least = frugal.enough(full, share) if share else 0
        if world.route is not None and not known.sync.acknowledged and name in shares:
            least = max(least, pods.wanted)
        if name not in wishes and not share and name not in shares:
            least = pods.wanted  # it is about to go as a whole
        holdings[name] = frugal.Holding(wanted=pods.wanted, pods=pods.pods, least=least, wish=wishes.get(name, 0))
    found = frugal.share_out(holdings, wanted=full)
    return {name: number for name, number in found.items() if number and (name in wishes or name in shares)}


def _own(world: World, known: Bearings, decision: Decision) -> int:
    """How many pods the target is given: all, or as many as the steps that scale say and the next weight asks for."""
    full = fleet.full(world, known.lineage)
    if known.lineage.settled or known.lineage.stable is None:
        return full
    records = known.memory.steps_done
    asked = records[-1].pods if records and not records[-1].ended_at else 0
    return min(full, max(known.course.pods(known.spot.index) or full, asked, decision.pods))


def _warm_until(world: World, line: Lineage) -> datetime | None:
    if line.stable is None or line.stable.promoted_at is None:
        return None
    return line.stable.promoted_at + world.spec.rollback.warm.for_


def _still_warm(world: World, line: Lineage) -> bool:
    until = _warm_until(world, line)
    return until is not None and world.now < until


def _stranger(world: World, line: Lineage) -> str:
    """A revision in the traffic that is neither stable nor the target: the candidate of a rollout that was replaced."""
    if world.route is None or line.stable is None:
        return ""
    for entry in world.route.spec.routes:
        if entry.revision not in (line.stable.name, line.target.name) and (
            entry.weight_bp or entry.role is RouteRole.CANDIDATE
        ):
            return entry.revision
    return ""


def _superseded(world: World, line: Lineage) -> tuple[HistoryEntry, ...]:
    """The rollout that the status still speaks of, when the spec has moved on before its end."""
    old = world.status.rollout
    if old is None or old.id == memory.rollout_id(line) or old.phase in memory.ENDED:
        return ()
    if old.phase is Phase.WATCHING:
        text = "promoted; a newer spec ended its watch"
        return (_history(old, Phase.COMPLETED, "Promoted", text, world),)
    sent = world.revisions.get(old.revision)
    if sent and sent.sent_home:
        outcome = Phase.COMPLETED if sent.shadowed else Phase.ROLLED_BACK
        return (_history(old, outcome, sent.because or "RolledBack", sent.because_message, world),)
    reason = "Cancelled" if line.settled else "Superseded"
    text = "the spec went back to stable" if line.settled else f"the spec asks for {line.target.name} now"
    return (_history(old, Phase.SUPERSEDED, reason, text, world),)


def _entry(held: RolloutStatus, decision: Decision, world: World) -> HistoryEntry:
    return _history(held, decision.phase, decision.reason, decision.message, world)


def _history(held: RolloutStatus, outcome: Phase, reason: str, message: str, world: World) -> HistoryEntry:
    verdicts = held.verdicts
    if world.judged and world.status.rollout and held.id == world.status.rollout.id:
        verdicts = analysis.shown(world.judged, now=world.now) or verdicts
    return HistoryEntry(
        id=held.id,
        revision=held.revision,
        version=held.version,
        outcome=outcome,
        reason=reason,
        message=message[:4096],
        started_at=held.started_at,
        ended_at=world.now,
        verdicts=verdicts,
        commands=held.commands,
    )


def _remember(held: RolloutStatus, decision: Decision, world: World, known: Bearings) -> RolloutStatus:
    """The memory as the status will hold it."""
    moved = decision.phase is not held.phase
    ended = decision.phase in memory.ENDED
    weight = known.spot.weight if not known.lineage.target.sent_home else 0
    freeze = None if ended else freezing.holding(world, held, known.lineage.target)
    changes: dict[str, object] = {
        "phase": decision.phase,
        "reason": decision.reason,
        "message": decision.message[:4096],
        "waiting_for": "" if ended and decision.phase is Phase.COMPLETED else decision.waiting_for[:4096],
        "step": known.course.name(known.spot.index),
        "step_index": max(0, known.spot.index + 1),
        "steps": known.course.final + (0 if known.course.ends else 1),
        "weight_bp": weight,
        "weight": format_percent(weight) if known.spot.in_route else "",
        "mirror_bp": known.spot.mirror,
        "pauses": patience.noted(
            held.pauses, held=bool(held.paused or world.spec.suspend or freeze) and not ended, now=world.now
        ),
        "frozen_until": freeze.until if freeze and decision.reason == rules.FROZEN else None,
        "phase_since": world.now if moved else held.phase_since,
        "ended_at": (held.ended_at or world.now) if ended else None,
        "steps_done": memory.asked(held, decision.pods).steps_done,
    }
    changes["gates"] = gates.remember(
        held,
        gates=known.gates,
        fresh=world.gated,
        smoke=world.smoke,
        now=world.now,
    )
    if world.judged and not ended:
        changes["verdicts"] = shown = analysis.shown(world.judged, now=world.now)
        changes["verdict"] = analysis.summary(shown)
    return held.model_copy(update=changes)
