"""A rollout: somebody looks after each window, asks the product's own `judge`, and does what it says.

Guards begin anew in each step, decide metrics run on; a guard or a decide metric that fails takes the candidate back at
once, and from the last step on a decide metric that passes promotes it. The first two steps end by the clock, whether
or not their guards have passed, so that nothing keeps a candidate from being looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from switchyard_contracts.evidence import WindowSums
from switchyard_contracts.model_deployment import Analysis
from switchyard_contracts.verdicts import Budget, Judgement, Verdict, budget, judge

from switchyard_simulation import exhibits
from switchyard_simulation.drawing import Drawn
from switchyard_simulation.guarding import Look

MIN_COVERAGE = 0.8
JUDGED_AFTER_HOURS = 12
ANALYSIS = Analysis.model_validate(
    {
        "metrics": [
            {"name": "errors", "metric": "error_rate", "max": "1%", "role": "guard"},
            {"name": "more-errors", "metric": "error_rate", "maxIncrease": "50%", "role": "guard"},
            {"name": "latency", "metric": "latency_p95", "maxIncrease": "50%", "role": "guard"},
            {"name": "outcome", "metric": "outcome.rmse", "maxIncrease": "5%", "minSamples": 200, "role": "decide"},
        ]
    }
)
"""Three guards and a decide metric, with the usual risk of 5 % each way."""
ERRORS, MORE_ERRORS, LATENCY, OUTCOME = ANALYSIS.metrics
BUDGET = budget(ANALYSIS, steps=3, attempt=1, paired=True)


class End(StrEnum):
    """How a rollout ended."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    OPEN = "open"
    """Nothing was proven in the time that was given."""


@dataclass(frozen=True, slots=True)
class Course:
    """How one rollout went."""

    end: End
    samples: int = 0
    """The judged samples (pairs) of the metric that ended it."""
    hours: float = 0.0
    by: str = ""
    """The metric that ended it."""


Moment = tuple[float, list[tuple[str, Judgement]]]
"""(hours since the start, what the metrics say)."""


def roll(guards: Iterable[Look], outcomes: Iterable[Moment], *, last_step: float) -> Course:
    """Let one rollout go its way: a metric that fails ends it, and one that passes from `last_step` on."""
    moments: list[Moment] = []
    stop = float("inf")
    for hours, found in outcomes:
        moments.append((hours, found))
        if any(_ends(one, hours, last_step) for _, one in found):
            stop = hours
            break
    for look in guards:
        if look.hours > stop:
            break
        for metric, windows in ((ERRORS, look.errors), (MORE_ERRORS, look.errors), (LATENCY, look.slow)):
            said = judge(metric, exhibits.evidence(metric, windows), budget=BUDGET, min_coverage=MIN_COVERAGE)
            if said.verdict is Verdict.FAIL:
                return Course(End.ROLLED_BACK, said.samples, look.hours, metric.name)
    if stop == float("inf"):
        return Course(End.OPEN, hours=moments[-1][0] if moments else 0.0)
    name, said = next((name, one) for name, one in moments[-1][1] if _ends(one, stop, last_step))
    end = End.PROMOTED if said.verdict is Verdict.PASS else End.ROLLED_BACK
    return Course(end, said.samples, stop, name)


def _ends(said: Judgement, hours: float, last_step: float) -> bool:
    return said.verdict is Verdict.FAIL or (said.verdict is Verdict.PASS and hours >= last_step)


def by_outcomes(drawn: Drawn, *, mirrored: bool, risk: Budget = BUDGET) -> Iterator[Moment]:
    """What the decide metric says after each window, once its labels are old enough; where mirrored, by pairs."""
    pace = drawn.pace
    windows, blocks = exhibits.outcomes(drawn), exhibits.blocks_of(drawn.pairs) if mirrored else []
    late = -(-JUDGED_AFTER_HOURS * pace.windows // 24)
    for ripe in range(1, len(windows) - late + 1):
        if mirrored and ripe % pace.windows:
            continue  # a block is a day, and no block is looked at before it is whole
        pairs = exhibits.paired(blocks[: ripe // pace.windows]) if mirrored else None
        evidence = exhibits.evidence(OUTCOME, windows[:ripe], pairs=pairs)
        said = judge(OUTCOME, evidence, budget=risk, min_coverage=MIN_COVERAGE)
        yield (ripe + late) * 24.0 / pace.windows, [(OUTCOME.name, said)]


def by_windows(
    windows: Sequence[WindowSums], *, every: int = 1, risk: Budget = BUDGET, min_coverage: float = MIN_COVERAGE
) -> Iterator[Moment]:
    """What the decide metric says of such windows, looked at after every so many."""
    for at in range(every, len(windows) + 1, every):
        evidence = exhibits.evidence(OUTCOME, windows[:at])
        yield float(at), [(OUTCOME.name, judge(OUTCOME, evidence, budget=risk, min_coverage=min_coverage))]
