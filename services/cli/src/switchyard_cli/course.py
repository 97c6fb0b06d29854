"""The steps that a rollout would take, and what each waits for: requests, outcomes, time, a person.

The operator walks these steps; a test holds this list to the operator's own, for every strategy it knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from switchyard_contracts import trial
from switchyard_contracts.experiments import BANDIT_STEP, TEST_STEP, ABTest, Bandit, WhenWon
from switchyard_contracts.judgement import count, counted, number
from switchyard_contracts.model_deployment import (
    PREVIEW_STEP,
    SHADOW_STEP,
    BlueGreen,
    Canary,
    Capacity,
    Metric,
    ModelDeploymentSpec,
    Role,
    Shadow,
    StrategyType,
)
from switchyard_contracts.paired import FIRST_BLOCKS
from switchyard_contracts.quantities import FULL, format_duration
from switchyard_contracts.trial import Design
from switchyard_contracts.unpaired import FIRST_LOOK
from switchyard_contracts.verdicts import budget

FINAL = "full"


class Way(StrEnum):
    """How much a revision would have to prove."""

    FIRST = "first"
    WARM = "warm"
    SAME_MODEL = "same-model"
    NEW = "new"


WORDS = {
    Way.FIRST: "the first revision: ready pods and a smoke request, then all of the traffic",
    Way.WARM: "it served before and its pods are still warm: full scale, a smoke request, one switch",
    Way.SAME_MODEL: "the model that serves now in other pods: ready, a smoke request, one switch",
    Way.NEW: "a new model: the whole strategy",
}


@dataclass(frozen=True, slots=True)
class Need:
    """What one metric asks of a step before the next may come."""

    metric: Metric
    samples: int
    """Of the candidate's, or pairs."""
    paired: bool = False
    """Whether it counts pairs: requests that stable and the candidate both answered."""

    @property
    def outcomes(self) -> bool:
        """Whether it counts judged outcomes, not requests."""
        return self.metric.role is Role.DECIDE

    def least(self, rate: float) -> float:
        """The least seconds of a step with so many of the candidate's requests a second, of what counts no outcomes."""
        said = self.metric.promql
        return said.patience.total_seconds() if said else self.samples / rate


@dataclass(frozen=True, slots=True)
class Planned:
    """One step as it would be walked."""

    name: str
    weight: int
    """Basis points."""
    hold: timedelta = timedelta(0)
    by_hand: bool = False
    mirror: int = 0
    """How much of the traffic the candidate is sent too, with all of its pods ready."""
    decided: bool = False
    """Whether outcomes must decide before it is left, though steps follow."""
    pods: int = 0
    """How many pods of its own it has, as a step that scales said; 0 is all of them."""
    scales: bool = False
    """Whether it only scales, at the weight and with the mirror of the step before."""
    judges: tuple[str, ...] = ()
    """The metrics that it names, where it names any: the guards that speak in it, and the decide metrics it awaits."""
    horizon: timedelta = timedelta(0)
    """How long a test runs until it is read."""
    moves: str = ""
    """Between what and how often its weight moves by itself, in words."""
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, slots=True)
class Course:
    """The whole way: the steps before all of the traffic, then that."""

    way: Way
    steps: tuple[Planned, ...]
    known: bool = True
    """False for a strategy that a newer release brought: its steps are the operator's to say."""
    ends: bool = False
    """Whether it is over after the last step, and stable keeps all of the traffic."""

    @property
    def final(self) -> Planned:
        """All of the traffic."""
        return Planned(FINAL, FULL)

    @property
    def named(self) -> tuple[tuple[str, ...], ...]:
        """The steps that name what they judge: each one's names."""
        return tuple(step.judges for step in self.steps if step.judges)


def plot(spec: ModelDeploymentSpec, way: Way) -> Course:
    """The steps of a strategy for a revision that has this much to prove."""
    if way is not Way.NEW:
        return Course(way, ())
    match spec.strategy.type:
        case StrategyType.CANARY if spec.strategy.canary:
            bare = _canary(spec.strategy.canary, spec)
        case StrategyType.SHADOW:
            shadow = spec.strategy.shadow or Shadow()
            own = Planned(SHADOW_STEP, 0, shadow.hold, mirror=shadow.mirror.value, decided=True)
            after = _canary(shadow.then_promote, spec, mirror=shadow.mirror.value) if shadow.then_promote else ()
            bare = [own, *after]
        case StrategyType.BLUE_GREEN:
            chosen = spec.strategy.blue_green or BlueGreen()
            mirror = chosen.mirror.value if chosen.mirror else 0
            bare = [Planned(PREVIEW_STEP, 0, chosen.hold, by_hand=not chosen.auto_promote, mirror=mirror)]
        case StrategyType.AB_TEST if spec.strategy.ab_test:
            return _test(spec, spec.strategy.ab_test)
        case StrategyType.BANDIT if spec.strategy.bandit:
            return _bandit(spec, spec.strategy.bandit)
        case _:
            return Course(way, (), known=False)
    if spec.strategy.capacity is Capacity.FRUGAL:
        bare = [_with_few_pods(spec.serving.replicas, step) for step in bare]
    paired = spec.judged_by_pairs and any(step.mirror for step in bare)
    last = len(bare) - 1
    steps = [
        replace(step, needs=tuple(_needs(spec, step, last=index == last, paired=paired)))
        for index, step in enumerate(bare)
    ]
    ends = spec.strategy.type is StrategyType.SHADOW and len(bare) == 1
    return Course(way, tuple(steps), ends=ends)


def _test(spec: ModelDeploymentSpec, said: ABTest) -> Course:
    """One step, read once; it asks for as many judged predictions as the effect and the power take."""
    bare = Planned(TEST_STEP, said.share.value, decided=True, horizon=spec.horizon)
    design = Design(share=said.share.share, effect=said.effect.value, power=said.power.share, spread=said.spread.value)
    alpha = budget(spec.analysis, steps=2, attempt=1, paired=False).alpha_promote
    needs = tuple(
        replace(need, samples=max(need.samples, trial.needed(need.metric, design, alpha=alpha)))
        if need.outcomes
        else need
        for need in _needs(spec, bare, last=True, paired=False)
    )
    return Course(Way.NEW, (replace(bare, needs=needs),), ends=said.when_won is WhenWon.STOP)


def _bandit(spec: ModelDeploymentSpec, said: Bandit) -> Course:
    """One step, whose weight moves."""
    outcome = spec.monitoring.outcome if spec.monitoring else None
    pace = said.pace(judged_after=outcome.judged_after if outcome else timedelta(0), window=spec.window)
    words = f"from {said.floor} to {said.ceiling} as its rewards ask, at most once in {format_duration(pace)}"
    bare = Planned(BANDIT_STEP, said.start.value, decided=True, moves=words)
    needs = tuple(_needs(spec, bare, last=True, paired=False))
    return Course(Way.NEW, (replace(bare, needs=needs),), ends=said.when_won is WhenWon.STOP)


def _with_few_pods(replicas: int, step: Planned) -> Planned:
    """With as many pods as its weight asks for, it is sent no more than these can take."""
    able = _able(replicas, _enough(replicas, step.weight))
    return replace(step, mirror=max(0, min(step.mirror, able - step.weight)))


def _canary(canary: Canary, spec: ModelDeploymentSpec, *, mirror: int = 0) -> list[Planned]:
    """The steps before the whole. One that only scales keeps the weight and the mirror of the step before."""
    found: list[Planned] = []
    weight, pods_said, replicas = 0, 0, spec.serving.replicas
    for step in canary.steps:
        if step.scale:
            pods_said = step.scale.of(replicas)
        else:
            weight, mirror = step.weight.value, spec.mirror_of(canary, step)
        if weight >= FULL:
            continue
        own = max(pods_said, _enough(replicas, weight)) if pods_said else 0
        found.append(
            Planned(
                step.name,
                weight,
                step.hold,
                by_hand=step.pause,
                mirror=max(0, min(mirror, _able(replicas, own or replicas) - weight)),
                decided=step.await_outcomes,
                pods=own,
                scales=step.scale is not None,
                judges=tuple(step.analysis or ()),
            )
        )
    return found


def _enough(replicas: int, weight: int) -> int:
    """How many ready pods a share asks for: never none, and rounded up."""
    return max(1, -(-replicas * weight // FULL))


def _able(replicas: int, ready: int) -> int:
    """The largest share that so many pods can take, in basis points."""
    return min(FULL, FULL * ready // replicas)


def _needs(spec: ModelDeploymentSpec, step: Planned, *, last: bool, paired: bool) -> Iterator[Need]:
    """Guards speak where there is traffic, those alone that a step names; outcomes decide before all of it."""
    for metric in spec.analysis.metrics:
        if metric.role is Role.GUARD and step.weight and metric.name in (step.judges or (metric.name,)):
            yield Need(metric, metric.promql.looks if metric.promql else metric.min_samples)
    for metric in spec.analysis.metrics:
        awaited = last or metric.name in step.judges or (step.decided and not step.judges)
        if metric.role is Role.DECIDE and awaited:
            yield Need(metric, max(metric.min_samples, FIRST_LOOK), paired)


def sentence(step: Planned, need: Need) -> str:
    """What a metric waits for in a step, in numbers: `errors: 200 of its requests, about 4,000 in all at 5 %`."""
    if said := need.metric.promql:
        field, limit = need.metric.limit
        looks = counted(said.looks, "look")
        looks += f" in a row, one each {format_duration(said.pace)}," if said.looks > 1 else ""
        return (
            f"{need.metric.name} (promql): {looks} within {field} {limit.text}, the first when the step is"
            f" {format_duration(said.window)} old"
        )
    if step.horizon and need.outcomes:
        return (
            f"{need.metric.name} ({need.metric.metric}): read once, after {format_duration(step.horizon)};"
            f" {count(need.samples)} judged outcomes of its predictions find the effect with the power that is wanted"
        )
    if need.paired:
        return (
            f"{need.metric.name} ({need.metric.metric}): proof by at least {count(need.samples)} judged pairs in"
            f" {FIRST_BLOCKS} blocks (analysis.block), over all steps"
        )
    if need.outcomes:
        return (
            f"{need.metric.name} ({need.metric.metric}): proof by at least {count(need.samples)} judged outcomes of its"
            f" predictions and {FIRST_LOOK} of stable's, over all steps"
        )
    whole = math.ceil(need.samples * FULL / step.weight)
    return (
        f"{need.metric.name} ({need.metric.metric}): {count(need.samples)} of its requests, about {count(whole)} in all"
    )


def took(step: Planned, need: Need, *, rate: float) -> timedelta | None:
    """How long this step alone takes for so many samples at so many requests a second; None where it gives none."""
    if need.metric.promql:
        return need.metric.promql.patience
    share = step.mirror if need.paired else step.weight
    if step.horizon and need.outcomes:
        return step.horizon
    return timedelta(seconds=need.samples * FULL / (rate * share)) if share else None


def stakes(spec: ModelDeploymentSpec, course: Course, *, attempt: int) -> str:
    """How sure a guard must be to take it back, from the risk that the spec allows."""
    if not any(metric.role is Role.GUARD and not metric.promql for metric in spec.analysis.metrics):
        return ""
    paired = course.way is Way.NEW and spec.plans_pairs
    spend = budget(spec.analysis, steps=len(course.steps) + 1, attempt=attempt, paired=paired, named=course.named)
    return f"a guard takes it back when the evidence against it is {number(1 / spend.alpha_guard)} to 1"


def earliest(
    steps: Sequence[Planned], *, rate: float, judged_after: timedelta, block: timedelta = timedelta(0)
) -> timedelta | None:
    """The least time to all of the traffic at so many requests a second; None where a person has to speak.

    Every outcome is taken to arrive, and every verdict to come with its least number of samples: it cannot be sooner.
    """
    if rate <= 0:
        raise ValueError(f"rate {rate} must be more than 0 requests a second")
    if any(step.by_hand for step in steps):
        return None
    passed = 0.0
    judged: list[tuple[float, float]] = []  # when a number of predictions was reached: (seconds, how many by then)
    paired: list[tuple[float, float]] = []  # the same for pairs
    first_pair: float | None = None
    mine = pairs = 0.0
    for step in steps:
        own, copies = rate * step.weight / FULL, rate * step.mirror / FULL
        first_pair = passed if first_pair is None and copies else first_pair
        least = step.hold.total_seconds()
        if step.horizon:
            least = step.horizon.total_seconds() + judged_after.total_seconds()
        for need in step.needs:
            if step.horizon and need.outcomes:
                continue
            if not need.outcomes:
                least = max(least, need.least(own))
            elif need.paired:
                reached = _reached(paired, need.samples)
                if reached is None and copies:
                    reached = passed + (need.samples - pairs) / copies
                if reached is not None and first_pair is not None:
                    enough = max(reached, first_pair + FIRST_BLOCKS * block.total_seconds())
                    least = max(least, enough + judged_after.total_seconds() - passed)
            elif own:
                reached = _reached(judged, need.samples)
                if reached is None:
                    reached = passed + (need.samples - mine) / own
                stable = FIRST_LOOK / (rate * (1 - step.weight / FULL))
                least = max(least, max(reached, stable) + judged_after.total_seconds() - passed)
        mine += least * own
        pairs += least * copies
        passed += least
        judged.append((passed, mine))
        paired.append((passed, pairs))
    return timedelta(seconds=passed)


def _reached(judged: Sequence[tuple[float, float]], wanted: int) -> float | None:
    """When so many predictions had been made, if they were: between two ends of steps they come evenly."""
    before = (0.0, 0.0)
    for end in judged:
        if end[1] >= wanted:
            share = (wanted - before[1]) / (end[1] - before[1]) if end[1] > before[1] else 1.0
            return before[0] + share * (end[0] - before[0])
        before = end
    return None


def watched(spec: ModelDeploymentSpec) -> timedelta:
    """How long a promoted revision is watched."""
    if spec.rollback.watch is not None:
        return spec.rollback.watch
    if spec.monitoring and spec.monitoring.outcome:
        return spec.monitoring.outcome.horizon
    return spec.rollback.warm.for_


def aftermath(spec: ModelDeploymentSpec) -> str:
    """What happens after all of the traffic is its own."""
    warm = spec.rollback.warm
    back = "taken back by itself" if spec.rollback.automatic else "only shown (rollback.automatic is false)"
    return (
        f"watched for {format_duration(watched(spec))}, what fails then is {back}; the old revision keeps"
        f" {pods(min(warm.replicas, spec.serving.replicas))} warm for {format_duration(warm.for_)}"
    )


def pods(number_of: int) -> str:
    """`1 pod`, `2 pods`."""
    return counted(number_of, "pod")


def outside(spec: ModelDeploymentSpec) -> Iterator[tuple[int, str]]:
    """What has to be known of each guard on a number of somebody else's, with its place among the metrics."""
    for place, metric in enumerate(spec.analysis.metrics):
        if metric.promql and metric.role is Role.GUARD:
            field, limit = metric.limit
            yield (
                place,
                f"{metric.name!r} is a threshold ({field} {limit.text}) on a number from Prometheus, whose uncertainty"
                " nobody knows: no error budget (analysis.risk) covers it, only looks in a row do; see what the query"
                " gives for the revision that serves now before it guards the next",
            )
