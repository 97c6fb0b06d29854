"""What the operator counts, for Prometheus. Names are `switchyard_operator_*`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """One registry, made by `main`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix = "switchyard_operator"
        self.passes = Counter(f"{prefix}_passes", "Reconcile passes.", ["result"], registry=self.registry)
        self.seconds = Histogram(f"{prefix}_pass_seconds", "How long a pass took.", registry=self.registry)
        self.writes = Counter(f"{prefix}_writes", "Writes to the API server.", ["verb", "kind"], registry=self.registry)
        self.reasserted = Counter(
            f"{prefix}_reasserted", "Children that somebody else had changed.", ["kind"], registry=self.registry
        )
        self.dropped = Counter(
            f"{prefix}_dropped_records", "Records dropped as Kafka was away.", registry=self.registry
        )
        self.leading = Gauge(f"{prefix}_leading", "1 on the operator that acts.", registry=self.registry)
        self.waiting = Gauge(f"{prefix}_queue", "Deployments that wait for a pass.", registry=self.registry)
        self.heard = Gauge(f"{prefix}_last_event_age_seconds", "Age of the last watch event.", registry=self.registry)

    def count_write(self, verb: str, kind: str) -> None:
        """One write."""
        self.writes.labels(verb, kind).inc()
