"""A scene for faults: a troubled topic on a real broker, a database, monitors, and what must be so at the end.

The stream and the end are the same whatever happens in between. At the end every offset has an entry in the ledger,
every label too, and the sums are those that `recompute.py` makes of the topic, to the last bit.
"""

from __future__ import annotations

import importlib.util
import io
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from kafka import KafkaProducer
from switchyard_contracts.topic_names import TopicNames
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.domain.entries import Cell, PairCell

from switchyard_testkit.kafka import Broker
from switchyard_testkit.monitor_process import MonitorProcess
from switchyard_testkit.monitor_world import MONITORING, SUBJECT, model_record
from switchyard_testkit.recheck import RECOMPUTE
from switchyard_testkit.troubled_stream import FOREIGN, PARTITIONS, Sent, poison, stream
from switchyard_testkit.waiting import until

PREDICTIONS = 900
BASE = f"/v1/deployments/{SUBJECT}"


@dataclass
class Scene:
    """One fault's. `url` names a database that has all tables, and nothing in them."""

    kafka: Broker
    topics: TopicNames
    folder: Path
    url: str
    monitors: list[MonitorProcess] = field(default_factory=list)
    lost: set[tuple[int, int]] = field(default_factory=set)
    """Partitions and offsets that nobody can read any more, and nobody has read."""
    _stream: list[Sent] = field(default_factory=list)
    _records: dict[tuple[int, int], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for topic, partitions in (("events", PARTITIONS), ("models", 1), ("deadletter", 1), ("alarms", 1)):
            self.kafka.create(getattr(self.topics, topic), partitions=partitions)
        now = time.time()
        self._stream = stream(random.Random(7), now=now, predictions=PREDICTIONS)
        self._unreadable = {value for value, _ in poison(now)}
        self.records = len(self._stream)
        self._send(self.topics.models, [Sent(0, model_record())], key=SUBJECT.encode())

    def monitor(self, **settings: str) -> MonitorProcess:
        """One more, which is not started."""
        name = f"monitor-{len(self.monitors)}"
        (folder := self.folder / name).mkdir()
        usual = {"MONITOR_MEMBER": name, "MONITOR_BATCH": "50", "MONITOR_LINGER": "20ms"}
        made = MonitorProcess(folder, self.kafka.servers, self.topics, self.url, settings=usual | settings)
        self.monitors.append(made)
        return made

    def tell(self, share: float = 1.0) -> None:
        """Send so much of the stream as is not sent yet; all of it, unless told otherwise."""
        count = min(len(self._stream), round(share * self.records))
        now, self._stream = self._stream[:count], self._stream[count:]
        self._send(self.topics.events, now)

    def tell_one(self, partition: int, count: int) -> None:
        """Send the next so many of one partition, before all others'."""
        mine = [place for place, sent in enumerate(self._stream) if sent.partition == partition][:count]
        self._send(self.topics.events, [self._stream[place] for place in mine])
        for place in reversed(mine):
            del self._stream[place]

    def ends(self) -> dict[int, int]:
        """Where the topic of events ends by now."""
        return {number: end for number, (_, end) in self.kafka.bounds(self.topics.events).items()}

    def read(self, *, but: int | None = None) -> None:
        """Wait until all was read that was told; of one partition it may not be so."""
        ends = {number: end for number, end in self.ends().items() if number != but}

        def places() -> dict[int, int | None]:
            return {one.partition: one.next_offset for one in self.positions() if one.partition in ends}

        until(lambda: places() == ends, f"everything up to {ends} was read", seconds=200, every=0.05)

    def positions(self) -> list[Any]:
        """How far partitions were read, and by whom."""
        with self.store() as store:
            return store.positions()

    @contextmanager
    def store(self) -> Iterator[SqlStore]:
        """The database, as one more process has it."""
        store = SqlStore(self.url)
        try:
            yield store
        finally:
            store.close()

    def remember(self) -> None:
        """Know what the topic holds, before the broker forgets it."""
        for record in self.kafka.read(self.topics.events):
            self._records[record.partition, record.offset] = record

    def close(self) -> None:
        """End what was started."""
        for monitor in self.monitors:
            monitor.end(signal.SIGKILL)

    # --- what must be so at the end ---------------------------------------------------------------------------------

    def holds(self) -> None:
        """Wait until the rest was read, and see that nothing is missing, nothing is there twice and no sum is off."""
        self.tell()
        self.read()
        self.remember()
        assert len(self._records) == self.records, len(self._records)
        monitor = next(one for one in self.monitors if one.process is not None and one.process.poll() is None)
        counted = self._books(monitor.get(f"{BASE}/ledger"))
        self._letters(counted)
        said = self._recomputed(monitor)
        assert said.endswith(" overrides\n"), said
        assert counted["duplicate"] + counted["deleted"] > self.records // 15, f"a tenth come twice: {counted}"
        for column in ("late", "deleted", "superseded", "stale", "conflict", "skewed"):
            assert counted[column] > 10, f"what becomes {column} is not tried: {counted}"
        for monitor in self.monitors:
            monitor.end()
            assert "Traceback" not in monitor.log.read_text()

    def _books(self, books: dict[str, Any]) -> Counter[str]:
        """See that they close: by what the monitor says of itself, and by what the topic holds."""
        ends, total = self.ends(), Counter[str]()
        for line in books["partitions"]:
            number, columns = line["partition"], line["columns"]
            assert line["closes"], line
            lost = sum(1 for partition, _ in self.lost if partition == number)
            assert (line["baseOffset"], line["nextOffset"], line["stopped"]) == (0, ends[number], None), line
            assert sum(columns.values()) == ends[number], line
            assert columns.get("gaps", 0) == lost, line
            total.update(columns)
            total["skewed"] += line["skewed"]
        values = Counter(record.value for record in self._known())
        invalid = sum(n for value, n in values.items() if value in self._unreadable)
        assert total["invalid"] == invalid > self.records // 120, (invalid, total)
        assert total["ignored"] == values[FOREIGN] > self.records // 120, total
        labels = books["labels"]
        assert labels["closes"], labels
        ends_of_labels = ("joined", "orphan", "expired", "deleted")
        assert labels["received"] == sum(labels[name] for name in ends_of_labels) > self.records // 4, labels
        return total

    def _letters(self, counted: Counter[str]) -> None:
        """See that what could not be taken in lies there whole, under one id each."""
        due = counted["invalid"] + counted["conflict"]

        def letters() -> dict[bytes, Any]:
            return {dict(each.headers)["switchyard-id"]: each for each in self.kafka.read(self.topics.deadletter)}

        found = until(lambda: held if len(held := letters()) >= due else {}, f"{due} dead letters came", seconds=60)
        assert len(found) == due, len(found)
        for letter in found.values():
            said = dict(letter.headers)
            record = self._records[int(said["switchyard-partition"]), int(said["switchyard-offset"])]
            if "switchyard-cut-from" in said:
                assert int(said["switchyard-cut-from"]) == len(record.value) > 1_000_000
                assert record.value.startswith(letter.value)
            else:
                assert letter.value == record.value
                assert letter.key == record.key

    def _recomputed(self, monitor: MonitorProcess) -> str:
        """What the batch says of the monitor's sums and of its API's answers; it raises where anything differs."""
        files = {name: self.folder / f"{name}.json" for name in ("events", "monitoring", "found")}
        events = [record for record in self._known() if record.value not in {*self._unreadable, FOREIGN}]
        with files["events"].open("w", encoding="utf-8") as file:
            for record in events:
                place = {"partition": record.partition, "offset": record.offset, "timestamp": record.timestamp}
                file.write(json.dumps({**place, "value": json.loads(record.value)}) + "\n")
        files["monitoring"].write_text(json.dumps(MONITORING))
        answers = {"counts": "counts", "quality": "quality", "pairCounts": "pairs"}
        found = self._stored() | {name: monitor.get(f"{BASE}/{path}") for name, path in answers.items()}
        files["found"].write_text(json.dumps(found))
        with redirect_stdout(io.StringIO()) as told:
            code = _recompute().main([f"--{name}={path}" for name, path in files.items()])
        assert code == 0, told.getvalue()
        return told.getvalue()

    def _stored(self) -> dict[str, Any]:
        with self.store() as store:
            arms, pairs = store.arms(SUBJECT), store.pairs(SUBJECT)
            return {
                "cells": [_arm_sums(cell) for cell in store.cells(arms)],
                "days": [_arm_sums(cell) for cell in store.days(arms)],
                "pairs": [_pair_sums(cell) for cell in store.pair_cells(pairs)],
            }

    def _known(self) -> Iterator[Any]:
        """The records that could be read."""
        return (record for place, record in self._records.items() if place not in self.lost)

    def _send(self, topic: str, records: list[Sent], *, key: bytes = b"k") -> None:
        producer = KafkaProducer(bootstrap_servers=self.kafka.servers, acks="all", linger_ms=20)
        futures = [
            producer.send(topic, sent.value, key=key, partition=sent.partition, headers=list(sent.headers))
            for sent in records
        ]
        for future in futures:
            future.get(60)
        producer.close()


def _arm_sums(cell: Cell) -> dict[str, Any]:
    arm = cell.arm
    whose = {"revision": arm.revision, "role": arm.role, "traffic": arm.traffic, "weightBp": arm.weight_bp}
    return {**whose, "assignment": arm.assignment, "start": cell.start_us, "sums": cell.sums}


def _pair_sums(cell: PairCell) -> dict[str, Any]:
    pair = cell.pair
    whose = {"stable": pair.stable, "mirrored": pair.mirrored, "traffic": pair.traffic}
    return {**whose, "start": cell.start_us, "sums": cell.sums}


def _recompute() -> ModuleType:
    """The batch, which imports nothing of ours; loaded once, since pandas takes longer to load than to count this."""
    if (loaded := sys.modules.get("recompute")) is None:
        spec = importlib.util.spec_from_file_location("recompute", RECOMPUTE)
        assert spec is not None
        assert spec.loader is not None
        loaded = sys.modules["recompute"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
    return loaded


Fault = Callable[[Scene], None]
