"""The ledger: whatever befalls the monitor on a real broker, everything is counted once, on both kinds of databases.

Each fault is made in the middle of the same troubled stream (`troubled_stream`: poison, duplicates, shuffled events,
wrong clocks), and first shows that it struck. The end is the same for all (`Scene.holds`). A kill at each statement of
every kind of fact is tried in `test_monitor_crashes`, and of the process again and again in `test_monitor_process`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from switchyard_contracts.topic_names import TopicNames
from switchyard_monitor.adapters import statements
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.bus import KafkaBroker
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.domain.leases import owner
from switchyard_monitor.errors import StoreUnavailable
from switchyard_monitor.models import Models
from switchyard_monitor.reader import Pace, Reader
from switchyard_testkit import commands
from switchyard_testkit.cache import Cache
from switchyard_testkit.databases import Databases
from switchyard_testkit.halting import halt
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.ledger_scene import Fault, Scene
from switchyard_testkit.monitor_process import MonitorProcess
from switchyard_testkit.postgres import SYSTEM_USER, Postgres
from switchyard_testkit.small_volume import SmallVolume, small_volume
from switchyard_testkit.troubled_stream import PARTITIONS
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(900)

STORM_TURNS = 6
RESTLESS = {"MONITOR_LEASE": "1500ms", "MONITOR_PULSE": "100ms"}
"""Short enough to be waited for, and long enough for a busy machine: whoever cannot keep its leases is robbed anew."""
FORGETS = {"log.initial.task.delay.ms": 0, "log.retention.check.interval.ms": 100}
"""What a broker does about retention every five minutes, it does at once."""


SHIFTED = """import os, time
shift, now, now_ns = int(os.environ["CLOCK_SHIFT"]), time.time, time.time_ns
time.time, time.time_ns = lambda: now() + shift, lambda: now_ns() + shift * 10**9
"""
"""A process of Python runs this at its start."""


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(Cache.from_env(os.environ), tmp_path_factory.mktemp("kafka"), settings=FORGETS) as process:
        yield process


@pytest.fixture
def scene(kafka: Broker, databases: Databases, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(kafka, TopicNames(tmp_path.name), tmp_path, databases.up_to_date())
    yield made
    made.close()


def nothing_else(scene: Scene) -> None:
    """The stream itself is trouble enough: `Scene.holds` counts what is in it."""
    scene.monitor().start()


def lease_storm(scene: Scene) -> None:
    """Three replicas, of which one after another is frozen, robbed of its partitions, and wakes."""
    members = [scene.monitor(**RESTLESS) for _ in range(3)]
    for member in members:
        member.start()

    def owners() -> dict[int, str | None]:
        return {position.partition: position.owner for position in scene.positions()}

    def epochs() -> int:
        return sum(position.epoch for position in scene.positions())

    due = {number: owner(number, [member.folder.name for member in members]) for number in range(PARTITIONS)}
    assert len(set(due.values())) == 3
    until(lambda: owners() == due, "each owns its partitions", seconds=200, every=0.05)
    began = epochs()
    for turn in range(STORM_TURNS):
        victim = members[turn % 3]
        name = victim.folder.name
        until(lambda victim=victim: frozen(scene, victim), "one is frozen between transactions", seconds=200)  # type: ignore[misc]
        scene.tell(1 / (STORM_TURNS + 1))
        until(lambda name=name: name not in owners().values(), f"{name} was robbed", seconds=200, every=0.05)  # type: ignore[misc]
        os.kill(victim.pid, signal.SIGCONT)
        until(lambda: owners() == due, f"{name} has its own again", seconds=200, every=0.05)
    robbed = sum(member.log.read_text().count("was taken over by another") for member in members)
    robbed += sum(member.log.read_text().count("is no longer") for member in members)
    assert robbed >= STORM_TURNS, "whoever woke found that it had been robbed"
    assert epochs() - began >= 4 * STORM_TURNS, "each turn moved two partitions away and back"


def frozen(scene: Scene, member: MonitorProcess) -> bool:
    """Freeze it where it holds up nobody: in the middle of a transaction it would, until the server ends that."""
    halt(member.pid)
    try:
        with scene.store() as store, store.begin() as batch:
            if store.has_server:
                statements.execute(batch._connection, "SET LOCAL lock_timeout = '1s'")
            batch.alone(["the members"])
            for number in range(PARTITIONS):
                batch.visit(number)
    except StoreUnavailable:
        os.kill(member.pid, signal.SIGCONT)
        return False
    return True


class Slumber(KafkaBroker):
    """A broker's client that falls asleep with its hands full."""

    asleep: Fault | None = None
    scene: Scene
    taken: frozenset[int] = frozenset()
    """The partitions of which it had records in its hands."""

    def poll(self, limit: int, timeout: float) -> dict[int, list[Record]]:
        """As it always does, but for once."""
        found = super().poll(limit, timeout)
        if found and self.asleep is not None:
            sleep, self.asleep = self.asleep, None
            self.taken = frozenset(found)
            sleep(self.scene)
        return found


def zombie(scene: Scene) -> None:
    """An owner that sleeps from when it has polled until another has its partitions and has read everything."""
    store = SqlStore(scene.url)
    client = Slumber({"bootstrap_servers": scene.kafka.servers}, events=scene.topics.events, models=scene.topics.models)
    client.scene = scene
    reader = Reader(
        member="zombie",
        broker=client,
        store=store,
        models=Models(),
        pace=Pace(batch=200, linger=0.1, lease_us=1_500_000, pulse_us=100_000),
        clock_us=lambda: time.time_ns() // 1000,
        reads=scene.topics.events,
        letters_to=scene.topics.deadletter,
    )

    def inherit(scene: Scene) -> None:
        scene.monitor(**RESTLESS).start()
        scene.read()
        assert {position.owner for position in scene.positions()} == {"monitor-0"}

    scene.tell(1 / 3)
    until(lambda: reader.step() > 0, "it owns everything, and reads", seconds=60, every=0.01)
    assert len(reader.partitions) == PARTITIONS
    scene.tell(1 / 3)
    client.asleep = inherit
    until(lambda: client.asleep is None or reader.step() < 0, "it fell asleep", seconds=60, every=0.01)
    assert client.taken, "it woke with records in its hands"
    assert not client.taken & {*reader.partitions}, "and had to let go of them"
    assert {position.owner for position in scene.positions()} == {"monitor-0"}
    client.close()
    store.close()


def clocks_apart(scene: Scene) -> None:
    """Three replicas: one with the right time, one ten minutes behind, and one ahead, to whom all others are dead."""
    (scene.folder / "sitecustomize.py").write_text(SHIFTED)
    path = os.pathsep.join([str(scene.folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    members = [scene.monitor(**RESTLESS, PYTHONPATH=path, CLOCK_SHIFT=str(shift)) for shift in (0, -600, 600)]

    def owners() -> set[str | None]:
        return {position.owner for position in scene.positions()}

    for member in members[:2]:
        member.start()
    scene.tell(1 / 4)
    until(lambda: len(scene.positions()) == PARTITIONS and None not in owners(), "all are owned", seconds=200)
    scene.read()
    assert "monitor-2" not in owners()
    before = sum(position.epoch for position in scene.positions())
    members[2].start()
    until(lambda: owners() == {"monitor-2"}, "the one ahead robbed the others", seconds=200, every=0.05)
    assert sum(position.epoch for position in scene.positions()) >= before + PARTITIONS
    scene.tell(1 / 4)
    scene.read()
    members[2].end()  # as a pod is ended: it hands its leases back, which nobody else would take for run out
    scene.tell(1 / 4)
    until(lambda: not {"monitor-2", None} & owners(), "the others have them again", seconds=200, every=0.05)


def killed_everywhere(scene: Scene) -> None:
    """A reader that is killed before its first statement, then before its second, and so on through several commits."""
    scene.tell(1 / 3)
    command = [sys.executable, "-m", "switchyard_testkit.killed", scene.kafka.servers, scene.topics.prefix, scene.url]
    assert int(commands.run(command, env=os.environ, timeout=400)) > 50, "every statement of a commit, and more"
    assert {position.partition: position.next_offset for position in scene.positions()} == scene.ends()
    scene.monitor(**RESTLESS).start()


def database_away(scene: Scene, server: Postgres | None) -> None:
    """A server that crashes; of SQLite, somebody who has locked the file."""
    monitor = scene.monitor()
    monitor.start()
    scene.tell(1 / 3)
    scene.read()
    with gone(scene, server):
        scene.tell(1 / 3)
        until(lambda: "the database refused" in monitor.says("/healthz"), "it is said", seconds=60)
        assert "switchyard_monitor_failed_passes_total 0.0" not in monitor.says("/metrics")
    until(lambda: '"trouble":""' in monitor.says("/readyz"), "it goes on", seconds=60)


@contextmanager
def gone(scene: Scene, server: Postgres | None) -> Iterator[None]:
    """Away, and there again, whatever happens in between."""
    if server is None:
        connection = sqlite3.connect(scene.url.removeprefix("sqlite:///"), isolation_level=None, timeout=60)
        connection.execute("BEGIN IMMEDIATE")
    else:
        server.crash()
    try:
        yield
    finally:
        if server is None:
            connection.close()
        else:
            server.start()


def disk_full(scene: Scene, volume: SmallVolume) -> None:
    """The volume of the database has not one byte left, and then has room again."""
    monitor = scene.monitor()
    monitor.start()
    scene.tell(1 / 4)
    scene.read()
    before = sum(position.next_offset for position in scene.positions())
    volume.fill()
    assert volume.free == 0
    scene.tell(1 / 2)
    until(lambda: "full" in (said := monitor.says("/readyz")) or "No space left" in said, "it is said", seconds=60)
    if scene.url.startswith("sqlite"):
        until(lambda: "events are not read" in monitor.says("/readyz"), "and what to do", seconds=60)
        until(lambda: "switchyard_monitor_paused 1.0" in monitor.says("/metrics"), "and measured", seconds=60)
        assert "make the volume larger" in monitor.says("/readyz")
    assert "waiting: the database refused" in monitor.log.read_text()
    read = sum(position.next_offset for position in scene.positions())
    assert before <= read < before + scene.records // 2, "it must be full while there is something to read"
    volume.empty()
    until(lambda: '"trouble":"","room":""' in monitor.says("/readyz"), "it goes on", seconds=60)


def retention(scene: Scene) -> None:
    """The broker forgets what was not read: that partition stops, the others go on, and a person accepts the loss."""
    monitor = scene.monitor()
    monitor.start()
    scene.tell(1 / 3)
    scene.read()
    monitor.end(signal.SIGKILL)
    scene.remember()
    read = scene.ends()
    scene.tell_one(0, 50)
    scene.remember()
    end = scene.ends()[0]
    scene.lost = {(0, offset) for offset in range(read[0], end)}
    assert len(scene.lost) == 50
    scene.kafka.configure(scene.topics.events, retention_ms="1")
    until(lambda: scene.kafka.bounds(scene.topics.events)[0] == (end, end), "the broker forgot them", seconds=60)
    scene.kafka.configure(scene.topics.events, retention_ms="-1")
    scene.tell(1 / 3)

    monitor.start()
    scene.read(but=0)
    said = until(lambda: monitor.says("/readyz"), "it answers", seconds=60)
    stopped = scene.positions()[0]
    assert stopped.next_offset == read[0], "it is never reset"
    assert stopped.stopped is not None
    assert f"the next offset is {read[0]}, but the log holds {end} to " in stopped.stopped
    command = "replay events --partition 0"
    assert f"python -m switchyard_monitor {command}" in stopped.stopped, "what a person can do is said"
    assert "events are gone" in said
    assert 'switchyard_monitor_partition_stopped{partition="0"} 1.0' in monitor.says("/metrics")

    done = monitor.run(*command.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert f"read on from offset {end}, 50 events are left out, as gaps; it is no longer stopped" in done.stdout
    scene.read()
    assert 'switchyard_monitor_events_total{column="gaps",partition="0"} 50.0' in monitor.says("/metrics")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(nothing_else, id="nothing but the stream"),
        pytest.param(lease_storm, id="a storm of leases"),
        pytest.param(zombie, id="a zombie"),
        pytest.param(clocks_apart, id="clocks that are apart"),
        pytest.param(killed_everywhere, id="a kill at each statement"),
        pytest.param(retention, id="retention overtakes the reader"),
    ],
)
def test_everything_is_counted_once(scene: Scene, fault: Fault) -> None:
    fault(scene)
    scene.holds()


def test_everything_is_counted_once_though_the_database_was_away(scene: Scene, databases: Databases) -> None:
    database_away(scene, databases if isinstance(databases, Postgres) else None)
    scene.holds()


def test_everything_is_counted_once_though_the_disk_was_full(
    kafka: Broker, databases: Databases, tmp_path: Path
) -> None:
    url = databases.up_to_date()
    # Where the server's own user gets to.
    place = databases.folder if isinstance(databases, Postgres) else tmp_path
    with small_volume(place / "small", megabytes=96) as volume, moved(url, databases, volume) as there:
        scene = Scene(kafka, TopicNames(tmp_path.name), tmp_path, there)
        try:
            disk_full(scene, volume)
            scene.holds()
        finally:
            scene.close()


@contextmanager
def moved(url: str, databases: Databases, volume: SmallVolume) -> Iterator[str]:
    """The database, on that volume. Of a server only what it holds: without room for its log it would be away."""
    if not isinstance(databases, Postgres):
        yield f"sqlite:///{shutil.copy(url.removeprefix('sqlite:///'), volume.folder)}"
        return
    (folder := volume.folder / "tables").mkdir()
    shutil.chown(folder, SYSTEM_USER, SYSTEM_USER)
    name = url.rpartition("/")[2]
    with databases.connect() as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{folder}'")
        connection.execute(f"ALTER DATABASE {name} SET TABLESPACE small")
        try:
            yield url
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
            connection.execute("DROP TABLESPACE small")
