"""Bandit: one step, whose weight follows how likely the candidate is the better one.

The weight that it should have stands in the step's record before the route has it, so that a crash in between is only a
route that is behind, and whoever pauses it keeps the route as it is.
"""

from __future__ import annotations

from datetime import timedelta

from switchyard_contracts import bandit as statistics
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.experiments import BANDIT_STEP, Bandit, WhenWon
from switchyard_contracts.judgement import Judgement, Verdict
from switchyard_contracts.model_deployment import Metric, ModelDeploymentSpec, RolloutStatus
from switchyard_contracts.quantities import FULL
from switchyard_contracts.verdicts import asked_for

from switchyard_operator.domain.step import Step

JUDGED = frozenset({Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL})
"""Verdicts that rest on sums: where they are missing, uneven or contradict themselves, no weight follows them."""


def steps(said: Bandit, spec: ModelDeploymentSpec, *, standing: int = 0) -> tuple[Step, ...]:
    """The one step, at the weight that it has come to (`standing`), or at its first."""
    outcome = spec.monitoring.outcome if spec.monitoring else None
    every = said.pace(judged_after=outcome.judged_after if outcome else timedelta(0), window=spec.window)
    return (Step(BANDIT_STEP, standing or said.start.value, timedelta(0), decided=True, every=every),)


def ends(said: Bandit) -> bool:
    """Whether it is over once it is decided, whoever won."""
    return said.when_won is WhenWon.STOP


def standing(memory: RolloutStatus, *, routed: int) -> int:
    """The weight that it has come to: by its record, else by the route; 0 before it has begun."""
    record = next((item for item in reversed(memory.steps_done) if item.name == BANDIT_STEP), None)
    weight = record.weight_bp if record else routed
    return weight if 0 < weight < FULL else 0


def wish(said: Bandit, metric: Metric, evidence: Evidence, found: Judgement) -> int | None:
    """The weight that its rewards ask for, in basis points; None where nothing can be said of them."""
    if found.verdict not in JUDGED:
        return None
    floor, ceiling = said.floor.value, said.ceiling.value
    return statistics.share(metric, asked_for(evidence), cap=evidence.cap, floor=floor, ceiling=ceiling)
