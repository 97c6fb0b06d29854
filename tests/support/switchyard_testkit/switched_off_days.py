"""Formulas of what is summed up by days, broken as one breaks them: see `switched_off`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from switchyard_monitor.domain import calibration, confusion, cusum, days, segments, separation
from switchyard_monitor.domain.rules import Rule, Value
from switchyard_monitor.domain.scores import ONE
from switchyard_monitor.domain.usual import Usual
from switchyard_profile import importance

from switchyard_testkit.switching import Switch, always, instead

_cost = Rule.cost


def of_equal_width(score: int) -> int:
    """256 bins, as wide at the ends as in the middle."""
    return min(255, score * 256 // ONE)


def of_all_classes(margins: Sequence[float]) -> float | None:
    """The F1 of all classes poured together, which is the accuracy."""
    size = len(margins) // 3
    both = math.fsum(margins[size:])
    return 2 * math.fsum(margins[:size]) / both if both else None


def nothing_for_none(self: Rule, said: Value, happened: Value, *, score: int | None) -> int | None:
    """A loss that comes to no number is none at all, and lowers the mean."""
    found = _cost(self, said, happened, score=score)
    return 0 if found is None else found


def eta_squared(share: Fraction, n: int, k: int) -> Fraction:
    """The share that lies between bins, of which every bin brings some by chance."""
    return share


def from_the_top(no: Sequence[float], yes: Sequence[float]) -> float | None:
    """The mean precision of all cuts, whatever recall each gains."""
    hits = said = 0.0
    found = []
    for n, y in zip(reversed(no), reversed(yes), strict=True):
        hits, said = hits + y, said + n + y
        if said:
            found.append(hits / said)
    return math.fsum(found) / len(found) if found and hits else None


def of_what_happened(patch: pytest.MonkeyPatch) -> None:
    """DeLong's error of what happened alone, as if what did not were known without end."""
    own = separation.Auroc.of

    def of(no: Sequence[float], yes: Sequence[float]) -> Any:
        found = own(no, yes)
        return found and replace(found, error=found.error / 2)

    patch.setattr(separation.Auroc, "of", of)


def half_the_doubt(patch: pytest.MonkeyPatch) -> None:
    """The gap is held against half of its variance."""
    own = calibration.Gap.of

    def of(sums: Mapping[str, int], *, positive: bool) -> Any:
        found = own(sums, positive=positive)
        return found and replace(found, z=None if found.z is None else found.z * math.sqrt(2))

    patch.setattr(calibration.Gap, "of", of)


SWITCHES: Mapping[str, Switch] = {
    "bins-from-both-ends": instead(days, "bin_of", of_equal_width),
    "recall-that-is-gained": instead(separation, "average_precision", from_the_top),
    "classes-that-count-alike": instead(confusion, "macro_f1", of_all_classes),
    "losses-in-nats": instead(calibration, "LN2", 1.0),
    "days-like-those-before": instead(cusum._Usual, "alike", property(always(0.0))),
    "placements-of-both": of_what_happened,
    "doubts-of-scores": half_the_doubt,
    "windows-that-differ-by-themselves": instead(Usual, "inflation_at", always(1.0)),
    "digits-that-say-what-they-mean": instead(segments, "mark", always(0)),
    "discounts-by-place": instead(days, "discount", always(ONE)),
    "importance-less-that-of-lots": instead(importance, "corrected", eta_squared),
    "losses-that-are-counted-out": instead(Rule, "cost", nothing_for_none),
}
"""By what is taken away."""
