"""kill -9 before every statement and every commit of the monitor, on real databases: everything is counted once.

A forked process lives through a history and kills itself at one statement: nothing is rolled back, nothing closed.
Another opens the database as it was left and reads on. (`tests/unit/monitor/test_laws.py` strikes the same places by an
exception; here nobody has a chance to tidy up.)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as sql_event
from switchyard_monitor.domain.profiling import Span
from switchyard_monitor.ports import Letter
from switchyard_testkit.databases import Databases, SqliteFiles
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    REFERENCE,
    ROWS,
    WATCHED,
    World,
    batch,
    decision,
    deletion,
    inference,
    input_alone,
    mirrored,
    outcome,
    prediction_alone,
)

OTHER = "demo/other"
SUBJECTS = ("demo/flight-delay", OTHER)
SHARDS = 4
COLUMNS = {"stored": 10, "invalid": 1, "superseded": 1, "repeat": 1, "conflict": 1, "deleted": 1}


@dataclass
class Posting(LocalBroker):
    """A broker whose letters outlive the process that sent them."""

    box: Path = Path()

    def send(self, letters: Sequence[Letter]) -> None:
        with self.box.open("a", encoding="utf-8") as file:
            file.writelines(dict(letter.headers)["switchyard-id"].decode() + "\n" for letter in letters)


def tell(world: World) -> None:
    """New rows, a pair, poison, labels and a correction, a repeat, a conflict, an erasure; an X and a Y come apart.

    X and Y are profiled; the other deployment's requests carry many rows.
    """
    world.teach(WATCHED)
    world.teach(ROWS | WATCHED, subject=OTHER)
    world.say(inference("a"), at=0)
    world.say(b"\xff poison", at=1)
    world.say(batch("z", [10.0, 20.0], subject=OTHER), at=1)
    world.say(inference("b"), at=1)
    world.say(mirrored("a", y=5.0), at=1)
    world.say(input_alone("c"), at=1)
    world.say(outcome("a", 3.0), at=2)
    world.say(inference("a", event_id="retry"), at=2)
    world.say(inference("a", x=2, event_id="conflict"), at=3)
    world.say(prediction_alone("c"), at=3)
    world.say(deletion("b"), at=4)
    world.say(outcome("b", 1.0), at=4)
    world.say(outcome("a", 4.0, revision=1), at=5)
    world.say(outcome("z", 2.0, subject=OTHER), at=6)
    world.say(decision("a", True), at=6)


def open_world(folder: Path, url: str) -> World:
    """As a process finds it: the database as it was left, the log as it always was."""
    world = World(folder, url=url, broker=Posting(box=folder / "letters"))
    world.reader.close()
    world.pace = type(world.pace)(batch=4, linger=0.0, margin_us=0)
    world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    world.start()
    tell(world)
    return world


def books(world: World) -> tuple[Any, ...]:
    """Everything that must be the same."""
    letters = (world.path / "letters").read_text().split()
    sums = [(world.sums(subject), world.pair_sums(subject), world.store.labels(subject)) for subject in SUBJECTS]
    everything = {"baseline": REFERENCE.digest, "since_us": 0, "until_us": 2**62}
    profiles = [world.store.profiles(Span(subject=subject, **everything)) for subject in SUBJECTS]
    return world.ledger(), sums, profiles, sorted(set(letters)), world.store.outbox(10)


def killed_at(folder: Path, url: str, statement: int) -> bool:
    """Live in a process of its own and be killed before that statement or commit; whether there was one."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    try:
        world = open_world(folder, url)
        left = statement

        def cut(*_: Any) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                os.kill(os.getpid(), signal.SIGKILL)

        sql_event.listen(world.store._writer, "before_cursor_execute", cut)
        sql_event.listen(world.store._writer, "commit", cut)
        world.run()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_kill_at_any_statement_changes_nothing(databases: Databases, tmp_path: Path, shard: int) -> None:
    """Each shard takes every fourth statement; together they strike all."""

    def lived(folder: Path, url: str) -> tuple[Any, ...]:
        world = open_world(folder, url)
        world.run()
        found = books(world)
        world.store.close()
        return found

    expected = lived(tmp_path, SqliteFiles(tmp_path).up_to_date())
    assert expected[0] == COLUMNS
    for found, rows, why in zip(expected[2], (4, 2), ("a, b, c and what was mirrored of a", "z's rows"), strict=True):
        for name in ("x", "prediction"):
            assert sum(profile.features[name].rows for profile in found.values()) == rows, why

    url, statement, struck = databases.up_to_date(), shard, True
    while struck:
        folder = tmp_path / str(statement)
        folder.mkdir()
        struck = killed_at(folder, url, statement)
        assert lived(folder, url) == expected, f"killed at statement {statement}"
        databases.clear(url)
        statement += SHARDS * struck
    assert statement > 50, "the kills must have struck every statement of several commits"
