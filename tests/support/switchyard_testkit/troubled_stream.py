"""A topic that knew every trouble at once: shuffled over all partitions, a tenth of it twice, clocks that are wrong by
minutes, hours and days, predictions that are to be forgotten, one record in a hundred that nobody can read.

What is read of it must be what a batch makes of the same records, whatever befalls the reader meanwhile.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from switchyard_testkit.monitor_world import NOON, SUBJECT, decision, deletion, inference, mirrored, outcome

PARTITIONS = 6
HOUR, DAY = 3600.0, 86_400.0
FOREIGN = b'{"type": "com.example.tick"}'
"""Somebody else's: it is passed over."""


class Sent(NamedTuple):
    """A record before it has a place in the log."""

    partition: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def stream(chance: random.Random, *, now: float, predictions: int) -> list[Sent]:
    """All of it, in the order in which it is to be sent; `now` in seconds since 1970."""
    sent: list[Sent] = []
    for number in range(predictions):
        sent += _prediction(chance, number, now - NOON.timestamp())
    sent += chance.sample(sent, k=len(sent) // 10)
    chance.shuffle(sent)
    bad = poison(now)
    for place in range(len(sent), 0, -100):
        sent.insert(place, Sent(chance.randrange(PARTITIONS), *bad[place // 100 % len(bad)]))
        sent.insert(chance.randrange(len(sent)), Sent(chance.randrange(PARTITIONS), FOREIGN))
    return sent


def _prediction(chance: random.Random, number: int, now: float) -> Iterator[Sent]:
    """One prediction's events; labels lie anywhere, unless the prediction is to be forgotten."""
    name, home = f"p{number}", number % PARTITIONS
    at = now + _skew(chance)
    forgotten = chance.random() < 0.05

    def say(value: bytes, *, beside: int = 0) -> Sent:
        return Sent(home if forgotten else (home + beside) % PARTITIONS, value)

    facts: dict[str, Any] = {"y": chance.gauss(20, 30), "latencyUs": chance.randrange(9000)}
    yield say(inference(name, at=at, traffic=3 + number % 2, **facts))
    if chance.random() < 0.6:
        y, latency = chance.gauss(20, 30), chance.randrange(9000)
        yield say(mirrored(name, y=y, at=at + 0.01, latencyUs=latency, traffic=3 + number % 2))
    if chance.random() < 0.04:
        yield say(inference(name, at=at, x=2, event_id=f"other-{number}", traffic=3 + number % 2))
    if chance.random() < 0.9:
        yield say(outcome(name, chance.gauss(20, 40), at=at + 1), beside=1)
    if chance.random() < 0.1:
        yield say(outcome(name, chance.gauss(20, 40), at=at + 2, revision=1), beside=1)
    if chance.random() < 0.5:
        yield say(decision(name, chance.random() < 0.5, at=at + 1), beside=3)
    if forgotten:
        yield say(deletion(name, at=at))


def _skew(chance: random.Random) -> float:
    """How far a producer's clock is off, in seconds: mostly less than is minded, and sometimes out of all reason."""
    kind = chance.random()
    if kind < 0.80:
        return chance.uniform(-60, 120)
    if kind < 0.88:
        return chance.uniform(10, 60) * 60  # ahead: it becomes the broker's time
    if kind < 0.94:
        return -chance.uniform(2, 20) * HOUR
    return -chance.uniform(8, 9) * DAY  # too late


def poison(now: float) -> list[tuple[bytes | None, tuple[tuple[str, bytes], ...]]]:
    """Values and headers of records that nobody can take in, each for a reason of its own; none is too late."""
    at = now - NOON.timestamp()
    good, label = json.loads(inference("bad", at=at)), json.loads(outcome("bad", 1.0, at=at))

    def bent(event: dict[str, object], **data: object) -> bytes:
        return json.dumps({**event, "data": {**event["data"], **data}}).encode()  # type: ignore[dict-item]

    avro = tuple(
        (f"ce_{name}", str(good[name]).encode()) for name in ("specversion", "id", "type", "source", "subject")
    )
    values: list[bytes | None] = [
        None,
        b"",
        b"{",
        b"\xff\xfe\x00poison",
        b"null",
        b"[" * 100_000,
        b"\x00" * 1_048_400,  # its letter has no room for what is said of it, and is cut
        json.dumps({**good, "data": None}).encode(),
        json.dumps({**good, "id": "a\0b"}).encode(),
        json.dumps({**good, "id": "i" * 1000}).encode(),
        json.dumps({**good, "subject": "nobody"}).encode(),
        bent(good, predictionId="not an id"),
        bent(good, traffic=10**300),
        bent(good, revision="r\0r"),
        bent(good, revision=["stable-1"]),
        bent(good, weightBp=-1),
        bent(good, startedAt="2026-03-01T12:00:00"),
        bent(good, startedAt="yesterday"),
        bent(good, request={"encoding": "json", "value": 0}).replace(b'"value": 0', b'"value": ' + b"[" * 5000),
        bent(label, row=10**30),
        bent(label, row=1.5),
        bent(label, revision=2**70),
        bent(label, at=5e400),
        bent(label, value={"delay": "late"}, predictionId="word"),
        bent(label, value={"delay": float("nan")}, predictionId="nan"),
        bent(label, value=None, predictionId="none"),
        bent(label, actor={"kind": "Ä" * 99}),
        inference("binary").replace(SUBJECT.encode(), b"a/b/c"),
    ]
    plain = [(value, ()) for value in values]
    return [*plain, (b"Obj\x01\x04avro", (*avro, ("content-type", b"application/avro")))]
