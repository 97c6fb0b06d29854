"""Prometheus: gathered from the store when somebody scrapes, so that a restart loses no count.

Values of quality are those judged at age L, over all of a revision's windows; labels are deployments, revisions, roles,
alarms and partitions, all of them few.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from switchyard_monitor.answers import LABEL_COLUMNS, Count, RevisionQuality, books, counts, quality
from switchyard_monitor.change_answers import ByDay
from switchyard_monitor.domain.buckets import TIME_PARTS
from switchyard_monitor.domain.buckets import Histogram as Times
from switchyard_monitor.domain.changes import COLUMNS
from switchyard_monitor.domain.entries import Cell
from switchyard_monitor.domain.sums import histogram, merged
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.drifting import Drifting
from switchyard_monitor.errors import StoreUnavailable
from switchyard_monitor.health import Health
from switchyard_monitor.pair_answers import PairCount, pair_counts
from switchyard_monitor.ports import NoAlarms, SaidAlarms, Store
from switchyard_monitor.rosters import Rosters

log = logging.getLogger(__name__)

ARM = ("deployment", "revision", "role")
PAIR = ("deployment", "revision", "against")
RULE = ("deployment", "alarm", "metric")
GROUP = ("deployment", "revision", "side", "aspect")
"""Features are counted by these, however many there are."""
NO_COUNTER = frozenset({"held", "replayed"})
"""Columns of the ledger that go down as well."""

LATENCY_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
DELAY_BOUNDS = (1, 10, 60, 600, 3600, 21_600, 43_200, 86_400, 259_200, 604_800, 1_209_600, 2_592_000)
MICROSECONDS, MILLISECONDS = 1_000_000, 1_000
COMMIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def commit_seconds(registry: CollectorRegistry) -> Histogram:
    """The one figure that is not read from the store: how long the reader's transactions take."""
    return Histogram(
        "switchyard_monitor_commit_seconds",
        "How long one transaction took, from the first record folded to the commit.",
        buckets=COMMIT_BUCKETS,
        registry=registry,
    )


class MonitorCollector(Collector):
    """What the monitor tells Prometheus."""

    def __init__(
        self,
        *,
        store: Store,
        health: Health,
        drifting: Drifting,
        alarms: SaidAlarms | None = None,
        rosters: Rosters | None = None,
    ) -> None:
        self._store = store
        self._health = health
        self._drifting = drifting
        self._said = alarms or NoAlarms()
        self._rosters = rosters

    def describe(self) -> list[Metric]:
        """Nothing is gathered at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Gather."""
        yield from self._reader()
        try:
            yield from self._partitions()
            yield from self._deployments()
            yield from self._drift()
            yield from self._alarms()
        except StoreUnavailable as error:
            # The probes say so too; a scrape that fails as a whole would hide the reader's own figures.
            log.warning("scraped without the store: %s", error)

    def _reader(self) -> Iterator[Metric]:
        health = self._health
        yield _counter("switchyard_monitor_records", "Records committed by this replica.", health.records)
        yield _counter("switchyard_monitor_failed_passes", "Passes undone by an outage.", health.passes_failed)
        yield _counter(
            "switchyard_monitor_models_unreadable",
            "Records of switchyard.models passed over.",
            health.models_unreadable,
        )
        yield _counter(
            "switchyard_monitor_create_time_records",
            "Records without the broker's own time; set message.timestamp.type=LogAppendTime on the topic.",
            health.create_time_records,
        )
        yield _counter("switchyard_monitor_dead_letters", "Dead letters sent by this replica.", health.dead_letters)
        yield GaugeMetricFamily(
            "switchyard_monitor_dead_letters_waiting",
            "1 while dead letters wait in the store because Kafka does not take them.",
            float(health.dead_letters_waiting),
        )
        yield _counter(
            "switchyard_monitor_expired_rows",
            "Rows of predictions and labels that this replica deleted because they had had their time.",
            health.expired_rows,
        )
        yield GaugeMetricFamily(
            "switchyard_monitor_retention_held",
            "Deployments, rows or clocks for which nothing is put away, until a person looks (/readyz says why).",
            float(len(health.held)),
        )
        yield GaugeMetricFamily(
            "switchyard_monitor_paused",
            "1 while nothing is read because the database is as large as it may be; events wait in Kafka.",
            float(health.full),
        )
        for name, help_text, size in (
            ("switchyard_monitor_database_bytes", "What the database takes.", health.database_bytes),
            ("switchyard_monitor_database_limit_bytes", "What it may take.", health.database_limit_bytes),
        ):
            if size is not None:
                yield GaugeMetricFamily(name, help_text, float(size))
        lag = GaugeMetricFamily(
            "switchyard_monitor_lag_records", "Records in the log that are not committed yet.", labels=("partition",)
        )
        for number, value in sorted(health.lag.items()):
            lag.add_metric((str(number),), value)
        yield lag

    def _partitions(self) -> Iterator[Metric]:
        ledgers = self._store.ledgers()
        events = CounterMetricFamily(
            "switchyard_monitor_events",
            "What became of each reading; the columns of a partition and what is held, less what was replayed, add up"
            " to the offsets read.",
            labels=("partition", "column"),
        )
        held = GaugeMetricFamily(
            "switchyard_monitor_held_records",
            "Records that wait for their deployment to be published.",
            labels=("partition",),
        )
        replayed = CounterMetricFamily(
            "switchyard_monitor_replayed_records",
            "Records that were read once more by a replay.",
            labels=("partition",),
        )
        stopped = GaugeMetricFamily(
            "switchyard_monitor_partition_stopped",
            "1 where a person must look before reading goes on.",
            labels=("partition",),
        )
        unaccounted = GaugeMetricFamily(
            "switchyard_monitor_unaccounted_records",
            "Offsets read less what the columns of the ledger and what is held say of them; 0 while it closes.",
            labels=("partition",),
        )
        for line in books(ledgers, {}).partitions:
            unaccounted.add_metric((str(line.partition),), line.read - sum(line.columns.values()))
        for ledger in ledgers:
            number = str(ledger.position.partition)
            stopped.add_metric((number,), float(ledger.position.stopped is not None))
            held.add_metric((number,), ledger.columns.get("held", 0))
            replayed.add_metric((number,), -ledger.columns.get("replayed", 0))
            for column in sorted({*COLUMNS, *ledger.columns} - NO_COUNTER):
                events.add_metric((number, column), ledger.columns.get(column, 0))
        yield events
        yield held
        yield replayed
        yield stopped
        yield unaccounted
        mark = watermark([ledger.position for ledger in ledgers])
        if mark is not None:
            yield GaugeMetricFamily(
                "switchyard_monitor_watermark_timestamp_seconds", "Everything up to here was read.", mark / 1_000_000
            )

    def _deployments(self) -> Iterator[Metric]:
        by_name: dict[str, Metric] = {}
        labels = GaugeMetricFamily(
            "switchyard_monitor_labels",
            "What became of decisions and outcomes, by row; in = joined + orphan + expired + deleted.",
            labels=("deployment", "column"),
        )
        latencies = HistogramMetricFamily(
            "switchyard_request_latency_seconds",
            "How long the revision took to answer; the sum is that of the middles of narrow buckets.",
            labels=ARM,
        )
        delays = HistogramMetricFamily(
            "switchyard_outcome_delay_seconds",
            "How long after a prediction its first outcome came; the sum is that of the middles of narrow buckets.",
            labels=ARM,
        )
        for subject in self._store.deployments():
            found = self._store.labels(subject)
            for column in ("in", *LABEL_COLUMNS):
                labels.add_metric((subject, column), found.get(column, 0))
            arms = self._store.arms(subject)
            rule = self._rosters.models.rule(subject) if self._rosters else None
            cells, days = self._store.totals(arms), ByDay(self._store.day_totals(arms), (), None, 0.0, rule)
            for (revision, role), (latency, delay) in _times(cells).items():
                _add(latencies, latency, (subject, revision, role), LATENCY_BOUNDS, MICROSECONDS)
                _add(delays, delay, (subject, revision, role), DELAY_BOUNDS, MILLISECONDS)
            for count in _by_revision(counts(cells)).items():
                for name, help_text, value in _counted(count[1]):
                    metric = by_name.setdefault(name, CounterMetricFamily(name, help_text, labels=ARM))
                    metric.add_metric((subject, *count[0]), value)  # type: ignore[attr-defined]
            pairs = pair_counts(self._store.pair_totals(self._store.pairs(subject)), cells)
            for pair, lines in _by_pair(pairs).items():
                for name, help_text, amount in _paired(lines):
                    if amount is not None:
                        kind = CounterMetricFamily if isinstance(amount, int) else GaugeMetricFamily
                        metric = by_name.setdefault(name, kind(name, help_text, labels=PAIR))
                        metric.add_metric((subject, *pair), amount)  # type: ignore[attr-defined]
            for line in quality(cells, days):
                for name, help_text, share in _judged(line):
                    if share is not None:
                        metric = by_name.setdefault(name, GaugeMetricFamily(name, help_text, labels=ARM))
                        metric.add_metric((subject, line.revision, line.role), share)  # type: ignore[attr-defined]
        yield from (labels, latencies, delays)
        yield from by_name.values()

    def _drift(self) -> Iterator[Metric]:
        drifted = GaugeMetricFamily(
            "switchyard_drift_features",
            "Features that differ from the baseline by more than is usual, in the last window that is over.",
            labels=GROUP,
        )
        paging = GaugeMetricFamily(
            "switchyard_drift_paging_features",
            "Those that do in two of the last three windows, by a baseline that can say what is usual.",
            labels=GROUP,
        )
        psi = GaugeMetricFamily(
            "switchyard_drift_largest_psi", "The largest PSI of any feature in that window.", labels=GROUP[:-1]
        )
        end = GaugeMetricFamily(
            "switchyard_drift_window_end_timestamp_seconds", "When that window was over.", labels=GROUP[:-2]
        )
        for subject, line in self._drifting.lines():
            for (side, aspect), count in sorted(line.drifted.items()):
                drifted.add_metric((subject, line.revision, side, aspect), count)
                paging.add_metric((subject, line.revision, side, aspect), line.pages[side, aspect])
            for side, largest in sorted(line.psi.items()):
                psi.add_metric((subject, line.revision, side), largest)
            end.add_metric((subject, line.revision), line.end_us / 1_000_000)
        yield from (drifted, paging, psi, end)

    def _alarms(self) -> Iterator[Metric]:
        rules = {
            name: GaugeMetricFamily(f"switchyard_alarm_{name}", text, labels=RULE)
            for name, text in (
                ("firing", "1 while the alarm fires."),
                ("value", "What the last window said that was judged; absent where it said nothing."),
                ("fired_timestamp_seconds", "When it fired last, by the events' own clock."),
                ("judged_timestamp_seconds", "The end of the last window that was judged."),
            )
        }
        asked = GaugeMetricFamily(
            "switchyard_retrain_requested_timestamp_seconds",
            "When it was last asked for that the model be trained anew, by the events' own clock.",
            labels=("deployment",),
        )
        for subject in sorted(self._rosters.watched()) if self._rosters else ():
            said = self._said.said(subject, limit=1)
            if said.request:
                asked.add_metric((subject,), said.request.at.timestamp())
            for terms in self._rosters.of(subject).terms if self._rosters else ():
                held = said.states.get(terms.name)
                if held is None:
                    continue
                for name, value in (
                    ("firing", float(held.firing)),
                    ("value", held.looks[-1].value if held.looks else None),
                    ("fired_timestamp_seconds", None if held.fired_us is None else held.fired_us / 1e6),
                    ("judged_timestamp_seconds", held.next_us / 1e6 if held.looks else None),
                ):
                    if value is not None:
                        rules[name].add_metric((subject, terms.name, terms.metric), value)
        yield from rules.values()
        yield asked


def _times(cells: Iterable[Cell]) -> dict[tuple[str, str], tuple[Times, Times]]:
    """Latencies in microseconds and delays of outcomes in milliseconds, of each revision in each role."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        found.setdefault((cell.arm.revision, cell.arm.role), []).append(cell)
    sums = {arm: merged(cell.sums for cell in held) for arm, held in found.items()}
    return {
        arm: (histogram(held, "latency", TIME_PARTS), histogram(held, "delay", TIME_PARTS))
        for arm, held in sums.items()
    }


def _add(
    family: HistogramMetricFamily, times: Times, labels: Sequence[str], bounds: Sequence[float], units: int
) -> None:
    """A histogram with these bounds, in seconds; a narrow bucket counts below a bound when all of it is."""
    counts = times.within([round(bound * units) for bound in bounds])
    buckets = [(str(float(bound)), float(count)) for bound, count in zip(bounds, counts, strict=True)]
    family.add_metric(labels, [*buckets, ("+Inf", float(times.n))], times.total / units)


def _by_revision(lines: list[Count]) -> Mapping[tuple[str, str], list[Count]]:
    found: dict[tuple[str, str], list[Count]] = {}
    for line in lines:
        found.setdefault((line.revision, line.role), []).append(line)
    return found


def _by_pair(lines: list[PairCount]) -> Mapping[tuple[str, str], list[PairCount]]:
    found: dict[tuple[str, str], list[PairCount]] = {}
    for line in lines:
        found.setdefault((line.revision, line.against), []).append(line)
    return found


def _paired(lines: list[PairCount]) -> list[tuple[str, str, int | float | None]]:
    pairs, expected = sum(line.pairs for line in lines), math.fsum(line.expected for line in lines)
    return [
        ("switchyard_pairs", "Requests of stable that the mirrored revision answered too.", pairs),
        (
            "switchyard_pair_coverage_ratio",
            "Share of stable's predictions that should be paired and are.",
            min(1.0, pairs / expected) if expected else None,
        ),
        (
            "switchyard_pair_agreement_ratio",
            "Share of pairs that give the same answer.",
            _mean((line.agreement, line.compared) for line in lines),
        ),
        (
            "switchyard_pair_judged",
            "Pairs with an outcome at age L.",
            float(sum(line.at_age.n for line in lines)),
        ),
        (
            "switchyard_pair_loss_difference",
            "Mean squared error (or share of wrong classes) of the mirrored revision less stable's, on the same"
            " predictions.",
            _mean((line.at_age.loss_difference, line.at_age.n) for line in lines),
        ),
        (
            "switchyard_pair_latency_difference_seconds",
            "Mean latency of the mirrored revision less stable's, on the same requests.",
            _mean((line.latency_difference, line.latency_pairs) for line in lines),
        ),
    ]


def _mean(parts: Iterable[tuple[float | None, int]]) -> float | None:
    known = [(value, n) for value, n in parts if value is not None and n]
    return math.fsum(value * n for value, n in known) / sum(n for _, n in known) if known else None


def _counted(lines: list[Count]) -> list[tuple[str, str, int]]:
    return [
        ("switchyard_requests", "Exchanges of the revision.", sum(line.requests for line in lines)),
        ("switchyard_request_errors", "Those that failed.", sum(line.errors for line in lines)),
        ("switchyard_predictions", "Predictions of the revision.", sum(line.predictions for line in lines)),
        ("switchyard_failovers", "Those that stable answered in its place.", sum(line.failover for line in lines)),
    ]


def _judged(line: RevisionQuality) -> list[tuple[str, str, float | None]]:
    scores, classes, promise = line.scores, line.classes, line.estimate
    return [
        ("switchyard_outcome_rmse", "Root mean squared error against the outcome.", line.at_age.rmse),
        ("switchyard_outcome_mae", "Mean absolute error against the outcome.", line.at_age.mae),
        ("switchyard_outcome_bias", "Mean error against the outcome.", line.at_age.bias),
        ("switchyard_outcome_accuracy_ratio", "Share of right classes.", line.at_age.accuracy),
        ("switchyard_outcome_loss", "Mean of the loss of one's own expression (monitoring.loss).", line.at_age.loss),
        (
            "switchyard_outcome_loss_none",
            "Judged predictions whose loss came to no number, or to less than 0.",
            float(line.at_age.loss_none) if line.at_age.loss_n or line.at_age.loss_none else None,
        ),
        ("switchyard_outcome_judged", "Predictions with an outcome at age L.", float(line.judged)),
        ("switchyard_outcome_coverage_ratio", "Share of predictions with an outcome at age L.", line.coverage),
        ("switchyard_decision_agreement_ratio", "Share of decisions that follow.", line.agreement.share),
        (
            "switchyard_outcome_auroc_ratio",
            "How well scores tell the positive class.",
            scores.auroc.value if scores else None,
        ),
        ("switchyard_outcome_brier", "Mean squared error of scores.", scores.brier.value if scores else None),
        ("switchyard_outcome_macro_f1_ratio", "Mean F1 of the classes.", classes.macro_f1.value if classes else None),
        (
            "switchyard_outcome_mrr_ratio",
            "Sum of 1/place of what was clicked, by list.",
            line.ranking.mrr.value if line.ranking else None,
        ),
        (
            "switchyard_outcome_ndcg_ratio",
            "Sum of 1/log2(place + 1) of what was clicked, by click.",
            line.ranking.ndcg.value if line.ranking else None,
        ),
        (
            "switchyard_outcome_expected_accuracy_ratio",
            "Accuracy that the scores promise, also of predictions without an outcome.",
            promise.accuracy if promise else None,
        ),
        (
            "switchyard_outcome_expected_gap_z",
            "Realised less expected accuracy of the same predictions, in standard deviations.",
            promise.gap_z if promise else None,
        ),
    ]


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(name, help_text, value)
