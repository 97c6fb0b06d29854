"""The tables of classes and of scores on a deployment's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from switchyard_monitor import answers
from switchyard_monitor.class_answers import Classes, ClassQuality, Estimate, Measure
from switchyard_monitor.domain.days import LAST_PLACE
from switchyard_monitor.page import units
from switchyard_monitor.page.tables import Table, between, who

SURE = 1.96
"""Standard deviations beyond which chance is no explanation."""
OTHERS = "all others"
HELD = f"95{units.GAP}% interval"
IN_BRACKETS = f"in brackets 95{units.GAP}% intervals"


def classes(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str]) -> Table:
    """Precision, recall and F1 of each class, and what it was mostly taken for."""
    columns = (
        "Revision",
        "Role",
        "Class",
        "Happened",
        "Said",
        "Precision",
        "Recall",
        "F1",
        "MCC",
        "Mostly taken for",
    )
    rows = [
        (
            who(line.revision, names),
            line.role,
            one.name or OTHERS,
            units.count(one.happened),
            units.count(one.said),
            _measure(units.percent, one.precision),
            _measure(units.percent, one.recall),
            _measure(units.percent, one.f1),
            units.number(line.classes.mcc.value) if not at else "",
            _taken_for(line.classes, one),
        )
        for line in lines
        if line.classes is not None
        for at, one in enumerate(line.classes.each)
    ]
    return Table(f"Classes at age L, by revision and role; {IN_BRACKETS}", columns, rows)


def scores(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str]) -> Table:
    """How well scores tell classes apart, and whether they are true."""
    columns = (
        "Revision",
        "Role",
        "Judged",
        "AUROC",
        "Average precision",
        "Brier",
        "Log loss",
        "Slope",
        "Calibration error",
        "By chance alone",
        "Spiegelhalter z",
    )
    rows = [
        (
            who(line.revision, names),
            line.role,
            units.count(found.n),
            _measure(units.number, found.auroc),
            _measure(units.number, found.average_precision),
            units.number(found.brier.value),
            units.number(found.log_loss.value),
            units.number(found.slope),
            units.percent(found.ece),
            units.percent(found.ece_by_chance),
            units.number(found.spiegelhalter_z),
        )
        for line in lines
        if (found := line.scores) is not None
    ]
    return Table(f"Scores beside what happened, by revision and role; {IN_BRACKETS}", columns, rows)


def estimates(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str]) -> Table:
    """What scores promise, and whether it came true."""
    columns = (
        "Revision",
        "Role",
        "Predictions with a score",
        "Accuracy expected",
        "F1 expected",
        "AUROC expected",
        "Of them judged",
        "Accuracy expected of these",
        "And realised",
        "z of the gap",
        "What that says",
    )
    rows = [
        (
            who(line.revision, names),
            line.role,
            units.count(found.n),
            units.percent(found.accuracy),
            units.percent(found.f1),
            units.number(found.auroc),
            units.count(found.judged),
            units.percent(found.expected_accuracy),
            units.percent(found.realised_accuracy),
            units.number(found.gap_z),
            verdict(found),
        )
        for line in lines
        if (found := line.estimate) is not None
    ]
    return Table("Quality that scores promise, by revision and role", columns, rows)


def unscored(lines: Sequence[answers.RevisionQuality]) -> str:
    """How many predictions no score is known of, though the spec says where it stands; empty where there are none."""
    without = sum(line.unscored or 0 for line in lines)
    if not without:
        return ""
    return f"{units.count(without)} of {units.count(sum(line.predictions for line in lines))} predictions"


def places(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str]) -> Table:
    """How often what was shown at each place was clicked."""
    columns = ("Revision", "Role", "Place", "Shown", "Clicked", "Share", HELD)
    rows = [
        (
            who(line.revision, names),
            line.role,
            f"{one.place} and further" if one.place == LAST_PLACE else str(one.place),
            units.count(one.shown),
            units.count(one.clicked),
            units.percent(one.share),
            between(units.percent, one.lower, one.upper),
        )
        for line in lines
        if line.ranking is not None
        for one in line.ranking.places
    ]
    return Table("What was clicked at age L, by revision, role and place", columns, rows)


def rankings(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str]) -> Table:
    """How far up stood what was clicked."""
    columns = (
        "Revision",
        "Role",
        "Lists",
        "Clicks",
        "Mean place clicked",
        "MRR by click",
        "DCG",
        "NDCG by click",
    )
    rows = [
        (
            who(line.revision, names),
            line.role,
            units.count(found.lists),
            units.count(found.clicked),
            units.number(found.mean_place),
            _measure(units.number, found.mrr),
            _measure(units.number, found.dcg),
            _measure(units.number, found.ndcg),
        )
        for line in lines
        if (found := line.ranking) is not None
    ]
    return Table(f"Rankings by what was clicked at age L, by revision and role; {IN_BRACKETS}", columns, rows)


def verdict(found: Estimate) -> str:
    """What a gap means, and what it does not."""
    if not found.judged:
        return "no outcome yet"
    if found.gap_z is None or abs(found.gap_z) <= SURE:
        return "no more than chance"
    return "calibration or concept"


def _measure(words: Callable[[float | None], str], measure: Measure) -> str:
    if measure.lower is None:
        return words(measure.value)
    return f"{words(measure.value)} ({between(words, measure.lower, measure.upper)})"


def _taken_for(found: Classes, one: ClassQuality) -> str:
    """The class that was said most often of what was this one, and was wrong."""
    names = [*found.names, OTHERS]
    at = names.index(one.name or OTHERS)
    wrong = sorted(
        ((row[at], name) for said, (row, name) in enumerate(zip(found.table, names, strict=True)) if said != at)
    )
    many, name = wrong[-1]
    return f"{name}, {units.count(many)}" if many else units.NOTHING
