"""Prometheus metrics of feedback. Labels are bounded, and say nothing of a caller, a prediction or a value.

A deployment's name is what the caller wrote, so it is counted by name only once a token covers it, and only so many.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry

MOST_DEPLOYMENTS = 500
OTHERS = "others"


class Metrics:
    """What is counted, in a registry of the application's own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.items = Counter(
            "switchyard_feedback_items_total",
            "Decisions, outcomes and deletions that were accepted, refused or not confirmed by Kafka.",
            ["kind", "result"],
            registry=self.registry,
        )
        self._responses = Counter(
            "switchyard_feedback_responses_total",
            "Responses by deployment and status code; the deployment is empty where the caller may not speak about it.",
            ["deployment", "status"],
            registry=self.registry,
        )
        self._deployments: set[str] = set()
        self.waiting = Gauge(
            "switchyard_feedback_waiting", "Requests that wait for Kafka's word now.", registry=self.registry
        )
        self.kafka_seconds = Histogram(
            "switchyard_feedback_kafka_seconds",
            "How long Kafka took to confirm a request's events.",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
            registry=self.registry,
        )

    def answered(self, deployment: str, status: int) -> None:
        """One response; the deployments beyond the first so many are counted together."""
        if deployment and deployment not in self._deployments:
            if len(self._deployments) >= MOST_DEPLOYMENTS:
                deployment = OTHERS
            else:
                self._deployments.add(deployment)
        self._responses.labels(deployment, str(status)).inc()
