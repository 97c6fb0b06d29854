"""Control's own figures, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One set of figures, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.routes = Gauge(
            "switchyard_control_routes", "ModelRoutes that this gateway serves.", registry=self.registry
        )
        self.connected = Gauge(
            "switchyard_control_envoy_connected", "Whether Envoy is connected.", registry=self.registry
        )
        self.stale = Gauge(
            "switchyard_control_stale",
            "Whether routes come from the volume, because the API server was not heard yet.",
            registry=self.registry,
        )
        self.rejected = Gauge(
            "switchyard_control_rejected_routes",
            "ModelRoutes that cannot be served as written.",
            registry=self.registry,
        )
        self.responses = Counter(
            "switchyard_control_xds_responses_total",
            "Envoy's answers to what it was told.",
            ["kind", "answer"],
            registry=self.registry,
        )
        self.api_errors = Counter(
            "switchyard_control_api_errors_total",
            "Failed questions to the API server.",
            ["kind"],
            registry=self.registry,
        )
        self.sync_seconds = Histogram(
            "switchyard_control_sync_seconds",
            "From hearing of a ModelRoute's change to Envoy's acknowledgement.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.resources = Gauge(
            "switchyard_control_resources",
            "Resources that Envoy should have: clusters and their endpoints, and the deployments' routes.",
            ["kind"],
            registry=self.registry,
        )
        self.snapshot_written = Gauge(
            "switchyard_control_snapshot_timestamp_seconds",
            "When what Envoy last acknowledged was written to the volume; 0: nothing is there.",
            registry=self.registry,
        )
        self.capture_enabled = Gauge(
            "switchyard_control_capture_enabled",
            "Whether exchanges are recorded; 0 when the volume is too full for it.",
            registry=self.registry,
        )
        self.capture_enabled.set(1)
        self.volume_used = Gauge(
            "switchyard_control_volume_used_ratio", "The taken share of the spool's volume.", registry=self.registry
        )
