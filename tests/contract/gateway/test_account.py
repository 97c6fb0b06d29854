"""Envoy, shipper and Kafka as real processes: what was served is in the topic, by id, whoever was killed meanwhile.

Each fault is first shown to have struck.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from switchyard_contracts.events import CloudEvent, Inference, decode
from switchyard_testkit.cache import Cache
from switchyard_testkit.envoy import EnvoyProcess, StaticRoutes, binary, model_cluster, running, stamped_route
from switchyard_testkit.fake_api import route
from switchyard_testkit.gateway_pod import KEY, PREDICT, gateway_pod
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.shipper import ShipperProcess
from switchyard_testkit.upstream import Upstream, upstream
from switchyard_testkit.waiting import until

STAMP = "shop/flight|flight-abc|1.0.0|stable|3|10000|split"
CACHE = Cache.from_env(os.environ)
ROLES = ("stable", "shadow")
HASTY = {"SHIPPER_KAFKA_TIMEOUT": "2s"}
"""Where Kafka is away: nobody waits long for it."""


@dataclass
class Line:
    """The whole way from a request to the topic."""

    envoy: EnvoyProcess
    shipper: ShipperProcess
    kafka: Broker
    topic: str

    def records(self) -> list[CloudEvent]:
        """All events of the topic."""
        return [decode(record.value) for record in self.kafka.read(self.topic)]

    def ids(self) -> Counter[str]:
        """How often each exchange is in the topic."""
        return Counter(event.id for event in self.records())


@dataclass
class Clients:
    """Some clients that ask on and on, and remember which answers they got."""

    envoy: EnvoyProcess
    answered: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def ask(self, count: int) -> None:
        """So many requests, one after the other."""
        with httpx.Client(trust_env=False) as client:
            for number in range(count):
                self._one(client, number)

    def go_on(self, pause: float) -> None:
        """Until told to stop."""
        with httpx.Client(trust_env=False) as client:
            number = 0
            while not self._stop.wait(pause):
                self._one(client, number)
                number += 1

    def _one(self, client: httpx.Client, number: int) -> None:
        try:
            response = client.post(f"{self.envoy.url}/shop/flight/predict", json={"n": number}, timeout=10)
        except httpx.HTTPError:
            self.broken += 1
            return
        self.statuses[response.status_code] += 1
        self.answered.add(response.headers["x-request-id"])

    @contextmanager
    def asking(self, clients: int = 3, *, pause: float = 0) -> Iterator[None]:
        """Meanwhile, the clients ask; each of them rests so long between two requests."""
        with ThreadPoolExecutor(clients) as pool:
            running_now = [pool.submit(self.go_on, pause) for _ in range(clients)]
            try:
                yield
            finally:
                self._stop.set()
                for each in running_now:
                    each.result(30)
                self._stop.clear()

    def at_least(self, more: int, *, seconds: float = 30) -> None:
        """Wait for so many more answers."""
        wanted = len(self.answered) + more
        until(lambda: len(self.answered) >= wanted, f"{more} more answers came", seconds=seconds, every=0.01)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(CACHE, tmp_path_factory.mktemp("kafka")) as process:
        yield process


@pytest.fixture(scope="module")
def model() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


@pytest.fixture
def line(request: pytest.FixtureRequest, kafka: Broker, model: Upstream, tmp_path: Path) -> Iterator[Line]:
    if kafka.process is None:
        kafka.start()
    topic = f"events-{abs(hash(request.node.nodeid)) % 10**9}"
    kafka.create(topic)
    routes = StaticRoutes(
        [
            {
                "name": "models",
                "domains": ["*"],
                "routes": [
                    stamped_route("/shop/flight/", "shop/flight-abc", stamp=STAMP),
                    {
                        "match": {"prefix": "/"},
                        "direct_response": {"status": 404, "body": {"inline_string": "no model"}},
                    },
                ],
            }
        ],
        [model_cluster("shop/flight-abc", port=model.port, revision="flight-abc")],
    )
    envoy = EnvoyProcess(binary(CACHE), tmp_path, static=routes)
    shipper = ShipperProcess(tmp_path, kafka.servers, topic)
    try:
        with running(envoy, now_ns=time.time_ns()):
            shipper.start()
            yield Line(envoy, shipper, kafka, topic)
    finally:
        shipper.end(signal.SIGKILL)


def again(shipper: ShipperProcess, settings: dict[str, str]) -> None:
    """Start it anew, with these settings."""
    shipper.end(signal.SIGTERM)
    shipper.settings = settings
    shipper.start()


def test_what_was_served_is_in_the_topic(line: Line) -> None:
    clients = Clients(line.envoy)
    clients.ask(200)
    httpx.get(f"{line.envoy.url}/nowhere", trust_env=False)
    account = line.shipper.settled()
    assert clients.statuses == {200: 200}
    assert line.ids() == dict.fromkeys(clients.answered, 1)
    assert (account["served"], account["delivered"], account["dropped"]) == (200, 200, {})
    assert account["refused"] == {"404": 1}
    assert account["captureErrors"] == 0
    payloads = [event.payload() for event in line.records()]
    assert all(isinstance(payload, Inference) and payload.response.value == {"delay": 3.5} for payload in payloads)


def test_the_account_closes_over_both_listeners(kafka: Broker, tmp_path: Path) -> None:
    kafka.create("mirrored")
    shipper = ShipperProcess(tmp_path, kafka.servers, "mirrored")
    try:
        with gateway_pod(tmp_path) as pod, pod.client() as client:
            pod.afresh()
            shipper.start()
            mirrored = route("delay-2", 0, "candidate", version="2.0.0", mirror=10_000)
            pod.control.wait_for(KEY, pod.deploy(route("delay-1", 10_000), mirrored, timeout="10s"))
            for _ in range(100):
                assert client.post(PREDICT, json={}).status_code == 200
            until(lambda: shipper.account()["served"] == 200, "each is mirrored", seconds=60)
            pod.models["two"].silent = True
            for _ in range(60):
                assert client.post(PREDICT, json={}).status_code == 200
            until(lambda: shipper.account()["served"] == 200 + 60 + 32, "the 32 are given up", seconds=60)
            account = shipper.settled()
    finally:
        shipper.end(signal.SIGKILL)
    assert (account["delivered"], account["dropped"], account["mirrorOverflow"]) == (292, {}, 60 - 32)
    events = [decode(record.value) for record in kafka.read("mirrored")]
    assert len({event.id for event in events}) == 292
    assert Counter((event.data["role"], event.data["status"]) for event in events) == {
        ("stable", 200): 160,
        ("shadow", 200): 100,
        ("shadow", 504): 32,
    }
    ids = {role: {event.data["predictionId"] for event in events if event.data["role"] == role} for role in ROLES}
    assert ids["shadow"] < ids["stable"]


def test_kafka_away_and_back(line: Line) -> None:
    again(line.shipper, HASTY)
    clients = Clients(line.envoy)
    clients.ask(50)
    line.shipper.settled()
    line.kafka.end(signal.SIGKILL)
    clients.ask(100)
    away = line.shipper.settled(spooled=100)
    assert (away["delivered"], clients.statuses) == (50, {200: 150})
    until(lambda: (line.shipper.get("/readyz") or {}).get("status") != "ok", "the shipper says so", seconds=60)
    line.kafka.start()
    clients.ask(50)
    account = line.shipper.settled(seconds=60)
    assert (account["served"], account["delivered"], account["dropped"]) == (200, 200, {})
    assert set(line.ids()) == clients.answered
    assert line.shipper.get("/readyz") == {"status": "ok"}


def test_the_shipper_killed(line: Line) -> None:
    clients = Clients(line.envoy)
    with clients.asking():
        for _ in range(2):
            clients.at_least(100)
            assert line.shipper.process is not None
            assert line.shipper.end(signal.SIGKILL) == -signal.SIGKILL
            clients.at_least(100)
            line.shipper.start()
    account = line.shipper.settled()
    assert clients.broken == 0
    assert set(line.ids()) == clients.answered
    assert account["served"] == account["delivered"] == len(clients.answered)
    assert account["dropped"] == {}


def test_envoy_killed(line: Line) -> None:
    clients = Clients(line.envoy)
    with clients.asking(clients=4):
        clients.at_least(500)
        line.envoy.end(signal.SIGKILL)
    assert clients.broken > 0
    line.envoy.start(now_ns=time.time_ns())
    clients.ask(50)
    account = line.shipper.settled()
    missing = clients.answered - set(line.ids())
    lost = account["dropped"].get("lost_in_crash", 0)
    # An answer on its way when Envoy died was begun, and counted, though no client got it whole.
    assert len(missing) <= lost <= len(missing) + 4
    assert set(account["dropped"]) <= {"lost_in_crash"}
    assert account["served"] == account["delivered"] + lost
    assert account["settledBoots"] == 1


def test_a_killed_envoy_loses_what_came_since_the_last_flush_and_no_more(line: Line) -> None:
    """At some 40 requests a second: Envoy's own buffer of 64 KiB would hold all of them, and lose them."""
    clients = Clients(line.envoy)
    with clients.asking(clients=4, pause=0.1):
        clients.at_least(30)
        line.envoy.end(signal.SIGKILL)
        until(lambda: clients.broken > 0, "the clients met a dead Envoy", seconds=30)
    before = len(clients.answered)
    line.envoy.start(now_ns=time.time_ns())
    clients.ask(1)
    line.shipper.settled()
    missing = clients.answered - set(line.ids())
    assert len(missing) <= before / 2, "more than the last flush is missing"


def test_envoy_restarted_gently_loses_nothing(line: Line) -> None:
    clients = Clients(line.envoy)
    clients.ask(100)
    line.envoy.end(signal.SIGTERM)
    line.envoy.start(now_ns=time.time_ns())
    clients.ask(100)
    account = line.shipper.settled()
    assert line.ids() == dict.fromkeys(clients.answered, 1)
    assert (account["served"], account["delivered"], account["dropped"]) == (200, 200, {})
    assert account["settledBoots"] == 1


def test_a_pod_that_ends_ships_its_last_lines(line: Line) -> None:
    clients = Clients(line.envoy)
    clients.ask(100)
    line.envoy.end(signal.SIGTERM)
    assert line.shipper.end(signal.SIGTERM) == 0
    assert set(line.ids()) == clients.answered


def test_a_pod_that_ends_without_kafka_leaves_the_rest_to_the_next(line: Line) -> None:
    clients = Clients(line.envoy)
    line.kafka.end(signal.SIGKILL)
    clients.ask(100)
    line.envoy.end(signal.SIGTERM)
    line.shipper.end(signal.SIGKILL)
    line.shipper.settings = {"SHIPPER_DRAIN_TIMEOUT": "1s", **HASTY}
    line.shipper.start()
    assert line.shipper.end(signal.SIGTERM) == 0
    assert "100 exchanges on the volume" in line.shipper.log()
    line.kafka.start()
    assert line.ids() == {}
    line.envoy.start(now_ns=time.time_ns())
    line.shipper.start()
    account = line.shipper.settled(seconds=60)
    assert set(line.ids()) == clients.answered
    assert (account["served"], account["delivered"]) == (100, 100)


def test_a_spool_that_is_full_lets_the_oldest_go_and_says_how_many(line: Line) -> None:
    again(line.shipper, {"SHIPPER_SEGMENT_BYTES": "20000", "SHIPPER_SPOOL_MAX_BYTES": "100000", **HASTY})
    line.kafka.end(signal.SIGKILL)
    clients = Clients(line.envoy)
    clients.ask(600)
    until(lambda: line.shipper.account()["dropped"], "something was let go", seconds=60)
    assert clients.statuses == {200: 600}
    line.kafka.start()
    account = line.shipper.settled(seconds=60)
    dropped = account["dropped"]["spool_full"]
    assert account["delivered"] + dropped == account["served"] == 600
    assert len(clients.answered - set(line.ids())) == dropped > 0


def test_a_poison_line_is_counted_and_holds_nobody_up(line: Line) -> None:
    clients = Clients(line.envoy)
    clients.ask(10)
    line.shipper.settled()
    active = line.envoy.spool / "active" / "exchanges.log"
    with active.open("ab") as file:
        file.write(b'{"boot":"1", \xff\xff\n')
    clients.ask(10)
    until(lambda: line.shipper.account()["delivered"] == 20, "the others are delivered", seconds=60)
    assert line.shipper.account()["dropped"] == {"unparsable": 1}
    assert set(line.ids()) == clients.answered
