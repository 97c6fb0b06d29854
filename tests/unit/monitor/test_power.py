"""What drift finds on real days of flights, and what it leaves alone; and what only the outcome shows.

Days are drawn by lot, some for the reference and others to be judged, so that no season lies between the two. What a
test should find on days made up of independent rows is foretold by scipy's noncentral χ².
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score
from switchyard_monitor.domain.drift import Finding, judge
from switchyard_monitor.domain.profiling import Span
from switchyard_monitor.domain.quality import Quality
from switchyard_monitor.domain.usual import Aspect, Yardstick
from switchyard_profile.profile import FeatureSums, Profile
from switchyard_profile.reference import DAY_SECONDS
from switchyard_profile.training import Limits, Options, reference
from switchyard_testkit.flights import Flight, flights, of_year
from switchyard_testkit.monitor_world import MONITORING, NOON_US, SECOND, SUBJECT, World, inference, outcome

LEARNT, JUDGED = 45, 60
LATE = 15.0
LIMITS = Options(limits={"distance": Limits(0.0, 6000.0)}, prediction="answer")
Columns = dict[str, list[Any]]
Key = tuple[str, Aspect]


@dataclass(frozen=True, slots=True)
class Year:
    """Days of flights by lot: a reference, and days that are none of it."""

    yardstick: Yardstick
    judged: Sequence[pd.DataFrame]

    def found(self, day: pd.DataFrame, change: Callable[[Columns], None] | None = None) -> dict[Key, Finding]:
        """What is said of a day, as it was or changed."""
        columns = columns_of(day)
        if change is not None:
            change(columns)
        made = self.yardstick.reference
        columns["prediction"] = columns.pop("answer")
        profile = Profile.of(made.digest, made.binnings, columns, rows=len(day))
        return {(one.feature, one.aspect): one for one in judge(self.yardstick, profile, start=0)}

    def share(self, key: Key, change: Callable[[Columns], None] | None = None) -> float:
        """Of how many of the days it is said that this drifted."""
        return sum(self.found(day, change)[key].drifted for day in self.judged) / len(self.judged)


def columns_of(day: pd.DataFrame) -> Columns:
    """X and Y of a plain model that says whether a flight will be late, as the topic has them."""
    said = 0.95 * day["dep_delay"] - 0.004 * day["distance"]
    columns: Columns = {name: day[name].tolist() for name in ("carrier", "dest", "distance")}
    columns["departure_delay"] = day["dep_delay"].tolist()
    columns["answer"] = ["late" if late else "on time" for late in said >= LATE]
    return columns


@pytest.fixture(scope="module")
def year() -> Year:
    days = [day for _, day in of_year().groupby(["month", "day"], sort=True)]
    drawn = [days[place] for place in np.random.default_rng(2013).permutation(len(days))[: LEARNT + JUDGED]]
    each = [columns_of(day) for day in drawn[:LEARNT]]
    columns = {name: [value for one in each for value in one[name]] for name in each[0]}
    times = [at * DAY_SECONDS for at, day in enumerate(drawn[:LEARNT]) for _ in range(len(day))]
    return Year(Yardstick(reference(columns, times=times, options=LIMITS)), drawn[LEARNT:])


def of(name: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[Columns], None]:
    def changed(columns: Columns) -> None:
        columns[name] = change(columns[name])

    return changed


def shifted(deviations: float, *, deviation: float) -> Callable[[Columns], None]:
    return of("departure_delay", lambda values: [value + deviations * deviation for value in values])


def every(step: int, value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [value if row % step == 0 else held for row, held in enumerate(values)]


DELAY, DISTANCE = ("departure_delay", Aspect.DISTRIBUTION), ("distance", Aspect.DISTRIBUTION)


@pytest.mark.rule("check-shifts")
@pytest.mark.parametrize(
    ("deviations", "least", "most"),
    [
        pytest.param(0.0, 0.0, 0.05, id="nothing changed"),
        pytest.param(0.05, 0.01, 0.3, id="0.05 deviations: two minutes, found on some days"),
        pytest.param(0.1, 0.6, 0.99, id="0.1 deviations: four minutes, found on most"),
        pytest.param(0.2, 1.0, 1.0, id="0.2 deviations"),
        pytest.param(0.5, 1.0, 1.0, id="0.5 deviations"),
    ],
)
def test_flights_that_leave_later(year: Year, deviations: float, least: float, most: float) -> None:
    (delay,) = (one for one in year.yardstick.reference.features if one.name == "departure_delay")
    deviation = delay.sums.moments.deviation(scale=delay.binning.scale)
    assert deviation == pytest.approx(39.0, abs=1.0)
    assert least <= year.share(DELAY, shifted(deviations, deviation=deviation)) <= most


@pytest.mark.rule("check-shifts")
@pytest.mark.parametrize("shift", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5])
def test_of_independent_rows_it_finds_what_scipys_noncentral_chi2_foretells(shift: float) -> None:
    """On normal rows: how often p < 1 % on 400 windows, against the power of Pearson's test for such shares."""
    chance, level, rows = np.random.default_rng(7), 0.01, 1000
    values = chance.normal(0.0, 1.0, 45 * rows)
    made = Yardstick(reference({"x": values.tolist()}, times=[at // rows * DAY_SECONDS for at in range(len(values))]))
    (feature,) = made.reference.features
    normal = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000) + shift
    held = np.array(feature.grouped(feature.sums), dtype=float)
    come = np.array(feature.grouped(FeatureSums.of(feature.binning, normal.tolist())), dtype=float)
    shares, both = held / held.sum(), (held + rows * come / come.sum()) / (held.sum() + rows)
    ncp = rows * held.sum() / (rows + held.sum()) * float(((shares - come / come.sum()) ** 2 / both).sum())
    inflation = made.usual("x", Aspect.DISTRIBUTION, start=0).inflation_at(rows)
    df = len(held) - 1
    expected = stats.ncx2.sf(inflation * stats.chi2.isf(level, df), df, ncp) if shift else level

    finds, windows = 0, 400
    for _ in range(windows):
        window = Profile.of(
            made.reference.digest, [feature.binning], {"x": chance.normal(shift, 1.0, rows).tolist()}, rows=rows
        )
        p = judge(made, window, start=0)[0].p
        finds += p is not None and p < level
    assert stats.binomtest(finds, windows, min(float(expected), 1.0)).pvalue > 1e-4, (finds / windows, expected)


@pytest.mark.rule("check-missing")
def test_one_percent_more_is_missing(year: Year) -> None:
    missing = ("distance", Aspect.MISSING)
    assert year.share(missing) == 0.0
    assert year.share(missing, of("distance", every(100, None))) == 1.0


@pytest.mark.rule("check-new-category")
def test_a_carrier_that_was_never_seen(year: Year) -> None:
    unseen = ("carrier", Aspect.UNSEEN)
    assert year.share(unseen) == 0.0
    assert year.share(unseen, of("carrier", every(100, "XX"))) == 1.0


@pytest.mark.rule("check-units")
@pytest.mark.parametrize(
    ("key", "factor"),
    [
        pytest.param(DISTANCE, 1.609344, id="kilometres for miles"),
        pytest.param(DELAY, 60.0, id="seconds for minutes"),
        pytest.param(DELAY, 1 / 60, id="hours for minutes"),
    ],
)
def test_swapped_units(year: Year, key: Key, factor: float) -> None:
    assert year.share(key, of(key[0], lambda values: [value * factor for value in values])) == 1.0


@pytest.mark.rule("check-outlier")
def test_one_outlier_is_counted_hides_nothing_and_is_no_drift(year: Year) -> None:
    def wild(columns: Columns) -> None:
        columns["distance"][3] = 1e6

    def wild_in_kilometres(columns: Columns) -> None:
        of("distance", lambda values: [value * 1.609344 for value in values])(columns)
        wild(columns)

    assert year.share(DISTANCE, wild) == year.share(DISTANCE)
    assert year.share(DISTANCE, wild_in_kilometres) == 1.0
    for day in year.judged:
        outside = year.found(day, wild)["distance", Aspect.OUTSIDE]
        assert round(outside.effect * outside.rows) == 1


@pytest.mark.rule("check-label-flip")
def test_a_label_that_is_turned_round_is_invisible_in_x_and_visible_in_the_outcome(year: Year, tmp_path: Path) -> None:
    """Two days on which nothing drifts; on the second whoever writes X′ has yes and no the wrong way round."""
    calm = [day for day in year.judged if not any(one.drifted for one in year.found(day).values())][:2]
    made = year.yardstick.reference
    world = World(tmp_path)
    world.store.keep_baseline(made.digest, made.to_bytes())
    task, came = {"path": "$.delay", "task": "classification"}, MONITORING["outcome"] | {"judgedAfter": "12h"}
    world.teach({"prediction": task, "outcome": came, "window": "1h", "reference": made.digest})
    said, happened = [], []
    for at, (day, flipped) in enumerate(zip(calm, (False, True), strict=True)):
        answers = columns_of(day)["answer"]
        said.append([])
        happened.append([])
        for prediction_id, left, answer, flight in told(day, answers, at):
            world.say(inference(prediction_id, y=answer, at=left, request=asked(flight)), at=left)
            if flight.landed is not None and flight.delay is not None:
                truth = "late" if (flight.delay >= LATE) is not flipped else "on time"
                world.say(outcome(prediction_id, truth, at=left + 3600), at=left + 3600)
                said[at].append(answer)
                happened[at].append(truth)
    world.now_us = NOON_US + 3 * DAY_SECONDS * SECOND
    world.run()

    for at in (0, 1):
        assert not any(one.drifted for one in of_day(world, year.yardstick, at)), "X and Y are as they were"
    was, now = (accuracy(world, at) for at in (0, 1))
    for found, y, x in zip((was, now), said, happened, strict=True):
        assert (found.n, found.accuracy) == (len(y), pytest.approx(accuracy_score(x, y), abs=1e-12))
    before, after = was.interval("accuracy"), now.interval("accuracy")
    assert before is not None
    assert after is not None
    assert after[1] < 0.5 < before[0]
    world.store.close()


def told(day: pd.DataFrame, answers: Sequence[str], at: int) -> Iterator[tuple[str, float, str, Flight]]:
    """Flights of the day, moved to the world's day of that number; in seconds after NOON."""
    midnight = datetime(2013, int(day["month"].iloc[0]), int(day["day"].iloc[0]), tzinfo=UTC)
    for flight, answer in zip(flights(day), answers, strict=True):
        left = min(flight.left, midnight + timedelta(hours=23, minutes=59)) - midnight
        yield f"{at}-{flight.name}", (at + 0.5) * DAY_SECONDS + left.total_seconds(), answer, flight


def asked(flight: Flight) -> dict[str, Any]:
    return {"encoding": "json", "value": flight.x}


def of_day(world: World, yardstick: Yardstick, at: int) -> list[Finding]:
    """What is found of a day that the monitor profiled."""
    first = NOON_US + round((at + 0.5) * DAY_SECONDS) * SECOND
    made = yardstick.reference
    span = Span(subject=SUBJECT, baseline=made.digest, since_us=first, until_us=first + DAY_SECONDS * SECOND)
    whole = None
    for profile in world.store.profiles(span).values():
        whole = profile if whole is None else whole.merge(profile)
    assert whole is not None
    assert whole.rows > 500
    return judge(yardstick, whole, start=0)


def accuracy(world: World, at: int) -> Quality:
    """What is known of the day's predictions, at age L."""
    first = NOON_US + round((at + 0.5) * DAY_SECONDS) * SECOND
    cells = world.store.cells(world.store.arms(SUBJECT))
    mine = [cell for cell in cells if first <= cell.start_us < first + DAY_SECONDS * SECOND]
    return Quality.of(((cell.rule, cell.sums) for cell in mine), "age")
