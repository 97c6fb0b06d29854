"""The shapes of the API's answers, and how they are put together from cells, ledgers and entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from switchyard_contracts.base import Timestamp
from switchyard_contracts.events import Part
from switchyard_contracts.intervals import wilson

from switchyard_monitor.change_answers import NO_DAYS, ByDay, Change, changed
from switchyard_monitor.class_answers import Classes, Estimate, Ranking, Scores
from switchyard_monitor.class_answers import judged as judged_by_day
from switchyard_monitor.domain.buckets import TIME_PARTS
from switchyard_monitor.domain.entries import DECISION, NO_FOLD, OUTCOME, Arm, Cell, Entry, Version
from switchyard_monitor.domain.quality import Quality
from switchyard_monitor.domain.row_losses import RowLoss
from switchyard_monitor.domain.rules import Value
from switchyard_monitor.domain.sums import Sums, histogram, merged
from switchyard_monitor.ports import Ledger

NOT_COUNTED = frozenset({"skewed"})
"""A remark in the ledger, not a column of it: the event is counted where it went."""
LABEL_COLUMNS = ("joined", "orphan", "expired", "deleted")
"""What may become of a label that came in."""


class Deployment(Part):
    """A deployment that the monitor knows."""

    namespace: str
    name: str
    task: str | None = None
    revisions: list[str]
    watermark: Timestamp | None = None


class Count(Part):
    """One revision's exchanges in one role and one ModelRoute generation."""

    revision: str
    role: str
    traffic: int
    weight_bp: int
    assignment: str
    requests: int
    errors: int
    predictions: int
    unreadable: int
    failover: int
    conflicts: int
    unmeasured: int
    latency_p50: float | None = None
    """Quantiles in seconds."""
    latency_p90: float | None = None
    latency_p95: float | None = None
    latency_p99: float | None = None


class Errors(Part):
    """Errors of judged predictions, in the unit of Y."""

    n: int
    rmse: float | None = None
    mae: float | None = None
    bias: float | None = None
    accuracy: float | None = None
    clipped: int = 0
    loss: float | None = None
    """The mean of what the spec's own expression makes of each (monitoring.loss), in its own unit."""
    loss_n: int = 0
    """Those that have such a loss, by the expression of the newest rule."""
    loss_none: int = 0
    """Those whose expression came to no number, or to less than 0."""
    loss_clipped: int = 0
    rmse_lower: float | None = None
    rmse_upper: float | None = None
    mae_lower: float | None = None
    mae_upper: float | None = None
    bias_lower: float | None = None
    bias_upper: float | None = None
    accuracy_lower: float | None = None
    accuracy_upper: float | None = None
    loss_lower: float | None = None
    loss_upper: float | None = None
    """About 95 % of such intervals hold the true value, were it the same on each day; none of what is still amended."""


class Agreement(Part):
    """How often a decision followed the prediction."""

    n: int
    agreed: int
    share: float | None = None


class Right(Part):
    """Who was right, of decisions whose outcome is known: the prediction, the decision, both or neither."""

    same: int
    """Decisions that followed the prediction."""
    both: int
    """Those of them that were right."""
    differ: int
    """Decisions that did not follow it."""
    model: int
    """Those in which the prediction was right, or nearer to what happened."""
    decider: int
    """Those in which the decision was."""
    share: float | None = None
    """Of those in which one of the two was right, how often it was the prediction."""
    lower: float | None = None
    upper: float | None = None
    """95 % of such intervals hold the true share, were decisions independent (Wilson)."""


class RevisionQuality(Part):
    """One revision, all its generations together."""

    revision: str
    role: str
    predictions: int
    judged: int
    """Predictions with an outcome at age L."""
    labelled: int
    """Predictions with any outcome by now."""
    coverage: float | None = None
    at_age: Errors
    """Judged once, by the label that was there at age L."""
    latest: Errors
    """By the latest label."""
    agreement: Agreement
    agreement_by_actor: dict[str, Agreement]
    right: Right | None
    """Who was right, by the latest outcomes; none where what people decide changes what happens, for nobody knows then
    what the other choice would have led to."""
    right_by_actor: dict[str, Right]
    label_delay_p50: float | None = None
    """How long after the prediction its first outcome came, in seconds."""
    label_delay_p95: float | None = None
    decision_coverage: float | None = None
    """The share of predictions that were decided about by now."""
    decision_delay_p50: float | None = None
    """How long after the prediction its first decision came, in seconds."""
    decision_delay_p95: float | None = None
    classes: Classes | None = None
    """Of a classification whose classes are told: precision, recall, F1, and what was taken for what."""
    scores: Scores | None = None
    """Of a classification whose score is told: how well it tells classes apart, and whether it is calibrated."""
    estimate: Estimate | None = None
    """What scores promise, before outcomes are there."""
    unscored: int | None = None
    """Where a score is told: predictions whose answer held no number from 0 to 1 there; no score counts them."""
    ranking: Ranking | None = None
    """Of a ranking: what was clicked, by place."""
    change: Change | None = None
    """Whether its days have become worse (CUSUM); nothing before the fifteenth that is judged."""


class PartitionLedger(Part):
    """One partition's books: what was read is what became of it."""

    partition: int
    base_offset: int | None = None
    next_offset: int | None = None
    read: int
    columns: dict[str, int]
    skewed: int
    closes: bool
    watermark: Timestamp | None = None
    owner: str | None = None
    stopped: str | None = None


class LabelLedger(Part):
    """A deployment's labels: each came in once and is joined, waits, waited in vain, or was deleted."""

    received: int
    joined: int
    orphan: int
    expired: int
    deleted: int
    closes: bool


class Books(Part):
    """The ledgers."""

    partitions: list[PartitionLedger]
    labels: LabelLedger


class PredictionAnswer(Part):
    """One Y."""

    revision: str
    role: str
    traffic: int
    at: Timestamp
    value: Value | None = None


class LabelAnswer(Part):
    """One Y′ or X′ in its latest version."""

    value: Value
    at: Timestamp
    received_at: Timestamp
    actor: str
    versions: int


class PredictionState(Part):
    """What is known of one row of one prediction."""

    prediction_id: str
    row: int
    arrived: bool
    joined: bool
    erased: bool
    predictions: list[PredictionAnswer] = []
    decision: LabelAnswer | None = None
    outcome: LabelAnswer | None = None


def counts(cells: Iterable[Cell]) -> list[Count]:
    """One line per arm."""
    by_arm: dict[Arm, list[Sums]] = {}
    for cell in cells:
        by_arm.setdefault(replace(cell.arm, fold=NO_FOLD), []).append(cell.sums)
    lines = []
    for arm, parts in sorted(by_arm.items(), key=lambda item: (item[0].traffic, item[0].revision, item[0].role)):
        sums = merged(parts)
        times = histogram(sums, "latency", TIME_PARTS)
        quantiles = {
            f"latency_p{percent}": None if (at := times.quantile(percent / 100)) is None else at / 1_000_000
            for percent in (50, 90, 95, 99)
        }
        names = ("requests", "errors", "predictions", "unreadable", "failover", "conflicts", "unmeasured")
        lines.append(
            Count(
                revision=arm.revision,
                role=arm.role,
                traffic=arm.traffic,
                weight_bp=arm.weight_bp,
                assignment=arm.assignment,
                **{name: sums.get(name, 0) for name in names},
                **quantiles,
            )
        )
    return lines


def without_right(lines: Iterable[RevisionQuality]) -> list[RevisionQuality]:
    """The same where outcomes cannot say who was right."""
    return [line.model_copy(update={"right": None, "right_by_actor": {}}) for line in lines]


def quality(cells: Sequence[Cell], by_day: ByDay = NO_DAYS) -> list[RevisionQuality]:
    """One line per revision and role; with days, what they alone hold too."""
    by_revision: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        by_revision.setdefault((cell.arm.revision, cell.arm.role), []).append(cell)
    return [
        _quality(revision, role, held, by_day.of(revision, role))
        for (revision, role), held in sorted(by_revision.items())
    ]


def _quality(revision: str, role: str, cells: Sequence[Cell], days: ByDay) -> RevisionQuality:
    by_day = judged_by_day(days.totals, days.rule)
    sums = merged(cell.sums for cell in cells)
    predictions, judged = sums.get("predictions", 0), sums.get("age.n", 0)
    delay, decided = (histogram(sums, name, TIME_PARTS) for name in ("delay", "dec.delay"))
    actors = {name.partition(":")[2] for name in sums if name.startswith("dec.n:")}
    return RevisionQuality(
        revision=revision,
        role=role,
        predictions=predictions,
        judged=judged,
        labelled=sums.get("now.n", 0),
        coverage=judged / predictions if predictions else None,
        at_age=_errors(cells, "age"),
        latest=_errors(cells, "now"),
        agreement=_agreement(sums, ""),
        agreement_by_actor={actor: _agreement(sums, f":{actor}") for actor in sorted(actors)},
        right=_right(sums, ""),
        right_by_actor={actor: _right(sums, f":{actor}") for actor in sorted(actors)},
        label_delay_p50=_milliseconds(delay.quantile(0.5)),
        label_delay_p95=_milliseconds(delay.quantile(0.95)),
        decision_coverage=sums.get("dec.n", 0) / predictions if predictions else None,
        decision_delay_p50=_milliseconds(decided.quantile(0.5)),
        decision_delay_p95=_milliseconds(decided.quantile(0.95)),
        classes=by_day.classes,
        scores=by_day.scores,
        estimate=by_day.estimate,
        unscored=by_day.unscored,
        ranking=by_day.ranking,
        change=changed(days),
    )


def _errors(cells: Sequence[Cell], which: str) -> Errors:
    held = Quality.of(((cell.rule, cell.sums) for cell in cells), which)
    newest = max(cells, key=lambda cell: cell.arm.rule, default=None)
    loss = newest.rule.loss if newest else None
    own = RowLoss.of(((cell.rule, cell.sums) for cell in cells), which, loss=loss)
    shown = [name for name in ("rmse", "mae", "bias", "accuracy") if which == "age" and getattr(held, name) is not None]
    intervals = {name: interval for name in shown if (interval := held.interval(name)) is not None}
    ends = {f"{name}_lower": lower for name, (lower, _) in intervals.items()}
    ends |= {f"{name}_upper": upper for name, (_, upper) in intervals.items()}
    if which == "age" and own.interval is not None:
        ends |= dict(zip(("loss_lower", "loss_upper"), own.interval, strict=True))
    return Errors(
        n=held.n,
        rmse=held.rmse,
        mae=held.mae,
        bias=held.bias,
        accuracy=held.accuracy,
        clipped=held.clipped,
        loss=own.mean,
        loss_n=own.n,
        loss_none=own.none,
        loss_clipped=own.clipped,
        **ends,
    )


def _agreement(sums: Mapping[str, int], suffix: str) -> Agreement:
    n, agreed = sums.get(f"dec.n{suffix}", 0), sums.get(f"dec.agree{suffix}", 0)
    return Agreement(n=n, agreed=agreed, share=agreed / n if n else None)


def _right(sums: Mapping[str, int], suffix: str) -> Right:
    # Below nought is what was taken out again, and had come in before there were such counts.
    same, both, differ, model, decider = (
        max(0, sums.get(f"who.{name}{suffix}", 0)) for name in ("same", "both", "differ", "model", "decider")
    )
    decided = model + decider
    found = Right(same=same, both=both, differ=differ, model=model, decider=decider)
    if not decided:
        return found
    lower, upper = wilson(decided, model)
    return found.model_copy(update={"share": model / decided, "lower": lower, "upper": upper})


def _milliseconds(value: float | None) -> float | None:
    return None if value is None else value / 1000


def books(ledgers: Iterable[Ledger], labels: Mapping[str, int]) -> Books:
    """The ledgers, and whether each closes."""
    lines = []
    for ledger in ledgers:
        position = ledger.position
        columns = {name: value for name, value in ledger.columns.items() if name not in NOT_COUNTED}
        read = (position.next_offset or 0) - (position.base_offset or 0)
        lines.append(
            PartitionLedger(
                partition=position.partition,
                base_offset=position.base_offset,
                next_offset=position.next_offset,
                read=read,
                columns=columns,
                skewed=ledger.columns.get("skewed", 0),
                closes=read == sum(columns.values()),
                watermark=time(position.watermark_us),
                owner=position.owner,
                stopped=position.stopped,
            )
        )
    received = labels.get("in", 0)
    ends = {name: labels.get(name, 0) for name in LABEL_COLUMNS}
    return Books(
        partitions=lines,
        labels=LabelLedger(received=received, closes=received == sum(ends.values()), **ends),
    )


def prediction(
    prediction_id: str, row: int, entry: Entry | None, *, erased: bool, arms: Mapping[int, Arm]
) -> PredictionState:
    """What is known of one row of one prediction."""
    held = entry or Entry()
    return PredictionState(
        prediction_id=prediction_id,
        row=row,
        arrived=bool(held.preds),
        joined=bool(held.preds) and any(version.kind == OUTCOME for version in held.versions),
        erased=erased,
        predictions=[
            PredictionAnswer(
                revision=arms[pred.arm].revision,
                role=arms[pred.arm].role,
                traffic=arms[pred.arm].traffic,
                at=_at(pred.at_us),
                value=pred.value,
            )
            for pred in held.preds
        ],
        decision=_label(held.versions, DECISION),
        outcome=_label(held.versions, OUTCOME),
    )


def _label(versions: Iterable[Version], kind: str) -> LabelAnswer | None:
    same = [version for version in versions if version.kind == kind]
    if not same:
        return None
    latest = max(same, key=lambda version: version.rank)
    return LabelAnswer(
        value=latest.value,
        at=_at(latest.at_us),
        received_at=_at(latest.broker_us),
        actor=latest.actor,
        versions=len(same),
    )


def time(at_us: int | None) -> datetime | None:
    """A time that may not be there."""
    return None if at_us is None else _at(at_us)


def _at(at_us: int) -> datetime:
    seconds, rest = divmod(at_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
