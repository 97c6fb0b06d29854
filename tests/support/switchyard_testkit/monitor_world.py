"""A small world for the monitor's tests: a deployment, its events, and a reader over a broker in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from switchyard_contracts.events import EventType
from switchyard_contracts.model_deployment import Monitoring
from switchyard_contracts.topics import ModelRecord, RolloutRecord
from switchyard_monitor.adapters.drift_book import SqlDriftBook
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain.retention import Keep
from switchyard_monitor.domain.sums import add
from switchyard_monitor.drift_keeper import DriftKeeper
from switchyard_monitor.drifting import Drifting
from switchyard_monitor.models import Models
from switchyard_monitor.pruner import Piece, Pruner
from switchyard_monitor.reader import Pace, Reader
from switchyard_monitor.rosters import Rosters
from switchyard_profile import training

from switchyard_testkit.local_broker import LocalBroker

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOON_US = int(NOON.timestamp()) * 1_000_000
SUBJECT = "demo/flight-delay"
SECOND = 1_000_000

MONITORING: dict[str, Any] = {
    "prediction": {"path": "$.delay", "task": "regression"},
    "decision": {"path": "$.buffer", "threshold": 15},
    "outcome": {
        "path": "$.delay",
        "horizon": "7d",
        "judgedAfter": "20s",
        "affectedBy": "nothing",
    },
    "window": "5s",
}
REFERENCE = training.reference(
    {"x": [n % 5 for n in range(50)], "delay": [float(n) for n in range(50)]},
    options=training.Options(prediction="delay"),
)
WATCHED = MONITORING | {"reference": REFERENCE.digest}
"""The same, with X and Y counted in a reference's bins, once that is in the store."""

CLASSES: dict[str, Any] = {
    **MONITORING,
    "prediction": {
        "path": "$.said",
        "task": "classification",
        "classes": ["late", "early"],
        "positive": "late",
        "score": "$.late",
    },
    "decision": {"path": "$.buffer"},
}
"""The same of a classification that says how sure it is."""

ROWS: dict[str, Any] = {**MONITORING, "rows": {"request": "$.rows", "response": "$.answers"}}
"""The same where a request carries many rows."""


def model_record(
    monitoring: Mapping[str, Any] | None = MONITORING, *, subject: str = SUBJECT, stable: str = ""
) -> bytes:
    """A deployment's record on `switchyard.models`."""
    namespace, _, name = subject.partition("/")
    record = ModelRecord(
        namespace=namespace,
        name=name,
        generation=1,
        stable=stable,
        monitoring=None if monitoring is None else Monitoring.model_validate(monitoring),
    )
    return record.model_dump_json(by_alias=True).encode()


def inference(
    prediction_id: str,
    *,
    y: Any = 10.0,
    x: Any = 1,
    at: float = 0.0,
    event_id: str | None = None,
    subject: str = SUBJECT,
    **changes: Any,
) -> bytes:
    """An exchange at NOON plus `at` seconds; each test says only what differs."""
    data = {
        "predictionId": prediction_id,
        "revision": "stable-1",
        "answeredBy": "",
        "role": "stable",
        "traffic": 3,
        "weightBp": 10_000,
        "assignment": "split",
        "status": 200,
        "error": False,
        "latencyUs": 5000,
        "startedAt": _time(at),
        "request": {"encoding": "json", "value": {"x": x}},
        "response": {"encoding": "json", "value": {"delay": y}},
    } | changes
    return _event(EventType.INFERENCE, event_id or f"x-{prediction_id}", data, subject=subject)


def classified(prediction_id: str, said: str, score: Any = None, **changes: Any) -> bytes:
    """An exchange as `CLASSES` reads it."""
    body = {"encoding": "json", "value": {"said": said, "late": score}}
    return inference(prediction_id, **({"response": body} | changes))


def mirrored(prediction_id: str, *, event_id: str | None = None, revision: str = "next-2", **changes: Any) -> bytes:
    """The answer of a mirrored revision to stable's request, under the same prediction id."""
    facts: dict[str, Any] = {"role": "shadow"} | changes
    return inference(prediction_id, event_id=event_id or f"x-{prediction_id}:mirror", revision=revision, **facts)


def batch(prediction_id: str, ys: Sequence[Any], *, xs: Sequence[Any] | None = None, **changes: Any) -> bytes:
    """An exchange of many rows, as `ROWS` reads it."""
    asked = {"rows": [{"x": x} for x in (range(len(ys)) if xs is None else xs)]}
    bodies: dict[str, Any] = {
        "request": {"encoding": "json", "value": asked},
        "response": {"encoding": "json", "value": {"answers": [{"delay": y} for y in ys]}},
    }
    return inference(prediction_id, **(bodies | changes))


def input_alone(prediction_id: str, *, x: Any = 1, **changes: Any) -> bytes:
    """An X that came without its Y, of the row that it names."""
    return _alone(EventType.INPUT, prediction_id, {"x": x}, **changes)


def prediction_alone(prediction_id: str, *, y: Any = 10.0, **changes: Any) -> bytes:
    """A Y that came without its X. Both have the same event id, where a test says nothing else."""
    return _alone(EventType.PREDICTION, prediction_id, {"delay": y}, **changes)


def _alone(
    kind: EventType,
    prediction_id: str,
    value: Any,
    *,
    at: float = 0.0,
    row: int = 0,
    event_id: str | None = None,
    subject: str = SUBJECT,
    **changes: Any,
) -> bytes:
    data = {"predictionId": prediction_id, "row": row, "revision": "batch-1", "at": _time(at), "value": value} | changes
    return _event(kind, event_id or f"a-{prediction_id}-{row}", data, subject=subject)


def kserve(word: str, prediction_id: str, body: Any, *, at: float = 0.0, **attributes: Any) -> bytes:
    """What KServe's logger says of a `request` or a `response`, as a structured CloudEvent."""
    event = {
        "specversion": "1.0",
        "id": prediction_id,
        "source": "http://localhost:9081/",
        "type": f"org.kubeflow.serving.inference.{word}",
        "time": _time(at),
        "datacontenttype": "application/json",
        "inferenceservicename": "flight-delay",
        "namespace": "demo",
        "component": "predictor",
        "endpoint": "",
        "data": body,
    }
    return json.dumps({name: value for name, value in (event | attributes).items() if value is not None}).encode()


def binary(structured: bytes) -> dict[str, Any]:
    """A structured event as Kafka carries it in binary mode: `value` and `headers`."""
    event = json.loads(structured)
    data, media = event.pop("data"), event.pop("datacontenttype")
    headers = (*((f"ce_{name}", str(text).encode()) for name, text in event.items()), ("content-type", media.encode()))
    return {"value": json.dumps(data).encode(), "headers": headers}


def outcome(
    prediction_id: str,
    value: Any,
    *,
    at: float = 0.0,
    revision: int = 0,
    event_id: str | None = None,
    subject: str = SUBJECT,
    row: int = 0,
) -> bytes:
    """An X′."""
    data = {"predictionId": prediction_id, "row": row, "value": {"delay": value}, "at": _time(at), "revision": revision}
    return _event(EventType.OUTCOME, event_id or f"o-{prediction_id}-{revision}", data, subject=subject)


def decision(
    prediction_id: str,
    value: Any,
    *,
    at: float = 0.0,
    revision: int = 0,
    actor: str = "human",
    event_id: str | None = None,
    subject: str = SUBJECT,
    row: int = 0,
) -> bytes:
    """A Y′."""
    data = {
        "predictionId": prediction_id,
        "row": row,
        "value": {"buffer": value},
        "at": _time(at),
        "revision": revision,
        "actor": {"kind": actor},
    }
    return _event(EventType.DECISION, event_id or f"d-{prediction_id}-{revision}", data, subject=subject)


def deletion(prediction_id: str, *, at: float = 0.0, subject: str = SUBJECT) -> bytes:
    """A wish to be forgotten."""
    data = {"predictionId": prediction_id, "at": _time(at)}
    return _event(EventType.DELETION, f"del-{prediction_id}", data, subject=subject)


def _event(kind: EventType, event_id: str, data: Mapping[str, Any], *, subject: str) -> bytes:
    """Plain JSON, so that a test can also say what no producer of ours would."""
    envelope = {
        "specversion": "1.0",
        "id": event_id,
        "type": kind.value,
        "source": "/tests",
        "subject": subject,
        "time": NOON.isoformat(),
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(envelope, ensure_ascii=False).encode()


def _time(at: float) -> str:
    return (NOON + timedelta(seconds=at)).isoformat()


@dataclass
class World:
    """A broker, a store and one reader; time stands still until a test moves it."""

    path: Path
    template: Path | None = None
    """An empty database that was brought up to date, to be copied: faster than doing so again."""
    url: str | None = None
    """A database elsewhere that was brought up to date; else it is a SQLite file in the folder."""
    broker: LocalBroker = field(default_factory=LocalBroker)
    pace: Pace = field(default_factory=lambda: Pace(linger=0.0, margin_us=0))
    now_us: int = NOON_US
    store: SqlStore = field(init=False)
    reader: Reader = field(init=False)
    models: Models = field(init=False)

    def __post_init__(self) -> None:
        if self.template is not None:
            shutil.copy(self.template, self.path / "monitor.db")
        self.open()
        if self.template is None and self.url is None:
            self.store.migrate()
        self.start()

    def open(self) -> None:
        """Open the store, as a new process does."""
        self.store = SqlStore(self._database)

    @property
    def _database(self) -> str:
        return self.url or f"sqlite:///{self.path / 'monitor.db'}"

    def start(self) -> None:
        """A new process: nothing is remembered but what the store keeps."""
        self.models = Models()
        self.broker.restart_learning()
        self.reader = self.join("monitor-0", self.broker, self.models)

    def join(self, name: str, broker: LocalBroker, models: Models) -> Reader:
        """A member of the group."""
        return Reader(
            member=name, broker=broker, store=self.store, models=models, pace=self.pace, clock_us=lambda: self.now_us
        )

    def pruner(
        self,
        *,
        keep: Keep | None = None,
        piece: Piece | None = None,
        name: str = "monitor-0",
        rollout: Callable[[str], RolloutRecord | None] = lambda _: None,
        behind: Callable[[str], bool] = lambda _: False,
        doubt: str = "",
        database_us: int | None = None,
    ) -> Pruner:
        """Who puts away what is old; no rollout is under way, unless a test says so."""
        return Pruner(
            member=name,
            store=self.store,
            upkeep=self.store.upkeep,
            rosters=Rosters(self.models, Baselines(self.store), clock_us=lambda: self.now_us),
            rollout=rollout,
            keep=keep or Keep(),
            clock_us=lambda: self.now_us,
            database_us=lambda: self.now_us if database_us is None else database_us,
            behind=behind,
            doubt=lambda: doubt,
            piece=piece or Piece(),
        )

    def teach(
        self, monitoring: Mapping[str, Any] | None = MONITORING, *, subject: str = SUBJECT, stable: str = ""
    ) -> None:
        """Publish the deployment."""
        self.broker.teach(subject, model_record(monitoring, subject=subject, stable=stable))

    def say(self, value: bytes | None, *, at: float = 0.0, partition: int = 0, **more: Any) -> int:
        """Append a record that reaches the broker at NOON plus `at` seconds."""
        return self.broker.append(value, partition=partition, at_us=NOON_US + round(at * SECOND), **more)

    def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self.now_us += round(seconds * SECOND)

    def tick(self) -> None:
        """Time passes at the broker too: a record of a type that is not ours reaches each partition."""
        for partition in range(self.broker.partitions):
            self.broker.append(b'{"type": "tick"}', partition=partition, at_us=self.now_us)

    def run(self) -> None:
        """Passes until nothing is left to be read."""
        while self.reader.step():
            pass

    def elapse(self, seconds: float) -> None:
        """So much later: everything is read, and nothing new is there but that others' events come."""
        self.run()
        self.pass_time(seconds)
        self.tick()
        self.run()

    def drifting(self, *, clock: Callable[[], float] = lambda: 0.0) -> Drifting:
        """What Prometheus is told of drift."""
        return Drifting(
            store=self.store,
            book=SqlDriftBook(self._database),
            models=self.models,
            baselines=Baselines(self.store),
            clock=clock,
        )

    def judge_drift(self) -> int:
        """Have every window judged that is due and over, by a new process; how many were."""
        book = SqlDriftBook(self._database)
        keeper = DriftKeeper(
            member="monitor-0",
            store=self.store,
            book=book,
            baselines=Baselines(self.store),
            clock_us=lambda: self.now_us,
        )
        judged = 0
        while done := keeper.step():
            judged += done
        book.close()
        return judged

    def sums(self, subject: str = SUBJECT) -> dict[tuple[str, str, int, int], dict[str, int]]:
        """All sums, by (revision, role, traffic, start of the window in seconds after NOON)."""
        return {
            (cell.arm.revision, cell.arm.role, cell.arm.traffic, (cell.start_us - NOON_US) // SECOND): cell.sums
            for cell in self.store.cells(self.store.arms(subject))
            if cell.sums
        }

    def day_sums(self, subject: str = SUBJECT) -> dict[tuple[str, str, int, int], dict[str, int]]:
        """The sums of days, by (revision, role, traffic, start of the day in seconds after NOON)."""
        found: dict[tuple[str, str, int, int], dict[str, int]] = {}
        for cell in self.store.days(self.store.arms(subject)):
            place = cell.arm.revision, cell.arm.role, cell.arm.traffic, (cell.start_us - NOON_US) // SECOND
            if cell.sums:
                add(found.setdefault(place, {}), cell.sums)
        return found

    def sums_of_arms(self, subject: str = SUBJECT) -> list[dict[str, int]]:
        """All sums, whichever revision, role, generation, weight or window they are of."""
        return [cell.sums for cell in self.store.cells(self.store.arms(subject))]

    def pair_sums(self, subject: str = SUBJECT) -> dict[tuple[str, str, int, int], dict[str, int]]:
        """The sums of pairs, by (stable, mirrored, traffic, start of the window in seconds after NOON)."""
        return {
            (cell.pair.stable, cell.pair.mirrored, cell.pair.traffic, (cell.start_us - NOON_US) // SECOND): cell.sums
            for cell in self.store.pair_cells(self.store.pairs(subject))
            if cell.sums
        }

    def ledger(self) -> dict[str, int]:
        """The columns of all partitions together."""
        total: dict[str, int] = {}
        for ledger in self.store.ledgers():
            for column, value in ledger.columns.items():
                total[column] = total.get(column, 0) + value
        return total
