"""One deployment: everything that its page shows, in words and units, from what the store and the topics say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from switchyard_contracts.model_deployment import Monitoring, Task
from switchyard_contracts.model_route import Route
from switchyard_contracts.topics import ModelRecord

from switchyard_monitor import answers
from switchyard_monitor.change_answers import ByDay
from switchyard_monitor.domain.entries import Cell, PairCell
from switchyard_monitor.domain.rollouts import Happening
from switchyard_monitor.models import depends_on_decisions
from switchyard_monitor.page import changes, class_tables, segment_tables, tables, units
from switchyard_monitor.page.charts import Chart
from switchyard_monitor.page.overview import together
from switchyard_monitor.page.rollouts import Rollout, rollouts
from switchyard_monitor.page.shadows import Shadow, shadows
from switchyard_monitor.page.trends import Period, trends
from switchyard_monitor.pair_answers import pair_counts
from switchyard_monitor.segment_answers import segments

GENERATIONS = 24
"""Of its route, the newest: those of the last few rollouts. What was before would only lengthen the tables."""
PAIR_GENERATIONS = 12
HAPPENINGS = 150
MOST_HAPPENINGS = 1_000
"""Where shadows stand among them: their records are no news of the rollouts, and push none of them off the page."""
WINDOW_ROWS = 1500


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read for one page."""

    subject: str
    record: ModelRecord | None
    happenings: Sequence[Happening]
    totals: Sequence[Cell]
    days: ByDay
    parts: Sequence[Cell]
    """Days by segments of X; none where none are told apart."""
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
class Deployment:
    """The page's content."""

    namespace: str
    name: str
    published: bool
    task: str
    stable: str
    positive: str
    """The class that scores speak of, where they speak of one."""
    judged_after: str
    shares: Sequence[Share]
    rollouts: Sequence[Rollout]
    shadows: Sequence[Shadow]
    cut: bool
    """Whether there is more of the timeline than is shown."""
    counted: str
    """Which generations of the route the tables add up."""
    counts: tables.Table
    quality: tables.Table
    classes: tables.Table
    scores: tables.Table
    estimates: tables.Table
    rankings: tables.Table
    unscored: str
    """How many predictions held no score where one is told; empty where none did."""
    places: tables.Table
    changes: tables.Table
    change_chart: Chart | None
    day_charts: Sequence[Chart]
    segments: tables.Table
    agreement: tables.Table
    right: tables.Table
    moot: bool
    """Whether nobody can say who was right, for what is decided changes what happens."""
    pairs: tables.Table
    pair_quality: tables.Table
    charts: Sequence[Chart]
    period: str
    events: tables.Table
    labels: str
    closes: bool
    stopped: Sequence[str]
    watermark: str
    behind: str

    @property
    def has_recent_quality(self) -> bool:
        """Whether any of the newest windows' predictions are judged."""
        return any(held.id in ("quality", "coverage") for held in self.charts)


def deployment(seen: Seen) -> Deployment:
    """Put the page together."""
    namespace, _, name = seen.subject.partition("/")
    record = seen.record
    told = rollouts(seen.happenings, now=seen.now, live=record is not None)
    names = {rollout.revision: rollout.version for rollout in reversed(told) if rollout.revision}
    names |= {revision: version for revision, version in (record.versions if record else {}).items() if version}
    beside = shadows(seen.happenings, names=names, live=record is not None)
    names |= {shadow.revision: shadow.version for shadow in beside if shadow.revision}
    lines = answers.quality(seen.totals, seen.days)
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
        positive=(monitoring.prediction.positive or "") if monitoring else "",
        judged_after=units.span(outcome.judged_after.total_seconds()) if outcome else "",
        shares=_shares(record, names),
        rollouts=told,
        shadows=beside,
        cut=len(seen.happenings) in (HAPPENINGS, MOST_HAPPENINGS),
        counted=_counted(seen.totals),
        counts=tables.counts(answers.counts(together(seen.totals)), names),
        quality=tables.quality(lines, names),
        classes=class_tables.classes(lines, names),
        scores=class_tables.scores(lines, names),
        estimates=class_tables.estimates(lines, names),
        rankings=class_tables.rankings(lines, names),
        unscored=class_tables.unscored(lines),
        places=class_tables.places(lines, names),
        agreement=tables.agreement(lines, names),
        right=tables.right(lines, names, word="nearer" if _of_numbers(monitoring) else "right"),
        moot=depends_on_decisions(record),
        pairs=tables.pairs(compared, names),
        pair_quality=tables.pair_quality(compared, names),
        changes=changes.table(lines, names),
        change_chart=changes.picture(seen.days, names),
        day_charts=changes.by_day(
            seen.days, names, task=monitoring.prediction.task.value if monitoring else "regression"
        ),
        segments=segment_tables.table(segments(seen.parts, seen.days.rule), names),
        charts=trends(seen.windows, seen.period, names=names) if seen.period else [],
        period=seen.period.words if seen.period else "",
        events=tables.events(seen.books),
        labels=tables.labels(seen.books.labels),
        closes=all(line.closes for line in seen.books.partitions) and seen.books.labels.closes,
        stopped=stopped,
        watermark="" if seen.watermark_us is None else units.moment(units.from_us(seen.watermark_us)),
        behind="" if seen.watermark_us is None else units.span(max(0.0, seen.now - seen.watermark_us / 1e6)),
    )


def _of_numbers(monitoring: Monitoring | None) -> bool:
    """Whether decisions are numbers beside the prediction's, of which one is nearer to what happens."""
    if monitoring is None or monitoring.prediction.task is not Task.REGRESSION:
        return False
    return monitoring.decision is not None and monitoring.decision.threshold is None


def _counted(totals: Sequence[Cell]) -> str:
    generations = sorted({cell.arm.traffic for cell in totals})
    if not generations:
        return ""
    first, last = generations[0], generations[-1]
    span = f"generation {last}" if first == last else f"generations {first} to {last}"
    return f"{span} of its route" + ("; older ones are left out" if len(generations) == GENERATIONS else "")


def _shares(record: ModelRecord | None, names: Mapping[str, str]) -> list[Share]:
    return [
        Share(
            revision=route.revision,
            version=route.version or names.get(route.revision, ""),
            role=route.role.value,
            weight=units.weight(route.weight_bp),
            mirrored=_mirrored(route),
        )
        for route in (record.routes if record else [])
    ]


def _mirrored(route: Route) -> str:
    """Of the traffic, or of stable's part in it where a shadow has a sample of its own."""
    if route.sample_bp:
        return f"{units.weight(route.sample_bp)} of stable's"
    return units.weight(route.mirror_bp) if route.mirror_bp else ""
