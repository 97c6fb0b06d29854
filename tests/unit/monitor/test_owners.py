"""Two owners: X and Y of real flights on partition 0, X′ and Y′ on partition 3, whoever reads them and in what order.

Each owner has a store of its own, as a process has, and they share the database. The plain recomputation from the
topic says what the sums have to be.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.models import Models
from switchyard_monitor.reader import Pace, Reader
from switchyard_testkit.flights import Flight, of_day
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    NOON_US,
    SECOND,
    SUBJECT,
    World,
    decision,
    inference,
    model_record,
    outcome,
)
from switchyard_testkit.recomputation import recompute

PARTITIONS = 4
OF_X, OF_OUTCOMES = 0, 3
ASKING, LABELLING = "monitor-0", "monitor-1"
"""By rendezvous, partition 0 is the one's and partition 3 the other's."""
PACE = Pace(batch=16, linger=0.0, margin_us=0)


@dataclass
class Owner:
    """A member of the group, in a process of its own, with a clock that may stand still."""

    name: str
    url: str
    log: LocalBroker
    now_us: int = NOON_US + 100 * SECOND
    store: SqlStore = field(init=False)
    reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        self.store = SqlStore(self.url)
        broker = replace(self.log)
        broker.restart_learning()
        self.reader = Reader(
            member=self.name,
            broker=broker,
            store=self.store,
            models=Models(),
            pace=PACE,
            clock_us=lambda: self.now_us,
        )

    def pass_time(self, seconds: float) -> None:
        self.now_us += round(seconds * SECOND)

    def run(self) -> None:
        while self.reader.step():
            pass


@pytest.fixture(scope="module")
def day() -> list[Flight]:
    """Some flights that landed."""
    return [flight for flight in of_day(3, 8) if flight.delay is not None][::8]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, broker=LocalBroker(PARTITIONS))
    yield made
    made.store.close()


@pytest.fixture
def owners(world: World) -> Iterator[tuple[Owner, Owner]]:
    """Who reads X and Y, and who reads X′ and Y′; both know of each other."""
    world.broker.teach(SUBJECT, model_record())
    url = f"sqlite:///{world.path / 'monitor.db'}"
    both = Owner(ASKING, url, world.broker), Owner(LABELLING, url, world.broker)
    for _ in range(2):  # who comes first has everything until it hears of the other
        for owner in both:
            owner.reader.step()
            owner.pass_time(2)
    assert OF_X in both[0].reader.partitions
    assert OF_OUTCOMES in both[1].reader.partitions
    yield both
    for owner in both:
        owner.store.close()


def tell(world: World, day: list[Flight]) -> dict[tuple[str, str, int, int], dict[str, int]]:
    """Two flights a second; X′ a while later, some corrected, some sent twice. Answers what the sums must be."""
    events: list[tuple[bytes, float]] = []

    def say(event: bytes, at: float, partition: int) -> None:
        events.append((event, at))
        world.say(event, at=at, partition=partition)

    for place, flight in enumerate(day):
        at, came = place / 2, place / 2 + 1 + place % 30
        say(inference(flight.name, x=flight.x, y=flight.y, at=at), at + 1, OF_X)
        say(outcome(flight.name, flight.delay, at=came), came, OF_OUTCOMES)
        if place % 3 == 0:
            assert flight.delay is not None
            say(outcome(flight.name, flight.delay + 1.0, at=came, revision=1), came + 5, OF_OUTCOMES)
        if place % 4 == 0:
            say(outcome(flight.name, flight.delay, at=came), came, OF_OUTCOMES)
            say(decision(flight.name, flight.y >= 10.0, at=at + 1), at + 2, OF_OUTCOMES)
    return recompute([(json.loads(event), at) for event, at in events])


def by_partition(world: World, name: str) -> dict[int, int]:
    """What each partition's readers added to a sum."""
    found: dict[int, int] = {}
    with world.store._reader.connect() as connection:
        for row in connection.execute(tables.cell.select()):
            sums: dict[str, Any] = json.loads(row.sums)
            found[row.partition] = found.get(row.partition, 0) + sums.get(name, 0)
    return {partition: value for partition, value in found.items() if value}


@pytest.mark.rule("check-two-owners")
@pytest.mark.parametrize("turns", ["x first", "outcomes first", "as it falls"])
def test_x_on_one_partition_and_its_outcome_on_another(
    owners: tuple[Owner, Owner], world: World, day: list[Flight], turns: str
) -> None:
    asking, labelling = owners
    expected = tell(world, day)
    if turns == "x first":
        asking.run()
    elif turns == "outcomes first":
        labelling.run()
    for owner in random.Random(11).choices(owners, k=200):
        owner.reader.step()
    assert world.sums() == expected
    assert world.store.labels(SUBJECT).get("orphan", 0) == 0
    joined = sum(sums["now.n"] for sums in expected.values())
    assert joined == len(day)
    # Whoever reads the later of the two makes the join, and books it under the partition that it reads.
    booked = by_partition(world, "now.n")
    assert sum(booked.values()) == joined
    assert set(booked) == {"x first": {OF_OUTCOMES}, "outcomes first": {OF_X}}.get(turns, {OF_X, OF_OUTCOMES})


@pytest.mark.rule("check-zombie")
def test_an_owner_that_slept_through_its_lease_writes_nothing_more(
    owners: tuple[Owner, Owner], world: World, day: list[Flight]
) -> None:
    """Its clock stands still, so it takes itself for the owner; somebody else has read on meanwhile."""
    zombie, heir = owners[1], owners[0]
    expected = tell(world, day)
    zombie.reader.step()
    before = world.ledger()["stored"]
    assert 0 < before < len(day)
    heir.pass_time(60)
    heir.reader.step()
    heir.pass_time(60)
    for _ in range(100):
        heir.reader.step()
        zombie.reader.step()
    assert OF_OUTCOMES in heir.reader.partitions
    assert OF_OUTCOMES not in zombie.reader.partitions
    assert world.sums() == expected
    assert sum(world.ledger().values()) == sum(len(world.broker.log(number)) for number in range(PARTITIONS))
