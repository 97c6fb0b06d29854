"""The shipper's door."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from switchyard_gateway.shipper.account import Account, Book, Boot, close
from switchyard_gateway.shipper.shipper import Room, Shipper
from switchyard_gateway.shipper.web import application

BOOK = Book(
    delivered=7,
    refused={"404": 2},
    dropped={"spool_full": 3},
    mirror_overflow=4,
    boots={"0000000000000000001": Boot(exchanges=14, recorded=14, lines=12, answered=12)},
)


@dataclass
class Told:
    """A shipper that only tells what it was told."""

    trouble_now: str = ""
    book: Book = field(default_factory=lambda: BOOK)

    def account(self) -> Account:
        return close(
            self.book,
            node="gateway-0",
            running="0000000000000000001",
            spooled={"0000000000000000001": 2},
            capture_errors=1,
        )

    kafka_failures = 4

    def room(self) -> Room:
        return Room(bytes=123, segments=2, oldest_age=7.5)

    def trouble(self) -> str:
        return self.trouble_now


def client(told: Told, *, alive: bool = True) -> TestClient:
    registry = CollectorRegistry(auto_describe=False)
    return TestClient(application(cast(Shipper, told), alive=lambda: alive, registry=registry))


def test_the_account_is_told_in_full() -> None:
    account: dict[str, Any] = client(Told()).get("/account").json()
    assert account == {
        "node": "gateway-0",
        "served": 12,
        "delivered": 7,
        "spooled": 2,
        "dropped": {"spool_full": 3},
        "unaccounted": 0,
        "refused": {"404": 2},
        "bodiesRemoved": 0,
        "captureErrors": 1,
        "mirrorOverflow": 4,
        "settledBoots": 0,
        "boots": [{"boot": "0000000000000000001", "running": True, "exchanges": 14, "lines": 12, "spooled": 2}],
    }


@pytest.mark.parametrize(
    "line",
    [
        "switchyard_shipper_served_total 12.0",
        "switchyard_shipper_delivered_total 7.0",
        'switchyard_shipper_dropped_total{reason="spool_full"} 3.0',
        'switchyard_shipper_dropped_total{reason="too_large"} 0.0',
        'switchyard_gateway_refused_total{status="404"} 2.0',
        "switchyard_shipper_spooled 2.0",
        "switchyard_shipper_spool_bytes 123.0",
        "switchyard_shipper_spool_segments 2.0",
        "switchyard_shipper_oldest_age_seconds 7.5",
        "switchyard_shipper_kafka_failures_total 4.0",
        "switchyard_gateway_capture_errors_total 1.0",
    ],
)
def test_the_figures_for_prometheus(line: str) -> None:
    assert line in client(Told()).get("/metrics").text.splitlines()


@pytest.mark.parametrize(("alive", "status"), [(True, 200), (False, 503)], ids=["turning", "standing still"])
def test_health_is_the_loops(alive: bool, status: int) -> None:
    assert client(Told(trouble_now="Kafka is away"), alive=alive).get("/healthz").status_code == status


def test_not_ready_says_why() -> None:
    assert client(Told()).get("/readyz").status_code == 200
    answer = client(Told(trouble_now="no broker at kafka:9092")).get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "delivers nothing: no broker at kafka:9092"})
