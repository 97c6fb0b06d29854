"""How many predictions the monitor joins a second and core, from Kafka to a durable database, and in how much memory.

    python tests/bench/bench_monitor.py [--features 5 20 100] [--databases sqlite postgres] [--predictions 40000]
                                        [--rounds 3] [--events 1000000] [--backlog 200000] [--report FILE]

The broker, the database and the monitor are real, and the monitor is a process of its own with its usual settings: its
CPU is read from outside. What is counted is what it uses between two of its commits, so neither its start nor this
program is in it; that of PostgreSQL's processes is said beside it. In the first part every variant is measured in
every round, one after the other, on the same records. In the second one monitor reads `--events` events, of which the
topic keeps only the latest. In the third one starts behind `--backlog` events, while 100 more requests and outcomes
come each second.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from kafka import KafkaProducer
from switchyard_contracts.topic_names import TopicNames
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.domain.profiling import Span
from switchyard_testkit.cache import Cache, Durations
from switchyard_testkit.errors import TestkitError, TimedOutError
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.monitor_process import MonitorProcess
from switchyard_testkit.monitor_world import MONITORING, SUBJECT, model_record
from switchyard_testkit.played import RATE, Play
from switchyard_testkit.postgres import Postgres, real_postgres
from switchyard_testkit.progress import Progress

RULES = {**MONITORING, "window": "5m", "outcome": {**MONITORING["outcome"], "judgedAfter": "12h"}}
TARGETS: Mapping[int, float] = {20: 20_000.0, 100: 10_000.0}
"""Joined predictions a second and core, by features."""
FLAT = 1.1
"""How much of what was held after a tenth of the events may be held at the end."""
LONG = 1_000_000
"""Events; of fewer, a tenth is read before all that is kept once has been filled."""
AHEAD = 200_000
"""Events that the topic holds and the monitor has not read yet; more wait to be made."""
PATIENCE = 300.0
"""Seconds without a commit after which something must be wrong."""
SHORT_LIVED = {"retention.bytes": str(1 << 30), "segment.bytes": str(1 << 27)}


@dataclass(frozen=True, slots=True)
class Variant:
    """One way of running it."""

    features: int
    database: str
    outcomes: bool

    def __str__(self) -> str:
        return f"{self.features} features, {self.database}, {'with' if self.outcomes else 'without'} outcomes"


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen just after a commit."""

    offset: int
    seconds: float
    cpu: float
    server_cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class Speed:
    """What one prediction took, in microseconds of CPU, and how many events there were to a transaction."""

    monitor: float
    server: float
    batch: float


Speeds = dict[Variant, list[Speed]]


@dataclass
class Stage:
    """The broker, the databases, and a folder for whoever plays."""

    folder: Path
    kafka: Broker
    postgres: Postgres | None
    packages: Path | None = None
    """Where the monitor is compiled, as in its image."""
    made: int = 0

    @property
    def _settings(self) -> dict[str, str]:
        if self.packages is None:
            return {}
        before = os.environ.get("PYTHONPATH")
        return {"PYTHONPATH": os.pathsep.join([str(self.packages), *([before] if before else [])])}

    def topics(self, name: str, play: Play, **configuration: str) -> TopicNames:
        """Topics of one's own, with the deployment published. It names a reference, so X and Y are profiled, too."""
        names = TopicNames(name)
        self.kafka.create(names.events, partitions=1, configuration=configuration)
        for topic in (names.models, names.rollouts, names.deadletter):
            self.kafka.create(topic, partitions=1)
        with self.producer() as producer:
            rules = {**RULES, "reference": play.reference.digest}
            producer.send(names.models, model_record(rules), key=SUBJECT.encode()).get(30)
        return names

    @contextmanager
    def producer(self) -> Iterator[KafkaProducer]:
        """Whoever sends; at the end all has arrived."""
        producer = KafkaProducer(bootstrap_servers=self.kafka.servers, linger_ms=20, batch_size=262_144)
        try:
            yield producer
            producer.flush()
        finally:
            producer.close()

    @contextmanager
    def monitor(self, topics: TopicNames, play: Play, database: str) -> Iterator[tuple[MonitorProcess, SqlStore]]:
        """One that reads them from their start into an empty database, and the same database for looking into."""
        self.made += 1
        folder = self.folder / f"monitor-{self.made}"
        folder.mkdir()
        url = (
            self.postgres.empty() if database == "postgres" and self.postgres else f"sqlite:///{folder / 'monitor.db'}"
        )
        store = SqlStore(url)
        store.migrate()
        store.keep_baseline(play.reference.digest, play.reference.to_bytes())
        process = MonitorProcess(folder, self.kafka.servers, topics, url, self._settings)
        process.start()
        try:
            yield process, store
        finally:
            process.end()
            store.close()

    def watch(
        self, process: MonitorProcess, store: SqlStore, until: Callable[[int], bool], every: float = 0.01
    ) -> Iterator[Sample]:
        """A sample after each commit that is seen, up to the first after which enough was read."""
        began = last = time.monotonic()
        seen = 0
        while not until(seen):
            positions = store.positions()
            offset = (positions[0].next_offset or 0) if positions else 0
            now = time.monotonic()
            if offset > seen:
                seen, last = offset, now
                served = self.postgres.cpu_seconds() if self.postgres else 0.0
                yield Sample(offset, now - began, process.cpu(), served, process.memory())
            elif now - last > PATIENCE:
                raise TimedOutError(
                    f"the monitor {process.pid} has committed nothing for {PATIENCE:g} s after {seen:,}"
                )
            time.sleep(every)


def checked(store: SqlStore, play: Play) -> None:
    """Nothing was lost, refused or counted twice."""
    columns: dict[str, int] = {}
    for ledger in store.ledgers():
        for column, value in ledger.columns.items():
            columns[column] = columns.get(column, 0) + value
    joined = store.labels(SUBJECT).get("joined", 0)
    whole = Span(subject=SUBJECT, baseline=play.reference.digest, since_us=0, until_us=1 << 62)
    profiled = sum(profile.rows for profile in store.profiles(whole).values())
    if (columns, joined, profiled) != ({"stored": play.length}, play.joined, play.predictions):
        raise TestkitError(f"of {play} there are {columns}, {joined:,} joined and {profiled:,} profiled")


def speed(samples: Sequence[Sample], play: Play) -> Speed:
    """From the first commit after the first outcomes have come up to the last."""
    steady = [sample for sample in samples if sample.offset >= play.apart]
    first, last = steady[0], steady[-1]
    if last.offset - first.offset < play.length // 4:
        raise TestkitError(f"only {last.offset - first.offset:,} events were read between two commits; play more")
    predictions = (last.offset - first.offset) / play.per_prediction
    return Speed(
        (last.cpu - first.cpu) / predictions * 1e6,
        (last.server_cpu - first.server_cpu) / predictions * 1e6,
        (last.offset - first.offset) / (len(steady) - 1),
    )


def speeds(stage: Stage, variants: Sequence[Variant], *, predictions: int, rounds: int, progress: Progress) -> Speeds:
    """Every variant in every round, on the same records."""
    plays: dict[tuple[int, bool], tuple[Play, TopicNames]] = {}
    found: dict[Variant, list[Speed]] = {variant: [] for variant in variants}
    for variant in variants:
        shape = (variant.features, variant.outcomes)
        if shape not in plays:
            progress.waiting(f"the events with {variant.features} features")
            play = Play(predictions, variant.features, variant.outcomes)
            plays[shape] = play, stage.topics(f"speed-{variant.features}-{play.per_prediction}", play)
            with stage.producer() as producer:
                for key, value in play.events(now=time.time()):
                    producer.send(plays[shape][1].events, value, key=key)
    for number in range(rounds):
        for place, variant in enumerate(variants):
            share = (number + place / len(variants)) / rounds
            progress.waiting(f"{variant}, round {number + 1} of {rounds}", share=share)
            play, topics = plays[variant.features, variant.outcomes]
            with stage.monitor(topics, play, variant.database) as (process, store):
                samples = list(stage.watch(process, store, lambda offset, end=play.length: offset >= end))
                checked(store, play)
            found[variant].append(speed(samples, play))
    return found


def memory(stage: Stage, *, events: int, progress: Progress) -> list[Sample]:
    """What one monitor holds while it reads so many events of five features and their outcomes."""
    play = Play.of_length(events, features=5)
    topics = stage.topics(f"memory-{events}", play, **SHORT_LIVED)
    samples: list[Sample] = []
    with stage.monitor(topics, play, "sqlite") as (process, store):

        def allowed() -> int:
            return AHEAD + (samples[-1].offset if samples else 0)

        with sent(stage, topics, play.events(now=time.time()), allowed=allowed):
            for sample in stage.watch(process, store, lambda offset: offset >= play.length, every=0.1):
                samples.append(sample)
                progress.waiting(f"{sample.offset:,} of {play.length:,} events", share=sample.offset / play.length)
        checked(store, play)
    return samples


def catch_up(stage: Stage, *, backlog: int, progress: Progress) -> list[Sample]:
    """From the start of a monitor that has so many events before it, until no more than a second's worth is left."""
    per_second = 2 * int(RATE)
    play = Play.of_length(backlog + 3600 * per_second, features=20)
    topics = stage.topics(f"backlog-{backlog}", play)
    events = play.events(now=time.time())
    progress.waiting(f"{backlog:,} events to be written")
    with stage.producer() as producer:
        for key, value in islice(events, backlog):
            producer.send(topics.events, value, key=key)
    began = time.monotonic()

    def come() -> float:
        return per_second * (time.monotonic() - began)

    samples: list[Sample] = []
    with stage.monitor(topics, play, "sqlite") as (process, store), sent(stage, topics, events, allowed=come):
        for sample in stage.watch(process, store, lambda offset: offset >= backlog + come() - per_second):
            samples.append(sample)
            progress.waiting(f"{sample.offset:,} of {backlog + come():,.0f} events", share=sample.offset / backlog)
    return samples


@contextmanager
def sent(
    stage: Stage, topics: TopicNames, events: Iterator[tuple[bytes, bytes]], *, allowed: Callable[[], float]
) -> Iterator[None]:
    """Events are sent meanwhile, as many as are allowed by then."""
    stop = threading.Event()

    def send() -> None:
        with stage.producer() as producer:
            for number, (key, value) in enumerate(events):
                while number >= allowed():
                    if stop.wait(0.02):
                        return
                producer.send(topics.events, value, key=key)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def cell(values: Sequence[float]) -> str:
    """The median, and all of the spread."""
    text = f"{statistics.median(values):,.0f}"
    return text if len(values) == 1 else f"{text} ({min(values):,.0f}–{max(values):,.0f})"


def table_of_speeds(found: Speeds) -> str:
    """The figures as people read them; the targets are those with outcomes."""
    lines = [
        f"{'predictions a second and core':34}{'median (spread)':>26}{'µs each':>9}{'server, µs':>12}{'target':>10}"
    ]
    for variant, rounds in found.items():
        rates = [1e6 / each.monitor for each in rounds]
        server = statistics.median(each.server for each in rounds)
        line = f"{variant!s:34}{cell(rates):>26}{statistics.median(each.monitor for each in rounds):>9.1f}"
        line += f"{server:>12.1f}" if variant.database == "postgres" else f"{'':12}"
        target = TARGETS.get(variant.features)
        if variant.outcomes and target:
            line += f"{f'≥ {target:,.0f}':>10}   {'met' if statistics.median(rates) >= target else 'MISSED'}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def table_of_memory(samples: Sequence[Sample]) -> str:
    """What was held on the way."""
    end = samples[-1].offset
    marks = [next(sample for sample in samples if sample.offset >= end * tenth // 10) for tenth in (1, 2, 4, 6, 8, 10)]
    least, most = marks[0].memory, max(sample.memory for sample in samples)
    last = marks[-1].memory
    judged = f"   target ≤ {FLAT}   {'met' if last / least <= FLAT else 'MISSED'}" if end >= LONG else ""
    return "\n".join(
        [
            "events read  " + "".join(f"{sample.offset:>13,}" for sample in marks),
            "memory, MiB  " + "".join(f"{sample.memory:>13.0f}" for sample in marks),
            f"at its peak {most:.0f} MiB; at the end {last / least:.2f} of what a tenth took{judged}",
        ]
    )


def line_of_catch_up(samples: Sequence[Sample], backlog: int) -> str:
    """How long it took."""
    first, last = samples[0], samples[-1]
    return (
        f"{backlog:,} events behind, with {2 * RATE:.0f} more a second: caught up {last.seconds:.1f} s after its start"
        f" and {last.seconds - first.seconds:.1f} s after its first commit: {last.offset / last.seconds:,.0f} events/s"
    )


def report(found: Speeds, remembered: Mapping[int, Sequence[Sample]], caught: Sequence[Sample]) -> str:
    """All figures, for whoever compares."""
    rounds = [
        {**asdict(variant), "rounds": [asdict(each) for each in each_round]} for variant, each_round in found.items()
    ]
    held = {events: [[sample.offset, sample.memory] for sample in samples] for events, samples in remembered.items()}
    behind = [[sample.offset, sample.seconds] for sample in caught]
    return json.dumps({"speed": rounds, "memory": held, "catch_up": behind}, indent=1)


def main() -> int:
    """Measure and print. A target that is missed is a line of the table; an event that is not counted is an error."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--features", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    parser.add_argument("--outcomes", nargs="+", choices=["with", "without"], default=["with", "without"])
    parser.add_argument(
        "--predictions", type=int, default=40_000, help="of each variant; the first 10,000 only warm up"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of the variants; 0 for none of them")
    parser.add_argument(
        "--events", type=int, nargs="*", default=[1_000_000], help="to be read by one monitor, for memory"
    )
    parser.add_argument("--backlog", type=int, default=200_000, help="events; 0 for none")
    parser.add_argument("--packages", type=Path, help="a folder with the compiled monitor; the sources where not given")
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    if arguments.rounds and arguments.predictions < 30_000:
        parser.error(f"--predictions is {arguments.predictions:,}; below 30,000 there are too few commits to measure")
    if arguments.packages and not any(arguments.packages.glob("switchyard_monitor/domain/join.*.so")):
        parser.error(f"--packages is {arguments.packages}, where nothing is compiled; see switchyard_testkit.compiled")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    variants = [
        Variant(features, database, outcomes == "with")
        for features in arguments.features
        for database in arguments.databases
        for outcomes in arguments.outcomes
    ]
    plan = {"speed": 15.0 * len(variants) * arguments.rounds} if arguments.rounds else {}
    plan |= {f"memory over {events:,} events": 10 + events / 5000 for events in arguments.events}
    plan |= {f"{arguments.backlog:,} events behind": 10 + arguments.backlog / 4000} if arguments.backlog else {}
    durations = Durations(Cache.from_env(os.environ).root / "durations.json")
    progress = Progress("bench-monitor", plan=plan, durations=durations, out=sys.stderr)
    found: Speeds = {}
    remembered: dict[int, list[Sample]] = {}
    caught: list[Sample] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-monitor-")))
        needs_server = arguments.rounds and "postgres" in arguments.databases
        server = stack.enter_context(real_postgres()) if needs_server else None
        kafka = stack.enter_context(broker(Cache.from_env(os.environ), folder / "kafka"))
        stage = Stage(folder, kafka, server, arguments.packages)
        try:
            if arguments.rounds:
                with progress.stage("speed"):
                    found = speeds(
                        stage, variants, predictions=arguments.predictions, rounds=arguments.rounds, progress=progress
                    )
                print(table_of_speeds(found), flush=True)
            for events in arguments.events:
                with progress.stage(f"memory over {events:,} events"):
                    remembered[events] = memory(stage, events=events, progress=progress)
                print(table_of_memory(remembered[events]), flush=True)
            if arguments.backlog:
                with progress.stage(f"{arguments.backlog:,} events behind"):
                    caught = catch_up(stage, backlog=arguments.backlog, progress=progress)
                print(line_of_catch_up(caught, arguments.backlog), flush=True)
        except TestkitError as error:
            print(error, file=sys.stderr)
            return 1
    progress.finish()
    print("CPU is the monitor's own process; median (spread) of the rounds; whatever else the machine does is in them")
    if arguments.report:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(report(found, remembered, caught))
    return 0


if __name__ == "__main__":
    sys.exit(main())
