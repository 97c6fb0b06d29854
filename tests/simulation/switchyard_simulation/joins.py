"""Rollouts whose events go through the monitor's own join: a repeat with another Y, and an answer after a 504.

Each flight of two days is one prediction id. What the monitor's `Fold` makes of the exchanges and outcomes is what its
`answer` hands out as evidence; only the wire is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from switchyard_contracts.events import Inference, Label
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.judgement import Budget
from switchyard_contracts.verdicts import Verdict, judge
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.entries import Arm, Cell, Entry, Pair
from switchyard_monitor.domain.evidence import answer
from switchyard_monitor.domain.facts import Fact, Record
from switchyard_monitor.domain.join import Fold
from switchyard_monitor.domain.rows import Question
from switchyard_monitor.domain.rules import Known, Rule

from switchyard_simulation.flights import Floats, Replay
from switchyard_simulation.rollout import ERRORS, OUTCOME, Course, End
from switchyard_simulation.splits import ALONE
from switchyard_simulation.truth import KAPPA, MARGIN

SUBJECT, STABLE, NEXT = "demo/delay", "stable", "next"
MIDNIGHT = datetime(2013, 3, 1, tzinfo=UTC)
HOUR = 3_600_000_000
RULE = Rule(
    SUBJECT,
    window_us=6 * HOUR,
    task="regression",
    scale=10,
    outcome="$",
    judged_after_us=12 * HOUR,
    horizon_us=7 * 24 * HOUR,
)
DAYS, LOOKS = 2, 8
REPEATED = 0.3
"""How many of the candidate's answers the product does not believe, and asks again for."""
HARDEST = 0.05
"""How many flights a candidate takes too long over: those that it would be most wrong about."""


@dataclass(slots=True)
class Memory:
    """The monitor's book of arms, in memory."""

    arms: list[Arm] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    def id_of(self, arm: Arm) -> int:
        """The number of an arm; a new one is written down."""
        if arm not in self.arms:
            self.arms.append(arm)
        return self.arms.index(arm)

    def arm(self, arm_id: int) -> Arm:
        """The arm of a number."""
        return self.arms[arm_id]

    def pair_id(self, pair: Pair) -> int:
        """The number of a pair; a new one is written down."""
        if pair not in self.pairs:
            self.pairs.append(pair)
        return self.pairs.index(pair)

    def rule(self, rule_id: int) -> Rule:
        """There is one."""
        return RULE


@dataclass(slots=True)
class Monitor:
    """The join and what it has counted."""

    book: Memory = field(default_factory=Memory)
    fold: Fold = field(init=False)

    def __post_init__(self) -> None:
        self.fold = Fold(rules={SUBJECT: Known.of(0, RULE)}, book=self.book, entries=_Entries(), erased=set())

    def exchange(
        self, number: int, at: float, *, mine: bool, y: float, event: str = "", status: int = 200, by: str = ""
    ) -> None:
        """One exchange, as a gateway records it, at so many hours."""
        data = Inference.model_validate(
            {
                "predictionId": f"p{number}",
                "revision": NEXT if mine else STABLE,
                "answeredBy": by,
                "role": "candidate" if mine else "stable",
                "traffic": 2 if at >= 0 else 1,
                "weightBp": 5000,
                "assignment": "split",
                "status": status,
                "error": status >= 500,
                "latencyUs": 5000,
                "startedAt": MIDNIGHT + timedelta(hours=at),
                "request": {"encoding": "json", "value": number},
                "response": {"encoding": "json", "value": y},
            }
        )
        self._take(number, at, f"x{number}{event}", "dev.switchyard.inference.v1", data)

    def outcome(self, number: int, at: float, value: float) -> None:
        """How late it was."""
        data = Label.model_validate(
            {"predictionId": f"p{number}", "value": value, "at": MIDNIGHT + timedelta(hours=at), "revision": 0}
        )
        self._take(number, at, f"o{number}", "dev.switchyard.outcome.v1", data)

    def evidence(self, metric: str, *, until: float) -> Evidence:
        """What it hands out when everything up to then has been read."""
        cells = [Cell(self.book.arms[arm], RULE, start, sums) for (arm, start), sums in self.fold.changes.cells.items()]
        question = Question(SUBJECT, metric, NEXT, STABLE, (2,), MARGIN)
        return answer(question, cells=cells, watermark_us=_us(until))

    def _take(self, number: int, at: float, event: str, kind: str, data: Inference | Label) -> None:
        record = Record(0, number, _us(at), None, None)
        self.fold.take(Fact(record, SUBJECT, event, kind, data, _us(at), identity.prefix(SUBJECT, data.prediction_id)))


class _Entries(dict[bytes, Entry]):
    """What the fold holds of each id; nothing is ever written elsewhere, so all of it stays."""


def _us(hours: float) -> int:
    return round((MIDNIGHT + timedelta(hours=hours)).timestamp() * 1_000_000)


def repeats(replay: Replay, chance: np.random.Generator) -> Course:
    """At the margin, and asked again under the same id with better knowledge; the first Y is the one that counts."""
    return _played(_flights(replay, chance), chance, again=True, latest=False)


def repeats_latest(replay: Replay, chance: np.random.Generator) -> Course:
    """The same, were the last Y the one that counts."""
    return _played(_flights(replay, chance), chance, again=True, latest=True)


def stand_ins(replay: Replay, chance: np.random.Generator) -> Course:
    """At the margin, with a 504 on the hardest flights, for which stable stands in; guarded by the error rate."""
    return _failed_over(_flights(replay, chance), chance, guarded=True)


def stand_ins_unguarded(replay: Replay, chance: np.random.Generator) -> Course:
    """The same without a guard: what is judged is what is left."""
    return _failed_over(_flights(replay, chance), chance, guarded=False)


@dataclass(frozen=True, slots=True)
class _Flights:
    hours: Floats
    lands: Floats
    delay: Floats
    error: Floats


def _flights(replay: Replay, chance: np.random.Generator) -> _Flights:
    """Two days of the timetable's model, and before them enough judged errors of stable for the cap."""
    first = int(chance.integers(3, replay.days - DAYS - 1))
    part = replay.part(first - 1, first + DAYS)
    landed = np.flatnonzero(~np.isnan(replay.delay[part]))
    hours = replay.hours[part][landed] - 24.0 * first
    delay = replay.delay[part][landed]
    return _Flights(
        hours, replay.lands[part][landed] - 24.0 * first, delay, replay.answers["1.0.0"][part][landed] - delay
    )


def _played(world: _Flights, chance: np.random.Generator, *, again: bool, latest: bool) -> Course:
    monitor = Monitor()
    scale = KAPPA**0.5
    for number, (at, lands, delay, error) in enumerate(
        zip(world.hours, world.lands, world.delay, world.error, strict=True)
    ):
        mine = bool(at >= 0 and chance.random() < 0.5)
        said, second = delay + error * (scale if mine else 1.0), delay + 0.5 * error
        repeated = again and mine and bool(chance.random() < REPEATED)
        monitor.exchange(number, at, mine=mine, y=second if repeated and latest else said)
        if repeated and not latest:
            monitor.exchange(number, at + 0.1, mine=True, y=second, event="-again")
        monitor.outcome(number, min(lands, at + 11.9), delay)
    monitor.fold.finish()
    return _judged(monitor, guarded=False)


def _failed_over(world: _Flights, chance: np.random.Generator, *, guarded: bool) -> Course:
    monitor = Monitor()
    scale = KAPPA**0.5
    hard = np.zeros(len(world.hours), dtype=np.bool_)
    for part in np.unique(world.hours // 6):  # in every quarter of a day alike
        held = world.hours // 6 == part
        hard |= held & (np.abs(world.error) >= np.quantile(np.abs(world.error[held]), 1.0 - HARDEST))
    for number, (at, lands, delay, error, slow) in enumerate(
        zip(world.hours, world.lands, world.delay, world.error, hard, strict=True)
    ):
        mine = bool(at >= 0 and chance.random() < 0.5)
        if mine and slow:
            monitor.exchange(number, at, mine=True, y=0.0, status=504)
            monitor.exchange(number, at + 0.01, mine=True, y=delay + error, event="-stand-in", by=STABLE)
        else:
            monitor.exchange(number, at, mine=mine, y=delay + error * (scale if mine else 1.0))
        monitor.outcome(number, min(lands, at + 11.9), delay)
    monitor.fold.finish()
    return _judged(monitor, guarded=guarded)


def _judged(monitor: Monitor, *, guarded: bool) -> Course:
    for until in _looks():
        metrics = (ERRORS, OUTCOME) if guarded else (OUTCOME,)
        for metric in metrics:
            evidence = monitor.evidence(metric.metric, until=until)
            found = judge(metric, evidence, budget=_risk(guarded), min_coverage=0.8)
            if found.verdict is Verdict.FAIL:
                return Course(End.ROLLED_BACK, found.samples, until, metric.name)
            if found.verdict is Verdict.PASS and metric is OUTCOME:
                return Course(End.PROMOTED, found.samples, until, metric.name)
    return Course(End.OPEN)


def _risk(guarded: bool) -> Budget:
    half = ALONE.alpha_rollback / 2
    return Budget(alpha_promote=0.05, alpha_guard=half, alpha_rollback=half) if guarded else ALONE


def _looks() -> Iterator[float]:
    for look in range(1, LOOKS + 1):
        yield 6.0 * look + 12.0


__all__ = ["Monitor", "repeats", "repeats_latest", "stand_ins", "stand_ins_unguarded"]
