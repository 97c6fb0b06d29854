"""How often the intervals of what is kept by days hold: of classes, scores, estimates, segments and places.

Flights are drawn by lot from all of them, so what is true is what all of them say. A flight is early, on time or late,
and is said to be so by 2.0.0; the score is the share that was late of all flights of which much the same was answered,
so that of all flights it is calibrated exactly. Sums are made at once for all flights drawn; that they are those that
the join makes one by one is a test's to hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from switchyard_contracts.intervals import wilson
from switchyard_contracts.windows import DAY_US
from switchyard_monitor.class_answers import judged
from switchyard_monitor.domain.calibration import Calibration, Gap
from switchyard_monitor.domain.confusion import Confusion, macro_f1, mcc
from switchyard_monitor.domain.days import COARSE, COARSE_BINS, STRIDE
from switchyard_monitor.domain.entries import Arm, Cell
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.scores import ONE, bin_of, bits, tenth
from switchyard_monitor.domain.segments import BASE, Segment
from switchyard_monitor.domain.separation import Separation
from switchyard_monitor.domain.sums import Sums
from switchyard_monitor.segment_answers import segments

from switchyard_simulation.coverage import LATE, SUBJECT, Bounds, Covers, Shown, groups
from switchyard_simulation.flights import Floats, Replay, Whole

EARLY = -10.0
VERY_LATE = 120.0
"""Minutes; of 100 flights 3 are later than that."""
NAMES = ("early", "on time", "late")
ALIKE = 500
"""Groups of flights of which much the same was answered."""
SHOWN_AT_ONCE = 10
DAY_PARTS = (10.0, 16.0)
PLACED = Rule(SUBJECT, task="ranking")
BY_HOUR = Rule(SUBJECT, task="regression", scale=10, segments=(Segment("hour", "$.hour", edges=DAY_PARTS),))
ARM = Arm(1, "2.0.0", "stable", 1, 10_000, "split")


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """All flights that landed: what was said, what happened, and the score of it."""

    said: Whole
    happened: Whole
    score: Whole
    """That it will be late (or very late), in parts."""
    so: npt.NDArray[np.bool_]
    """Whether it was."""
    error: Floats
    part: Whole
    """Of the day: 1, 2 or 3."""
    day: Whole


@lru_cache
def known(replay: Replay, *, least: float = LATE) -> Known:
    """Those of a replay; `least` minutes are late, for the score."""
    landed = ~np.isnan(replay.delay)
    delay, answer = replay.delay[landed], replay.answers["2.0.0"][landed]
    so = delay >= least
    alike = np.minimum(ALIKE - 1, np.argsort(np.argsort(answer)) * ALIKE // len(answer))
    share = np.bincount(alike, so, ALIKE) / np.bincount(alike, minlength=ALIKE)
    hours = replay.hours[landed]
    return Known(
        said=_class(answer),
        happened=_class(delay),
        score=np.rint(share[alike] * ONE).astype(np.int64),
        so=so,
        error=answer - delay,
        part=1 + np.searchsorted(DAY_PARTS, hours % 24.0, side="right").astype(np.int64),
        day=(hours // 24).astype(np.int64),
    )


def _class(delay: Floats) -> Whole:
    return np.searchsorted((EARLY, LATE), delay, side="right").astype(np.int64)


def class_sums(said: Whole, happened: Whole, fold: Whole) -> Sums:
    """As a day keeps them: the table, and by groups what is right, said and come of each class."""
    found = _counts("age.c", said * STRIDE + happened)
    for name, at in (("said", said), ("came", happened)):
        found |= _counts(f"age.{name}", fold * STRIDE + at)
    right = said == happened
    return found | _counts("age.tp", (fold * STRIDE + said)[right])


def score_sums(score: Whole, so: npt.NDArray[np.bool_], fold: Whole) -> Sums:
    """As a day keeps scores of what is positive, where it is said from a half on."""
    miss = np.where(so, ONE - score, -score)
    steep, doubt = ONE - 2 * score, score * (ONE - score)
    least = np.maximum(doubt, ONE - 1)
    loss = _looked_up(np.where(so, score, ONE - score), bits)
    index = _looked_up(score, bin_of)
    said = 2 * score >= ONE
    square = miss * miss
    found = {
        "cal.n": len(score),
        "cal.p": int(score.sum()),
        "cal.pq": int(least.sum()),
        "cal.b": int(square.sum()),
        "cal.l": int(loss.sum()),
        "cal.z": int((miss * steep).sum()),
        # Beyond 64 bits, as the join's own whole numbers are.
        "cal.zz": sum((steep * steep).astype(object) * least.astype(object)),
        "cal.y": int(so.sum()),
        "cal.right": int((said == so).sum()),
        "cal.said": int(said.sum()),
        "cal.hit": int(score[said].sum()),
    }
    for name, which in (("s0", ~so), ("s1", so)):
        found |= _counts(f"cal.{name}", index[which])
    for name, which in (("f0", ~so), ("f1", so)):
        found |= _counts(f"cal.{name}", (fold * COARSE_BINS + index // COARSE)[which])
    found |= _counts("cal.n", fold)
    tenths = _looked_up(score, tenth)
    for name, place, each in (("b", fold, square), ("l", fold, loss), ("g", tenths, miss), ("gq", tenths, doubt)):
        totals = np.bincount(place, each.astype(np.float64))
        found |= {f"cal.{name}:{at}": int(total) for at, total in enumerate(totals)}
    return found


def segment_sums(error: Floats, part: Whole) -> Sums:
    """As a day keeps the errors of each part."""
    whole = np.rint(error / BY_HOUR.unit)
    found = _counts("seg.all", part) | _counts("seg.n", part)
    for name, each in (("e", whole), ("ee", whole**2), ("a", np.abs(whole))):
        totals = np.bincount(part, each, BASE)
        found |= {f"seg.{name}:{at}": int(total) for at, total in enumerate(totals) if total}
    return found


def of_confusion(name: str, n: int) -> Covers:
    """That of late flights' precision, recall or F1, of the macro F1, or of Matthews' coefficient."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        held = known(replay)
        at = chance.integers(0, len(held.said), n)
        found = Confusion.of(NAMES, class_sums(held.said[at], held.happened[at], groups(n)))
        if found is None:
            return Shown(False, None)
        whole = found if name in ("macro_f1", "mcc") else found.classes[NAMES.index("late")]
        return Shown.of(getattr(whole, name).interval, _of_all(held)[name])

    return covers


@lru_cache
def _of_all(held: Known) -> dict[str, float]:
    table = np.bincount(held.said * 3 + held.happened, minlength=9).reshape(3, 3).astype(np.float64)
    right, said, came = np.diag(table), table.sum(axis=1), table.sum(axis=0)
    margins = [*right, *said, *came]
    late = NAMES.index("late")
    return {
        "precision": right[late] / said[late],
        "recall": right[late] / came[late],
        "f1": 2 * right[late] / (said[late] + came[late]),
        "macro_f1": macro_f1(margins) or 0.0,
        "mcc": mcc(margins) or 0.0,
    }


def of_scores(name: str, n: int, *, least: float = LATE) -> Covers:
    """That of AUROC or average precision (DeLong, jackknife), of the Brier score or of log loss (jackknife)."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        held = known(replay, least=least)
        at = chance.integers(0, len(held.score), n)
        sums = score_sums(held.score[at], held.so[at], groups(n))
        interval: Bounds
        if name in ("auroc", "average_precision"):
            interval = getattr(Separation.of(sums), f"{name}_interval")
        else:
            interval = getattr(Calibration.of(sums), f"{name}_interval")
        return Shown.of(interval, _scored(held)[name])

    return covers


@lru_cache
def _scored(held: Known) -> dict[str, float]:
    """Of all flights, by the scores themselves and not by their bins."""
    values, index = np.unique(held.score, return_inverse=True)
    no, yes = (np.bincount(index, which, len(values)) for which in (~held.so, held.so))
    below = np.cumsum(no) - no
    hits, said = np.cumsum(yes[::-1]), np.cumsum((no + yes)[::-1])
    p = held.score / ONE
    chance = np.maximum(np.where(held.so, p, 1.0 - p), 1 / ONE)
    return {
        "auroc": float((yes * (below + no / 2)).sum() / (no.sum() * yes.sum())),
        "average_precision": float((yes[::-1] * hits / said).sum() / yes.sum()),
        "brier": float(((held.so - p) ** 2).mean()),
        "log_loss": float(-np.log(chance).mean()),
    }


def of_promises(name: str, n: int) -> Covers:
    """Whether a z of calibrated scores lies within ±1.96: Spiegelhalter's, or that of what was expected."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        held = known(replay)
        at = chance.integers(0, len(held.score), n)
        return promised(score_sums(held.score[at], held.so[at], groups(n)), name)

    return covers


def promised(sums: Sums, name: str) -> Shown:
    """Of some sums."""
    found: Calibration | Gap | None = Gap.of(sums, positive=True) if name == "gap" else Calibration.of(sums)
    return Shown(found is not None and found.z is not None and abs(found.z) <= 1.96, None)


def of_segments(days: int) -> Covers:
    """That of the MAE of one part of the day, by whole days by lot."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        held = known(replay)
        part = int(chance.integers(1, 4))
        quality = segments(list(by_days(replay, chance, days)))[0].features[0].parts[part - 1]
        ends = None if quality.lower is None or quality.upper is None else (quality.lower, quality.upper)
        return Shown.of(ends, float(np.abs(held.error[held.part == part]).mean()))

    return covers


def by_days(replay: Replay, chance: np.random.Generator, days: int, *, by_lot: bool = False) -> Iterator[Cell]:
    """Whole days by lot, each a cell; parts of the day as they were, or each flight in one by lot."""
    held, bounds = known(replay), _bounds(replay)
    for at, day in enumerate(chance.choice(len(bounds) - 1, days, replace=False)):
        of = slice(bounds[day], bounds[day + 1])
        part = chance.integers(1, 4, of.stop - of.start) if by_lot else held.part[of]
        yield Cell(ARM, BY_HOUR, at * DAY_US, segment_sums(held.error[of], part))


@lru_cache
def _bounds(replay: Replay) -> Whole:
    return np.searchsorted(known(replay).day, np.arange(replay.days + 1)).astype(np.int64)


def of_places(n: int) -> Covers:
    """Wilson's, of the share clicked at a place: of ten flights by lot the one most likely to be late comes first."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        place = int(chance.integers(1, SHOWN_AT_ONCE + 1))
        clicks = _clicked(replay, chance, n)[:, place - 1]
        sums = {
            "age.n": n,
            "age.right": int(clicks.sum()),
            f"rank.n:{place}": n,
            f"rank.c:{place}": int(clicks.sum()),
            "rank.places": place * int(clicks.sum()),
        }
        ranking = judged([Cell(ARM, PLACED, 0, sums)]).ranking
        if ranking is None:
            return Shown(False, None)
        (shown,) = ranking.places
        return Shown.of((shown.lower, shown.upper), float(_shares(replay)[place - 1]))

    return covers


def _clicked(replay: Replay, chance: np.random.Generator, n: int) -> npt.NDArray[np.bool_]:
    held = known(replay)
    at = chance.integers(0, len(held.score), (n, SHOWN_AT_ONCE))
    order = np.argsort(-held.score[at], axis=1, kind="stable")
    return np.take_along_axis(held.so[at], order, axis=1)


@lru_cache
def _shares(replay: Replay) -> Floats:
    return np.asarray(_clicked(replay, np.random.default_rng(1), 200_000).mean(axis=0))


def of_cancelled(n: int) -> Covers:
    """Wilson's, of the share of flights that never landed."""

    def covers(replay: Replay, chance: np.random.Generator) -> Shown:
        gone = np.isnan(replay.delay)
        return Shown.of(wilson(n, int(chance.choice(gone, n).sum())), float(gone.mean()))

    return covers


def _counts(name: str, at: Whole) -> Sums:
    found = np.bincount(at)
    return {f"{name}:{place}": int(found[place]) for place in np.flatnonzero(found)}


def _looked_up(values: Whole, function: Callable[[int], int]) -> Whole:
    distinct, index = np.unique(values, return_inverse=True)
    return np.array([function(int(value)) for value in distinct], dtype=np.int64)[index]
