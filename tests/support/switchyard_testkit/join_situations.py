"""What can happen to a prediction on its way through the join, and what must be known of it then, to the last count.

Unit tests play them on SQLite, contract tests on both databases; each in one batch and in batches of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from switchyard_monitor.answers import books
from switchyard_monitor.domain.sums import merged

from switchyard_testkit.monitor_world import (
    MONITORING,
    ROWS,
    SUBJECT,
    World,
    batch,
    binary,
    decision,
    deletion,
    inference,
    input_alone,
    kserve,
    mirrored,
    outcome,
    prediction_alone,
)

UNIT = 1 << 20
WEEK = 7 * 86400
V1: dict[str, Any] = {
    **MONITORING,
    "prediction": {"path": "$", "task": "regression"},
    "rows": {"request": "$.instances", "response": "$.predictions"},
}
V2: dict[str, Any] = {**V1, "rows": {"response": "$.outputs[0].data"}}
ASKED, TOLD = {"instances": [[6.8, 2.8], [6.0, 3.4]]}, {"predictions": [10.0, 20.0]}

Told = tuple[bytes | Mapping[str, Any], float]
"""A record's value, or its value and headers, and the broker's time in seconds after NOON."""


@dataclass(frozen=True)
class Situation:
    """What is told, and what must be known."""

    told: list[Told]
    ledger: dict[str, int]
    sums: dict[str, int]
    """All sums of all arms together that are named here; what is 0 must not be there."""
    labels: dict[str, int] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    """The reasons of the dead letters."""
    pairs: dict[str, int] = field(default_factory=dict)
    monitoring: Mapping[str, Any] = field(default_factory=lambda: MONITORING)

    def play(self, world: World) -> None:
        """Tell it, and look."""
        world.teach(self.monitoring)
        for record, at in self.told:
            carried = {"value": record} if isinstance(record, bytes) else dict(record)
            world.say(**carried, at=at)
        world.run()
        sums, pairs = merged(world.sums_of_arms()), merged(world.pair_sums().values())
        assert world.ledger() == self.ledger
        assert {name: sums.get(name, 0) for name in self.sums} == self.sums
        assert {name: pairs.get(name, 0) for name in self.pairs} == self.pairs
        assert world.store.labels(SUBJECT) == self.labels
        assert [dict(letter.headers)["switchyard-reason"].decode() for letter in world.broker.sent] == self.dead
        told = books(world.store.ledgers(), world.store.labels(SUBJECT))
        assert told.labels.closes
        assert [line.closes for line in told.partitions] == [True]
        assert told.partitions[0].read == len(self.told)


def situation(name: str, **parts: Any) -> Any:
    """A row of a test, by its name."""
    return pytest.param(Situation(**parts), id=name)


def in_order(*told: bytes | Mapping[str, Any]) -> list[Told]:
    """One a second."""
    return [(record, 1.0 + second) for second, record in enumerate(told)]


X, Y, LATER = input_alone("a"), prediction_alone("a"), outcome("a", 7.0)
JOINED = {"predictions": 1, "now.n": 1, "now.e": 3 * UNIT, "requests": 0}
ONE_LABEL = {"in": 1, "joined": 1}

REPEATS = [
    situation(
        "the same X again is a repeat, and the first Y stays",
        told=in_order(inference("a"), inference("a", y=99.0, event_id="again"), LATER),
        ledger={"stored": 2, "repeat": 1},
        sums=JOINED | {"requests": 2},
        labels=ONE_LABEL,
    ),
    situation(
        "an exchange that is sent again is a duplicate and no second request",
        told=in_order(inference("a"), inference("a")),
        ledger={"stored": 1, "duplicate": 1},
        sums={"requests": 1, "predictions": 1},
    ),
    situation(
        "another X under one id is in conflict, counted and buried, and its Y is none",
        told=in_order(inference("a"), inference("a", x=2, y=99.0, event_id="other"), LATER),
        ledger={"stored": 2, "conflict": 1},
        sums=JOINED | {"requests": 2, "conflicts": 1},
        labels=ONE_LABEL,
        dead=["conflict"],
    ),
    situation(
        "a conflict that is sent again is counted once",
        told=in_order(inference("a"), *[inference("a", x=2, event_id="other")] * 2),
        ledger={"stored": 1, "conflict": 1, "duplicate": 1},
        sums={"requests": 2, "conflicts": 1},
        dead=["conflict"],
    ),
    situation(
        "the order of an X's names does not matter",
        told=in_order(
            inference("a", request={"encoding": "json", "value": {"b": 1, "c": {"d": 2, "e": 3}}}),
            inference("a", request={"encoding": "json", "value": {"c": {"e": 3, "d": 2}, "b": 1}}, event_id="again"),
        ),
        ledger={"stored": 1, "repeat": 1},
        sums={"conflicts": 0},
    ),
    situation(
        "a Y of another revision is its own",
        told=in_order(inference("a"), inference("a", y=4.0, revision="next-2", role="candidate", event_id="n"), LATER),
        ledger={"stored": 3},
        sums={"predictions": 2, "now.n": 2, "now.e": 0},
        labels=ONE_LABEL,
    ),
]

AMENDMENTS = [
    situation(
        "the higher revision number wins, and what it replaces is taken out",
        told=in_order(Y, outcome("a", 7.0, at=9), outcome("a", 4.0, at=1, revision=1)),
        ledger={"stored": 2, "superseded": 1},
        sums={"now.n": 1, "now.e": 6 * UNIT, "age.n": 1},
        labels={"in": 2, "joined": 2},
    ),
    situation(
        "of equal numbers the later event time wins, also when it came first",
        told=in_order(Y, outcome("a", 4.0, at=3, event_id="z"), outcome("a", 7.0, at=2, event_id="y")),
        ledger={"stored": 2, "stale": 1},
        sums={"now.n": 1, "now.e": 6 * UNIT},
        labels={"in": 2, "joined": 2},
    ),
    situation(
        "of equal times the higher event id wins",
        told=in_order(Y, outcome("a", 4.0, event_id="1"), outcome("a", 7.0, event_id="2")),
        ledger={"stored": 2, "superseded": 1},
        sums=JOINED,
        labels={"in": 2, "joined": 2},
    ),
    situation(
        "a version that is sent again is a duplicate, whatever it says now",
        told=in_order(Y, outcome("a", 7.0, event_id="1"), outcome("a", 99.0, event_id="1")),
        ledger={"stored": 2, "duplicate": 1},
        sums=JOINED,
        labels=ONE_LABEL,
    ),
    situation(
        "a decision is amended like an outcome, with the one who decided last",
        told=in_order(
            prediction_alone("a", y=20.0),
            decision("a", False, actor="rule"),
            decision("a", True, revision=1),
            decision("a", False, revision=0, event_id="old"),
        ),
        ledger={"stored": 2, "superseded": 1, "stale": 1},
        sums={"dec.n": 1, "dec.agree": 1, "dec.n:human": 1, "dec.agree:human": 1, "dec.n:rule": 0},
        labels={"in": 3, "joined": 3},
    ),
    situation(
        "a time ahead of the broker is the broker's, and does not win by being wrong",
        told=[(Y, 1), (outcome("a", 4.0, at=999, event_id="z"), 2), (outcome("a", 7.0, at=3, event_id="y"), 3)],
        ledger={"stored": 2, "superseded": 1, "skewed": 1},
        sums=JOINED,
        labels={"in": 2, "joined": 2},
    ),
]

DELETIONS = [
    situation(
        "sums stay and payload goes",
        told=in_order(X, Y, LATER, decision("a", False), deletion("a")),
        ledger={"stored": 5},
        sums=JOINED | {"dec.n": 1},
        labels={"in": 2, "deleted": 2},
    ),
    situation(
        "the stub refuses every kind of event, and also what came first by its own time",
        told=in_order(deletion("a"), X, Y, LATER, decision("a", True), inference("a", event_id="i")),
        ledger={"stored": 1, "deleted": 5},
        sums={"predictions": 0, "requests": 0, "now.n": 0},
    ),
    situation(
        "it is asked for twice",
        told=in_order(Y, deletion("a"), deletion("a")),
        ledger={"stored": 2, "duplicate": 1},
        sums={"predictions": 1},
    ),
    situation(
        "all rows of a prediction go",
        told=in_order(batch("a", [1.0, 2.0, 3.0]), outcome("a", 1.0, row=2), deletion("a"), outcome("a", 9.0, row=1)),
        ledger={"stored": 3, "deleted": 1},
        sums={"predictions": 3, "now.n": 1, "now.e": 2 * UNIT},
        labels={"in": 1, "deleted": 1},
        monitoring=ROWS,
    ),
    situation(
        "what came after one deletion goes with the next",
        told=in_order(
            deletion("z"), batch("a", [1.0, 2.0]), outcome("a", 1.0, row=1), deletion("a"), batch("a", [1.0])
        ),
        ledger={"stored": 4, "deleted": 1},
        sums={"predictions": 2, "now.n": 1},
        labels={"in": 1, "deleted": 1},
        monitoring=ROWS,
    ),
    situation(
        "an outcome that waited for its prediction is deleted too",
        told=in_order(LATER, deletion("a"), Y),
        ledger={"stored": 2, "deleted": 1},
        sums={"predictions": 0, "now.n": 0},
        labels={"in": 1, "deleted": 1},
    ),
    situation(
        "of another deployment or id nothing goes",
        told=in_order(Y, prediction_alone("b"), deletion("b"), deletion("a", subject="demo/other"), LATER),
        ledger={"stored": 4, "held": 1},
        sums=JOINED | {"predictions": 2},
        labels=ONE_LABEL,
    ),
]

TIMES = [
    situation(
        "an X and a Y that came alone may be a week old, and no more",
        told=[
            (input_alone("a", at=-WEEK), 0),
            (prediction_alone("a", at=-WEEK), 0),
            (input_alone("b", at=-WEEK), 0.001),
            (prediction_alone("b", at=-WEEK), 0.001),
        ],
        ledger={"stored": 2, "late": 2},
        sums={"predictions": 1},
    ),
    situation(
        "late is late by the broker's time of the event, whatever was read before it",
        told=[(outcome("a", 1.0, at=0), WEEK + 1), (outcome("b", 1.0, at=0), WEEK)],
        ledger={"stored": 1, "late": 1},
        sums={},
        labels={"in": 1, "orphan": 1},
    ),
    situation(
        "a deletion is never late",
        told=[(Y, 1), (deletion("a", at=-99 * WEEK), 2), (LATER, 3)],
        ledger={"stored": 2, "deleted": 1},
        sums={"now.n": 0},
    ),
]

APART = [
    *[
        situation(
            f"X, Y and X′ come in the order {name}",
            told=in_order(*told),
            ledger={"stored": 3},
            sums=JOINED,
            labels=ONE_LABEL,
        )
        for name, told in {
            "X Y X′": (X, Y, LATER),
            "Y X X′": (Y, X, LATER),
            "X′ Y X": (LATER, Y, X),
            "X′ X Y": (LATER, X, Y),
        }.items()
    ],
    situation(
        "all that came apart is sent again",
        told=in_order(X, Y, LATER, X, Y, LATER),
        ledger={"stored": 3, "duplicate": 3},
        sums=JOINED,
        labels=ONE_LABEL,
    ),
    situation(
        "an X that came before under another event is a repeat, and so is a Y",
        told=in_order(X, Y, input_alone("a", event_id="2"), prediction_alone("a", y=99.0, event_id="2"), LATER),
        ledger={"stored": 3, "repeat": 2},
        sums=JOINED,
        labels=ONE_LABEL,
    ),
    situation(
        "another X under the id is in conflict, and counted once",
        told=in_order(X, Y, *[input_alone("a", x=2, event_id="2")] * 2),
        ledger={"stored": 2, "conflict": 1, "duplicate": 1},
        sums={"predictions": 1, "conflicts": 1},
        dead=["conflict"],
    ),
    situation(
        "an exchange of the gateway is held to the X that came alone",
        told=in_order(X, inference("a", x=2, event_id="g"), inference("a", x=1, event_id="h")),
        ledger={"stored": 2, "conflict": 1},
        sums={"predictions": 1, "conflicts": 1, "requests": 2},
        dead=["conflict"],
    ),
    situation(
        "the Y of an X in conflict may have the same event id, and is read all the same",
        told=in_order(input_alone("a", event_id="0"), input_alone("a", x=2), Y, LATER),
        ledger={"stored": 3, "conflict": 1},
        sums=JOINED | {"conflicts": 1},
        labels=ONE_LABEL,
        dead=["conflict"],
    ),
    situation(
        "each row is a prediction of its own",
        told=in_order(
            prediction_alone("a", y=1.0, row=0),
            prediction_alone("a", y=2.0, row=1),
            prediction_alone("a", y=3.0, row=999_999),
            outcome("a", 0.0, row=1, event_id="1"),
            outcome("a", 0.0, row=999_999, event_id="2"),
            outcome("a", 0.0, row=2, event_id="3"),
        ),
        ledger={"stored": 6},
        sums={"predictions": 3, "now.n": 2, "now.e": 5 * UNIT},
        labels={"in": 3, "joined": 2, "orphan": 1},
    ),
    situation(
        "a Y that holds no value is a dead letter",
        told=in_order(prediction_alone("a", y="soon"), Y),
        ledger={"invalid": 1, "stored": 1},
        sums={"predictions": 1},
        dead=["invalid"],
    ),
    situation(
        "attributes in headers as well as in the value, which its content type says is all of it",
        told=in_order(
            {"value": X, "headers": (*binary(X)["headers"][:-1], ("content-type", b"application/cloudevents+json"))}
        ),
        ledger={"stored": 1},
        sums={},
    ),
    situation(
        "attributes in headers and data in the value are one event too",
        told=in_order(binary(X), binary(Y), binary(LATER), Y),
        ledger={"stored": 3, "duplicate": 1},
        sums=JOINED,
        labels=ONE_LABEL,
    ),
]

MANY = [
    situation(
        "a request is counted once, and each of its rows is a prediction",
        told=in_order(
            batch("a", [10.0, 20.0, 30.0]),
            *[outcome("a", 7.0, row=row, event_id=f"o{row}") for row in range(3)],
            *[decision("a", True, row=row, event_id=f"d{row}") for row in range(3)],
        ),
        ledger={"stored": 7},
        sums={
            "requests": 1,
            "answered": 1,
            "predictions": 3,
            "now.n": 3,
            "now.e": (3 + 13 + 23) * UNIT,
            "dec.n": 3,
            "dec.agree": 2,
        },
        labels={"in": 6, "joined": 6},
        monitoring=ROWS,
    ),
    situation(
        "a row without a Y is unreadable, the others are not",
        told=in_order(batch("a", [10.0, None, 30.0])),
        ledger={"stored": 1},
        sums={"requests": 1, "answered": 1, "predictions": 2, "unreadable": 1},
        monitoring=ROWS,
    ),
    situation(
        "as many answers as rows, or nobody knows whose they are",
        told=in_order(batch("a", [10.0, 20.0], xs=[1, 2, 3])),
        ledger={"stored": 1},
        sums={"requests": 1, "answered": 0, "predictions": 0, "unreadable": 1},
        monitoring=ROWS,
    ),
    situation(
        "an empty request has no rows and is no fault",
        told=in_order(batch("a", []), batch("a", [])),
        ledger={"stored": 1, "duplicate": 1},
        sums={"requests": 1, "predictions": 0, "unreadable": 0},
        monitoring=ROWS,
    ),
    situation(
        "a retry with more rows adds what is new, and one with the same is a repeat",
        told=in_order(
            batch("a", [10.0], xs=[1]),
            batch("a", [99.0, 20.0], xs=[1, 2], event_id="2"),
            batch("a", [99.0, 99.0], xs=[1, 2], event_id="3"),
            *[outcome("a", 0.0, row=row, event_id=f"o{row}") for row in range(2)],
        ),
        ledger={"stored": 4, "repeat": 1},
        sums={"requests": 3, "predictions": 2, "now.e": 30 * UNIT},
        labels={"in": 2, "joined": 2},
        monitoring=ROWS,
    ),
    situation(
        "all of them are duplicates when the request is sent again, whichever row was new in it",
        told=in_order(batch("a", [10.0], xs=[1]), *[batch("a", [1.0, 2.0], xs=[1, 2], event_id="2")] * 2),
        ledger={"stored": 2, "duplicate": 1},
        sums={"requests": 2, "predictions": 2},
        monitoring=ROWS,
    ),
    situation(
        "one row with another X puts the whole request in conflict",
        told=in_order(batch("a", [1.0, 2.0], xs=[1, 2]), batch("a", [1.0, 2.0, 3.0], xs=[1, 9, 3], event_id="2")),
        ledger={"stored": 1, "conflict": 1},
        sums={"requests": 2, "predictions": 2, "conflicts": 1},
        dead=["conflict"],
        monitoring=ROWS,
    ),
    situation(
        "rows that were mirrored are pairs, and their request was one",
        told=in_order(
            batch("a", [10.0, 20.0]),
            batch("a", [11.0, 22.0], role="shadow", revision="next-2", event_id="m", latencyUs=6000),
            *[outcome("a", 10.0, row=row, event_id=f"o{row}") for row in range(2)],
        ),
        ledger={"stored": 4},
        sums={"requests": 2, "predictions": 4},
        pairs={"n": 2, "y": 3 * UNIT, "lat.n": 1, "lat.d": 1000, "now.c.n": 2, "now.s.e": 10 * UNIT},
        labels={"in": 2, "joined": 2},
        monitoring=ROWS,
    ),
    situation(
        "rows may be sent one by one under the same rule",
        told=in_order(X, Y, input_alone("a", row=1), prediction_alone("a", row=1), outcome("a", 7.0, row=1)),
        ledger={"stored": 5},
        sums={"predictions": 2, "now.n": 1},
        labels=ONE_LABEL,
        monitoring=ROWS,
    ),
    situation(
        "a mirrored answer to a request of one row is a pair as before",
        told=in_order(inference("a"), mirrored("a")),
        ledger={"stored": 2},
        sums={"predictions": 2, "answered": 0},
        pairs={"n": 1, "lat.n": 1},
    ),
]

KSERVE = [
    situation(
        "request and answer under one id, a prediction for each instance",
        told=in_order(
            kserve("request", "a", ASKED),
            kserve("response", "a", TOLD),
            outcome("a", 7.0, row=0, event_id="0"),
            outcome("a", 7.0, row=1, event_id="1"),
        ),
        ledger={"stored": 4},
        sums={"predictions": 2, "now.n": 2, "now.e": 16 * UNIT, "requests": 0},
        labels={"in": 2, "joined": 2},
        monitoring=V1,
    ),
    situation(
        "each sent again, and the answer before the request",
        told=in_order(*[kserve("response", "a", TOLD)] * 2, *[kserve("request", "a", ASKED)] * 2),
        ledger={"stored": 2, "duplicate": 2},
        sums={"predictions": 2},
        monitoring=V1,
    ),
    situation(
        "as Knative's Kafka sink writes them: in binary mode, with a form's content type",
        told=in_order(
            binary(kserve("request", "a", ASKED, datacontenttype="application/x-www-form-urlencoded")),
            binary(kserve("response", "a", TOLD, time="2026-03-01T12:00:00.501752983Z")),
        ),
        ledger={"stored": 2},
        sums={"predictions": 2},
        monitoring=V1,
    ),
    situation(
        "as base64, where the content type says that it is no JSON",
        told=in_order(
            kserve("request", "a", None, data_base64="eyJpbnN0YW5jZXMiOiBbMV19"),
            kserve("response", "a", None, data_base64="eyJwcmVkaWN0aW9ucyI6IFsxMC4wXX0="),
            kserve("request", "a", {"instances": [1]}),
        ),
        ledger={"stored": 2, "duplicate": 1},
        sums={"predictions": 1},
        monitoring=V1,
    ),
    situation(
        "the Open Inference Protocol, whose columns are one X",
        told=in_order(
            kserve("request", "a", {"inputs": [{"name": "x", "shape": [2, 1], "datatype": "FP64", "data": [1, 2]}]}),
            kserve("response", "a", {"outputs": [{"name": "y", "shape": [2], "datatype": "FP64", "data": [3, 4]}]}),
            outcome("a", 0, row=1),
        ),
        ledger={"stored": 3},
        sums={"predictions": 2, "now.e": 4 * UNIT},
        labels=ONE_LABEL,
        monitoring=V2,
    ),
    situation(
        "a caller that used an id twice: the same X is a repeat, another one is in conflict",
        told=in_order(
            kserve("request", "a", ASKED),
            kserve("request", "a", ASKED, at=1),
            kserve("request", "a", {"instances": [[6.8, 2.8], [0, 0]]}, at=2),
        ),
        ledger={"stored": 1, "repeat": 1, "conflict": 1},
        sums={"conflicts": 1},
        dead=["conflict"],
        monitoring=V1,
    ),
    situation(
        "an explanation is no prediction",
        told=in_order(kserve("request", "a", ASKED, component="explainer")),
        ledger={"ignored": 1},
        sums={"predictions": 0},
        monitoring=V1,
    ),
    situation(
        "an answer without the list, and one that is no JSON",
        told=in_order(
            kserve("response", "a", {"error": "no model"}), kserve("response", "b", None, data_base64="AP8=")
        ),
        ledger={"invalid": 2},
        sums={"predictions": 0},
        dead=["invalid", "invalid"],
        monitoring=V1,
    ),
    situation(
        "ids and names that cannot be",
        told=in_order(
            kserve("response", "bad id!", TOLD),
            kserve("response", "a", TOLD, namespace=None),
            kserve("response", "a", TOLD, namespace="No Such"),
            kserve("response", "a", TOLD, component="a\0b"),
        ),
        ledger={"invalid": 4},
        sums={"predictions": 0},
        dead=["unreadable"] * 4,
        monitoring=V1,
    ),
    situation(
        "without a time of its own it has the broker's, and one that is too old is late",
        told=[(kserve("response", "a", TOLD, time=None), 1), (kserve("response", "b", TOLD, at=-WEEK - 1), 0)],
        ledger={"stored": 1, "late": 1},
        sums={"predictions": 2},
        monitoring=V1,
    ),
]

SITUATIONS = [*REPEATS, *AMENDMENTS, *DELETIONS, *TIMES, *APART, *MANY, *KSERVE]
