"""Everything that is simulated, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from switchyard_simulation import class_coverage, coverage, joins, splits, trials, truth
from switchyard_simulation.coverage import Covers
from switchyard_simulation.drawing import Pace, draw
from switchyard_simulation.flights import Replay
from switchyard_simulation.guarding import ALLOWED, Faults, Look, looks
from switchyard_simulation.rollout import Course, End, by_outcomes, roll
from switchyard_simulation.tally import BAND, COARSE, Kind

Play = Callable[[Replay, np.random.Generator], Course]
DAY = 24.0
SLOW = Pace("3 an hour", 3.0, 60, 1, 10, tuple(DAY * day for day in (1, 3, 6, 10)))
FAST = Pace("1,000 a second", 3.6e6, 14, 4, 1, tuple(float(s) / 3600 for s in np.geomspace(5, 600, 8)))
COUNTED = Pace(
    "one after the other", 1.0, 1, 1, 1, tuple(float(n) for n in np.unique(np.geomspace(4, 20_000, 80).round())), (0.5,)
)
"""Half and half, looked at ever more seldom: how many requests a guard needs."""
ALIKE = Faults(0.002, 0.002, curve=0.8)
AT_LIMITS = Faults(0.01, 0.01 / ALLOWED, slower=ALLOWED)
"""At each of the three limits, from which it may be taken back in 5 % of rollouts."""
NOTHING: frozenset[End] = frozenset()
PROMOTED, ROLLED_BACK = frozenset({End.PROMOTED}), frozenset({End.ROLLED_BACK})
BOTH = PROMOTED | ROLLED_BACK


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row: what is played, how often, and which ends are wrong."""

    group: str
    what: str
    play: Play
    wrong: frozenset[End]
    kind: Kind = Kind.PROMISE
    runs: int = 1_000
    expected: End | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """One row of the intervals."""

    what: str
    covers: Covers
    kind: Kind = Kind.PROMISE
    runs: int = 2_000
    band: tuple[float, float] = BAND


def rollout(
    replay: Replay,
    chance: np.random.Generator,
    *,
    maker: truth.Maker,
    pace: Pace,
    faults: Faults,
    mirrored: bool,
    failing: tuple[float, float] = (0.0, 0.0),
) -> Course:
    """A whole rollout, on flights in their real order from a random day on."""
    first = int(chance.integers(truth.BEFORE, replay.days - pace.days))
    losses = maker(replay, first, pace.days, chance)
    drawn = draw(replay, losses, pace=pace, failing=failing, first=first, chance=chance)
    last = 24.0 * pace.step_days * (len(pace.weights) - 1)
    return roll(looks(faults, pace, chance), by_outcomes(drawn, mirrored=mirrored), last_step=last)


def guarded(replay: Replay, chance: np.random.Generator, *, faults: Faults) -> Course:
    """Guards alone, half and half."""
    return roll(_counted(faults, chance), [], last_step=0.0)


def _counted(faults: Faults, chance: np.random.Generator) -> Iterable[Look]:
    return looks(faults, COUNTED, chance)


def _alike() -> list[Scenario]:
    same = truth.versus("2.0.0", "2.0.0")
    return [
        Scenario(
            "A/A: the same model twice",
            f"{pace.name}, by {'pairs' if mirrored else 'the split'}",
            partial(rollout, maker=same, pace=pace, faults=ALIKE, mirrored=mirrored, failing=(0.002, 0.002)),
            ROLLED_BACK,
        )
        for pace in (SLOW, FAST)
        for mirrored in (False, True)
    ]


def _at_the_margin() -> list[Scenario]:
    group = "Exactly at the margin, and at each guard's limit"
    rows = [
        Scenario(
            group,
            f"{pace.name}, by {'pairs, other on each day' if mirrored else 'the split'}",
            partial(
                rollout,
                maker=truth.at_margin_by_days if mirrored else truth.at_margin_always,
                pace=pace,
                faults=AT_LIMITS,
                mirrored=mirrored,
            ),
            BOTH,
            runs=500,
        )
        for pace in (SLOW, FAST)
        for mirrored in (False, True)
    ]
    real = partial(rollout, maker=truth.at_margin_in_all, faults=ALIKE, mirrored=True)
    year = partial(rollout, maker=truth.at_margin_of_the_year, faults=ALIKE, mirrored=True)
    rows += [
        Scenario(group, f"{pace.name}, by pairs, real models in real order", partial(real, pace=pace), BOTH, runs=200)
        for pace in (SLOW, FAST)
    ]
    rows += [
        Scenario(
            group,
            f"{FAST.name}, by the split, failing in 1 % against 0.67 %",
            partial(
                rollout,
                maker=truth.at_margin_always,
                pace=FAST,
                faults=AT_LIMITS,
                mirrored=False,
                failing=(AT_LIMITS.candidate, AT_LIMITS.stable),
            ),
            BOTH,
            runs=200,
        ),
        Scenario(
            group,
            f"{FAST.name}, by the split, other on each day",
            partial(rollout, maker=truth.at_margin_by_days, pace=FAST, faults=ALIKE, mirrored=False),
            BOTH,
            Kind.SHOWN,
            runs=200,
        ),
        Scenario(
            group,
            f"{FAST.name}, by pairs, at the margin over ten months, not two weeks",
            partial(year, pace=FAST),
            BOTH,
            Kind.SHOWN,
            runs=200,
        ),
    ]
    return rows


def _looks() -> list[Scenario]:
    group = "Looked at every 100 requests, at the margin"
    return [
        Scenario(group, f"{name}, {way}", partial(play, probabilities=weights), BOTH, kind, runs=runs)
        for name, weights in (("half and half", splits.HALF), ("5, 25, 50 %", splits.RAMP))
        for way, play, kind, runs in (
            ("the boundary", splits.every_hundred, Kind.PROMISE, 200),
            ("a usual 95 % bound", splits.every_hundred_usual, Kind.USUAL, 500),
        )
    ]


def _weights() -> list[Scenario]:
    group = "A/A, the weight rising 5, 25, 50 % within each day"
    return [
        Scenario(group, "each weight a row of its own", splits.moving, ROLLED_BACK, runs=500),
        Scenario(group, "poured together", splits.moving_pooled, ROLLED_BACK, Kind.USUAL, runs=500),
    ]


def _events() -> list[Scenario]:
    labels, repeats = "Worse than allowed; labels come early and late", "At the margin; a repeat with another, better Y"
    stand_ins = "At the margin; a 504 on the hardest 5 %, where stable stands in"
    return [
        Scenario(labels, "judged at age L", splits.at_age, PROMOTED, runs=500),
        Scenario(labels, "judged on arrival", splits.on_arrival, PROMOTED, Kind.USUAL, runs=500),
        Scenario(repeats, "the first Y counts", joins.repeats, BOTH, runs=100),
        Scenario(repeats, "the last Y counts", joins.repeats_latest, BOTH, Kind.USUAL, runs=40),
        Scenario(stand_ins, "with a guard on errors", joins.stand_ins, PROMOTED, runs=100),
        Scenario(stand_ins, "outcomes alone", joins.stand_ins_unguarded, PROMOTED, Kind.USUAL, runs=40),
    ]


def _effects() -> list[Scenario]:
    group = "Effects that are there"
    found: list[Scenario] = []
    for pace, mirrored in ((SLOW, True), (SLOW, False), (FAST, True), (FAST, False)):
        way = f"{pace.name}, by {'pairs' if mirrored else 'the split'}"
        play = partial(rollout, pace=pace, faults=ALIKE, mirrored=mirrored)
        better, worse = truth.versus("1.0.0", "2.0.0"), truth.versus("2.0.0", "3.0.0")
        found.append(
            Scenario(
                group, f"RMSE halved, {way}", partial(play, maker=better), ROLLED_BACK, runs=100, expected=End.PROMOTED
            )
        )
        found.append(
            Scenario(
                group,
                f"seconds for minutes, {way}",
                partial(play, maker=worse),
                PROMOTED,
                runs=100,
                expected=End.ROLLED_BACK,
            )
        )
    for what, faults in (
        ("20 % errors", Faults(0.2, 0.002)),
        ("0.2 → 1 % errors", Faults(0.0099, 0.002)),
        ("twice as slow", Faults(0.002, 0.002, slower=2.0)),
    ):
        found.append(
            Scenario(
                group,
                f"{what}, half and half",
                partial(guarded, faults=faults),
                PROMOTED,
                runs=200,
                expected=End.ROLLED_BACK,
            )
        )
    return found


def _tests() -> list[Scenario]:
    group = "A/B tests: the same model twice, or another, for users who stay where they are"
    return [
        Scenario(group, "read once, after two weeks", trials.read_once, BOTH),
        Scenario(group, "looked at daily for up to eight", trials.looked_at, BOTH, Kind.USUAL, runs=1_500),
        Scenario(group, "read once, by requests, not users", trials.by_requests, BOTH, Kind.USUAL, runs=500),
        Scenario(
            group,
            "RMSE a fifth lower",
            partial(trials.read_once, ratio=0.64),
            ROLLED_BACK,
            runs=200,
            expected=End.PROMOTED,
        ),
        Scenario(
            group,
            "RMSE a fifth higher",
            partial(trials.read_once, ratio=1.44),
            PROMOTED,
            runs=200,
            expected=End.ROLLED_BACK,
        ),
    ]


def _bandits() -> list[Scenario]:
    group, preferred = (
        "Bandits: decided by the boundary, whatever the weights were",
        "The worse, but quicker one preferred",
    )
    return [
        Scenario(group, "the same model twice, for four weeks", trials.decided, BOTH, runs=500),
        Scenario(
            group,
            "RMSE a fifth lower",
            partial(trials.decided, ratio=0.64),
            ROLLED_BACK,
            runs=100,
            expected=End.PROMOTED,
        ),
        Scenario(
            group,
            "RMSE a fifth higher",
            partial(trials.decided, ratio=1.44),
            PROMOTED,
            runs=100,
            expected=End.ROLLED_BACK,
        ),
        Scenario(
            f"{preferred} by a bandit (`promoted` is: has 80 % after a week)",
            "judged at age L",
            partial(trials.preferred, known=trials.at_age),
            PROMOTED,
            runs=200,
            expected=End.ROLLED_BACK,
        ),
        Scenario(
            f"{preferred} by a bandit (`promoted` is: has 80 % after a week)",
            "updated on arrival",
            partial(trials.preferred, known=trials.on_arrival),
            PROMOTED,
            Kind.USUAL,
            runs=200,
        ),
    ]


SCENARIOS: tuple[Scenario, ...] = (
    *_alike(),
    *_at_the_margin(),
    *_looks(),
    *_weights(),
    *_events(),
    *_effects(),
    *_tests(),
    *_bandits(),
)
INTERVALS: tuple[Interval, ...] = (
    *(Interval(f"share of {n:,}, Wilson", coverage.of_shares(n), band=COARSE) for n in (20, 200, 2_000)),
    *(
        Interval(
            f"failures against stable, about {n:,} in all, conditional binomial", coverage.of_ratios(n), band=COARSE
        )
        for n in (10, 100, 1_000)
    ),
    Interval("p95 of 500 latencies, order statistics", coverage.of_quantiles(0.95, 500), runs=1_000, band=COARSE),
    Interval("p99 of 5,000 latencies, order statistics", coverage.of_quantiles(0.99, 5_000), runs=400, band=COARSE),
    Interval("p95 of 100,000 latencies, order statistics", coverage.of_quantiles(0.95, 100_000), runs=200, band=COARSE),
    *(
        Interval(f"{name} of {n:,} flights by lot, jackknife", coverage.of_errors(key, n))
        for n in (200, 2_000)
        for name, key in (("RMSE", "rmse"), ("MAE", "mae"), ("bias", "bias"))
    ),
    Interval("RMSE of 100 flights by lot, normal", coverage.of_errors_usual(100), Kind.USUAL, runs=5_000),
    *(
        Interval(f"accuracy of {n:,} flights by lot, Wilson by the jackknife", coverage.of_classes(n), band=COARSE)
        for n in (200, 2_000)
    ),
    Interval("the same of 200 of which 1 % are wrong", coverage.of_rare_errors(200, 0.01), band=COARSE),
    Interval("bias for 200 users who ask 20 times each, jackknife by user", coverage.of_users(known=True)),
    Interval("the same by request", coverage.of_users(known=False), Kind.USUAL),
    Interval("RMSE of a week in a row, jackknife", coverage.of_a_week, Kind.SHOWN, runs=200),
    Interval("difference of pairs over 14 days, day blocks", coverage.of_pairs, runs=1_000),
    Interval("share of 2,000 flights that never landed, Wilson", class_coverage.of_cancelled(2_000), band=COARSE),
    Interval("share clicked at a place, of 500 times ten flights, Wilson", class_coverage.of_places(500), band=COARSE),
    Interval("p95 of 500 flights' durations, order statistics", coverage.of_durations(0.95, 500), band=COARSE),
    *(
        Interval(f"{name} of {n:,} flights by lot", class_coverage.of_confusion(key, n), band=COARSE)
        for n in (500, 2_000)
        for name, key in (
            ("precision", "precision"),
            ("recall", "recall"),
            ("F1", "f1"),
            ("macro F1 of three classes", "macro_f1"),
            ("Matthews' coefficient", "mcc"),
        )
    ),
    *(
        Interval(f"{name} of {n:,} flights by lot", class_coverage.of_scores(key, n), runs=1_000, band=band)
        for n in (500, 2_000)
        for name, key, band in (
            ("AUROC (DeLong)", "auroc", COARSE),
            ("average precision (jackknife)", "average_precision", BAND),
            ("Brier score (jackknife)", "brier", BAND),
            ("log loss (jackknife)", "log_loss", BAND),
        )
    ),
    *(
        Interval(
            f"{name} of 2,000, where 3 of 100 happen",
            class_coverage.of_scores(key, 2_000, least=class_coverage.VERY_LATE),
            runs=1_000,
            band=COARSE,
        )
        for name, key in (("AUROC (DeLong)", "auroc"), ("average precision (jackknife)", "average_precision"))
    ),
    *(
        Interval(f"{name} of 2,000 calibrated scores within ±1.96", class_coverage.of_promises(key, 2_000), runs=1_000)
        for name, key in (("Spiegelhalter's z", "z"), ("z of realised less estimated accuracy (CBPE)", "gap"))
    ),
    *(
        Interval(
            f"MAE of a part of the day, {days} days by lot (jackknife by days)",
            class_coverage.of_segments(days),
            runs=1_000,
        )
        for days in (14, 28)
    ),
)
