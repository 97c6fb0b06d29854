"""Prometheus metrics of feedback. Labels are bounded: kinds, results and status codes, never what callers choose."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.registry import CollectorRegistry


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
        self.responses = Counter(
            "switchyard_feedback_responses_total", "Responses by status code.", ["status"], registry=self.registry
        )
        self.waiting = Gauge(
            "switchyard_feedback_waiting", "Requests that wait for Kafka's word now.", registry=self.registry
        )
        self.kafka_seconds = Histogram(
            "switchyard_feedback_kafka_seconds",
            "How long Kafka took to confirm a request's events.",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
            registry=self.registry,
        )
