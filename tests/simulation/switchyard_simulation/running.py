"""Runs scenarios on every core; a run's chance comes from the seed, its row and its number, so cores change nothing."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import numpy as np

from switchyard_simulation.coverage import Shown
from switchyard_simulation.flights import Replay
from switchyard_simulation.scenarios import INTERVALS, SCENARIOS, Interval, Scenario
from switchyard_simulation.tally import Covered, Tally

SHORT = 10
"""How many times fewer runs a short simulation has."""
LEAST = 20
CHUNK = 10
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Job:
    """Some runs of one row."""

    kind: str
    row: int
    first: int
    last: int
    seed: int


def wanted(runs: int, *, short: bool) -> int:
    """How many runs a row gets."""
    return max(LEAST, runs // SHORT) if short else runs


def done(replay: Replay, job: Job) -> list[object]:
    """What came of them."""
    found: list[object] = []
    for number in range(job.first, job.last):
        chance = np.random.default_rng([job.seed, job.kind == "interval", job.row, number])
        row = SCENARIOS[job.row].play if job.kind == "scenario" else INTERVALS[job.row].covers
        found.append(row(replay, chance))
    return found


Worker = Callable[[Job], list[object]]


@contextmanager
def pool(replay: Replay, *, processes: int) -> Iterator[Callable[[list[Job]], Iterator[list[object]]]]:
    """Hands out jobs in their order; one process is this one."""
    if processes == 1:
        yield lambda jobs: (done(replay, job) for job in jobs)
        return
    with multiprocessing.get_context("fork").Pool(processes, _remember, (replay,)) as workers:
        yield lambda jobs: workers.imap(_work, jobs)


class _Held:
    """What a worker process holds, given once: a replay is too large to be sent with every job."""

    replay: Replay


def _remember(replay: Replay) -> None:
    _Held.replay = replay


def _work(job: Job) -> list[object]:
    return done(_Held.replay, job)


def jobs_of(kind: str, row: int, runs: int, *, seed: int) -> list[Job]:
    """A row's runs in chunks."""
    return [Job(kind, row, first, min(first + CHUNK, runs), seed) for first in range(0, runs, CHUNK)]


def tally(scenario: Scenario, ends: Sequence[object]) -> Tally:
    """A row of rollouts."""
    return Tally(ends, scenario.wrong, scenario.kind, scenario.expected)  # type: ignore[arg-type]


def covered(interval: Interval, shown: Sequence[object]) -> Covered:
    """A row of intervals."""
    each: Sequence[Shown] = shown  # type: ignore[assignment]
    widths = [one.width for one in each if one.width is not None]
    width = median(widths) if widths else None
    return Covered(len(each), sum(one.held for one in each), interval.kind, interval.band, width)
