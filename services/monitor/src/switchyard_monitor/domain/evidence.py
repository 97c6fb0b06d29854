"""Evidence: sums of mature windows, put together so that `switchyard_contracts.verdicts` can judge them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from switchyard_contracts.evidence import ArmFolds, ArmSums, Coverage, Evidence, Folds, WindowSums
from switchyard_contracts.guards import failures_of
from switchyard_contracts.intervals import rate_ratio, wilson
from switchyard_contracts.judgement import noun
from switchyard_contracts.sticky import FOLDS

from switchyard_monitor.domain import row_losses
from switchyard_monitor.domain.buckets import TIME_PARTS, bucket, low, width
from switchyard_monitor.domain.entries import Cell, PairCell
from switchyard_monitor.domain.judging import FoldNames
from switchyard_monitor.domain.losses import LOSSES, Cap, capped
from switchyard_monitor.domain.paired import PAIRED, paired
from switchyard_monitor.domain.quality import Quality, latency, quantile_interval
from switchyard_monitor.domain.row_losses import OWN, RowLoss
from switchyard_monitor.domain.rows import FIRST_ERRORS, Question, Row, loss_cap, mature, moment, of_lot, rows_of
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import Sums, histogram, merged, only

LATENCIES = {"latency_p50": 0.5, "latency_p90": 0.9, "latency_p95": 0.95, "latency_p99": 0.99}
METRICS = frozenset(
    {"error_rate", "outcome.bias", "outcome.accuracy", "outcome.coverage", "decision.agreement", *LATENCIES, *LOSSES}
)
RECENT_WINDOWS = 12
_COUNTED = ("requests", "answered", "squares", "predictions", "age.n")
_ERRORS = tuple(f"age.{name}" for name in ("right", "e", "ee", "eeee", "a", "clipped"))
_GROUPS = tuple(f"age.{name}:" for name in FoldNames._fields)
NAMES = {
    "error_rate": only(*_COUNTED, "errors"),
    "decision.agreement": only(*_COUNTED, "dec.n", "dec.agree"),
    "outcome.coverage": only(*_COUNTED),
    **{metric: only(*_COUNTED, "latency:") for metric in LATENCIES},
    **{metric: only(*_COUNTED, *_ERRORS, *_GROUPS, "age.h:") for metric in LOSSES if metric != OWN},
    OWN: only(*_COUNTED, *row_losses.WHOLE),
}
"""Which sums an answer is made of; where nothing is said, of what is counted and judged."""
COUNTED = only(*_COUNTED, *_ERRORS, *_GROUPS)


def answer(
    question: Question, *, cells: Sequence[Cell], watermark_us: int | None, pair_cells: Sequence[PairCell] = ()
) -> Evidence:
    """The evidence from the cells of both revisions, those of earlier generations included, and from their pairs."""
    evidence = _split(question, cells=cells, watermark_us=watermark_us)
    if question.metric not in PAIRED:
        return evidence
    cap = None if evidence.cap is None else Cap(evidence.cap)
    pairs = paired(question, pair_cells=pair_cells, cells=cells, cap=cap, watermark_us=watermark_us)
    return evidence.model_copy(update={"paired": pairs})


def _split(question: Question, *, cells: Sequence[Cell], watermark_us: int | None) -> Evidence:
    lot = [cell for cell in cells if of_lot(cell)]
    asked = [cell for cell in lot if cell.arm.traffic in question.traffic]
    if question.metric == OWN:
        loss = row_losses.newest(asked)
        lot, asked = ([cell for cell in held if cell.rule.loss == loss] for held in (lot, asked))
    first = min(question.traffic, default=0)
    before = [cell for cell in lot if cell.arm.revision == question.against and cell.arm.traffic < first]
    waits_for_labels = question.metric.startswith(("outcome.", "decision."))
    rows = rows_of(question, asked)
    ripe = [row for row in rows if mature(row, watermark_us, waits_for_labels)]
    young = [row for row in rows if not mature(row, watermark_us, waits_for_labels)]
    evidence = Evidence(
        deployment=question.subject,
        metric=question.metric,
        revision=question.revision,
        against=question.against,
        traffic=list(question.traffic),
        watermark=None if watermark_us is None else moment(watermark_us),
        pending=sum(row.candidate.get("predictions", 0) for row in young),
    )
    if question.metric in LATENCIES:
        return _latency(question, evidence, ripe, before)
    if question.metric in LOSSES:
        return _losses(question, evidence, ripe, before)
    if question.metric == "outcome.bias":
        return _biases(evidence, ripe)
    return _shares(question, evidence, ripe)


def _put(
    evidence: Evidence, rows: Sequence[Row], arm: Callable[[Row, Sums], ArmSums], *, judged: str = "age.n"
) -> Evidence:
    """Fill in the windows, their totals, the coverage and the rate."""
    windows = [
        WindowSums(
            start=moment(row.start_us),
            traffic=row.traffic,
            probability=row.probability,
            candidate=_with_predictions(arm(row, row.candidate), row.candidate),
            stable=_with_predictions(arm(row, row.stable), row.stable),
            folds=_folds(row, arm) if row.folds else None,
        )
        for row in rows
    ]
    return evidence.model_copy(
        update={
            "windows": windows,
            "candidate": _total(window.candidate for window in windows),
            "stable": _total(window.stable for window in windows),
            "candidate_coverage": _coverage((row.candidate for row in rows), judged),
            "stable_coverage": _coverage((row.stable for row in rows), judged),
            "rate_per_second": _rate(rows, windows),
        }
    )


def _folds(row: Row, arm: Callable[[Row, Sums], ArmSums]) -> Folds:
    """Both arms by group of users; a group that nobody of is there has nothing."""
    nobody = ArmSums()

    def of(which: int) -> ArmFolds:
        sums = [arm(row, row.folds[fold][which]) if fold in row.folds else nobody for fold in range(FOLDS)]
        return ArmFolds(n=[s.n for s in sums], failures=[s.failures for s in sums], loss=[s.loss for s in sums])

    return Folds(candidate=of(0), stable=of(1))


def _shares(question: Question, evidence: Evidence, rows: Sequence[Row]) -> Evidence:
    """Metrics that are a share."""
    names = {
        "error_rate": ("requests", "errors", False),
        "outcome.accuracy": ("age.n", "age.right", True),
        "outcome.coverage": ("predictions", "age.n", True),
        "decision.agreement": ("dec.n", "dec.agree", True),
    }
    of, counted, is_success = names[question.metric]

    def arm(_: Row, sums: Sums) -> ArmSums:
        n, hits = sums.get(of, 0), sums.get(counted, 0)
        failures = n - hits if is_success else hits
        return ArmSums(n=n, failures=failures, loss=float(failures), loss_squares=float(failures))

    evidence = _put(evidence, rows, arm)

    def share(sums: ArmSums) -> float | None:
        hits = sums.n - sums.failures if is_success else sums.failures
        return hits / sums.n if sums.n else None

    value, against = share(evidence.candidate), share(evidence.stable)
    if question.metric == "outcome.accuracy":
        mine = _quality(rows, "candidate")
        return _shown(evidence, value, against, mine.interval("accuracy"), "Wilson, by the jackknife")
    hits = evidence.candidate.n - evidence.candidate.failures if is_success else evidence.candidate.failures
    interval = None if value is None else wilson(evidence.candidate.n, hits)
    shown = _shown(evidence, value, against, interval, "Wilson")
    return _beside(shown) if question.metric == "error_rate" else shown


def _beside(evidence: Evidence) -> Evidence:
    """How many times as often the candidate fails; where users stay with an arm, single failures are no units."""
    drawn = [window for window in evidence.windows if window.folds is None]
    ratio = rate_ratio(failures_of(drawn)) if len(drawn) == len(evidence.windows) else None
    if ratio is None:
        return evidence
    return evidence.model_copy(update={"ratio": ratio.value, "ratio_lower": ratio.lower, "ratio_upper": ratio.upper})


def _biases(evidence: Evidence, rows: Sequence[Row]) -> Evidence:
    mine, other = _quality(rows, "candidate"), _quality(rows, "stable")
    evidence = _put(evidence, rows, lambda row, sums: _bias(row.rule, sums))
    return _shown(evidence, mine.bias, other.bias, mine.interval("bias"), "jackknife")


def _losses(question: Question, evidence: Evidence, rows: Sequence[Row], before: Sequence[Cell]) -> Evidence:
    """RMSE, MSE, MAE and one's own: capped to be judged, uncapped to be shown.

    A prediction that has no loss of its own is not covered: a candidate whose answers made none would else be judged
    by its others alone.
    """
    kept = LOSSES[question.metric]
    name = f"age{kept.suffix}.n"
    cap = loss_cap(rows, before, kept)
    if cap is None:
        judged = sum(row.stable.get(name, 0) for row in rows)
        # Without a cap nothing may be judged yet, so no window is handed out.
        return evidence.model_copy(
            update={
                "candidate_coverage": _coverage((row.candidate for row in rows), name),
                "stable_coverage": _coverage((row.stable for row in rows), name),
                "method": (
                    f"the loss cap needs {FIRST_ERRORS:,} judged {'losses' if kept.suffix else 'errors'} of stable,"
                    f" {judged:,} {noun(judged, 'is', 'are')} there"
                ),
            }
        )

    def arm(row: Row, sums: Sums) -> ArmSums:
        n, loss, squares = capped(sums, "age", row.rule, cap=cap, kept=kept)
        return ArmSums(n=n, loss=loss, loss_squares=squares)

    evidence = _put(evidence, rows, arm, judged=name).model_copy(update={"cap": cap.value})
    if question.metric == OWN:
        own, others = _row_loss(rows, "candidate"), _row_loss(rows, "stable")
        return _shown(evidence, own.mean, others.mean, own.interval, "jackknife")
    mine, other = _quality(rows, "candidate"), _quality(rows, "stable")
    name = question.metric.partition(".")[2]
    return _shown(evidence, getattr(mine, name), getattr(other, name), mine.interval(name), "jackknife")


def _latency(question: Question, evidence: Evidence, rows: Sequence[Row], before: Sequence[Cell]) -> Evidence:
    """The share slower than a threshold: (1 + margin) of stable's quantile in earlier windows, or an absolute limit."""
    share = LATENCIES[question.metric]
    enough = math.ceil(10 / (1 - share))
    earlier = histogram(merged(cell.sums for cell in before), "latency", TIME_PARTS)
    slow: dict[int, int] = {}
    pending: list[Row] = []
    threshold: int | None = None
    for row in rows:
        if pending and pending[0].start_us < row.start_us:
            for done in pending:
                earlier = earlier.plus(histogram(done.stable, "latency", TIME_PARTS))
            pending = []
        pending.append(row)
        if question.limit is not None:
            slow[row.start_us] = bucket(round(question.limit * 1_000_000), TIME_PARTS)
        elif earlier.n >= enough and (at := earlier.quantile_bucket(share)) is not None:
            slow[row.start_us] = bucket(
                math.ceil((low(at, TIME_PARTS) + width(at, TIME_PARTS) - 1) * (1.0 + question.margin)), TIME_PARTS
            )
        threshold = slow.get(row.start_us, threshold)

    def arm(row: Row, sums: Sums) -> ArmSums:
        times = histogram(sums, "latency", TIME_PARTS)
        failures = times.above(slow[row.start_us]) if row.start_us in slow else 0
        return ArmSums(n=times.n, failures=failures, loss=float(failures), loss_squares=float(failures))

    usable = [row for row in rows if row.start_us in slow] or list(rows)
    evidence = _put(evidence, usable, arm)
    if threshold is not None:
        seconds = (low(threshold, TIME_PARTS) + width(threshold, TIME_PARTS)) / 1_000_000
        evidence = evidence.model_copy(update={"threshold": seconds})
    mine, other = latency(row.candidate for row in rows), latency(row.stable for row in rows)
    return _shown(
        evidence,
        _seconds(mine.quantile(share)),
        _seconds(other.quantile(share)),
        quantile_interval(mine, share),
        "order statistics",
    )


def _shown(
    evidence: Evidence,
    value: float | None,
    against: float | None,
    interval: tuple[float, float] | None,
    method: str,
) -> Evidence:
    update: dict[str, object] = {"value": value, "against_value": against}
    if value is not None and interval is not None:
        update |= {"lower": interval[0], "upper": interval[1], "kind": "fixed", "method": method}
    return evidence.model_copy(update=update)


def _quality(rows: Sequence[Row], arm: str) -> Quality:
    return Quality.of(((row.rule, getattr(row, arm)) for row in rows), "age")


def _row_loss(rows: Sequence[Row], arm: str) -> RowLoss:
    return RowLoss.of(((row.rule, getattr(row, arm)) for row in rows), "age", loss=row_losses.newest(rows))


def _bias(rule: Rule, sums: Mapping[str, int]) -> ArmSums:
    unit = rule.unit
    return ArmSums(
        n=sums.get("age.n", 0), loss=sums.get("age.e", 0) * unit, loss_squares=sums.get("age.ee", 0) * unit * unit
    )


def _with_predictions(arm: ArmSums, sums: Sums) -> ArmSums:
    return arm.model_copy(update={"predictions": sums.get("predictions", 0)})


def _total(arms: Iterable[ArmSums]) -> ArmSums:
    held = list(arms)
    return ArmSums(
        n=sum(arm.n for arm in held),
        predictions=sum(arm.predictions for arm in held),
        failures=sum(arm.failures for arm in held),
        loss=math.fsum(arm.loss for arm in held),
        loss_squares=math.fsum(arm.loss_squares for arm in held),
    )


def _coverage(arms: Iterable[Sums], judged: str) -> Coverage:
    total = merged(arms)
    return Coverage(predictions=total.get("predictions", 0), judged=total.get(judged, 0))


def _rate(rows: Sequence[Row], windows: Sequence[WindowSums]) -> float | None:
    """The candidate's samples a second over the last dozen windows."""
    if not rows:
        return None
    last = rows[-1]
    since_us = max(rows[0].start_us, last.start_us - (RECENT_WINDOWS - 1) * last.rule.window_us)
    n = sum(window.candidate.n for row, window in zip(rows, windows, strict=True) if row.start_us >= since_us)
    return n * 1_000_000 / (last.start_us + last.rule.window_us - since_us)


def _seconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1_000_000
