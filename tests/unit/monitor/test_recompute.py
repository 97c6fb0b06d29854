"""The recomputation on pandas: it agrees with the monitor where the monitor is right, and says so where it is not."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from switchyard_monitor.answers import books
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token
from switchyard_monitor.health import Health
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    ROWS,
    SECOND,
    SUBJECT,
    World,
    batch,
    binary,
    decision,
    deletion,
    inference,
    input_alone,
    kserve,
    outcome,
    prediction_alone,
)
from switchyard_testkit.recheck import READ_SUMS

SCRIPT = Path(__file__).resolve().parents[2] / "support" / "recompute.py"
WITHOUT = {key: value for key, value in MONITORING.items() if key != "decision"}
SEGMENTS = [{"name": "x", "path": "$.x", "values": ["1", "3"]}, {"name": "size", "path": "$.x", "edges": [1.5, 2]}]
CLASSES = {
    "path": "$.delay",
    "task": "classification",
    "classes": ["7", "20"],
    "positive": "7",
    "score": "$.late",
}
DECIDED: dict[str, dict[str, Any]] = {
    "nobody decides": WITHOUT,
    "yes or no": MONITORING,
    "a number": {**WITHOUT, "decision": {"path": "$.buffer", "tolerance": "12.5"}},
    "a number, by a share": {**WITHOUT, "decision": {"path": "$.buffer", "tolerance": "20%"}},
    "yes or no, of many rows": ROWS,
    "yes or no, by segments": {**MONITORING, "segments": SEGMENTS},
    "yes or no, by segments of many rows": {**ROWS, "segments": SEGMENTS},
    "a class": {**WITHOUT, "prediction": CLASSES, "decision": {"path": "$.buffer"}, "segments": SEGMENTS},
    "a class of many rows, that says how sure it is": {
        **ROWS,
        "prediction": CLASSES | {"positive": None, "classes": None},
        "decision": {"path": "$.buffer"},
    },
    "yes or no, at a cost": {
        **MONITORING,
        "loss": {"expression": "max(0.9*(outcome-prediction), 0.1*(prediction-outcome)) / (outcome - 7)", "scale": 10},
    },
    "a class at a cost, by its score": {
        **WITHOUT,
        "prediction": CLASSES,
        "decision": {"path": "$.buffer"},
        "loss": {"expression": '5*(1-score) if prediction != "20" and outcome == "20" else sqrt(score - 0.1)'},
    },
}
"""Monitoring blocks, by what people decide."""
YES_OR_NO = (True, False, True, 1, 0.0, "maybe")
Found = dict[str, Any]


class Anyone:
    """Lets every token in."""

    def find(self, presented: str) -> Token:
        return Token(name="test", sha256="0" * 64)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], World]:
    """A world for each kind of decision, made when it is first asked for."""
    made: dict[str, World] = {}

    def world(decided: str) -> World:
        if decided not in made:
            made[decided] = told(tmp_path_factory.mktemp("world"), decided)
        return made[decided]

    return world


def minted(number: int) -> str:
    """An id as the gateway makes them, where the product sends none."""
    return f"{NOON_US // 1000 + number}-{uuid.UUID(int=number)}"


def told(folder: Path, decided: str) -> World:
    """A rollout's worth of events: retries, errors, conflicts, failovers, late and corrected labels, resends.

    Beside it what no gateway saw: Xs and Ys apart, what KServe logs, and some that somebody wants deleted.
    """
    world = World(folder, broker=LocalBroker(3))
    world.teach(DECIDED[decided])
    chance, many = random.Random(11), "rows" in DECIDED[decided]

    classes = DECIDED[decided]["prediction"]["task"] == "classification"

    def number() -> Any:
        if classes:
            return chance.choice(["7", 7, "20", 20.0, "other", True])
        return chance.choice([chance.gauss(20, 30), 7])

    def said(y: Any) -> dict[str, Any]:
        sure = chance.choice([chance.random(), chance.random(), 0.0, 1.0, 0.5, 2**-7, 1.5, None])
        return {"delay": y, "late": sure} if classes else {"delay": y}

    def asked(name: str, *, x: int = 1, **facts: Any) -> bytes:
        ys = [chance.choice([number(), 1e9]), number(), chance.choice([number(), None])]
        if not many:
            return inference(name, x=x, response={"encoding": "json", "value": said(ys[0])}, **facts)
        ys = ys[: chance.choice([2, 3, 3, 3])]
        answers = {"encoding": "json", "value": {"answers": [said(y) for y in ys]}}
        return batch(name, ys, xs=[x, 1, 2][: chance.choice([3, len(ys)])], response=answers, **facts)

    for i in range(400):
        name, at, partition = f"p{i}" if i % 5 else minted(i), i / 20, i % 3
        arm: dict[str, Any] = {"traffic": 3 + i // 200, "latencyUs": chance.randrange(90_000)}
        if chance.random() < 0.3:
            arm |= {"revision": "next-2", "role": "candidate", "weightBp": 2500}
        if chance.random() < 0.2:
            arm |= {"assignment": "sticky", "unit": chance.randrange(10_000)}
        if chance.random() < 0.1:
            arm |= {"error": True, "status": 503}
        if chance.random() < 0.1:
            arm |= {"answeredBy": "stable-1"}
        if chance.random() < 0.05:
            arm |= {"latencyUs": None}
        value = asked(name, at=at, **arm)
        for _ in range(chance.choice([1, 1, 1, 2])):  # one sent again keeps its id
            world.say(value, at=at + 0.2, partition=partition)
        if chance.random() < 0.1:
            world.say(asked(name, x=2, event_id=f"c-{i}", at=at, **arm), at=at + 0.3, partition=partition)
        if chance.random() < 0.1:
            world.say(asked(name, event_id=f"r-{i}", at=at + 1, **arm), at=at + 1.2, partition=partition)
        if "role" not in arm and chance.random() < 0.8:
            its = {"role": "shadow", "revision": "next-2", "traffic": arm["traffic"]}
            its |= {"latencyUs": chance.randrange(90_000), "event_id": f"m-{i}"}
            if chance.random() < 0.1:
                its |= {"answeredBy": "stable-1"}
            world.say(asked(name, at=at, **its), partition=partition, at=at)
        for version in range(chance.choice([0, 1, 1, 1, 2])):
            came = at + chance.choice([1, 5, 30])
            label = number() if classes else chance.gauss(20, 30)
            told = outcome(name, label, at=at + 1, revision=version, row=chance.choice([0, 0, 1, 2]))
            world.say(told, at=came, partition=(partition + version) % 3)
        for version in range(chance.choice([0, 1, 1, 2])):
            wish = chance.choice(YES_OR_NO) if decided.startswith("yes or no") else chance.gauss(20, 30)
            wish = chance.choice([number(), number(), None]) if classes else wish
            facts = {"actor": chance.choice(["human", "rule"]), "row": chance.choice([0, 0, 1])}
            told = decision(name, wish, at=at + chance.choice([1, 2]), revision=version, **facts)
            for _ in range(chance.choice([1, 1, 2])):
                world.say(told, at=at + 3 + version, partition=partition)
        for record, came in without_a_gateway(chance, f"e{i}", at, many=many):
            world.say(**record, at=came, partition=partition)
    world.now_us = NOON_US + 100 * SECOND
    world.run()
    return world


def without_a_gateway(
    chance: random.Random, name: str, at: float, *, many: bool
) -> Iterator[tuple[dict[str, Any], float]]:
    """One prediction's events, all in one partition: in any order, some twice, some in conflict, late or deleted."""
    at -= chance.choice([0, 0, 0, 0, 8 * 86400])
    events: list[dict[str, Any]] = []
    if chance.random() < 0.5:
        for row in range(chance.choice([1, 2])):
            events.append({"value": prediction_alone(name, y=chance.gauss(20, 30), row=row, at=at)})
            events.append({"value": input_alone(name, row=row, at=at)})
            if chance.random() < 0.2:
                events.append({"value": input_alone(name, x=2, row=row, at=at, event_id=f"other-{row}")})
    else:
        answers = [{"delay": chance.gauss(20, 30)}, {"delay": chance.choice([1.0, "late"])}]
        rows, y = {"rows": [{"x": 1}, {"x": 2}]}, {"answers": answers} if many else answers[1]
        for word, body in (("request", rows), ("response", y)):
            said = kserve(word, name, body, at=at)
            events.append(chance.choice([binary(said), {"value": said}]))
        if chance.random() < 0.2:
            events.append({"value": kserve("request", name, {"rows": [{"x": 9}]}, at=at + 1)})
    events += [
        {"value": outcome(name, chance.gauss(20, 30), at=at + version, revision=version, row=chance.choice([0, 1]))}
        for version in range(3)
    ]
    if chance.random() < 0.3:
        events.append({"value": deletion(name, at=at)})
    events += chance.sample(events, k=2)
    chance.shuffle(events)
    for place, event in enumerate(events):
        yield event, max(0.0, at) + place * chance.choice([0.1, 6])


def found(world: World) -> Found:
    """What the cluster tests read of a monitor in a pod."""
    database = str(world.path / "monitor.db")
    printed = subprocess.run(
        [sys.executable, "-c", READ_SUMS, database, SUBJECT], check=True, capture_output=True, text=True
    )
    registry, health = CollectorRegistry(), Health(lambda: 0.0)
    app = create_app(store=world.store, models=world.models, tokens=Anyone(), health=health, registry=registry)
    client = TestClient(app, headers={"Authorization": "Bearer any"})
    answers = {
        key: client.get(f"/v1/deployments/{SUBJECT}/{path}").raise_for_status().json()
        for key, path in (("counts", "counts"), ("quality", "quality"), ("pairCounts", "pairs"))
    }
    return {**json.loads(printed.stdout), **answers}


def recomputed(world: World, said: Found, *, decided: str) -> subprocess.CompletedProcess[str]:
    """Run the script on what the broker holds."""
    events = world.path / "events.jsonl"
    with events.open("w", encoding="utf-8") as file:
        for number in range(3):
            for record in world.broker.log(number):
                line = {
                    "partition": number,
                    "offset": record.offset,
                    "timestamp": record.broker_us / 1000,
                    "value": json.loads(record.value or b"null"),
                    "headers": {name: text.decode() for name, text in record.headers},
                }
                file.write(json.dumps(line) + "\n")
    (world.path / "monitoring.json").write_text(json.dumps(DECIDED[decided]))
    (world.path / "found.json").write_text(json.dumps(said))
    options = [f"--{name}={world.path / name}.json" for name in ("monitoring", "found")]
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, f"--events={events}", *options], capture_output=True, text=True, check=False
    )


@pytest.mark.rule("check-recomputation")
@pytest.mark.parametrize("decided", DECIDED)
def test_it_agrees_with_the_monitor_bit_for_bit(worlds: Callable[[str], World], decided: str) -> None:
    world = worlds(decided)
    done = recomputed(world, found(world), decided=decided)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "numbers are equal" in done.stdout
    assert (" 0 decisions, 0 overrides" in done.stdout) is (decided == "nobody decides")
    told = books(world.store.ledgers(), world.store.labels(SUBJECT))
    assert told.labels.closes
    assert all(line.closes for line in told.partitions)
    everything = {"stored", "repeat", "superseded", "stale", "duplicate", "conflict", "invalid", "late", "deleted"}
    assert everything <= world.ledger().keys(), "a column that nothing falls into is not tried"


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda said: said["cells"][0]["sums"].update(requests=1 << 70), id="a sum of the database"),
        pytest.param(lambda said: said["cells"].pop(), id="a window that is missing"),
        pytest.param(lambda said: said["cells"][0]["sums"].update({"dec.agree": 1 << 70}), id="a sum of decisions"),
        pytest.param(lambda said: said["cells"][0]["sums"].update({"age.ee:7": 1 << 70}), id="a sum of a group"),
        pytest.param(lambda said: said["days"][0]["sums"].update({"age.a": 1 << 70}), id="a sum of a day"),
        pytest.param(lambda said: said["pairs"][0]["sums"].update({"now.x.ee": 1}), id="a sum of pairs"),
        pytest.param(lambda said: said["counts"][0].update(requests=10_000), id="a count of the API"),
        pytest.param(lambda said: said["quality"][0]["latest"].update(rmse=1.0), id="an RMSE of the API"),
        pytest.param(lambda said: said["quality"][0]["agreement"].update(share=0.5), id="an agreement of the API"),
        pytest.param(
            lambda said: said["quality"][0]["agreementByActor"].update(nobody={"n": 1, "agreed": 0, "share": 0.0}),
            id="an actor of the API",
        ),
        pytest.param(lambda said: said["pairCounts"][0].update(agreed=10_000), id="a count of pairs"),
    ],
)
def test_it_finds_what_differs(worlds: Callable[[str], World], spoil: Callable[[Found], object]) -> None:
    world = worlds("yes or no")
    said = found(world)
    spoil(said)
    done = recomputed(world, said, decided="yes or no")
    assert done.returncode == 1, done.stderr
    assert "from the topic" in done.stdout


def test_it_imports_nothing_of_ours() -> None:
    modules = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert modules - set(sys.stdlib_module_names) == {"numpy", "pandas"}
