"""How long the monitor takes to make its pages: 20 deployments, 90 days of them as retention leaves them, 50 rollouts.

Run as `python tests/bench/bench_page.py [--times N] [--days N] [--features N]`; it ends with 1 when a page took longer
than 300 ms (95th percentile) or is larger than a megabyte. One deployment answers with a number: in four partitions,
with a candidate beside stable in the last two days, and 200 features that were judged each day. Another answers with
one of five classes and a score, is told apart by eight segments, was never rolled out anew, so that all of its days
belong to one generation, and is judged each hour. The others are there to be listed and to make the database large.

The pages are asked for over HTTP on the loopback, one after the other, by somebody who is logged in; the CPU is that of
server and client together, and says on a busy machine too what a page costs. Before each load one prediction's sums are
added to the newest window and day of all partitions, as in a monitor that reads. Windows and sums are written straight
into the database, as large as the monitor's own; arms, rollouts and records come through its door.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import httpx
import numpy as np
from switchyard_contracts.sticky import FOLDS
from switchyard_contracts.topics import RolloutRecord
from switchyard_monitor.domain.days import add_to_day
from switchyard_monitor.domain.drift_book import Page as DriftPage
from switchyard_monitor.domain.retention import SHOWN_WINDOWS, Keep
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.scores import ONE as SURE
from switchyard_monitor.domain.segments import number as parts_of
from switchyard_monitor.domain.sums import Sums, encode, merged
from switchyard_monitor.domain.usual import Yardstick
from switchyard_profile import training
from switchyard_profile.profile import Profile
from switchyard_profile.reference import Reference
from switchyard_testkit.browser import served
from switchyard_testkit.monitor_world import CLASSES, MONITORING, NOON, NOON_US, SECOND, SUBJECT, classified, inference
from switchyard_testkit.page_world import TOKEN, PageWorld, encoded, rollout_record, verdict

LIMIT_MS = 300.0
LIMIT_BYTES = 1_000_000
DEPLOYMENTS, ROLLOUTS, STEPS, PARTITIONS = 20, 50, 5, 4
WINDOW_US = 300 * SECOND
CANDIDATE_DAYS = 2
DAY, HOUR = 86_400, 3_600
ROWS_OF_A_DAY = 60
"""In the reference; a window of the monitor's has as many, which changes no size but that of a number."""
VARIANTS = 6
"""So many windows are judged; the days are these again and again."""
OTHERS_BYTES = 600
"""Of a window that no page of these reads."""
OUTCOME = {**MONITORING["outcome"], "judgedAfter": "12h"}
MONITORING_OF_DAYS = {**MONITORING, "window": "5m", "outcome": OUTCOME}
OF_CLASSES = "demo/cancellation"
NAMES = ("early", "on time", "late", "diverted", "cancelled")
SEGMENTS, PARTS = 8, 12
MONITORING_OF_CLASSES = {
    **MONITORING_OF_DAYS,
    "prediction": {**CLASSES["prediction"], "classes": list(NAMES)},
    "decision": CLASSES["decision"],
    "segments": [
        {"name": f"part_{number}", "path": f"$.part_{number}", "values": [f"kind {part}" for part in range(PARTS)]}
        for number in range(SEGMENTS)
    ],
}
HOURLY_FEATURES = 5
PREDICTIONS_OF_A_DAY = 2_000
"""In one partition; of more, sums have as many names."""
ONE, OTHER = (f"/page/deployments/{subject}" for subject in (SUBJECT, OF_CLASSES))
PATHS = (
    "/page/",
    *(ONE, f"{ONE}/features", f"{ONE}/features?page=9", f"{ONE}/feature?name=feature_000"),
    *(OTHER, f"{OTHER}/features", f"{OTHER}/feature?name=feature_000"),
)
PHASES = ("Provisioning", "Progressing", "Progressing", "AwaitingEvidence", "Progressing")


def sums(chance: random.Random) -> str:
    """The sums of a window as the monitor keeps them: counts, and histograms of latency, errors and delay."""
    found = {"requests": 100, "predictions": 99, "errors": 1, "dec.n": 50, "dec.agree": 40}
    for age in ("age", "now"):
        found |= {f"{age}.n": 90, f"{age}.e": 123_456, f"{age}.a": 1_234_567}
        found |= {f"{age}.ee": 123_456_789_012, f"{age}.eeee": 12_345_678_901_234_567_890}
    for fold in range(FOLDS):
        found |= {f"age.n:{fold}": 3, f"age.e:{fold}": 4_000, f"age.a:{fold}": 40_000, f"age.ee:{fold}": 3_900_000_000}
    for name in ("latency", "delay", "age.h", "now.h"):
        for _ in range(60):
            found[f"{name}:{chance.randrange(300, 420)}"] = chance.randrange(1, 9)
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def day_sums(rule: Rule, chance: random.Random) -> Sums:
    """The sums of a day as the monitor makes them."""
    found: Sums = {}
    segments = rule.segments or ()
    for place in range(PREDICTIONS_OF_A_DAY):
        score = chance.random()
        happened = chance.choice(NAMES) if rule.classes else chance.gauss(12.0, 16.0)
        said = ("late" if score >= 0.5 else chance.choice(NAMES)) if rule.classes else chance.gauss(12.0, 16.0)
        held = parts_of(segments, [1 + chance.randrange(PARTS) for _ in segments]) if segments else None
        scored = round(score * SURE) if rule.score else None
        add_to_day(found, rule, said, happened, 1, score=scored, segment=held, fold=place % FOLDS)
    return found


def history() -> Iterator[RolloutRecord]:
    """Rollouts, one after the other, each of a handful of steps with a few records each."""
    for number in range(ROLLOUTS):
        revision = f"flight-delay-{number:06}"
        began = NOON - timedelta(days=90) + timedelta(days=90 / ROLLOUTS * number)
        facts = {"rollout": f"{revision}.1", "revision": revision, "version": f"1.{number}.0"}
        for step in range(STEPS):
            for part in range(3):
                said = ("NoData", "Inconclusive", "Pass")[part]
                yield rollout_record(
                    f"{number}-{step}-{part}",
                    at=began + timedelta(hours=step, minutes=part),
                    phase=PHASES[step],
                    step=f"step-{step}",
                    weight_bp=500 * step,
                    traffic=number * STEPS + step + 1,
                    verdicts=[verdict(name, "error_rate", said, value=0.004, samples=99) for name in "abcd"],
                    **facts,
                )
        yield rollout_record(
            f"{number}-end",
            at=began + timedelta(hours=STEPS),
            phase="Completed",
            step="full",
            weight_bp=10_000,
            traffic=number * STEPS + STEPS,
            reason="Promoted",
            **facts,
        )


def columns(chance: np.random.Generator, features: int, rows: int, *, moved: int = 0) -> dict[str, list[Any]]:
    """Numbers and names, of which the first so many are other than they were."""
    found: dict[str, list[Any]] = {}
    for number in range(features):
        other = number < moved
        if number % 5 == 4:
            names = chance.choice(
                ["red", "green", "blue", "grey", "new"], rows, p=[0.4, 0.3, 0.2, 0.1 - 0.05 * other, 0.05 * other]
            )
            found[f"feature_{number:03}"] = names.tolist()
        else:
            found[f"feature_{number:03}"] = (100.0 + 15.0 * chance.normal(0.5 * other, 1.0, rows)).tolist()
    found["prediction"] = chance.normal(12.0, 16.0, rows).tolist()
    return found


def learnt(features: int, windows: int, *, seconds: int = DAY) -> Reference:
    """A reference of as many windows."""
    made = columns(np.random.default_rng(1), features, windows * ROWS_OF_A_DAY)
    times = [window * seconds for window in range(windows) for _ in range(ROWS_OF_A_DAY)]
    answers = {("y" if name == "prediction" else name): values for name, values in made.items()}
    return training.reference(answers, times=times, options=training.Options(prediction="y", window_seconds=seconds))


def judged(
    world: PageWorld, subject: str, reference: Reference, count: int, revisions: Callable[[int], set[str]]
) -> None:
    """Write down what each of so many windows was found to be, of those revisions that answered in it."""
    yardstick, chance = Yardstick(reference), np.random.default_rng(2)
    length = reference.length_seconds
    begin = NOON_US // SECOND // length * length - count * length
    features = len(reference.features) - 1
    pages = []
    for variant in range(VARIANTS):
        rows = columns(chance, features, ROWS_OF_A_DAY * 4, moved=variant * features // 20)
        profile = Profile.of(reference.digest, reference.binnings, rows, rows=ROWS_OF_A_DAY * 4)
        pages.append(DriftPage.of(yardstick, "one", profile, start_us=begin * SECOND))

    def page(number: int, revision: str) -> DriftPage:
        held, start_us = pages[number * VARIANTS // count], (begin + number * length) * SECOND
        window = replace(held.window, start_us=start_us, revision=revision)
        return DriftPage(window, [replace(one, start_us=start_us) for one in held.features])

    every = ((number, revision) for number in range(count) for revision in sorted(revisions(number)))
    while some := list(itertools.islice(every, 100)):
        kept = [page(number, revision) for number, revision in some]
        world.book.keep(subject, reference.digest, kept, done=())


def fill(world: PageWorld, folder: Path, days: int, features: int) -> int:
    """Everything that the pages are made of; answers how many windows there are."""
    reference, hourly = learnt(features, days), learnt(HOURLY_FEATURES, days * 24, seconds=HOUR)
    for one in (reference, hourly):
        world.world.store.keep_baseline(one.digest, one.to_bytes())
    others = [f"demo/other-{number:02}" for number in range(2, DEPLOYMENTS)]
    generations = ROLLOUTS * STEPS
    stable = f"flight-delay-{ROLLOUTS - 1:06}"
    mine = MONITORING_OF_DAYS | {"reference": reference.digest}
    world.publish(SUBJECT, mine, stable=stable, traffic=generations, versions={stable: "1.49.0"})
    of_classes = MONITORING_OF_CLASSES | {"reference": hourly.digest}
    for subject, monitoring in [(OF_CLASSES, of_classes), *((subject, MONITORING_OF_DAYS) for subject in others)]:
        world.publish(subject, monitoring, stable="one-1", versions={"one-1": "1.0.0"})
    for generation in range(1, generations + 1):
        for role in ("stable", "candidate"):
            name, revision = f"p{generation}{role}", f"flight-delay-{(generation - 1) // STEPS:06}"
            world.world.say(inference(name, role=role, revision=revision, traffic=generation))
    world.world.say(classified("p", "late", 0.9, subject=OF_CLASSES, revision="one-1"))
    for subject in others:
        world.world.say(inference("p", subject=subject, revision="one-1"))
    for record in history():
        world.rollouts.append(encoded(record))
    world.world.now_us += 900 * SECOND
    world.catch_up()
    judged(
        world,
        *(SUBJECT, reference, days),
        lambda day: {stable, f"flight-delay-{day * ROLLOUTS // days:06}"},
    )
    judged(world, OF_CLASSES, hourly, days * 24, lambda _: {"one-1"})
    with sqlite3.connect(folder / "monitor.db") as database:
        count = _write_windows(database, days)
        for subject in (SUBJECT, OF_CLASSES):
            rule = world.world.models.rule(subject)
            assert rule is not None
            _write_days(database, subject, rule, days)
    database.close()
    return count


def _starts(days: int) -> list[int]:
    """Of windows as retention leaves them: as they were, by hour, and of what exchanges add by day."""
    keep, now = Keep(), NOON_US // WINDOW_US * WINDOW_US
    fine = now - max(keep.windows_us, SHOWN_WINDOWS * WINDOW_US)
    fine -= fine % (HOUR * SECOND)
    first = now - days * DAY * SECOND
    return [
        *range(first - first % (HOUR * SECOND), fine, HOUR * SECOND),
        *range(fine, now, WINDOW_US),
    ]


def _arms(database: sqlite3.Connection) -> list[tuple[int, str, str, int]]:
    return database.execute(
        "SELECT arm.id, rule.subject, arm.role, arm.traffic FROM arm JOIN rule ON rule.id = arm.rule"
        " ORDER BY arm.traffic, arm.id"
    ).fetchall()


def _of_days(database: sqlite3.Connection, subject: str, days: int) -> Callable[[int], list[int]]:
    """Which arms of a deployment answered at a time: its generations one after the other, the last for two days."""
    by_role: dict[str, list[int]] = {}
    for arm, of, role, _ in _arms(database):
        if of == subject:
            by_role.setdefault(role, []).append(arm)
    begin, late = NOON_US - days * DAY * SECOND, NOON_US - CANDIDATE_DAYS * DAY * SECOND

    def found(start_us: int) -> list[int]:
        if start_us >= late:
            return [held[-1] for held in by_role.values()]
        stable = by_role["stable"]
        return [stable[max(0, start_us - begin) * len(stable) // (days * DAY * SECOND)]]

    return found


def _write_windows(database: sqlite3.Connection, days: int) -> int:
    chance = random.Random(1)
    large = [sums(chance) for _ in range(64)]
    small = [text[: text.index(",", OTHERS_BYTES)] + "}" for text in large]
    arms = _arms(database)
    shown = [_of_days(database, subject, days) for subject in (SUBJECT, OF_CLASSES)]

    def rows() -> Iterator[tuple[int, int, int, str]]:
        for number, start in enumerate(_starts(days)):
            for held in shown:
                for arm, partition in itertools.product(held(start), range(PARTITIONS)):
                    yield arm, start, partition, large[(number + partition) % len(large)]
            for arm, subject, _, _ in arms:
                if subject not in (SUBJECT, OF_CLASSES):
                    yield arm, start, number % PARTITIONS, small[number % len(small)]

    insert = "INSERT OR REPLACE INTO {} VALUES ({})"
    database.executemany(insert.format("cell", "?, ?, ?, ?"), rows())
    totals = ((arm, partition, large[arm % len(large)]) for arm, *_ in arms for partition in range(PARTITIONS))
    database.executemany(insert.format("total", "?, ?, ?"), totals)
    (count,) = database.execute("SELECT count(*) FROM cell").fetchone()
    return int(count)


def _write_days(database: sqlite3.Connection, subject: str, rule: Rule, days: int) -> None:
    chance = random.Random(2)
    made = [day_sums(rule, chance) for _ in range(VARIANTS)]
    texts = [encode(one) for one in made]
    held = _of_days(database, subject, days)
    totals: dict[tuple[int, int], list[Sums]] = {}
    rows = []
    for number in range(days):
        start = (NOON_US // SECOND // DAY - days + number) * DAY * SECOND
        for arm, partition in itertools.product(held(start), range(PARTITIONS)):
            variant = chance.randrange(VARIANTS)
            # No two days are the same to the last bit, so none is taken for another that was read before.
            rows.append((arm, start, partition, texts[variant].replace("{", f'{{"age.0":{len(rows) + 1},', 1)))
            totals.setdefault((arm, partition), []).append(made[variant])
    database.executemany("INSERT OR REPLACE INTO day_cell VALUES (?, ?, ?, ?)", rows)
    added = [(arm, partition, encode(merged(parts))) for (arm, partition), parts in totals.items()]
    database.executemany("INSERT OR REPLACE INTO day_total VALUES (?, ?, ?)", added)


def read_more(database: sqlite3.Connection, times: int) -> None:
    """What a page finds changed when it is loaded again: the newest windows and days, and what they add up to."""
    for table in ("cell", "day_cell", "total", "day_total"):
        newest = "" if "total" in table else f" WHERE start_us >= (SELECT max(start_us) FROM {table})"
        database.execute(f"UPDATE {table} SET sums = '{{\"a.{times}\":1,' || substr(sums, 2){newest}")
    database.commit()


@dataclass(frozen=True)
class Measured:
    """The loads of one page, in milliseconds but for the size in bytes."""

    path: str
    taken: list[float]
    """The first load finds nothing in memory, and is told apart."""
    used: list[float]
    """CPU."""
    size: int
    packed: int
    """The size as gzip makes it, which a proxy may do; the monitor itself sends pages as they are."""

    @property
    def p95(self) -> float:
        """The 95th percentile of all loads but the first."""
        return statistics.quantiles(self.taken[1:], n=20, method="inclusive")[-1]

    @property
    def within(self) -> bool:
        """Whether the limits are kept."""
        return self.p95 <= LIMIT_MS and self.size <= LIMIT_BYTES

    def line(self) -> str:
        """The page's line of the table."""
        first, *rest = self.taken
        return (
            f"{self.path:<64} {statistics.median(rest):8.1f} {self.p95:8.1f} {max(rest):8.1f} {first:8.1f}"
            f" {statistics.median(self.used[1:]):8.1f} {self.size / 1024:8.0f} {self.packed / 1024:8.0f}"
            f"  {'within' if self.within else 'OVER'} {LIMIT_MS:.0f} ms and {LIMIT_BYTES // 1000} kB\n"
        )


def measure(client: httpx.Client, path: str, times: int, *, between: Callable[[int], None]) -> Measured:
    """Load one page so many times, and once before; `between` two loads something happens."""
    taken: list[float] = []
    used: list[float] = []
    body = b""
    for number in range(times + 1):
        between(number)
        began, before = time.perf_counter(), time.process_time()
        answer = client.get(path)
        taken.append((time.perf_counter() - began) * 1000)
        used.append((time.process_time() - before) * 1000)
        answer.raise_for_status()
        body = answer.content
    return Measured(path, taken, used, len(body), len(gzip.compress(body)))


def code(pages: Sequence[Measured]) -> int:
    """What the measurement ends with: 1 when a page took too long."""
    return 0 if all(page.within for page in pages) else 1


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=40)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--features", type=int, default=200)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        world = PageWorld(folder)
        count = fill(world, folder, arguments.days, arguments.features)
        size = sum(path.stat().st_size for path in folder.glob("monitor.db*")) / 2**20
        sys.stdout.write(
            f"{DEPLOYMENTS} deployments, {count:,} windows in {arguments.days} days, {ROLLOUTS} rollouts, database"
            f" {size:,.0f} MiB, {arguments.features} features judged each day, {arguments.times} loads of each page"
            " over HTTP\n"
            f"{'milliseconds':<64} {'median':>8} {'p95':>8} {'max':>8} {'first':>8} {'CPU':>8} {'KiB':>8}"
            f" {'gzip':>8}\n"
        )
        with served(world) as base, httpx.Client(base_url=base, timeout=60, follow_redirects=True) as client:
            client.post("/page/login", data={"token": TOKEN}, headers={"origin": base}).raise_for_status()
            measured = []
            with sqlite3.connect(folder / "monitor.db", timeout=60) as database:
                for path in PATHS:
                    measured.append(
                        measure(client, path, arguments.times, between=lambda number: read_more(database, number))
                    )
                    sys.stdout.write(measured[-1].line())
            database.close()
        world.close()
    return code(measured)


if __name__ == "__main__":
    sys.exit(main())
