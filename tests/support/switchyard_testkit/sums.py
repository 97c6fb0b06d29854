"""Evidence for tests: a healthy rollout at 50 %, of which each test says only what differs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from switchyard_contracts.evidence import ArmFolds, ArmSums, Coverage, Evidence, Folds, PairBlock, Paired, WindowSums
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.sticky import BUCKETS, FOLDS, fold_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def arm(n: int = 0, failures: int = 0, *, losses: Iterable[float] = (), missing: int = 0) -> ArmSums:
    """One arm: counts, or the sums of given losses; `missing` predictions were never judged."""
    values = list(losses)
    judged = len(values) or n
    return ArmSums(
        n=judged,
        predictions=judged + missing,
        failures=failures,
        loss=sum(values),
        loss_squares=sum(value * value for value in values),
    )


def window(
    index: int = 0,
    *,
    candidate: ArmSums | None = None,
    stable: ArmSums | None = None,
    probability: float = 0.5,
    traffic: int = 3,
) -> WindowSums:
    """The window that starts `index` times five seconds after noon."""
    return WindowSums(
        start=NOON + timedelta(seconds=5 * index),
        traffic=traffic,
        probability=probability,
        candidate=candidate or ArmSums(),
        stable=stable or ArmSums(),
    )


Draw = tuple[int, int, float]
"""(bucket, how often, loss or chance of failing)."""


def sticky_window(users: Iterable[Draw], *, weight: int = 5_000, index: int = 0, by_user: bool = True) -> WindowSums:
    """A window in which each user asked so often; the candidate has the first buckets."""
    arms = [[[0, 0.0, 0.0] for _ in range(FOLDS)] for _ in range(2)]
    for bucket, times, loss in users:
        cell = arms[bucket >= weight][fold_of(bucket)]
        cell[0] += times
        cell[1] += times * loss
        cell[2] += times * loss**2
    made = [
        ArmSums(
            n=sum(cell[0] for cell in cells),
            predictions=sum(cell[0] for cell in cells),
            failures=round(sum(cell[1] for cell in cells)),
            loss=sum(cell[1] for cell in cells),
            loss_squares=sum(cell[2] for cell in cells),
        )
        for cells in arms
    ]
    folds = [
        ArmFolds(
            n=[cell[0] for cell in cells],
            failures=[round(cell[1]) for cell in cells],
            loss=[cell[1] for cell in cells],
        )
        for cells in arms
    ]
    found = window(index, candidate=made[0], stable=made[1], probability=weight / BUCKETS)
    return found.model_copy(update={"folds": Folds(candidate=folds[0], stable=folds[1]) if by_user else None})


def evidence(*windows: WindowSums, **changes: Any) -> Evidence:
    """Evidence for the generations of its windows, with the coverage that they have."""
    arms = {name: [getattr(one, name) for one in windows] for name in ("candidate", "stable")}
    coverage = {
        name: Coverage(predictions=sum(one.predictions for one in held), judged=sum(one.n for one in held))
        for name, held in arms.items()
    }
    facts: dict[str, Any] = {
        "deployment": "shop/delay",
        "metric": "outcome.rmse",
        "revision": "delay-b",
        "against": "delay-a",
        "traffic": sorted({one.traffic for one in windows}),
        "windows": list(windows),
        "candidate_coverage": coverage["candidate"],
        "stable_coverage": coverage["stable"],
        "threshold": 0.25,
    }
    return Evidence(**(facts | changes))


def block(
    index: int = 0, *, candidate: Iterable[float] = (), stable: Iterable[float] = (), traffic: int = 3
) -> PairBlock:
    """The pairs of the block that starts `index` days after noon, by their losses."""
    arms = arm(losses=candidate), arm(losses=stable)
    return PairBlock(
        start=NOON + timedelta(days=index), traffic=traffic, pairs=arms[0].n, candidate=arms[0], stable=arms[1]
    )


def pairs(*blocks: PairBlock, **changes: Any) -> Paired:
    """Pairs of which none is missing and all are judged."""
    seen = sum(one.pairs for one in blocks)
    facts: dict[str, Any] = {
        "block_seconds": 86_400.0,
        "blocks": list(blocks),
        "seen": seen,
        "judged": seen,
        "expected": float(seen),
    }
    return Paired(**(facts | changes))


def metric(**changes: Any) -> Metric:
    """A guard on errors of at most 1 %, unless said otherwise."""
    facts = {"name": "it", "metric": "error_rate", "role": "guard", "minSamples": 200} | changes
    if not facts.keys() & {"max", "min", "maxIncrease", "maxDecrease"}:
        facts["max"] = "1%"
    return Metric.model_validate(facts)
