"""The rules of a rollout that is under way: the first that objects decides; when none does, the next step is taken.

Nothing here knows which strategy wrote the steps, and nothing here reads a clock: what has elapsed is in `Seen`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from switchyard_contracts.experiments import TRIAL_ENDED
from switchyard_contracts.judgement import Verdict, counted
from switchyard_contracts.model_deployment import SHADOW_ENDED, Missing, Phase, Role
from switchyard_contracts.quantities import FULL, format_duration, format_percent
from switchyard_contracts.spans import span
from switchyard_contracts.trial import AHEAD

from switchyard_operator.domain import frugal
from switchyard_operator.domain.pods import readiness
from switchyard_operator.domain.step import Step, needed, sustainable
from switchyard_operator.domain.sync import Sync, SyncState
from switchyard_operator.domain.world import Judged, Smoke

GATE_PATIENCE = timedelta(seconds=30)
"""How long a ready pod may fail its smoke request before the candidate is sent home."""

DEAD_AFTER = timedelta(seconds=15)
"""How long stable may be without any ready pod before the candidate takes over: a missed probe is not a death."""

ACKNOWLEDGED = Sync()
ANSWERED = Smoke(asked=True, passed=True)
FROZEN = "Frozen"
"""Why a rollout waits that a freeze holds."""
UNDER_WAY = frozenset({"Testing", "Learning"})
"""Why a rollout stands that tries a candidate on users, and is not held up by anything."""
EVERYTHING = "*"
"""A grant for all steps: promote without a step."""


class Move(StrEnum):
    """What is to be done with the traffic."""

    HOLD = "hold"
    ENTER = "enter"
    """Take the weight of the step at `index`; the one past the last is the switch."""
    SHIFT = "shift"
    """Have another weight at the step it is at, as its evidence asks for."""
    LOWER = "lower"
    """The candidate cannot take its share: give it what it can take."""
    PROMOTE = "promote"
    """Every gateway has switched: the candidate is the model now."""
    TAKE_BACK = "take-back"
    """Send the candidate home."""
    END = "end"
    """It was only to be compared, and was: send it home in peace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, and why, in words for people."""

    move: Move
    phase: Phase
    reason: str
    message: str
    waiting_for: str = ""
    index: int = -1
    weight: int = 0
    pods: int = 0
    """How many pods the candidate has to have for what comes next; 0 where it has enough."""
    left: timedelta | None = None
    """How long it lasts while nothing is heard of any pod; None where something else is waited for too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One rollout at one moment."""

    steps: tuple[Step, ...]
    index: int = -1
    """The step it is at; -1 before the first, `len(steps)` after the switch."""
    passed: bool = False
    """The step it is at was ended already (its successor in the list has changed since)."""
    weight: int = 0
    """What the route gives the candidate now."""
    held_for: timedelta | None = None
    """Since every ready gateway took the step's weight; None while one has not."""
    sync: Sync = ACKNOWLEDGED
    wanted: int = 1
    before: int | None = None
    """How many pods it must have before its first traffic, where its steps alone do not say it."""
    ready: int = 1
    problem: str = ""
    unready_for: timedelta = timedelta(0)
    short_for: timedelta = timedelta(0)
    """How long a pod that it was given has not been ready; nothing while all of them are."""
    deadline: timedelta = timedelta(minutes=10)
    smoke: Smoke = ANSWERED
    gating_for: timedelta = timedelta(0)
    has_stable: bool = True
    stable_ready: int = 1
    stable_dead_for: timedelta = timedelta(0)
    judged: tuple[Judged, ...] = ()
    waited: tuple[timedelta, ...] = ()
    """For each of `judged`: how long it could have had data."""
    granted: frozenset[str] = frozenset()
    """Steps that a person lets pass without waiting."""
    paused: str = ""
    overridden: bool = False
    """A person is content with one ready pod, and with no gate."""
    suspended: bool = False
    frozen: str = ""
    """Until when no weight may rise, and why."""
    automatic: bool = True
    decides: bool = True
    ends: bool = False
    """Whether it is over after the last step, without a switch."""
    climbs: bool = False
    """Whether weights move a pod at a time."""
    wish: int | None = None
    """The weight that the evidence asks for, where a weight follows it."""

    @property
    def final(self) -> int:
        """The index of the switch."""
        return len(self.steps)

    @property
    def step(self) -> Step | None:
        """The step it is at, if it is one that was written down."""
        return self.steps[self.index] if 0 <= self.index < len(self.steps) else None

    @property
    def step_weight(self) -> int:
        """What the route should give the candidate at this step."""
        if self.index < 0:
            return 0
        return self.steps[self.index].weight if self.index < len(self.steps) else FULL

    @property
    def has_grant(self) -> bool:
        """Whether a person let the present step pass."""
        return EVERYTHING in self.granted or (self.step is not None and self.step.name in self.granted)

    def pods_for(self, weight: int) -> int:
        """How many ready pods this share of the traffic asks for; never none, whatever a person overrides."""
        if self.overridden:
            return 1
        return frugal.enough(self.wanted, weight) if self.climbs else needed(self.wanted, weight)

    @property
    def pods_now(self) -> int:
        """How many ready pods it must have where it stands: all that it is given before its first traffic."""
        if self.climbs:
            return self.pods_for(self.weight)
        if self.overridden:
            return 1
        if self.index < 0 or (self.step is not None and self.step.scales):
            return self.pods_here
        return self.pods_for(self.step_weight)

    @property
    def first(self) -> int:
        """How many it is given before its first traffic."""
        if self.before is not None:
            return self.before
        return (self.steps[0].pods if self.steps else 0) or self.wanted

    @property
    def pods_here(self) -> int:
        """How many pods it is given where it stands."""
        if self.climbs:
            return self.pods_for(self.weight)
        if self.index < 0:
            return self.first
        return (self.step.pods if self.step else 0) or self.wanted


class Says(StrEnum):
    """What a metric means for the rollout, once patience is counted in."""

    GO = "go"
    STOP = "stop"
    WAIT = "wait"


MISSING = {Missing.HOLD: Says.WAIT, Missing.FAIL: Says.STOP, Missing.PASS: Says.GO}


def says(judged: Judged, waited: timedelta) -> Says:
    """A verdict, or after `maxWait` what the spec wants in its place. An outage alone is never a failure.

    What was read once and for all waits for nothing more.
    """
    verdict = judged.judgement.verdict
    if verdict is Verdict.PASS:
        return Says.GO
    if verdict is Verdict.FAIL:
        return Says.STOP
    if waited <= judged.metric.max_wait and not judged.final:
        return Says.WAIT
    if verdict is Verdict.NO_DATA:
        return MISSING[judged.metric.on_no_data]
    if verdict is Verdict.INCONCLUSIVE:
        return MISSING[judged.metric.on_inconclusive]
    return MISSING[judged.metric.on_unavailable] if judged.unavailable else Says.WAIT


def _of(seen: Seen, role: Role) -> list[tuple[Judged, Says]]:
    pairs = zip(seen.judged, seen.waited, strict=True)
    return [(judged, says(judged, waited)) for judged, waited in pairs if judged.metric.role is role]


def _awaiting(waiting: list[Judged], *, phase: Phase) -> Decision:
    reasons = {judged.judgement.verdict for judged in waiting}
    reason = "EvidenceUnavailable" if Verdict.ERROR in reasons else "AwaitingEvidence"
    message = "; ".join(f"{judged.metric.name}: {judged.judgement.message}" for judged in waiting)
    waiting_for = "; ".join(text for judged in waiting if (text := named(judged)))
    return Decision(move=Move.HOLD, phase=phase, reason=reason, message=message, waiting_for=waiting_for or message)


def named(judged: Judged) -> str:
    """What a metric waits for, with its name before it."""
    return f"{judged.metric.name}: {judged.waiting_for or judged.judgement.message}"


Rule = Callable[[Seen], "Decision | None"]


def _hold(phase: Phase, reason: str, message: str, *, waiting_for: str = "") -> Decision:
    return Decision(move=Move.HOLD, phase=phase, reason=reason, message=message, waiting_for=waiting_for or message)


def _phase(seen: Seen) -> Phase:
    """The phase of a rollout that only waits."""
    if seen.index < 0:
        return Phase.PROVISIONING if seen.ready < seen.first else Phase.GATING
    if seen.step is not None and seen.step.mirrors_only:
        return Phase.SHADOWING
    return Phase.PROMOTING if seen.index == seen.final else Phase.PROGRESSING


def leave_the_suspended_alone(seen: Seen) -> Decision | None:
    """`suspend` freezes decisions; whoever set it decides."""
    if not seen.suspended:
        return None
    return _hold(Phase.SUSPENDED, "Suspended", "spec.suspend is true; set it to false to go on")


def take_back_what_fails(seen: Seen) -> Decision | None:
    """A guard or a decide metric that is proven beyond its limit ends the rollout; readiness cannot excuse it."""
    if seen.index < 0:
        return None
    failed = [judged for role in (Role.GUARD, Role.DECIDE) for judged, word in _of(seen, role) if word is Says.STOP]
    if not failed:
        return None
    message = "; ".join(f"{judged.metric.name}: {judged.judgement.message}" for judged in failed)
    if not seen.automatic:
        if seen.has_grant:
            return None
        text = f"{message} (rollback.automatic is false: abort or promote by a ModelCommand)"
        return _hold(Phase.PAUSED, "AnalysisFailed", text, waiting_for="a person's abort or promote")
    return Decision(
        move=Move.TAKE_BACK,
        phase=Phase.ROLLING_BACK,
        reason="AnalysisFailed",
        message=f"taken back {_when(seen)}: {message}",
    )


def _when(seen: Seen) -> str:
    if seen.step is not None and seen.step.mirrors_only and not seen.weight:
        return "before any user was given an answer of it"
    return f"at {format_percent(seen.weight)}"


def give_up_on_the_never_ready(seen: Seen) -> Decision | None:
    """Not ready within its deadline, whether before or in the traffic."""
    if seen.ready >= seen.pods_now or seen.paused or seen.unready_for <= seen.deadline:
        return None
    words = f": {seen.problem}" if seen.problem else ""
    return Decision(
        move=Move.TAKE_BACK,
        phase=Phase.ROLLING_BACK,
        reason="NeverReady" if seen.index < 0 else "NotReady",
        message=f"{_pods(seen)} after {span(_whole(seen.unready_for))}{words}",
    )


def provision(seen: Seen) -> Decision | None:
    """Before the traffic: wait for every pod. In it: an unready candidate gets at once only what it can take."""
    if seen.index < 0:
        if seen.ready >= seen.pods_now:
            return None
        words = f"; {seen.problem}" if seen.problem else ""
        text = f"{_pods(seen)}{words}"
        left = max(timedelta(0), seen.deadline - seen.unready_for)
        held = _hold(
            Phase.PROVISIONING,
            "WaitingForPods",
            text,
            waiting_for=f"{counted(seen.pods_now - seen.ready, 'more pod')} to become ready,"
            f" for at most {span(_whole(left))} more",
        )
        return replace(held, left=left)
    if seen.ready >= seen.pods_now:
        return None
    able = min(seen.weight, sustainable(seen.wanted, seen.ready))
    if seen.climbs and seen.ready:
        able = onward(seen, 0)
    if seen.index == seen.final and seen.has_stable and (not seen.climbs or seen.weight == FULL):
        able = 0 if seen.ready == 0 else seen.weight
    words = f": {seen.problem}" if seen.problem else ""
    text = f"{_pods(seen)}{words}"
    if able < seen.weight and seen.has_stable and seen.stable_ready:
        return Decision(
            move=Move.LOWER, phase=_phase(seen), reason="CandidateNotReady", message=text, index=seen.index, weight=able
        )
    if seen.step is not None and seen.step.scales and able == seen.weight:
        waits = f"{counted(seen.pods_now - seen.ready, 'more pod')} to become ready"
        return _hold(_phase(seen), "Scaling", f"step {seen.step.name}: {text}", waiting_for=waits)
    return _hold(_phase(seen), "CandidateNotReady", text)


def onward(seen: Seen, goal: int) -> int:
    """How far the weight can go towards a goal with the pods that are ready now."""
    return frugal.onward(seen.weight, goal, wanted=seen.wanted, ready=seen.ready, stable_ready=seen.stable_ready)


def gate(seen: Seen) -> Decision | None:
    """A smoke or warm-up request must be answered before any traffic."""
    if seen.index >= 0 or seen.smoke.passed or seen.overridden:
        return None
    if seen.smoke.asked and seen.gating_for > GATE_PATIENCE:
        return Decision(move=Move.TAKE_BACK, phase=Phase.ROLLING_BACK, reason="SmokeFailed", message=seen.smoke.message)
    text = seen.smoke.message or "the first request to the candidate's pods"
    return _hold(Phase.GATING, "Gating", text, waiting_for=text)


def expedite(seen: Seen) -> Decision | None:
    """Stable is dead and the candidate is not: users come before analysis. Both dead: hold, loudly.

    A candidate that is only compared was never meant for users, so it is not given to them now.
    """
    if (
        seen.ends
        or not seen.has_stable
        or seen.stable_ready
        or seen.index == seen.final
        or seen.stable_dead_for < DEAD_AFTER
    ):
        return None
    if seen.ready >= 1:
        return Decision(
            move=Move.ENTER,
            phase=Phase.PROMOTING,
            reason="Expedited",
            message="stable has no ready pod and the candidate has: all of the traffic goes to the candidate",
            index=seen.final,
            weight=FULL,
        )
    return _hold(_phase(seen), "BothUnready", "neither stable nor the candidate has a ready pod")


def restore(seen: Seen) -> Decision | None:
    """Ready again: back to the weight of the step it was at."""
    if seen.index < 0 or seen.weight == seen.step_weight or seen.paused or seen.passed:
        return None
    if seen.sync.state is not SyncState.ACKNOWLEDGED:
        return None
    if seen.climbs:
        return _climb(seen)
    if seen.step is not None and seen.step.every is not None:
        reason, text = "Shifted", f"step {seen.step.name}: {format_percent(seen.weight)} → {_percent_of(seen)}"
    elif seen.weight > seen.step_weight:
        reason, text = "Lowered", f"the step asks for {format_percent(seen.step_weight)}"
    else:
        reason, text = "Restored", f"ready again: back to {format_percent(seen.step_weight)}"
    return Decision(
        move=Move.ENTER,
        phase=_phase(seen),
        reason=reason,
        message=text,
        index=seen.index,
        weight=seen.step_weight,
    )


def _percent_of(seen: Seen) -> str:
    return f"{format_percent(seen.step_weight)}, as likely as it is the better one, within its floor and ceiling"


def _climb(seen: Seen) -> Decision:
    """Towards the step's weight, as far as the ready pods go; with too few of them it waits, but not for ever."""
    goal, weight = seen.step_weight, onward(seen, seen.step_weight)
    up = goal > seen.weight
    text = f"{format_percent(weight)} on the way to {format_percent(goal)} (capacity: frugal)"
    if weight != seen.weight:
        reason = "Climbing" if up else "Lowered"
        return Decision(
            move=Move.ENTER, phase=_phase(seen), reason=reason, message=text, index=seen.index, weight=weight
        )
    words = f"; {seen.problem}" if seen.problem else ""
    if up and seen.short_for > seen.deadline:
        after = f"{text}: the next pod is not ready after {span(_whole(seen.short_for))}{words}"
        return Decision(move=Move.TAKE_BACK, phase=Phase.ROLLING_BACK, reason="NotReady", message=after)
    whose = "the candidate" if up else "stable"
    waits = f"another ready pod of {whose}, for which another has to go first where replicas + 1 are there"
    return _hold(_phase(seen), "WaitingForPods", f"{text}{words}", waiting_for=waits)


def wait_for_the_gateways(seen: Seen) -> Decision | None:
    """Nothing goes on before every ready gateway runs the newest route; a silent one is named."""
    if seen.index < 0 and seen.sync.state is SyncState.UNKNOWN:
        return None
    if seen.sync.state is SyncState.ACKNOWLEDGED:
        return None
    return _hold(_phase(seen), seen.sync.reason, seen.sync.message)


def promote_the_switched(seen: Seen) -> Decision | None:
    """All of the traffic, everywhere: it is the model now."""
    if seen.index != seen.final or seen.weight != FULL:
        return None
    return Decision(
        move=Move.PROMOTE, phase=Phase.WATCHING, reason="Promoted", message="the candidate is the model now"
    )


def respect_a_pause(seen: Seen) -> Decision | None:
    """A person's pause holds the weight; evidence goes on, and failing still ends it."""
    if not seen.paused:
        return None
    return _hold(Phase.PAUSED, "Paused", seen.paused, waiting_for="a person's resume")


def respect_a_freeze(seen: Seen) -> Decision | None:
    """In a freeze nothing rises; evidence goes on, failing still ends it, and what was switched already is finished."""
    if not seen.frozen or seen.overridden or (seen.index == seen.final and seen.weight == FULL):
        return None
    wish = "the end of the freeze, or a person's promote of every step with an override and a reason"
    return _hold(Phase.PAUSED, FROZEN, seen.frozen, waiting_for=wish)


def hold_the_step(seen: Seen) -> Decision | None:
    """The step's time, counted since the last gateway took it."""
    step = seen.step
    if step is None or seen.passed or seen.has_grant:
        return None
    held = seen.held_for if seen.held_for is not None else timedelta(0)
    if held < step.hold:
        left = span(_whole(step.hold - held))
        text = f"step {step.name} is held for {format_duration(step.hold)}"
        return _hold(_phase(seen), "Holding", text, waiting_for=f"{left} more of step {step.name}")
    return None


def wait_for_guards(seen: Seen) -> Decision | None:
    """A step that gives traffic is passed only when every guard has data and none speaks against it."""
    step = seen.step
    if step is None or seen.passed or seen.has_grant or not step.weight:
        return None
    waiting = [judged for judged, word in _of(seen, Role.GUARD) if word is not Says.GO]
    return _awaiting(waiting, phase=Phase.AWAITING_EVIDENCE) if waiting else None


def wait_for_a_person(seen: Seen) -> Decision | None:
    """A preview, or a step that pauses, is left by hand."""
    step = seen.step
    if step is None or not step.by_hand or seen.has_grant or seen.passed:
        return None
    text = f"step {step.name} is left by hand: a person promotes it, or aborts"
    return _hold(Phase.PAUSED, "AwaitingPromote", text, waiting_for="a person's promote")


def follow_the_reward(seen: Seen) -> Decision | None:
    """A weight that follows the evidence moves when it has stood for long enough, and while nobody has won."""
    step = seen.step
    if step is None or step.every is None or seen.passed or seen.has_grant or seen.wish in (None, step.weight):
        return None
    if seen.held_for is None or seen.held_for < step.every or not _undecided(seen):
        return None
    text = f"step {step.name}: {format_percent(step.weight)} is to become {format_percent(seen.wish or 0)}"
    return Decision(
        move=Move.SHIFT, phase=_phase(seen), reason="Shifting", message=text, index=seen.index, weight=seen.wish or 0
    )


def let_the_trial_run(seen: Seen) -> Decision | None:
    """A test before its horizon, or a bandit before its verdict, is under way and not held up."""
    if seen.step is None or seen.has_grant or seen.passed:
        return None
    waiting = _undecided(seen)
    if any(judged.judgement.verdict is Verdict.ERROR or judged.final for judged in waiting):
        return None
    if waiting and (seen.step.every is not None or any(judged.judgement.reason == AHEAD for judged in waiting)):
        reason = "Learning" if seen.step.every is not None else "Testing"
        return replace(_awaiting(waiting, phase=_phase(seen)), reason=reason)
    return None


def end_what_nobody_won(seen: Seen) -> Decision | None:
    """A test that was read and has no winner is over: stable keeps the traffic."""
    waiting = _undecided(seen)
    if seen.has_grant or not waiting or not all(judged.final for judged in waiting):
        return None
    return Decision(move=Move.END, phase=_phase(seen), reason=TRIAL_ENDED, message=_findings(seen))


def _undecided(seen: Seen) -> list[Judged]:
    return [judged for judged, word in _of(seen, Role.DECIDE) if word is Says.WAIT] if seen.decides else []


def wait_for_outcomes(seen: Seen) -> Decision | None:
    """The last step to all of the traffic is taken only when every decide metric passes; so is a shadow's own left.

    A step before that names decide metrics is left when these pass.
    """
    if not seen.decides or not seen.steps or seen.has_grant:
        return None
    waiting = [judged for judged, word in _of(seen, Role.DECIDE) if word is not Says.GO and _awaits(seen, judged)]
    return _awaiting(waiting, phase=Phase.AWAITING_EVIDENCE) if waiting else None


def _awaits(seen: Seen, judged: Judged) -> bool:
    """Whether a decide metric has to pass before the present step is left."""
    if seen.index + 1 >= seen.final:
        return True
    if seen.step is None or seen.passed:
        return False
    return judged.metric.name in seen.step.judges or (seen.step.decided and not seen.step.judges)


def be_ready_for_the_next(seen: Seen) -> Decision | None:
    """Raising a weight asks for the pods first, and does not wait for ever."""
    if seen.climbs or (seen.ends and seen.index + 1 >= seen.final):
        return None
    weight = seen.steps[seen.index + 1].weight if seen.index + 1 < seen.final else FULL
    want = seen.pods_for(weight)
    if seen.ready >= want:
        return None
    words = f"; {seen.problem}" if seen.problem else ""
    text = f"{readiness(seen.ready, want)} for {format_percent(weight)}{words}"
    if seen.index >= 0 and not seen.paused and seen.short_for > seen.deadline:
        after = f"{text} after {span(_whole(seen.short_for))}"
        return Decision(move=Move.TAKE_BACK, phase=Phase.ROLLING_BACK, reason="NotReady", message=after)
    return replace(_hold(_phase(seen), "WaitingForPods", text), pods=want)


RULES: tuple[Rule, ...] = (
    leave_the_suspended_alone,
    take_back_what_fails,
    give_up_on_the_never_ready,
    provision,
    gate,
    expedite,
    respect_a_pause,
    respect_a_freeze,
    restore,
    wait_for_the_gateways,
    promote_the_switched,
    hold_the_step,
    end_what_nobody_won,
    wait_for_guards,
    wait_for_a_person,
    follow_the_reward,
    let_the_trial_run,
    wait_for_outcomes,
    be_ready_for_the_next,
)


def decide(seen: Seen) -> Decision:
    """The first rule that objects decides; when none does, take the next step."""
    for rule in RULES:
        if decision := rule(seen):
            return decision
    index = seen.index + 1
    if index >= seen.final and seen.ends:
        reason = TRIAL_ENDED if seen.step and seen.step.weight else SHADOW_ENDED
        return Decision(move=Move.END, phase=_phase(seen), reason=reason, message=_findings(seen))
    if index >= seen.final:
        by_pods = ", a pod at a time" if seen.climbs else ""
        return Decision(
            move=Move.ENTER,
            phase=Phase.PROMOTING,
            reason="Switching",
            message=f"all of the traffic goes to the candidate{by_pods}",
            index=seen.final,
            weight=_entered(seen, FULL),
        )
    step = seen.steps[index]
    if step.scales:
        return Decision(
            move=Move.ENTER,
            phase=_phase(seen) if seen.index >= 0 else Phase.PROGRESSING,
            reason="Scaled",
            message=(
                f"step {step.name}: {counted(step.pods, 'pod')}, and the weight stays {format_percent(step.weight)}"
            ),
            index=index,
            weight=step.weight,
        )
    copies = ", and stable's requests are mirrored" if step.mirror else ""
    return Decision(
        move=Move.ENTER,
        phase=Phase.SHADOWING if step.mirrors_only else Phase.PROGRESSING,
        reason="Stepped",
        message=f"step {step.name}: {format_percent(step.weight)}{copies}",
        index=index,
        weight=_entered(seen, step.weight),
    )


def _entered(seen: Seen, weight: int) -> int:
    """The weight with which a step is entered: its own, or where weights climb, what is there already."""
    if not seen.climbs:
        return weight
    return min(weight, sustainable(seen.wanted, seen.ready)) if seen.index < 0 else seen.weight


def _findings(seen: Seen) -> str:
    """What the comparison came to, for the history."""
    deciding = [judged for judged, _ in _of(seen, Role.DECIDE)]
    words = "; ".join(f"{item.metric.name}: {item.judgement.verdict}: {item.judgement.message}" for item in deciding)
    if seen.step and seen.step.weight:
        return f"tried on users, and stable keeps the traffic: {words or 'no metric decides'}"
    return f"compared, and no user was given an answer of it: {words or 'no metric decides'}"


def _pods(seen: Seen) -> str:
    return readiness(seen.ready, seen.pods_here)


def _whole(exact: timedelta) -> timedelta:
    return timedelta(seconds=max(1, round(exact.total_seconds()))) if exact else exact
