"""The recomputation on pandas: it agrees with the monitor where the monitor is right, and says so where it is not."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token
from switchyard_monitor.health import Health
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    SECOND,
    SUBJECT,
    World,
    decision,
    inference,
    mirrored,
    outcome,
)
from switchyard_testkit.recheck import READ_SUMS

SCRIPT = Path(__file__).resolve().parents[2] / "support" / "recompute.py"
WITHOUT = {key: value for key, value in MONITORING.items() if key != "decision"}
DECIDED: dict[str, dict[str, Any]] = {
    "nobody decides": WITHOUT,
    "yes or no": MONITORING,
    "a number": {**WITHOUT, "decision": {"path": "$.buffer", "tolerance": "12.5"}},
    "a number, by a share": {**WITHOUT, "decision": {"path": "$.buffer", "tolerance": "20%"}},
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
    """A rollout's worth of events: retries, errors, conflicts, failovers, late and corrected labels, resends."""
    world = World(folder, broker=LocalBroker(3))
    world.teach(DECIDED[decided])
    chance = random.Random(11)
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
        value = inference(name, y=chance.choice([chance.gauss(20, 30), 1e9, 7]), at=at, **arm)
        for _ in range(chance.choice([1, 1, 1, 2])):  # one sent again keeps its id
            world.say(value, at=at + 0.2, partition=partition)
        if chance.random() < 0.1:
            world.say(inference(name, x=2, event_id=f"c-{i}", at=at, **arm), at=at + 0.3, partition=partition)
        if chance.random() < 0.1:
            world.say(inference(name, event_id=f"r-{i}", at=at + 1, **arm), at=at + 1.2, partition=partition)
        if "role" not in arm and chance.random() < 0.8:
            its = {"traffic": arm["traffic"], "latencyUs": chance.randrange(90_000)}
            if chance.random() < 0.1:
                its |= {"answeredBy": "stable-1"}
            world.say(
                mirrored(name, y=chance.choice([chance.gauss(20, 30), 7]), at=at, **its), partition=partition, at=at
            )
        for version in range(chance.choice([0, 1, 1, 1, 2])):
            came = at + chance.choice([1, 5, 30])
            said = outcome(name, chance.gauss(20, 30), at=at + 1, revision=version)
            world.say(said, at=came, partition=(partition + version) % 3)
        for version in range(chance.choice([0, 1, 1, 2])):
            wish = chance.choice(YES_OR_NO) if decided == "yes or no" else chance.gauss(20, 30)
            actor = chance.choice(["human", "rule"])
            said = decision(name, wish, at=at + chance.choice([1, 2]), revision=version, actor=actor)
            for _ in range(chance.choice([1, 1, 2])):
                world.say(said, at=at + 3 + version, partition=partition)
    world.now_us = NOON_US + 100 * SECOND
    world.run()
    return world


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
                }
                file.write(json.dumps(line) + "\n")
    (world.path / "monitoring.json").write_text(json.dumps(DECIDED[decided]))
    (world.path / "found.json").write_text(json.dumps(said))
    options = [f"--{name}={world.path / name}.json" for name in ("monitoring", "found")]
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, f"--events={events}", *options], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("decided", DECIDED)
def test_it_agrees_with_the_monitor_bit_for_bit(worlds: Callable[[str], World], decided: str) -> None:
    world = worlds(decided)
    done = recomputed(world, found(world), decided=decided)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "numbers are equal" in done.stdout
    assert (" 0 decisions, 0 overrides" in done.stdout) is (decided == "nobody decides")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda said: said["cells"][0]["sums"].update(requests=1 << 70), id="a sum of the database"),
        pytest.param(lambda said: said["cells"].pop(), id="a window that is missing"),
        pytest.param(lambda said: said["cells"][0]["sums"].update({"dec.agree": 1 << 70}), id="a sum of decisions"),
        pytest.param(lambda said: said["cells"][0]["sums"].update({"age.ee:7": 1 << 70}), id="a sum of a group"),
        pytest.param(lambda said: said["pairs"][0]["sums"].update({"now.x.ee": 1}), id="a sum of pairs"),
        pytest.param(lambda said: said["counts"][0].update(requests=0), id="a count of the API"),
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
