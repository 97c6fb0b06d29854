"""Replays, for unit tests on SQLite and contract tests on both databases: a history, and what must come of it again."""

from __future__ import annotations

from typing import Any

from switchyard_monitor.answers import books
from switchyard_monitor.replay import Moved, Tally, Wanted, events, letters

from switchyard_testkit.local_broker import LocalLetters
from switchyard_testkit.monitor_world import (
    SUBJECT,
    World,
    decision,
    deletion,
    inference,
    input_alone,
    mirrored,
    outcome,
    prediction_alone,
)

TOPIC = "switchyard.events"


def live(world: World) -> None:
    """A bit of everything."""
    world.teach()
    world.say(inference("a"), at=1)
    world.say(mirrored("a", y=5.0), at=1)
    world.say(inference("a", event_id="retry"), at=2)
    world.say(inference("a", x=2, event_id="other"), at=2)
    world.say(inference("b", error=True, status=503), at=2)
    world.say(input_alone("c"), at=2)
    world.say(prediction_alone("c"), at=2)
    world.say(prediction_alone("d"), at=2)
    world.say(b"poison", at=2)
    world.say(outcome("a", "soon", event_id="invalid"), at=3)
    world.say(outcome("a", 7.0), at=3)
    world.say(outcome("a", 4.0, revision=2), at=4)
    world.say(outcome("a", 9.0, revision=1), at=5)
    world.say(outcome("c", 1.0), at=40)
    world.say(decision("a", True), at=5)
    world.say(outcome("d", 1.0), at=5)
    world.say(deletion("d"), at=6)
    world.say(outcome("d", 2.0, revision=1), at=7)
    world.say(outcome("e", 1.0, at=-8 * 86400), at=8)
    world.run()


def known(world: World) -> tuple[Any, ...]:
    """All that a replay must leave as it is."""
    letters = {dict(letter.headers)["switchyard-id"] for letter in world.broker.sent}
    return world.sums(), world.pair_sums(), world.store.labels(SUBJECT), letters


def closes(world: World) -> bool:
    """Whether the ledgers of events and of labels do."""
    told = books(world.store.ledgers(), world.store.labels(SUBJECT))
    return told.labels.closes and all(line.closes for line in told.partitions)


def again(world: World, *, offset: int | None = None) -> list[Moved]:
    """Read the topic once more, by a reader that runs."""
    moved = events(world.store, world.broker, partitions=(), offset=offset)
    for _ in range(2):  # it finds that it was deposed; then it claims the partition anew
        world.pass_time(2)
        world.run()
    return moved


def reread(world: World, **wanted: str) -> Tally:
    """Take in what can be taken in of the dead letters."""
    return letters(world.store, world.models, LocalLetters(world.broker), topic=TOPIC, wanted=Wanted(**wanted))


def aged(world: World) -> None:
    """An error, an answer and its repeat that would come too late by now; and a letter as old."""
    world.teach()
    world.say(inference("a", error=True, status=503), at=1)
    world.say(inference("b"), at=1)
    world.say(inference("b", event_id="repeat"), at=1)
    world.say(outcome("b", "soon"), at=1)
    world.say(inference("new", at=9 * 86400), at=9 * 86400)
    world.pass_time(9 * 86400)
    world.run()
    sums = world.sums()
    again(world)
    assert world.sums() == sums
    assert world.ledger() == {"stored": 3, "repeat": 1, "invalid": 1, "late": 4, "duplicate": 1, "replayed": -5}
    assert dict(reread(world).columns) == {"late": 1}
    assert world.sums() == sums
    assert closes(world)
