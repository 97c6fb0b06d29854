"""How large the database may be: warnings, a pause in which nothing is lost, and reading on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, generate_latest
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token, Tokens
from switchyard_monitor.health import Health
from switchyard_monitor.metrics import MonitorCollector
from switchyard_monitor.ports import Size
from switchyard_monitor.reader import Reader
from switchyard_monitor.room import EVERY_US, SPARE_BYTES, Room, limit
from switchyard_testkit.monitor_world import World, inference, outcome

GB = 10**9


@pytest.mark.parametrize(
    ("size", "most", "allowed"),
    [
        pytest.param(Size(GB, 900 * GB), 0, 50 * GB, id="a file on a large volume"),
        pytest.param(Size(GB, 900 * GB), 70 * GB, 70 * GB, id="a file that may be larger"),
        pytest.param(Size(GB, 4 * GB), 0, 5 * GB - SPARE_BYTES, id="a file on a small volume"),
        pytest.param(Size(GB, 4 * GB), 3 * GB, 3 * GB, id="a file that must be smaller than its volume"),
        pytest.param(Size(10, 0), 0, 0, id="a volume that others filled"),
        pytest.param(Size(900 * GB, None), 0, None, id="a server"),
        pytest.param(Size(900 * GB, None), 70 * GB, 70 * GB, id="a server that may not be larger"),
    ],
)
def test_how_large_it_may_be(size: Size, most: int, allowed: int | None) -> None:
    assert limit(size, most) == allowed


class Scales:
    """A database whose size a test sets, and a clock."""

    def __init__(self, used: int = 0) -> None:
        self.used, self.now_us, self.asked = used, 0, 0

    def size(self) -> Size:
        self.asked += 1
        return Size(self.used, 900 * GB)

    def room(self) -> Room:
        return Room(size=self.size, most=100 * GB, clock_us=lambda: self.now_us)

    def becomes(self, room: Room, used: int) -> None:
        self.used = used
        self.now_us += EVERY_US
        room.look()


@pytest.mark.rule("retention-size")
def test_it_warns_stops_and_goes_on_and_says_each_once(caplog: pytest.LogCaptureFixture) -> None:
    scales = Scales()
    room = scales.room()
    seen: list[tuple[bool, bool, list[str]]] = []
    for used in (79 * GB, 80 * GB, 85 * GB, 100 * GB, 101 * GB, 99 * GB, 97 * GB, 50 * GB):
        caplog.clear()
        scales.becomes(room, used)
        seen.append((room.full, bool(room.words), [record.levelname for record in caplog.records]))
    assert seen == [
        (False, False, []),
        (False, True, ["WARNING"]),
        (False, True, []),
        (True, True, ["ERROR"]),
        (True, True, []),
        (True, True, []),
        (False, True, ["WARNING"]),
        (False, False, []),
    ]


def test_the_words_say_how_much_and_what_helps() -> None:
    scales = Scales()
    room = scales.room()
    scales.becomes(room, 82 * GB)
    assert room.words.startswith("the database takes 82 GB of the 100 GB that it may (82%); at the whole of it")
    scales.becomes(room, 100 * GB)
    assert room.words.startswith("the database takes 100 GB of the 100 GB that it may, so events are not read: events")
    assert "PersistentVolumeClaim" not in room.words
    assert "nothing more grows old until they are read, so it takes a person, within" in room.words
    assert "kafka.topics.retention" in room.words
    for setting in ("monitor.database.maxBytes", "monitor.retention.rows", "monitor.database)"):
        assert setting in room.words


def test_it_is_asked_now_and_then() -> None:
    scales = Scales()
    room = scales.room()
    for _ in range(30):
        room.look()
        scales.now_us += EVERY_US // 10
    assert scales.asked == 3


def test_a_server_without_a_limit_is_never_full() -> None:
    room = Room(size=lambda: Size(10**15, None), most=0, clock_us=lambda: 0)
    room.look()
    assert (room.full, room.words, room.used, room.limit) == (False, "", 10**15, None)


def test_a_file_says_what_it_takes_without_what_was_freed_in_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.teach()
    for i in range(2000):
        world.say(inference(f"own-{i}"))
    world.run()
    full = world.store.upkeep.size()
    world.pass_time(40 * 86_400)
    world.tick()
    world.run()
    world.pruner().run(["monitor-0"])
    less = world.store.upkeep.size()
    assert less.used < full.used - 50_000
    assert less.free is not None
    assert less.free > 0
    world.store.close()


def test_a_file_that_filled_its_volume_goes_on_when_pages_of_it_were_freed(tmp_path: Path) -> None:
    """The volume is as large as the file was at its largest: nothing is left of it, but what is free in the file."""
    world = World(tmp_path)
    world.teach()
    for i in range(2000):
        world.say(inference(f"own-{i}"))
    world.run()
    left = SPARE_BYTES - world.store.upkeep.size().freed

    def size() -> Size:
        found = world.store.upkeep.size()
        return Size(found.used, left, found.freed)

    now_us = 0
    room = Room(size=size, most=0, clock_us=lambda: now_us)
    room.look()
    assert room.full
    assert "make the volume larger (the PersistentVolumeClaim itself" in room.words
    world.pass_time(40 * 86_400)
    world.tick()
    world.run()
    world.pruner().run(["monitor-0"])
    now_us += EVERY_US
    room.look()
    assert not room.full
    world.store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach()
    yield made
    made.store.close()


def test_while_it_is_full_leases_are_kept_nothing_is_read_and_nothing_is_lost(world: World) -> None:
    full = False
    world.reader = Reader(
        member="monitor-0",
        broker=world.broker,
        store=world.store,
        models=world.models,
        pace=world.pace,
        clock_us=lambda: world.now_us,
        paused=lambda: full,
    )
    world.say(inference("a"))
    world.run()
    full = True
    world.say(inference("b"))
    world.say(outcome("a", 1.0, at=1), at=1)
    for _ in range(30):
        world.pass_time(2)
        assert world.reader.step() == 0
    (position,) = world.store.positions()
    assert (position.next_offset, position.owner) == (1, "monitor-0")
    assert position.expires_us > world.now_us
    assert world.reader.lag == {0: 2}
    assert position.watermark_us is not None
    assert position.watermark_us < world.now_us - 59_000_000, "it does not say that it has read what it has not"
    full = False
    world.run()
    assert world.ledger() == {"stored": 3}
    assert world.store.labels("demo/flight-delay") == {"in": 1, "joined": 1}


def test_who_asks_is_told(world: World) -> None:
    world.say(inference("a"))
    world.run()
    registry, health = CollectorRegistry(), Health(lambda: 0.0)
    registry.register(MonitorCollector(store=world.store, health=health, drifting=world.drifting()))
    tokens = Tokens([Token(name="o", sha256=hashlib.sha256(b"all").hexdigest(), deployments=["*"])])
    app = create_app(store=world.store, models=world.models, tokens=tokens, health=health, registry=registry)
    client = TestClient(app, headers={"Authorization": "Bearer all"})
    question = "metric=error_rate&revision=next-2&against=stable-1&traffic=3"
    evidence = f"/v1/deployments/demo/flight-delay/evidence?{question}"

    assert client.get("/readyz").json()["retention"] == ""
    health.held = {"demo/loans": "its windows stay as they are"}
    assert client.get("/readyz").json()["retention"] == "demo/loans: its windows stay as they are"
    assert "switchyard_monitor_retention_held 1.0" in generate_latest(registry).decode()

    scales = Scales()
    room = scales.room()
    scales.becomes(room, 85 * GB)
    health.sees(room)
    assert client.get("/readyz").json()["room"] == room.words != ""
    assert client.get(evidence).status_code == 200
    text = generate_latest(registry).decode()
    assert "switchyard_monitor_paused 0.0" in text
    values = dict(line.split() for line in text.splitlines() if line.startswith("switchyard_monitor_database_"))
    assert [float(values[f"switchyard_monitor_database_{name}"]) for name in ("bytes", "limit_bytes")] == [85e9, 100e9]

    scales.becomes(room, 100 * GB)
    health.sees(room)
    for path in ("/healthz", "/readyz"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["room"]) == (200, room.words)
    refused = client.get(evidence)
    assert refused.status_code == 503
    assert "events are not read to their end, so nothing is judged" in refused.json()["detail"]
    assert "switchyard_monitor_paused 1.0" in generate_latest(registry).decode()


def test_every_column_is_there_from_the_start(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    world.say(inference("a"))
    world.run()
    registry = CollectorRegistry()
    registry.register(MonitorCollector(store=world.store, health=Health(lambda: 0.0), drifting=world.drifting()))
    text = generate_latest(registry).decode()
    assert 'switchyard_monitor_events_total{column="late",partition="0"} 0.0' in text
    assert 'switchyard_monitor_events_total{column="stored",partition="0"} 1.0' in text
    for column in ("in", "joined", "orphan", "expired", "deleted"):
        assert f'switchyard_monitor_labels{{column="{column}",deployment="demo/flight-delay"}} 0.0' in text
