"""A run's sums as the evidence that a monitor would hand out, for `switchyard_contracts.verdicts` to judge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from switchyard_contracts.evidence import ArmSums, Coverage, Evidence, PairBlock, Paired, WindowSums
from switchyard_contracts.model_deployment import Metric

from switchyard_simulation.drawing import Arm, Drawn, Pairs
from switchyard_simulation.flights import Floats

MIDNIGHT = datetime(2013, 3, 1, tzinfo=UTC)


def outcomes(drawn: Drawn) -> list[WindowSums]:
    """Judged losses of both arms, each window a row."""
    rows = []
    for at in range(len(drawn.probabilities)):
        candidate, stable = (_losses(arm, at) for arm in (drawn.candidate, drawn.stable))
        rows.append(_window(drawn, at, candidate, stable))
    return rows


def counts(
    start: float, probability: float, *, step: int, requests: tuple[int, int], hits: tuple[int, int]
) -> WindowSums:
    """Requests that failed, or were slow, from `start` hours on; the candidate's first."""
    candidate, stable = (ArmSums(n=n, failures=failures) for n, failures in zip(requests, hits, strict=True))
    return WindowSums(
        start=MIDNIGHT + timedelta(hours=start),
        traffic=1 + step,
        probability=probability,
        candidate=candidate,
        stable=stable,
    )


def blocks_of(pairs: Pairs) -> list[PairBlock]:
    """A block a day."""
    return [
        PairBlock(
            start=MIDNIGHT + timedelta(days=day),
            traffic=1,
            pairs=int(pairs.seen[day]),
            candidate=ArmSums(
                n=int(pairs.judged[day]),
                loss=float(pairs.candidate[day]),
                loss_squares=float(pairs.candidate_squares[day]),
            ),
            stable=ArmSums(
                n=int(pairs.judged[day]), loss=float(pairs.stable[day]), loss_squares=float(pairs.stable_squares[day])
            ),
        )
        for day in range(len(pairs.seen))
    ]


def paired(held: Sequence[PairBlock]) -> Paired:
    """Pairs of which none is missing."""
    seen = sum(block.pairs for block in held)
    return Paired(
        block_seconds=86_400.0,
        blocks=list(held),
        seen=seen,
        judged=sum(block.candidate.n for block in held),
        expected=float(seen),
    )


def evidence(metric: Metric, windows: Sequence[WindowSums], *, pairs: Paired | None = None) -> Evidence:
    """What a monitor says of one metric."""
    held = list(windows)
    return Evidence(
        deployment="flights/delay",
        metric=metric.metric,
        revision="candidate",
        against="stable",
        traffic=sorted({window.traffic for window in held} | {1}),
        windows=held,
        candidate_coverage=_coverage([window.candidate for window in held]),
        stable_coverage=_coverage([window.stable for window in held]),
        threshold=0.25,
        paired=pairs,
    )


def rows(
    probabilities: Floats, candidate: tuple[Floats, Floats, Floats], stable: tuple[Floats, Floats, Floats]
) -> list[WindowSums]:
    """Windows from n, Σ loss and Σ loss² of each arm, where everything asked was judged."""
    found = []
    for at, probability in enumerate(probabilities):
        arms = [
            ArmSums(n=int(n[at]), predictions=int(n[at]), loss=float(loss[at]), loss_squares=float(squares[at]))
            for n, loss, squares in (candidate, stable)
        ]
        found.append(
            WindowSums(
                start=MIDNIGHT + timedelta(hours=at),
                traffic=1,
                probability=float(probability),
                candidate=arms[0],
                stable=arms[1],
            )
        )
    return found


def _window(drawn: Drawn, at: int, candidate: ArmSums, stable: ArmSums) -> WindowSums:
    return WindowSums(
        start=MIDNIGHT + timedelta(hours=at * 24 / drawn.pace.windows),
        traffic=1 + drawn.pace.step(at),
        probability=float(drawn.probabilities[at]),
        candidate=candidate,
        stable=stable,
    )


def _losses(arm: Arm, at: int) -> ArmSums:
    return ArmSums(
        n=int(arm.judged[at]),
        predictions=int(arm.predictions[at]),
        loss=float(arm.loss[at]),
        loss_squares=float(arm.squares[at]),
    )


def _coverage(arms: Sequence[ArmSums]) -> Coverage:
    return Coverage(predictions=sum(arm.predictions for arm in arms), judged=sum(arm.n for arm in arms))
