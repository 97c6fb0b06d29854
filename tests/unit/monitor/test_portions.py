"""Portions: what was polled is folded in parts that memory can hold, and it makes no difference to what is counted."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from switchyard_monitor.domain import lines
from switchyard_monitor.folding import Portion, portions
from switchyard_monitor.models import Models
from switchyard_monitor.reader import Pace, Reader
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    NOON_US,
    ROWS,
    SUBJECT,
    World,
    batch,
    deletion,
    inference,
    input_alone,
    outcome,
    prediction_alone,
)
from switchyard_testkit.replay_suite import reread


def world_of(path: Path, *, portion: Portion, partitions: int = 1) -> World:
    world = World(path, broker=LocalBroker(partitions), pace=Pace(linger=0.0, margin_us=0, portion=portion))
    world.teach(ROWS)
    return world


def tell(world: World, *, subject: str = SUBJECT) -> None:
    """Requests of many rows and of one, their outcomes, poison, and a deletion of some."""
    chance = random.Random(5)
    said: list[bytes] = [b"poison", inference("one", subject=subject), deletion("p3", subject=subject)]
    for place in range(12):
        said.append(batch(f"p{place}", [chance.uniform(-9, 9) for _ in range(1 + place)], subject=subject))
        said += [outcome(f"p{place}", 1.0, row=row, event_id=f"o{row}", subject=subject) for row in range(place)]
    said += [input_alone("q", row=row, subject=subject) for row in range(3)]
    said += [prediction_alone("q", row=row, subject=subject) for row in range(3)]
    chance.shuffle(said)
    for value in said:
        world.say(value, at=1, partition=chance.randrange(world.broker.partitions))


def offsets(world: World) -> list[int | None]:
    return [position.next_offset for position in world.store.positions()]


@pytest.mark.parametrize(
    ("most", "parts"),
    [
        pytest.param(Portion(), [[5, 7]], id="all of it"),
        pytest.param(Portion(rows=40), [[4], [1, 7]], id="by rows"),
        pytest.param(Portion(rows=1), [[1]] * 12, id="one record at least"),
        pytest.param(Portion(size=1), [[1]] * 12, id="one record at least, whatever its size"),
    ],
)
def test_a_portion_holds_no_more_than_it_may(tmp_path: Path, most: Portion, parts: list[list[int]]) -> None:
    models, broker = Models(), LocalBroker(2)
    World(tmp_path, broker=broker).teach(ROWS)
    models.learn(broker.models())
    for place in range(12):
        rows = 10 if place < 5 else 2
        broker.append(batch(f"p{place}", [1.0] * rows), partition=int(place >= 5), at_us=NOON_US)
    found = portions({number: broker.log(number) for number in (0, 1)}, models, most)
    assert [[len(said.records) for said in part.values()] for part in found] == parts


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_poll_in_portions_counts_as_one(tmp_path: Path, rows: int, partitions: int) -> None:
    found = []
    for name, portion in (("whole", Portion()), ("cut", Portion(rows=rows))):
        (tmp_path / name).mkdir()
        world = world_of(tmp_path / name, portion=portion, partitions=partitions)
        tell(world)
        world.run()
        found.append((world.sums(), world.store.labels(SUBJECT), world.ledger(), offsets(world)))
        world.store.close()
    assert found[0] == found[1]


def test_what_is_left_when_the_leases_must_be_kept_is_read_again(tmp_path: Path) -> None:
    world = world_of(tmp_path, portion=Portion(rows=5))
    tell(world)
    commits: list[float] = []
    ticks = itertools.count(NOON_US, world.pace.pulse_us // 8)
    reader = Reader(
        member="monitor-0",
        broker=world.broker,
        store=world.store,
        models=world.models,
        pace=world.pace,
        clock_us=lambda: next(ticks),
        on_commit=commits.append,
    )
    passes = list(itertools.takewhile(bool, (reader.step() for _ in itertools.count())))
    assert len(passes) > 3, "one pass must not have taken it all"
    assert len(commits) > len(passes), "a pass takes what it has time for"
    found = world.sums(), world.ledger()
    (tmp_path / "whole").mkdir()
    whole = world_of(tmp_path / "whole", portion=Portion())
    tell(whole)
    whole.run()
    assert found == (whole.sums(), whole.ledger())


def test_what_was_held_for_a_deployment_is_drained_in_portions_too(tmp_path: Path) -> None:
    world = world_of(tmp_path, portion=Portion(rows=3))
    tell(world, subject="demo/later")
    world.run()
    assert world.ledger()["held"] > 80
    world.teach(ROWS, subject="demo/later")
    world.run()
    assert world.ledger().get("held", 0) == 0
    found = world.sums("demo/later")
    (tmp_path / "whole").mkdir()
    whole = world_of(tmp_path / "whole", portion=Portion())
    whole.teach(ROWS, subject="demo/later")
    tell(whole, subject="demo/later")
    whole.run()
    assert found == whole.sums("demo/later")


def test_a_longer_list_than_memory_can_hold_is_none(tmp_path: Path) -> None:
    world = world_of(tmp_path, portion=Portion())
    world.teach(ROWS | {"prediction": {"path": "$", "task": "regression"}})
    for name, rows in (("most", lines.MOST), ("more", lines.MOST + 1)):
        body = {"encoding": "json", "value": {"rows": [1] * rows}}
        world.say(inference(name, request=body, response={"encoding": "json", "value": {"answers": [1] * rows}}))
    world.run()
    assert sum(sums.get("unreadable", 0) for sums in world.sums_of_arms()) == 1
    assert sum(sums.get("predictions", 0) for sums in world.sums_of_arms()) == lines.MOST
    assert world.ledger() == {"stored": 2}


def test_letters_are_taken_in_whatever_they_hold(tmp_path: Path) -> None:
    world = world_of(tmp_path, portion=Portion())
    world.teach(ROWS | {"prediction": {"path": "$.later", "task": "regression"}})
    for row in range(4):
        world.say(prediction_alone("a", row=row))
    world.run()
    world.teach(ROWS)
    world.run()
    assert dict(reread(world).columns) == {"stored": 4}
