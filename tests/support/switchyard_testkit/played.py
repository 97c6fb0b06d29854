"""Events as the gateway and the feedback service write them, by the million: for the benchmarks.

Making one by its types costs more than reading it. So one of each kind is made by its types, and all others are its
text with other ids, times and values. There are 2,000 different requests.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from switchyard_contracts.events import Assignment, Body, EventType, Inference, Label, Part, encode, event, key
from switchyard_contracts.model_route import RouteRole
from switchyard_profile.reference import Reference
from switchyard_profile.training import Options, reference

from switchyard_testkit.monitor_world import NOON, SUBJECT

REQUESTS = 2000
RATE = 100.0
"""Requests a second of the traffic that is played."""
DELAY = 3600.0
"""Seconds from a prediction to its outcome."""
APART = 10_000
NAMES = ("AA", "B6", "DL", "EV", "MQ", "UA", "US", "WN")
_LATENCY = 7_654_321


@dataclass(frozen=True, slots=True)
class Play:
    """Predictions in order of time, and the outcome of each, `apart` predictions later.

    So an outcome finds its prediction in the database, not in the transaction that it is part of itself.
    """

    predictions: int
    features: int
    outcomes: bool
    apart: int = APART

    @classmethod
    def of_length(cls, events: int, *, features: int) -> Self:
        """With outcomes, about so many events."""
        return cls((events + APART) // 2, features, outcomes=True)

    @property
    def joined(self) -> int:
        """How many predictions get their outcome."""
        return max(0, self.predictions - self.apart) if self.outcomes else 0

    @property
    def length(self) -> int:
        """How many events there are."""
        return self.predictions + self.joined

    @property
    def per_prediction(self) -> int:
        """How many events a prediction has, from when the first outcomes come."""
        return 2 if self.outcomes else 1

    @property
    def reference(self) -> Reference:
        """What X and Y are held against: the requests that there are, answered by chance."""
        chance = random.Random(2)
        columns: dict[str, list[Any]] = {"answer": [chance.gauss(0, 30) for _ in range(REQUESTS)]}
        for request in map(json.loads, self._requests()):
            for name, value in request.items():
                columns.setdefault(name, []).append(value)
        return reference(columns, options=Options(prediction="answer"))

    def events(self, *, now: float) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values; none is of a time after `now`, in seconds since 1970."""
        chance = random.Random(1)
        inference, outcome = _inference(), _outcome()
        requests = self._requests()
        start = now - self.predictions / RATE - DELAY
        ids: dict[int, str] = {}
        for number in range(self.predictions):
            at = start + number / RATE
            drawn = f"{chance.getrandbits(128):032x}"
            name = f"{int(at * 1000)}-{drawn[:8]}-{drawn[8:12]}-{drawn[12:16]}-{drawn[16:20]}-{drawn[20:]}"
            said = {"latency": int(chance.lognormvariate(8, 0.5)), "request": requests[number % REQUESTS]}
            yield _filled(inference, chance, name, at, value=chance.gauss(0, 30), **said)
            if self.outcomes:
                ids[number] = name
                if number >= self.apart:
                    before = number - self.apart
                    after = start + before / RATE + DELAY
                    yield _filled(outcome, chance, ids.pop(before), after, value=chance.gauss(0, 30))

    def _requests(self) -> list[str]:
        chance = random.Random(3)
        return [_request(chance, self.features) for _ in range(REQUESTS)]


def _filled(text: str, chance: random.Random, name: str, at: float, **values: Any) -> tuple[bytes, bytes]:
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    values |= {"id": name, "time": time, "event": f"{chance.getrandbits(128):032x}"}
    return key(SUBJECT, name), (text % values).encode()


def _request(chance: random.Random, features: int) -> str:
    """One X: three of four features are numbers, the fourth is a name."""
    value = {f"feature{n}": chance.random() * 100 if n % 4 else chance.choice(NAMES) for n in range(features)}
    return json.dumps(value, separators=(",", ":"))


def _inference() -> str:
    data = Inference(
        prediction_id="ID",
        revision="flight-delay-5d9c7b6f44",
        version="1.0.0",
        role=RouteRole.STABLE,
        traffic=3,
        weight_bp=10_000,
        assignment=Assignment.SPLIT,
        status=200,
        error=False,
        latency_us=_LATENCY,
        started_at=NOON,
        pod="10.0.0.1:3000",
        request=Body(encoding="json", value="REQUEST", content_type="application/json"),
        response=Body(encoding="json", value={"delay": "VALUE"}, content_type="application/json"),
    )
    return _template(EventType.INFERENCE, data)


def _outcome() -> str:
    return _template(EventType.OUTCOME, Label(prediction_id="ID", value={"delay": "VALUE"}, at=NOON, token="bench"))


def _template(kind: EventType, data: Part) -> str:
    text = encode(event(kind, event_id="EVENT", source="/switchyard", subject=SUBJECT, time=NOON, data=data)).decode()
    time = NOON.isoformat(timespec="microseconds").replace("+00:00", "Z")
    holes = {
        '"ID"': '"%(id)s"',
        '"EVENT"': '"%(event)s"',
        '"VALUE"': "%(value)r",
        '"REQUEST"': "%(request)s",
        f'"{time}"': '"%(time)s"',
        f"{_LATENCY}": "%(latency)d",
    }
    for marked, hole in holes.items():
        text = text.replace(marked, hole)
    return text
