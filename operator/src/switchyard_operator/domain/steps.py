"""A rollout as one list of named steps. Strategies differ in how they write the list; one engine runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from switchyard_contracts.model_deployment import Capacity, ModelDeploymentSpec, Shadow, StrategyType

from switchyard_operator.domain import ab_test, bandit, blue_green, canary, shadow
from switchyard_operator.domain.lineage import Lineage
from switchyard_operator.domain.step import Step

FINAL = "full"
"""The name of the implicit last step: all of the traffic."""


class Way(StrEnum):
    """How much a revision has to prove."""

    FIRST = "first"
    """There is nothing to compare with: ready and smoke, then all of the traffic."""
    WARM = "warm"
    """It served before and is still warm: full scale, smoke, one switch."""
    SAME_MODEL = "same-model"
    """Other pods of the model that serves now: ready, smoke, guards, one switch."""
    NEW = "new"
    """The whole strategy."""


@dataclass(frozen=True, slots=True)
class Course:
    """The list, and whether outcomes have to decide before its end."""

    way: Way
    steps: tuple[Step, ...]
    ends: bool = False
    """Whether it is over after the last of them: the candidate was compared, and takes nothing over."""
    climbs: bool = False
    """Whether weights move a pod at a time, as there are never pods for both revisions (`capacity: frugal`)."""

    @property
    def decides(self) -> bool:
        """Whether `decide` metrics speak."""
        return self.way is Way.NEW

    @property
    def final(self) -> int:
        """The index of the implicit last step."""
        return len(self.steps)

    def pods(self, index: int) -> int:
        """How many pods the candidate has at a step, as the steps that scale say; 0 is all of them."""
        here = max(0, index)
        return self.steps[here].pods if here < len(self.steps) else 0

    @property
    def named(self) -> tuple[tuple[str, ...], ...]:
        """The steps that name what they judge: each one's names."""
        return tuple(step.judges for step in self.steps if step.judges)

    def judges(self, index: int, metric: str) -> bool:
        """Whether a guard speaks at a step: where none are named all do, and so they do after the last of the steps."""
        names = self.steps[index].judges if 0 <= index < len(self.steps) else ()
        return not names or metric in names

    def name(self, index: int) -> str:
        """The name of a step, of the last one too."""
        if index < 0:
            return ""
        return self.steps[index].name if index < len(self.steps) else FINAL


def way(spec: ModelDeploymentSpec, lineage: Lineage, *, now: datetime) -> Way:
    """How much the target has to prove, asked once, when its rollout begins."""
    target, stable = lineage.target, lineage.stable
    if stable is None or stable.promoted_at is None:
        return Way.FIRST
    if target.promoted_at and now <= stable.promoted_at + spec.rollback.warm.for_:
        return Way.WARM
    if target.spec.model_hash == stable.spec.model_hash:
        return Way.SAME_MODEL
    return Way.NEW


def course(spec: ModelDeploymentSpec, chosen: Way, *, standing: int = 0) -> Course:
    """The steps that the target has to take; `standing` is where a weight has come to that moves by itself."""
    climbs = spec.strategy.capacity is Capacity.FRUGAL and chosen is not Way.FIRST
    return replace(_course(spec, chosen, standing), climbs=climbs)


def _course(spec: ModelDeploymentSpec, chosen: Way, standing: int) -> Course:
    if chosen is not Way.NEW:
        return Course(chosen, ())
    if spec.strategy.type is StrategyType.CANARY and spec.strategy.canary:
        return Course(chosen, canary.steps(spec.strategy.canary, spec))
    if spec.strategy.type is StrategyType.SHADOW:
        said = spec.strategy.shadow or Shadow()
        return Course(chosen, shadow.steps(said, spec), ends=shadow.ends(said))
    if spec.strategy.type is StrategyType.AB_TEST and spec.strategy.ab_test:
        return Course(chosen, ab_test.steps(spec.strategy.ab_test), ends=ab_test.ends(spec.strategy.ab_test))
    if spec.strategy.type is StrategyType.BANDIT and spec.strategy.bandit:
        moving = bandit.steps(spec.strategy.bandit, spec, standing=standing)
        return Course(chosen, moving, ends=bandit.ends(spec.strategy.bandit))
    return Course(chosen, blue_green.steps(spec.strategy.blue_green))


def watch(spec: ModelDeploymentSpec) -> timedelta:
    """How long a promoted revision is watched: as said, else as long as outcomes take, else while the old is warm."""
    if spec.rollback.watch is not None:
        return spec.rollback.watch
    if spec.monitoring and spec.monitoring.outcome:
        return spec.monitoring.outcome.horizon
    return spec.rollback.warm.for_
