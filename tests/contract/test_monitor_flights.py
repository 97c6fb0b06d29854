"""A real day of flights through four kinds of producers, each as its own deployment, on both databases.

A gateway one flight at a time, a gateway by the hour with many rows, KServe by the hour, and a batch that sends X and Y
apart. Outcomes come when flights land, some twice, some corrected; ids are used twice, some are deleted. A program that
shares nothing with the monitor computes all sums from the same records once more: they are equal bit for bit.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from switchyard_monitor.answers import books, counts, quality
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.entries import Cell
from switchyard_monitor.pair_answers import pair_counts
from switchyard_testkit.databases import Databases
from switchyard_testkit.flights import Flight, of_day
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    MONITORING,
    World,
    binary,
    deletion,
    inference,
    input_alone,
    kserve,
    outcome,
    prediction_alone,
)
from switchyard_testkit.replay_suite import again

RECOMPUTE = Path(__file__).resolve().parents[1] / "support" / "recompute.py"
BY_THE_HOUR = {"request": "$.instances", "response": "$.predictions"}
OUTCOME = {"path": "$.delay", "horizon": "2d", "judgedAfter": "4h", "affectedBy": "nothing"}
DAY = (3, 8)
WAYS = ("gateway", "hourly", "kserve", "batch")
Told = tuple[float, bytes | dict[str, Any]]
"""When the broker has it, in seconds after NOON of its own; and the record."""


def monitoring(way: str) -> dict[str, Any]:
    """What is taught: Y is a member of the answer, or each item of its list."""
    block = {**MONITORING, "outcome": OUTCOME, "window": "1h"}
    if way in ("hourly", "kserve"):
        block |= {"prediction": {"path": "$", "task": "regression"}, "rows": BY_THE_HOUR}
    return block


def seconds(when: datetime) -> float:
    """After noon of that day, which becomes NOON."""
    return (when - datetime(2013, *DAY, 12, tzinfo=UTC)).total_seconds()


def subject(way: str) -> str:
    return f"flights/{way}"


def happened(way: str, name: str, row: int, flight: Flight, chance: random.Random) -> Iterator[Told]:
    """X′ at landing; sometimes an estimate comes before it, or it is sent twice."""
    if flight.delay is None or flight.landed is None:
        return
    at, where = seconds(flight.landed), {"row": row, "subject": subject(way)}
    if chance.random() < 0.2:
        early = outcome(name, round(flight.delay + chance.gauss(0, 5)), at=at - 600, event_id=f"e-{row}", **where)
        yield at - 600, early
    for _ in range(chance.choice([1, 1, 2])):
        yield at + 30, outcome(name, flight.delay, at=at, revision=1, event_id=f"o-{row}", **where)


def one_by_one(flights: Sequence[Flight], chance: random.Random) -> Iterator[Told]:
    for flight in flights:
        at, where = seconds(flight.left), {"subject": subject("gateway")}
        facts = {"request": {"encoding": "json", "value": flight.x}, "at": at}
        yield at + 1, inference(flight.name, y=flight.y, **facts, **where)
        if chance.random() < 0.1:
            yield at + 2, inference(flight.name, y=flight.y + 1, event_id=f"again-{flight.name}", **facts, **where)
        if chance.random() < 0.05:
            yield at + 3, inference(flight.name, y=0.0, x=2, event_id=f"other-{flight.name}", at=at, **where)
        yield from happened("gateway", flight.name, 0, flight, chance)
        if chance.random() < 0.05:
            yield at + chance.choice([0, 7200]), deletion(flight.name, at=at, **where)


def by_the_hour(way: str, flights: Sequence[Flight], chance: random.Random) -> Iterator[Told]:
    for hour, group in groupby(flights, key=lambda flight: flight.left.replace(minute=0, second=0, microsecond=0)):
        rows, name = list(group), f"{hour:%d-%H}-{chance.getrandbits(20)}"
        at = max(seconds(flight.left) for flight in rows)
        asked, told = {"instances": [flight.x for flight in rows]}, {"predictions": [flight.y for flight in rows]}
        told["predictions"][0] = None
        if way == "hourly":
            bodies = {"request": {"encoding": "json", "value": asked}, "response": {"encoding": "json", "value": told}}
            yield at + 1, inference(name, at=at, subject=subject(way), **bodies)
        else:
            said = [kserve("request", name, asked, at=at, namespace="flights", inferenceservicename="kserve")]
            said += [kserve("response", name, told, at=at, namespace="flights", inferenceservicename="kserve")]
            for event in chance.sample(said * 2, k=4):
                yield at + 1, chance.choice([event, binary(event)])
        for row, flight in enumerate(rows):
            yield from happened(way, name, row, flight, chance)


def apart(flights: Sequence[Flight], chance: random.Random) -> Iterator[Told]:
    for place, flight in enumerate(flights):
        name, row, at = f"night-{place // 10}", place % 10, seconds(flight.left)
        where = {"row": row, "at": at, "subject": subject("batch")}
        events = [prediction_alone(name, y=flight.y, **where), input_alone(name, x=flight.x, **where)]
        for event in chance.sample(events * 2, k=chance.choice([2, 4])):
            yield at + chance.choice([1, 600]), event
        yield from happened("batch", name, row, flight, chance)
        if row == 9 and chance.random() < 0.1:
            yield at + 900, deletion(name, at=at, subject=subject("batch"))


@pytest.fixture(scope="module")
def flights() -> list[Flight]:
    return of_day(*DAY)


def test_a_day_of_flights_is_equal_bit_for_bit(databases: Databases, flights: list[Flight], tmp_path: Path) -> None:
    assert len(flights) > 500, "the day must have flown"
    chance, world = random.Random(8), World(tmp_path, url=databases.up_to_date(), broker=LocalBroker(3))
    told: list[Told] = []
    for way, events in (
        ("gateway", one_by_one(flights, chance)),
        ("hourly", by_the_hour("hourly", flights, chance)),
        ("kserve", by_the_hour("kserve", flights, chance)),
        ("batch", apart(flights, chance)),
    ):
        world.teach(monitoring(way), subject=subject(way))
        told += events
    for at, event in sorted(told, key=lambda each: each[0]):
        carried = {"value": event} if isinstance(event, bytes) else event
        # By its prediction id, as producers key: all of one prediction lies in one partition.
        world.say(**carried, at=at, partition=identity.short(name_of(event, carried)) % 3)
    world.run()

    said = [compared(world, way, tmp_path) for way in WAYS]
    assert all("numbers are equal" in line for line in said), said
    ledger = world.ledger()
    assert {"stored", "repeat", "duplicate", "conflict", "superseded", "deleted"} <= ledger.keys()
    assert sum(ledger.values()) == len(told)

    before = [world.sums(subject(way)) for way in WAYS]
    again(world)
    assert [world.sums(subject(way)) for way in WAYS] == before
    assert all(line.closes for line in books(world.store.ledgers(), {}).partitions)
    world.store.close()


def name_of(event: bytes | dict[str, Any], carried: dict[str, Any]) -> str:
    if isinstance(event, dict):
        return dict(carried["headers"])["ce_id"].decode()
    document = json.loads(event)
    return str(document["id"] if "inferenceservicename" in document else document["data"]["predictionId"])


def written(cell: Cell) -> dict[str, Any]:
    """One row of sums, as the database has it."""
    arm = cell.arm
    names = {"revision": arm.revision, "role": arm.role, "traffic": arm.traffic, "weightBp": arm.weight_bp}
    return {**names, "assignment": arm.assignment, "start": cell.start_us, "sums": cell.sums}


def compared(world: World, way: str, folder: Path) -> str:
    """What the independent program says of one deployment's records and the monitor's numbers."""
    mine, lines = subject(way), []
    for number in range(3):
        for record in world.broker.log(number):
            headers = {name: text.decode() for name, text in record.headers}
            value = json.loads(record.value or b"")
            spoken = headers.get("ce_inferenceservicename") or value.get("inferenceservicename")
            if (f"flights/{spoken}" if spoken else value["subject"]) == mine:
                place = {"partition": number, "offset": record.offset, "timestamp": record.broker_us / 1000}
                lines.append(json.dumps(place | {"value": value, "headers": headers}))
    store = world.store
    cells, days, totals = (read(store.arms(mine)) for read in (store.cells, store.days, store.totals))
    found = {
        "cells": [written(cell) for cell in cells],
        "days": [written(day) for day in days],
        "pairs": [],
        "counts": [line.model_dump(mode="json", by_alias=True) for line in counts(totals)],
        "quality": [line.model_dump(mode="json", by_alias=True) for line in quality(totals)],
        "pairCounts": [line.model_dump(mode="json", by_alias=True) for line in pair_counts([], totals)],
    }
    (folder / "events.jsonl").write_text("\n".join(lines))
    (folder / "monitoring.json").write_text(json.dumps(monitoring(way)))
    (folder / "found.json").write_text(json.dumps(found))
    options = [f"--{name}={folder / name}.json" for name in ("monitoring", "found")]
    done = subprocess.run(
        [sys.executable, "-I", RECOMPUTE, f"--events={folder / 'events.jsonl'}", *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
