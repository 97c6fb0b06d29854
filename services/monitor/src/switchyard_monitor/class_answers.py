"""What the API says of classes and of scores, put together from the sums of days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from switchyard_contracts.events import Part
from switchyard_contracts.intervals import jackknife, wilson
from switchyard_contracts.sticky import FOLDS

from switchyard_monitor.domain.calibration import Calibration, Gap, Promise
from switchyard_monitor.domain.confusion import Confusion, Interval, OfClass
from switchyard_monitor.domain.days import LAST_PLACE
from switchyard_monitor.domain.entries import Cell, spoken
from switchyard_monitor.domain.folded import by_number
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.scores import ONE
from switchyard_monitor.domain.separation import Separation
from switchyard_monitor.domain.sums import Sums, merged


class Measure(Part):
    """A number, and the interval that holds the true one about 95 times of 100, were predictions independent."""

    value: float | None = None
    lower: float | None = None
    upper: float | None = None


class ClassQuality(Part):
    """One class against all others, judged at age L."""

    name: str | None = None
    """Nothing for what is none of the classes that are told apart."""
    said: int
    happened: int
    right: int
    precision: Measure
    """Of those that were said to be it, how many were."""
    recall: Measure
    """Of those that were it, how many were said to be."""
    f1: Measure


class Classes(Part):
    """All classes of one revision, judged at age L."""

    names: list[str]
    positive: str | None = None
    table: list[list[int]]
    """By what was said, then by what happened; the last row and column are what is none of the classes."""
    each: list[ClassQuality]
    macro_f1: Measure
    """The mean over the classes that were said or happened."""
    mcc: Measure
    """Matthews' correlation coefficient."""


class Scores(Part):
    """Scores beside what happened, judged at age L."""

    n: int
    happened: int
    """How often it was the positive class; where none is, how often the answer was right."""
    promised: float
    """How often it would have been, by the scores."""
    auroc: Measure
    auroc_tied: float | None = None
    """The share of pairs that one bin of scores holds, which count a half each; the interval is wider by half of it."""
    average_precision: Measure
    brier: Measure
    log_loss: Measure
    """In nats."""
    spiegelhalter_z: float | None = None
    """Beyond ±1.96 scores are not calibrated, or the concept has changed."""
    slope: float | None = None
    """Of the log odds: under 1 scores are too sure of themselves."""
    ece: float
    """The expected calibration error, of ten bins; beside it that of a perfectly calibrated model, of as many."""
    ece_by_chance: float


class Estimate(Part):
    """What the scores promise (CBPE), of all predictions that have one, with or without an outcome."""

    n: int
    accuracy: float
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    auroc: float | None = None
    judged: int = 0
    """Of how many of them it is known, at age L, what came of it; of these are the next three."""
    expected_accuracy: float | None = None
    realised_accuracy: float | None = None
    gap_z: float | None = None
    """Realised less expected, in standard deviations: beyond ±1.96 it is calibration or concept, not chance."""


class Place(Part):
    """One place at which something was shown; the last one is all from there on."""

    place: int
    shown: int
    clicked: int
    share: float
    lower: float
    upper: float
    """95 % of such intervals hold the true share, were what is shown independent (Wilson)."""


class Ranking(Part):
    """What was shown and judged at age L; the share of all that was clicked is the accuracy."""

    shown: int
    clicked: int
    mean_place: float | None = None
    """Of what was clicked."""
    lists: int = 0
    """Those whose first place is judged: each list has one."""
    mrr: Measure = Measure()
    """Σ 1/place of what was clicked, by list: the mean reciprocal rank where nobody clicks twice in a list, and more
    than that where somebody does, as each click counts here and not only the first. Lists without a click add 0."""
    dcg: Measure = Measure()
    """Σ 1/log₂(place + 1) of what was clicked, by list: the discounted cumulative gain, however often one clicks."""
    ndcg: Measure = Measure()
    """The same by click: each is held against one at the first place. It is the NDCG of the lists that were clicked
    where nobody clicks twice in one; rows do not tell which clicks belong together, so of others it is no NDCG."""
    places: list[Place]


class Judged(NamedTuple):
    """What there is to say of one revision; None where there is nothing."""

    classes: Classes | None = None
    scores: Scores | None = None
    estimate: Estimate | None = None
    ranking: Ranking | None = None
    unscored: int | None = None


def judged(days: Sequence[Cell], rule: Rule | None = None) -> Judged:
    """Of one revision in one role, by the classes and scores that the rule in force speaks of."""
    rule = spoken(days, rule)
    if rule is None:
        return Judged()
    terms = _terms(rule)
    sums = merged(cell.sums for cell in days if _terms(cell.rule) == terms)
    return Judged(
        _classes(rule, sums), _scores(rule, sums), _estimate(rule, sums), _ranking(rule, sums), _unscored(rule, sums)
    )


def _terms(rule: Rule) -> tuple[object, ...]:
    return rule.measured, rule.classes, rule.positive, rule.score


def _classes(rule: Rule, sums: Sums) -> Classes | None:
    found = Confusion.of(rule.classes, sums) if rule.classes is not None else None
    if found is None or rule.classes is None:
        return None
    return Classes(
        names=list(rule.classes),
        positive=rule.positive,
        table=[list(row) for row in found.table],
        each=[_class(one) for one in found.classes if one.said or one.happened],
        macro_f1=_measure(found.macro_f1.value, found.macro_f1.interval),
        mcc=_measure(found.mcc.value, found.mcc.interval),
    )


def _class(one: OfClass) -> ClassQuality:
    return ClassQuality(
        name=one.name,
        said=one.said,
        happened=one.happened,
        right=one.right,
        precision=_measure(one.precision.value, one.precision.interval),
        recall=_measure(one.recall.value, one.recall.interval),
        f1=_measure(one.f1.value, one.f1.interval),
    )


def _scores(rule: Rule, sums: Sums) -> Scores | None:
    found = Calibration.of(sums)
    if found is None:
        return None
    # Of scores that speak of whatever was answered, there is nothing to be told apart.
    apart = Separation.of(sums) if rule.positive is not None else None
    auroc = apart.auroc if apart else None
    return Scores(
        n=found.n,
        happened=found.happened,
        promised=found.promised,
        auroc=_measure(auroc.value if auroc else None, apart.auroc_interval if apart else None),
        auroc_tied=auroc.tied if auroc else None,
        average_precision=_measure(
            apart.average_precision if apart else None, apart.average_precision_interval if apart else None
        ),
        brier=_measure(found.brier, found.brier_interval),
        log_loss=_measure(found.log_loss, found.log_loss_interval),
        spiegelhalter_z=found.z,
        slope=found.slope,
        ece=found.ece,
        ece_by_chance=found.ece_by_chance,
    )


def _estimate(rule: Rule, sums: Sums) -> Estimate | None:
    positive = rule.positive is not None
    promise, gap = Promise.of(sums, "est", positive=positive), Gap.of(sums, positive=positive)
    if promise is None:
        return None
    found = Estimate(
        n=promise.n,
        accuracy=promise.accuracy,
        precision=promise.precision,
        recall=promise.recall,
        f1=promise.f1,
        auroc=promise.auroc,
    )
    if gap is None:
        return found
    return found.model_copy(
        update={
            "judged": gap.n,
            "expected_accuracy": gap.expected,
            "realised_accuracy": gap.realised,
            "gap_z": gap.z,
        }
    )


def _unscored(rule: Rule, sums: Sums) -> int | None:
    return None if rule.score is None else sums.get("predictions", 0) - sums.get("est.n", 0)


def _ranking(rule: Rule, sums: Sums) -> Ranking | None:
    shown, clicked = sums.get("age.n", 0), sums.get("age.right", 0)
    if rule.task != "ranking" or not shown:
        return None
    places = []
    for place in range(1, LAST_PLACE + 1):
        if n := sums.get(f"rank.n:{place}", 0):
            hits = sums.get(f"rank.c:{place}", 0)
            lower, upper = wilson(n, hits)
            places.append(Place(place=place, shown=n, clicked=hits, share=hits / n, lower=lower, upper=upper))
    mean = sums.get("rank.places", 0) / clicked if clicked else None
    lists, clicks, reciprocal, gain = (
        by_number(sums, f"rank.{name}", FOLDS) for name in ("lists", "clicks", "rr", "dcg")
    )
    return Ranking(
        shown=shown,
        clicked=clicked,
        mean_place=mean,
        lists=sum(lists),
        mrr=_by(lists, reciprocal),
        dcg=_by(lists, gain),
        ndcg=_by(clicks, gain),
        places=places,
    )


def _by(counts: Sequence[int], parts: Sequence[int]) -> Measure:
    """A mean, with the interval that groups of users or of lists give it."""
    if not sum(counts):
        return Measure()
    groups = [(n, part / ONE) for n, part in zip(counts, parts, strict=True)]
    return _measure(sum(parts) / ONE / sum(counts), jackknife(groups))


def _measure(value: float | None, interval: Interval) -> Measure:
    lower, upper = interval if interval is not None and value is not None else (None, None)
    return Measure(value=value, lower=lower, upper=upper)
