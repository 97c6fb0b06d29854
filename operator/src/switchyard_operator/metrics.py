"""What the operator tells Prometheus: `switchyard_operator_*` of itself, of rollouts and shadows what is named so."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from switchyard_contracts.model_deployment import Phase, ShadowStatus
from switchyard_contracts.quantities import FULL

from switchyard_operator import gather
from switchyard_operator.cache import Cache
from switchyard_operator.domain import kinds

RESULTS = ("done", "later", "failed", "not-leading")
"""How a pass may end; each is told from the start, so that the first failure is a rise and not a beginning."""
API_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """One registry, made by `main`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix = "switchyard_operator"
        self.passes = Counter(
            f"{prefix}_passes", "Reconcile passes, by how they ended.", ["result"], registry=self.registry
        )
        for result in RESULTS:
            self.passes.labels(result)
        self.seconds = Histogram(f"{prefix}_pass_seconds", "How long a pass took.", registry=self.registry)
        self.writes = Counter(f"{prefix}_writes", "Writes to the API server.", ["verb", "kind"], registry=self.registry)
        self.requests = Counter(
            f"{prefix}_api_requests",
            "Requests to the API server, by method and status code; the code <error> is no answer at all.",
            ["verb", "code"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            f"{prefix}_api_request_seconds",
            "How long the API server took to answer.",
            ["verb"],
            buckets=API_BUCKETS,
            registry=self.registry,
        )
        self.reasserted = Counter(
            f"{prefix}_reasserted", "Children that somebody else had changed.", ["kind"], registry=self.registry
        )
        self.dropped = Counter(
            f"{prefix}_dropped_records", "Records dropped as Kafka was away.", registry=self.registry
        )
        self.notifications = Counter(
            f"{prefix}_notifications",
            "Tries to tell a receiver: delivered, failed (and tried again), gave-up.",
            ["receiver", "result"],
            registry=self.registry,
        )
        self.leading = Gauge(f"{prefix}_leading", "1 on the operator that acts.", registry=self.registry)
        self.waiting = Gauge(f"{prefix}_queue_depth", "Deployments that wait for a pass.", registry=self.registry)
        self.heard = Gauge(f"{prefix}_last_event_age_seconds", "Age of the last watch event.", registry=self.registry)

    def count_write(self, verb: str, kind: str) -> None:
        """One write."""
        self.writes.labels(verb, kind).inc()

    def count_notification(self, receiver: str, result: str) -> None:
        """One try to tell a receiver."""
        self.notifications.labels(receiver, result).inc()

    def count_request(self, verb: str, code: int | None, seconds: float) -> None:
        """One request to the API server; without a code when no answer came."""
        self.requests.labels(verb, str(code) if code else "<error>").inc()
        self.request_seconds.labels(verb).observe(seconds)


class Rollouts(Collector):
    """How the deployments stand, read from the cache when it is scraped; told by the one that acts alone."""

    def __init__(self, cache: Cache, *, leading: Callable[[], bool]) -> None:
        self._cache = cache
        self._leading = leading

    def describe(self) -> Iterable[Metric]:
        """Nothing is gathered at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Gather."""
        phases = GaugeMetricFamily(
            "switchyard_operator_rollouts", "Deployments, by the phase of their newest rollout.", labels=["phase"]
        )
        since = GaugeMetricFamily(
            "switchyard_rollout_phase_start_timestamp_seconds",
            "When the newest rollout of a deployment came into the phase that it is in.",
            labels=["deployment", "phase"],
        )
        serving = GaugeMetricFamily(
            "switchyard_deployment_serving",
            "1 for what users of a deployment get now, whatever its rollout does.",
            labels=["deployment", "state"],
        )
        verdicts = GaugeMetricFamily(
            "switchyard_rollout_verdict",
            "1 for what a metric of the rollout's analysis says now.",
            labels=["deployment", "metric", "verdict"],
        )
        weights = GaugeMetricFamily(
            "switchyard_rollout_weight_ratio",
            "The share of the traffic that a revision is given by the ModelRoute.",
            labels=["deployment", "revision", "role"],
        )
        mirrors = GaugeMetricFamily(
            "switchyard_rollout_mirror_ratio",
            "The share of the traffic that is mirrored to a revision.",
            labels=["deployment", "revision"],
        )
        beside: dict[str, Sequence[ShadowStatus]] = {}
        if self._leading():
            found = Tally(dict.fromkeys(Phase, 0))
            for key in self._cache.deployments():
                subject = "/".join(key)
                body = self._cache.get(kinds.MODEL_DEPLOYMENT, *key)
                status = gather.status(body) if body else None
                if status and status.shadows:
                    beside[subject] = status.shadows
                if status:
                    serving.add_metric([subject, status.serving.value], 1)
                if status and status.rollout:
                    found[status.rollout.phase] += 1
                    began = status.rollout.phase_since or status.rollout.started_at
                    if began:
                        since.add_metric([subject, status.rollout.phase.value], began.timestamp())
                    for verdict in status.rollout.verdicts:
                        verdicts.add_metric([subject, verdict.name, verdict.verdict], 1)
                route = self._cache.get(kinds.MODEL_ROUTE, *key)
                spec = gather.route(route).spec if route else None
                for entry in spec.routes if spec else ():
                    weights.add_metric([subject, entry.revision, entry.role.value], entry.weight_bp / FULL)
                    if entry.mirror_bp:
                        mirrors.add_metric([subject, entry.revision], entry.mirror_bp / FULL)
                    elif entry.sample_bp and spec:
                        share = entry.sample_bp * spec.stable.weight_bp / FULL**2
                        mirrors.add_metric([subject, entry.revision], share)
            for phase, count in found.items():
                phases.add_metric([phase.value], count)
        yield from (phases, since, serving, verdicts, weights, mirrors)
        yield from self._shadows(beside)

    def _shadows(self, beside: Mapping[str, Sequence[ShadowStatus]]) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "switchyard_shadow_state",
            "1 for where one of spec.shadows stands now.",
            labels=["deployment", "shadow", "state"],
        )
        pairs = GaugeMetricFamily(
            "switchyard_shadow_pairs",
            "Requests that a shadow and the revision that serves have both answered since they are compared.",
            labels=["deployment", "shadow"],
        )
        verdicts = GaugeMetricFamily(
            "switchyard_shadow_verdict",
            "1 for what a metric says now of the pairs of a shadow and the revision that serves.",
            labels=["deployment", "shadow", "metric", "verdict"],
        )
        for subject, shadows in beside.items():
            for shadow in shadows:
                states.add_metric([subject, shadow.name, shadow.state.value], 1)
                if shadow.since:
                    pairs.add_metric([subject, shadow.name], shadow.pairs)
                for verdict in shadow.verdicts:
                    verdicts.add_metric([subject, shadow.name, verdict.name, verdict.verdict], 1)
        yield from (states, pairs, verdicts)
