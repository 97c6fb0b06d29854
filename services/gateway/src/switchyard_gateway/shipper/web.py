"""What others may ask the shipper: the account, its health, its figures for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastapi import FastAPI, Response
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from switchyard_gateway.shipper.account import REASONS, Account
from switchyard_gateway.shipper.shipper import Shipper


class Figures(Collector):
    """The account as metrics, computed when it is scraped."""

    def __init__(self, shipper: Shipper) -> None:
        self._shipper = shipper

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        account = self._shipper.account()
        yield counter("switchyard_shipper_served", "Exchanges with a model", account.served)
        yield counter("switchyard_shipper_delivered", "Exchanges acknowledged by Kafka", account.delivered)
        dropped = CounterMetricFamily("switchyard_shipper_dropped", "Exchanges that reach nobody", labels=["reason"])
        # Each reason is told from the start, so that the first loss is a rise and not a beginning.
        for reason, value in sorted((dict.fromkeys(REASONS, 0) | account.dropped).items()):
            dropped.add_metric([reason], value)
        yield dropped
        refused = CounterMetricFamily("switchyard_gateway_refused", "Answers of the gateway's own", labels=["status"])
        for status, value in sorted(account.refused.items()):
            refused.add_metric([status], value)
        yield refused
        yield counter("switchyard_shipper_bodies_removed", "Events delivered without bodies", account.bodies_removed)
        yield counter("switchyard_gateway_capture_errors", "Errors of the capture script", account.capture_errors)
        yield counter("switchyard_gateway_mirror_overflow", "Requests that were not mirrored", account.mirror_overflow)
        yield GaugeMetricFamily("switchyard_shipper_spooled", "Exchanges not yet delivered", value=account.spooled)
        yield GaugeMetricFamily(
            "switchyard_shipper_unaccounted", "Exchanges under way or missing", value=account.unaccounted
        )
        room = self._shipper.room()
        yield GaugeMetricFamily("switchyard_shipper_spool_bytes", "Bytes of the spool", value=room.bytes)
        yield GaugeMetricFamily("switchyard_shipper_spool_segments", "Files of the spool", value=room.segments)
        yield GaugeMetricFamily(
            "switchyard_shipper_oldest_age_seconds",
            "Age of the oldest exchange not yet delivered; 0 when there is none",
            value=room.oldest_age,
        )
        yield counter(
            "switchyard_shipper_kafka_failures", "Batches that Kafka did not take whole", self._shipper.kafka_failures
        )


def counter(name: str, text: str, value: int) -> Metric:
    """One figure that only grows."""
    family = CounterMetricFamily(name, text)
    family.add_metric([], value)
    return family


def application(shipper: Shipper, *, alive: Callable[[], bool], registry: CollectorRegistry) -> FastAPI:
    """The routes; `alive` says whether the loop still turns."""
    app = FastAPI(title="Switchyard shipper", docs_url=None, redoc_url=None)
    registry.register(Figures(shipper))

    @app.get("/account", response_model_by_alias=True)
    def account() -> Account:
        return shipper.account()

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/healthz")
    def healthz(response: Response) -> dict[str, str]:
        if alive():
            return {"status": "ok"}
        response.status_code = 503
        return {"status": "the loop stands still"}

    @app.get("/readyz")
    def readyz(response: Response) -> dict[str, str]:
        trouble = shipper.trouble()
        if not trouble:
            return {"status": "ok"}
        response.status_code = 503
        return {"status": f"delivers nothing: {trouble}"}

    return app
