"""How long the monitor takes to make its pages: 20 deployments, 90 days of windows of five minutes, 50 rollouts.

Run as `python tests/bench/bench_page.py [--times N] [--days N] [--features N]`; it ends with 1 when a page took longer
than 300 ms (95th percentile) or is larger than a megabyte. One deployment has it all, in four partitions and with a
candidate beside stable in the last two days, and 200 features that were judged each day; the others are there to be
listed and to make the database large. The pages are asked for over HTTP on the
loopback, one after the other, by somebody who is logged in; the CPU is that of server and client together, and says on
a busy machine too what a page costs. Windows and sums are written straight into the database, as large as the
monitor's own; arms, rollouts and records come through its door.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
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
from switchyard_monitor.domain.drift_book import Page as DriftPage
from switchyard_monitor.domain.usual import Yardstick
from switchyard_profile import training
from switchyard_profile.profile import Profile
from switchyard_profile.reference import Reference
from switchyard_testkit.browser import served
from switchyard_testkit.monitor_world import MONITORING, NOON, NOON_US, SECOND, SUBJECT, inference
from switchyard_testkit.page_world import TOKEN, PageWorld, encoded, rollout_record, verdict

LIMIT_MS = 300.0
LIMIT_BYTES = 1_000_000
DEPLOYMENTS, ROLLOUTS, STEPS, PARTITIONS = 20, 50, 5, 4
WINDOW_US = 300 * SECOND
CANDIDATE_DAYS = 2
DAY = 86_400
ROWS_OF_A_DAY = 60
"""In the reference; a window of the monitor's has as many, which changes no size but that of a number."""
VARIANTS = 6
"""So many windows are judged; the days are these again and again."""
OTHERS_BYTES = 600
"""Of a window that no page of these reads."""
MONITORING_OF_DAYS = {**MONITORING, "window": "5m", "outcome": {**MONITORING["outcome"], "judgedAfter": "12h"}}
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


def learnt(features: int, days: int) -> Reference:
    """A reference of as many days as are shown."""
    made = columns(np.random.default_rng(1), features, days * ROWS_OF_A_DAY)
    times = [day * DAY for day in range(days) for _ in range(ROWS_OF_A_DAY)]
    answers = {("y" if name == "prediction" else name): values for name, values in made.items()}
    return training.reference(answers, times=times, options=training.Options(prediction="y"))


def judged(world: PageWorld, reference: Reference, stable: str, days: int) -> int:
    """Write down what every day was found to be, of the stable revision and of those before it."""
    yardstick, chance = Yardstick(reference), np.random.default_rng(2)
    begin = NOON_US // SECOND // DAY * DAY - days * DAY
    features = len(reference.features) - 1
    pages = []
    for variant in range(VARIANTS):
        rows = columns(chance, features, ROWS_OF_A_DAY * 4, moved=variant * features // 20)
        profile = Profile.of(reference.digest, reference.binnings, rows, rows=ROWS_OF_A_DAY * 4)
        pages.append(DriftPage.of(yardstick, stable, profile, start_us=begin * SECOND))

    def page(day: int, revision: str) -> DriftPage:
        held, start_us = pages[day * VARIANTS // days], (begin + day * DAY) * SECOND
        window = replace(held.window, start_us=start_us, revision=revision)
        return DriftPage(window, [replace(one, start_us=start_us) for one in held.features])

    for day in range(days):
        before = f"flight-delay-{day * ROLLOUTS // days:06}"
        kept = [page(day, revision) for revision in sorted({stable, before})]
        world.book.keep(SUBJECT, reference.digest, kept, done=())
    return len(reference.features)


def fill(world: PageWorld, folder: Path, days: int, features: int) -> int:
    """Everything that the pages are made of; answers how many windows there are."""
    reference = learnt(features, days)
    world.world.store.keep_baseline(reference.digest, reference.to_bytes())
    others = [f"demo/other-{number:02}" for number in range(1, DEPLOYMENTS)]
    generations = ROLLOUTS * STEPS
    stable = f"flight-delay-{ROLLOUTS - 1:06}"
    mine = MONITORING_OF_DAYS | {"reference": reference.digest}
    world.publish(SUBJECT, mine, stable=stable, traffic=generations, versions={stable: "1.49.0"})
    for subject in others:
        world.publish(subject, MONITORING_OF_DAYS, stable="one-1", versions={"one-1": "1.0.0"})
    for generation in range(1, generations + 1):
        for role in ("stable", "candidate"):
            name, revision = f"p{generation}{role}", f"flight-delay-{(generation - 1) // STEPS:06}"
            world.world.say(inference(name, role=role, revision=revision, traffic=generation))
    for subject in others:
        world.world.say(inference("p", subject=subject, revision="one-1"))
    for record in history():
        world.rollouts.append(encoded(record))
    world.world.now_us += 900 * SECOND
    world.catch_up()
    judged(world, reference, stable, days)
    with sqlite3.connect(folder / "monitor.db") as database:
        count = _write_windows(database, days)
    database.close()
    return count


def _write_windows(database: sqlite3.Connection, days: int) -> int:
    chance = random.Random(1)
    large = [sums(chance) for _ in range(64)]
    small = [text[: text.index(",", OTHERS_BYTES)] + "}" for text in large]
    arms = database.execute(
        "SELECT arm.id, rule.subject, arm.role, arm.traffic FROM arm JOIN rule ON rule.id = arm.rule ORDER BY arm.id"
    ).fetchall()
    mine = [(arm, role) for arm, subject, role, _ in sorted(arms, key=lambda row: row[3]) if subject == SUBJECT]
    numbers = {role: [arm for arm, of in mine if of == role] for role in ("stable", "candidate")}
    windows = days * 86_400 * SECOND // WINDOW_US

    def rows() -> Iterator[tuple[int, int, int, str]]:
        for window in range(windows):
            start = NOON_US // WINDOW_US * WINDOW_US - (windows - window) * WINDOW_US
            late = windows - window <= CANDIDATE_DAYS * 86_400 * SECOND // WINDOW_US
            for role in ("stable", "candidate") if late else ("stable",):
                arm = numbers[role][-1 if late else window * len(numbers[role]) // windows]
                for partition in range(PARTITIONS):
                    yield arm, start, partition, large[(window + partition) % len(large)]
            for arm, subject, _, _ in arms:
                if subject != SUBJECT:
                    yield arm, start, window % PARTITIONS, small[window % len(small)]

    insert = "INSERT OR REPLACE INTO {} VALUES ({})"
    database.executemany(insert.format("cell", "?, ?, ?, ?"), rows())
    totals = ((arm, partition, large[arm % len(large)]) for arm, *_ in arms for partition in range(PARTITIONS))
    database.executemany(insert.format("total", "?, ?, ?"), totals)
    (count,) = database.execute("SELECT count(*) FROM cell").fetchone()
    return int(count)


@dataclass(frozen=True)
class Measured:
    """The loads of one page, in milliseconds but for the size in bytes."""

    path: str
    taken: list[float]
    """The first load finds nothing in memory, and is told apart."""
    used: list[float]
    """CPU."""
    size: int

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
            f" {statistics.median(self.used[1:]):8.1f} {self.size / 1024:8.0f}"
            f"  {'within' if self.within else 'OVER'} {LIMIT_MS:.0f} ms and {LIMIT_BYTES // 1000} kB\n"
        )


def measure(client: httpx.Client, path: str, times: int) -> Measured:
    """Load one page so many times, and once before."""
    taken: list[float] = []
    used: list[float] = []
    size = 0
    for _ in range(times + 1):
        began, before = time.perf_counter(), time.process_time()
        answer = client.get(path)
        taken.append((time.perf_counter() - began) * 1000)
        used.append((time.process_time() - before) * 1000)
        answer.raise_for_status()
        size = len(answer.content)
    return Measured(path, taken, used, size)


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
            f"{DEPLOYMENTS} deployments, {count:,} windows of {arguments.days} days, {ROLLOUTS} rollouts, database"
            f" {size:,.0f} MiB, {arguments.features} features judged each day, {arguments.times} loads of each page"
            " over HTTP\n"
            f"{'milliseconds':<64} {'median':>8} {'p95':>8} {'max':>8} {'first':>8} {'CPU':>8} {'KiB':>8}\n"
        )
        with served(world) as base, httpx.Client(base_url=base, timeout=60, follow_redirects=True) as client:
            client.post("/page/login", data={"token": TOKEN}, headers={"origin": base}).raise_for_status()
            measured = []
            one = f"/page/deployments/{SUBJECT}"
            last = f"{one}/features?page=9"
            for path in ("/page/", one, f"{one}/features", last, f"{one}/feature?name=feature_000"):
                measured.append(measure(client, path, arguments.times))
                sys.stdout.write(measured[-1].line())
        world.close()
    return code(measured)


if __name__ == "__main__":
    sys.exit(main())
