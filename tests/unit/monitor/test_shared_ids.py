"""One id given to two deployments: an order and a flight with the same number have nothing to do with each other."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from switchyard_monitor.domain.identity import key
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import NOON_US, SECOND, World, decision, deletion, inference, mirrored, outcome
from switchyard_testkit.recomputation import recompute, recompute_pairs

STEEL, FLIGHTS = "plant/additives", "air/flight-delay"
SUBJECTS = (STEEL, FLIGHTS)
IDS = [f"order-{number}" for number in range(60)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, broker=LocalBroker(2))
    for subject in SUBJECTS:
        made.teach(subject=subject)
    yield made
    made.store.close()


def story(chance: random.Random, subject: str) -> list[tuple[float, bytes]]:
    """What happens to the orders of one deployment; event ids, too, are what the other's are."""
    found = []
    for name in IDS:
        at, x = 10 * chance.random(), f"{name} of {subject}"
        found.append((at + 1, inference(name, x=x, y=chance.gauss(0, 30), at=at, subject=subject)))
        if chance.random() < 0.5:
            found.append((at + 1, mirrored(name, x=x, y=chance.gauss(0, 30), at=at, subject=subject)))
        for version in range(chance.randrange(3)):
            came = at + chance.choice([2, 40])
            said = outcome(name, chance.gauss(0, 30), at=came, revision=version, subject=subject)
            found.append((came, said))
        if chance.random() < 0.5:
            found.append((at + 2, decision(name, chance.random() < 0.5, at=at + 2, subject=subject)))
    return found


@pytest.mark.rule("check-two-deployments")
@pytest.mark.parametrize("seed", range(3))
def test_each_has_the_sums_of_its_own_events(world: World, seed: int) -> None:
    chance = random.Random(seed)
    stories = {subject: story(chance, subject) for subject in SUBJECTS}
    told = [event for mine in stories.values() for event in mine]
    chance.shuffle(told)
    for place, (at, event) in enumerate(told):
        world.say(event, at=at, partition=place % 2)
    world.now_us = NOON_US + 100 * SECOND
    world.run()
    for subject, mine in stories.items():
        events = [(json.loads(event), at) for at, event in mine]
        assert world.sums(subject) == recompute(events)
        assert world.pair_sums(subject) == recompute_pairs(events)
    assert "conflict" not in world.ledger()


@pytest.mark.rule("check-two-deployments")
def test_what_is_deleted_of_one_stays_of_the_other(world: World) -> None:
    for subject in SUBJECTS:
        world.say(inference("order-7", subject=subject), at=1)
    world.say(deletion("order-7", subject=STEEL), at=2)
    for subject in SUBJECTS:
        world.say(outcome("order-7", 1.0, subject=subject), at=3)
    world.run()
    assert world.store.entry(key(STEEL, "order-7")) == (None, True)
    held, erased = world.store.entry(key(FLIGHTS, "order-7"))
    assert held is not None
    assert (len(held.preds), len(held.versions), erased) == (1, 1, False)
    assert world.ledger() == {"stored": 4, "deleted": 1}
