"""A/B test: a share of the users at once, for full weeks, and one reading when they are over.

What was stated when the users were drawn stands in `status.rollout.trial`, and the test goes on by that: an edit of
the strategy is refused with a sentence, by the API server and, where it got past it, here, and so is, here, one of the
metrics that decide: whoever chooses them after a look has chosen the winner. Nothing of what the candidate did to users
is said before the test is read; guards may be edited, and may end it at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import ValidationError
from switchyard_contracts import trial as statistics
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.experiments import TEST_STEP, ABTest, Trial, WhenWon
from switchyard_contracts.judgement import Budget, Judgement, Verdict, count
from switchyard_contracts.model_deployment import (
    Analysis,
    Metric,
    MetricVerdict,
    ModelDeploymentSpec,
    Phase,
    Role,
    RolloutStatus,
    Strategy,
)
from switchyard_contracts.quantities import format_duration
from switchyard_contracts.trial import Design, Horizon
from switchyard_contracts.verdicts import judge_once

from switchyard_operator.domain.step import Step
from switchyard_operator.domain.world import Judged, World

OVER = frozenset(
    {Phase.WATCHING, Phase.COMPLETED, Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.REFUSED, Phase.SUPERSEDED}
)
"""Phases in which the strategy may be edited again; the API server's rule (`experiments.RULES`) names the same."""
UNDER_WAY = "TestUnderWay"


def steps(said: ABTest) -> tuple[Step, ...]:
    """One step at the whole share: a ramp would move users from one model to the other."""
    return (Step(TEST_STEP, said.share.value, timedelta(0), decided=True),)


def ends(said: ABTest) -> bool:
    """Whether it is over when it is read, whoever won."""
    return said.when_won is WhenWon.STOP


def begin(spec: ModelDeploymentSpec, memory: RolloutStatus, *, alpha: float, now: datetime) -> RolloutStatus:
    """The memory with the test stated, from the pass on in which its users are drawn."""
    said = spec.strategy.ab_test
    if said is None or memory.trial:
        return memory
    record = next((item for item in memory.steps_done if item.name == TEST_STEP and item.started_at), None)
    moved = any(item.weight_bp for item in memory.steps_done if item.name != TEST_STEP)
    began = record.started_at if record else now if moved else None
    if began is None:
        return memory
    until = began + spec.horizon
    outcome = spec.monitoring.outcome if spec.monitoring else None
    deciding = [metric for metric in spec.analysis.metrics if metric.role is Role.DECIDE]
    design = _design(said)
    stated = Trial(
        began=began,
        until=until,
        read_at=until + spec.window + (outcome.judged_after if outcome else timedelta(0)),
        planned=max((statistics.needed(metric, design, alpha=alpha) for metric in deciding), default=0),
        effect=str(said.effect),
        power=str(said.power),
        strategy=spec.strategy.model_dump_json(by_alias=True, exclude_none=True),
        analysis=_deciding(spec.analysis).model_dump_json(by_alias=True, exclude_none=True),
        moved=moved,
    )
    return memory.model_copy(update={"trial": stated})


def as_stated(world: World) -> tuple[World, SpecRejected | None]:
    """The world by the strategy that a test under way began with, and why the spec's own is refused meanwhile."""
    held = world.status.rollout
    if held is None or held.trial is None or held.trial.moved:
        return world, None
    if held.phase in OVER or held.revision != world.target:
        return world, None
    stated = {"strategy": _strategy(held.trial) or world.spec.strategy, "analysis": _analysis(world.spec, held.trial)}
    edited = [name for name, value in stated.items() if value != getattr(world.spec, name)]
    if not edited:
        return world, None
    kept = replace(world, spec=world.spec.model_copy(update=stated))
    if world.asked:
        return kept, None  # what is said is the newer model's, whose turn comes later
    ran = format_duration(held.trial.until - held.trial.began)
    due = held.trial.read_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    words = {"strategy": "the strategy", "analysis": "what decides, and analysis.risk,"}
    what = " and ".join(words[name] for name in edited)
    return kept, SpecRejected(
        f"{', '.join(f'spec.{name}' for name in edited)}: the A/B test of {held.revision} is under way for {ran}, and"
        f" goes on as it was stated until it is read, once, on {due}; put {what} back"
        " as it was, abort the test, or change it with the next model",
        reason=UNDER_WAY,
    )


def known(metric: Metric, trial: Trial, memory: RolloutStatus, *, now: datetime) -> Judged | None:
    """What can be said of a metric without asking for evidence; None when it is time to read it."""
    if trial.moved:
        text = (
            "users met the candidate in other steps before they were drawn, so it cannot be told what the test did to"
            " them; abort it, and retry the revision"
        )
        found = Judgement(Verdict.ERROR, "UsersMoved", text, needed=None)
        return Judged(metric=metric, judgement=found, since=trial.read_at, waiting_for=text)
    if trial.read is not None:
        stored = next((item for item in memory.verdicts if item.name == metric.name), None)
        if stored and stored.metric != metric.metric:
            text = f"the test was read by {stored.metric}, before {metric.metric} was said in its place"
            found = Judgement(Verdict.NO_DATA, "ReadByAnother", text, needed=None)
            return Judged(metric=metric, judgement=found)
        return Judged(metric=metric, judgement=_judgement(stored), since=trial.read_at, final=True) if stored else None
    left = next((item.ended_at for item in memory.steps_done if item.name == TEST_STEP), None)
    if left and left < trial.until:
        text = "the test was left before its weeks were over, so it is not read"
        return Judged(metric=metric, judgement=Judgement(Verdict.NO_DATA, "CutShort", text, needed=None))
    if now < trial.read_at:
        due = trial.read_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        text = (
            f"the test is read once, on {due}; {count(trial.planned)} judged predictions of the candidate are planned,"
            f" to find an improvement of {trial.effect} with a power of {trial.power}"
        )
        found = Judgement(Verdict.NO_DATA, statistics.AHEAD, text, needed=None)
        return Judged(metric=metric, judgement=found, since=trial.read_at, waiting_for=text)
    return None


def read(metric: Metric, evidence: Evidence, *, trial: Trial, budget: Budget, min_coverage: float) -> Judged:
    """The reading, once all that counts is known to the monitor."""
    strategy = _strategy(trial)
    said = strategy.ab_test if strategy else None
    if said is None:
        text = "what was stated of the test cannot be read by this release; abort it, and retry the revision"
        unknown = Judgement(Verdict.ERROR, "Unreadable", text, needed=None)
        return Judged(metric=metric, judgement=unknown, since=trial.read_at, waiting_for=text)
    horizon = Horizon(since=trial.began, until=trial.until, due=trial.read_at, probability=said.share.share)
    design = _design(said)
    found = judge_once(metric, evidence, horizon=horizon, design=design, budget=budget, min_coverage=min_coverage)
    final = found.verdict is not Verdict.ERROR and found.reason != statistics.AHEAD
    return Judged(metric=metric, judgement=found, since=trial.read_at, waiting_for=found.message, final=final)


def noted(trial: Trial, judged: Sequence[Judged], *, now: datetime) -> Trial:
    """The test, with when it was read once it was."""
    deciding = [item for item in judged if item.metric.role is Role.DECIDE]
    if trial.read is not None or not deciding or not all(item.final for item in deciding):
        return trial
    return trial.model_copy(update={"read": now})


def _judgement(stored: MetricVerdict) -> Judgement:
    return Judgement(
        Verdict(stored.verdict),
        stored.reason,
        stored.message,
        samples=stored.samples,
        needed=stored.needed,
        value=stored.value,
        against=stored.against,
        bound=stored.bound,
    )


def _design(said: ABTest) -> Design:
    return Design(share=said.share.share, effect=said.effect.value, power=said.power.share, spread=said.spread.value)


def _deciding(said: Analysis) -> Analysis:
    return said.model_copy(update={"metrics": [metric for metric in said.metrics if metric.role is Role.DECIDE]})


def _analysis(spec: ModelDeploymentSpec, trial: Trial) -> Analysis:
    """The spec's, with what decides as it was stated; the spec's own where nothing was, as by an older release."""
    said = spec.analysis
    try:
        stated = Analysis.model_validate_json(trial.analysis)
    except ValidationError:
        return said
    if (said.risk, _deciding(said).metrics) == (stated.risk, stated.metrics):
        return said
    names = {metric.name for metric in stated.metrics}
    beside = [metric for metric in said.metrics if metric.role is not Role.DECIDE and metric.name not in names]
    return said.model_copy(update={"risk": stated.risk, "metrics": [*stated.metrics, *beside]})


def _strategy(trial: Trial) -> Strategy | None:
    try:
        return Strategy.model_validate_json(trial.strategy)
    except ValidationError:
        return None
