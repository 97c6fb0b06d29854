"""One deployment: everything that its page shows, in words and units, from what the store and the topics say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from switchyard_contracts.topics import ModelRecord

from switchyard_monitor import answers
from switchyard_monitor.domain.entries import Cell, PairCell
from switchyard_monitor.domain.rollouts import Happening
from switchyard_monitor.page import units
from switchyard_monitor.page.charts import Chart
from switchyard_monitor.page.overview import together
from switchyard_monitor.page.rollouts import Rollout, rollouts
from switchyard_monitor.page.trends import Period, trends
from switchyard_monitor.pair_answers import JudgedPairs, PairCount, pair_counts

GENERATIONS = 64
PAIR_GENERATIONS = 12
HAPPENINGS = 300
WINDOW_ROWS = 3000


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read for one page."""

    subject: str
    record: ModelRecord | None
    happenings: Sequence[Happening]
    totals: Sequence[Cell]
    windows: Sequence[Cell]
    pairs: Sequence[PairCell]
    books: answers.Books
    period: Period | None
    watermark_us: int | None
    now: float


@dataclass(frozen=True, slots=True)
class Share:
    """A revision's share of the traffic now."""

    revision: str
    version: str
    role: str
    weight: str
    mirrored: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns, with a caption; the first cell of a row is its heading."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[str] = ("Role", "Beside", "Decided by", "What became of them")
    """Columns of words, which stand at the left; numbers stand at the right."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The page's content."""

    namespace: str
    name: str
    published: bool
    task: str
    stable: str
    judged_after: str
    shares: Sequence[Share]
    rollouts: Sequence[Rollout]
    cut: bool
    """Whether there is more of the timeline than is shown."""
    counts: Table
    quality: Table
    agreement: Table
    pairs: Table
    pair_quality: Table
    charts: Sequence[Chart]
    period: str
    events: Table
    labels: str
    closes: bool
    stopped: Sequence[str]
    watermark: str
    behind: str


def deployment(seen: Seen) -> Deployment:
    """Put the page together."""
    namespace, _, name = seen.subject.partition("/")
    record = seen.record
    told = rollouts(seen.happenings, now=seen.now)
    names = {rollout.revision: rollout.version for rollout in reversed(told) if rollout.revision}
    names |= {revision: version for revision, version in (record.versions if record else {}).items() if version}
    lines = answers.quality(seen.totals)
    compared = pair_counts(seen.pairs, seen.totals)
    stopped = [
        f"Partition {line.partition} is stopped: {line.stopped}" for line in seen.books.partitions if line.stopped
    ]
    monitoring = record.monitoring if record else None
    outcome = monitoring.outcome if monitoring else None
    return Deployment(
        namespace=namespace,
        name=name,
        published=record is not None,
        task=monitoring.prediction.task.value if monitoring else "",
        stable=names.get(record.stable, record.stable) if record else "",
        judged_after=units.span(outcome.judged_after.total_seconds()) if outcome else "",
        shares=_shares(record, names),
        rollouts=told,
        cut=len(seen.happenings) >= HAPPENINGS,
        counts=_counts(answers.counts(together(seen.totals)), names),
        quality=_quality(lines, names),
        agreement=_agreement(lines, names),
        pairs=_pairs(compared, names),
        pair_quality=_pair_quality(compared, names),
        charts=trends(seen.windows, seen.period, names=names) if seen.period else [],
        period=seen.period.words if seen.period else "",
        events=_events(seen.books),
        labels=_labels(seen.books.labels),
        closes=all(line.closes for line in seen.books.partitions) and seen.books.labels.closes,
        stopped=stopped,
        watermark="" if seen.watermark_us is None else units.moment(units.from_us(seen.watermark_us)),
        behind="" if seen.watermark_us is None else units.span(max(0.0, seen.now - seen.watermark_us / 1e6)),
    )


def _shares(record: ModelRecord | None, names: Mapping[str, str]) -> list[Share]:
    return [
        Share(
            revision=route.revision,
            version=route.version or names.get(route.revision, ""),
            role=route.role.value,
            weight=units.weight(route.weight_bp),
            mirrored=units.weight(route.mirror_bp) if route.mirror_bp else "",
        )
        for route in (record.routes if record else [])
    ]


def _who(revision: str, names: Mapping[str, str]) -> str:
    """A version may have had two revisions; the end of the revision's name, its hash, tells them apart."""
    version = names.get(revision, "")
    return f"{version} · {revision.rpartition('-')[2]}" if version and version != revision else revision


def _counts(lines: Sequence[answers.Count], names: Mapping[str, str]) -> Table:
    columns = (
        "Revision",
        "Role",
        "Requests",
        "Errors",
        "Error rate",
        "Predictions",
        "Unreadable",
        "Failed over",
        "Latency p50",
        "p90",
        "p95",
        "p99",
    )
    return Table(
        "Requests, errors and latency, by revision and role",
        columns,
        [
            (
                _who(line.revision, names),
                line.role,
                units.count(line.requests),
                units.count(line.errors),
                units.percent(line.errors / line.requests if line.requests else None),
                units.count(line.predictions),
                units.count(line.unreadable),
                units.count(line.failover),
                units.seconds(line.latency_p50),
                units.seconds(line.latency_p90),
                units.seconds(line.latency_p95),
                units.seconds(line.latency_p99),
            )
            for line in lines
        ],
    )


def _quality(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str]) -> Table:
    classes = any(line.at_age.accuracy is not None for line in lines)
    of_errors = ("Accuracy",) if classes else ("RMSE", "95 % interval of the RMSE", "MAE", "Bias")
    columns = ("Revision", "Role", "Predictions", "Judged", "Coverage", *of_errors, "Outcome after, p50", "p95")
    rows = []
    for line in lines:
        errors = line.at_age
        interval = (
            f"{units.number(errors.rmse_lower)} to {units.number(errors.rmse_upper)}"
            if errors.rmse_lower is not None
            else units.NOTHING
        )
        numbers = (
            (units.percent(errors.accuracy),)
            if classes
            else (units.number(errors.rmse), interval, units.number(errors.mae), units.number(errors.bias))
        )
        rows.append(
            (
                _who(line.revision, names),
                line.role,
                units.count(line.predictions),
                units.count(line.judged),
                units.percent(line.coverage),
                *numbers,
                units.seconds(line.label_delay_p50),
                units.seconds(line.label_delay_p95),
            )
        )
    return Table("Quality against outcomes at age L, by revision and role", columns, rows)


def _agreement(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str]) -> Table:
    rows = [
        (_who(line.revision, names), line.role, actor, units.count(agreed.n), units.percent(agreed.share))
        for line in lines
        if line.agreement.n
        for actor, agreed in _actors(line)
    ]
    columns = ("Revision", "Role", "Decided by", "Decisions", "Followed the prediction")
    return Table("Decisions that followed the prediction", columns, rows)


def _actors(line: answers.RevisionQuality) -> list[tuple[str, answers.Agreement]]:
    """Each kind of actor, and all together where there is more than one."""
    each = sorted(line.agreement_by_actor.items())
    return each if len(each) == 1 else [("all", line.agreement), *each]


def _pairs(lines: Sequence[PairCount], names: Mapping[str, str]) -> Table:
    columns = (
        "Revision",
        "Beside",
        "Generation",
        "Pairs",
        "Coverage",
        "Unanswered",
        "Same answer",
        "Mean difference of the answers",
        "Latency difference, mean",
        "p50",
    )
    return Table(
        "Requests that two revisions answered, newest generation first",
        columns,
        [
            (
                _who(line.revision, names),
                _who(line.against, names),
                str(line.traffic),
                units.count(line.pairs),
                units.percent(line.coverage),
                units.count(line.unanswered),
                units.percent(line.agreement),
                units.number(line.difference),
                units.seconds(line.latency_difference),
                units.seconds(line.latency_difference_p50),
            )
            for line in sorted(lines, key=lambda line: -line.traffic)
        ],
    )


def _pair_quality(lines: Sequence[PairCount], names: Mapping[str, str]) -> Table:
    def both(judged: JudgedPairs) -> tuple[str, str]:
        if judged.accuracy is not None:
            return units.percent(judged.accuracy), units.percent(judged.stable_accuracy)
        return units.number(judged.rmse), units.number(judged.stable_rmse)

    classes = any(line.at_age.accuracy is not None for line in lines)
    measure = "Accuracy" if classes else "RMSE"
    columns = ["Revision", "Beside", "Generation", "Judged pairs", f"{measure} of the revision"]
    columns += [f"{measure} of the one beside", "Loss difference, mean"]
    if classes:
        columns += ["Only the revision right", "Only the one beside right"]
    rows = []
    for line in sorted(lines, key=lambda line: -line.traffic):
        judged = line.at_age
        if judged.n:
            alone = (units.count(judged.only_mirrored_right), units.count(judged.only_stable_right))
            rows.append(
                (
                    _who(line.revision, names),
                    _who(line.against, names),
                    str(line.traffic),
                    units.count(judged.n),
                    *both(judged),
                    units.number(judged.loss_difference),
                    *(alone if classes else ()),
                )
            )
    return Table("Who was right, on the same requests, at age L", columns, rows)


def _events(books: answers.Books) -> Table:
    rows = []
    for line in books.partitions:
        parts = ", ".join(f"{name} {units.count(value)}" for name, value in sorted(line.columns.items()) if value)
        rows.append(
            (
                str(line.partition),
                units.count(line.read),
                parts or "nothing",
                "yes" if line.closes else "no",
                units.moment(line.watermark),
            )
        )
    columns = ("Partition", "Events read", "What became of them", "The account closes", "Read up to")
    return Table("Events of all deployments, by partition of their topic", columns, rows)


def _labels(labels: answers.LabelLedger) -> str:
    if not labels.received:
        return "No decision or outcome has come for this deployment yet."
    words = (
        f"{units.count(labels.received)} decisions and outcomes of this deployment came in: "
        f"{units.count(labels.joined)} are joined to a prediction, {units.count(labels.orphan)} wait for one, "
        f"{units.count(labels.deleted)} were deleted."
    )
    return words + (" The account closes." if labels.closes else " The account does not close: please report this.")
