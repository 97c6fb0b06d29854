"""Gauges: the one number that a rule looks at in one window, or why there is none.

Sums and profiles are those of the revision that serves, in every role in which it answers those who ask. Labels are
those that were there at age L, so that a window says the same however late it is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from re import Pattern

from switchyard_contracts.alarm_records import DriftedFeature
from switchyard_contracts.alarms import DRIFT, LOSS, REQUESTS
from switchyard_contracts.judgement import count, counted, percent
from switchyard_contracts.windows import DAY_US, HOUR_US, SECOND_US
from switchyard_profile.binning import Side
from switchyard_profile.profile import Profile
from switchyard_profile.reference import Feature, Reference

from switchyard_monitor.domain import cusum, row_losses
from switchyard_monitor.domain.alarms import MOST_NAMES, Reading, Terms
from switchyard_monitor.domain.drift import Finding, judge, share_of
from switchyard_monitor.domain.entries import Cell
from switchyard_monitor.domain.quality import Quality, latency
from switchyard_monitor.domain.retention import Rungs
from switchyard_monitor.domain.row_losses import RowLoss
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import Sums, merged, only
from switchyard_monitor.domain.usual import ENOUGH, Aspect, Yardstick

SERVED = frozenset({"stable", "candidate"})
"""Roles in which a revision answers those who ask."""
_QUALITY = ("predictions", "age.n", "age.right", "age.e", "age.ee", "age.eeee", "age.a", "age.clipped")
_OWN = ("predictions", *row_losses.SHOWN)
_SUMS = {
    "error_rate": only("requests", "errors"),
    REQUESTS: only("requests", "predictions"),
    "latency": only("latency:"),
    "outcome": only(*_QUALITY),
    LOSS: only(*_OWN),
    "decision": only("dec.n", "dec.agree"),
}
_OF_EXCHANGES = frozenset({"error_rate", REQUESTS, "latency"})
FINE_US, HOURLY_US = 2 * HOUR_US, 48 * HOUR_US
"""After which profiles are put together to hours and, in turn, to windows of the reference."""


def names(terms: Terms) -> Pattern[str] | None:
    """Which sums a rule is about, as a pattern for the store; None where it is about profiles."""
    return _SUMS.get(terms.metric) or _SUMS.get(kind(terms))


def kind(terms: Terms) -> str:
    """The first half of the metric's name."""
    return terms.metric.partition("_p")[0].partition(".")[0]


def by_hour(terms: Terms) -> bool:
    """Whether a rule's windows can be told of sums that lie in whole hours."""
    return names(terms) is None or terms.window_us % HOUR_US == 0


def by_day(terms: Terms) -> bool:
    """Whether they can be told where what exchanges add lies in whole days."""
    return kind(terms) not in _OF_EXCHANGES or terms.window_us % DAY_US == 0


def told_from(terms: Terms, rungs: Rungs) -> int:
    """From which start on a rule's windows can be told; those before are parts of coarser ones by now, or no more."""
    hourly_us = 0 if by_hour(terms) else rungs.hourly_us
    daily_us = 0 if by_day(terms) else rungs.daily_us
    least_us = max(hourly_us, daily_us, rungs.forgotten_us)
    return least_us + -least_us % terms.window_us


def gone(terms: Terms, start_us: int, rungs: Rungs) -> str:
    """Why the sums of a window cannot be had any more; empty where they can."""
    if start_us >= told_from(terms, rungs):
        return ""
    if start_us < rungs.forgotten_us:
        return "it is judged too late: windows of that time are no longer kept"
    return "it is judged too late: windows of that time were put together to longer ones"


def of_sums(terms: Terms, cells: Iterable[Cell], *, revision: str, coverage: float, served: bool) -> Reading:
    """From sums. `coverage` is what labels need to be judged; `served` whether anything was asked before the end."""
    own = [
        cell
        for cell in cells
        if cell.arm.role in SERVED and (terms.metric == REQUESTS or cell.arm.revision == revision)
    ]
    sums = merged(cell.sums for cell in own)
    match kind(terms):
        case "requests":
            return _requests(sums, served=served)
        case "error_rate":
            return _share(terms, sums.get("errors", 0), sums.get("requests", 0), "request")
        case "latency":
            return _latency(terms, own)
        case "decision":
            return _share(terms, sums.get("dec.agree", 0), sums.get("dec.n", 0), "decision")
        case _:
            return _outcome(terms, own, sums, coverage=coverage)


def _requests(sums: Sums, *, served: bool) -> Reading:
    if not served:
        return Reading(None, words="nothing was ever asked")
    # A model without a gateway tells its predictions and no exchanges.
    asked = max(sums.get("requests", 0), sums.get("predictions", 0))
    return Reading(float(asked), asked)


def _share(terms: Terms, part: int, whole: int, noun: str) -> Reading:
    few = _few(terms, whole, noun)
    return few or Reading(part / whole, whole)


def _latency(terms: Terms, cells: Sequence[Cell]) -> Reading:
    times = latency(cell.sums for cell in cells)
    at = times.quantile(int(terms.metric.rpartition("_p")[2]) / 100)
    return _few(terms, times.n, "request") or Reading(None if at is None else at / SECOND_US, times.n)


def _outcome(terms: Terms, cells: Sequence[Cell], sums: Sums, *, coverage: float) -> Reading:
    predictions, judged = sums.get("predictions", 0), sums.get("age.n", 0)
    if terms.metric == LOSS:
        return _own_loss(terms, cells, coverage=coverage)
    if terms.metric == "outcome.coverage":
        return _share(terms, judged, predictions, "prediction")
    if few := _few(terms, judged, "judged prediction"):
        return few
    if judged < coverage * predictions:
        return _uncovered(sums, coverage)
    quality = Quality.of(((cell.rule, cell.sums) for cell in cells), "age")
    value: float | None = getattr(quality, terms.metric.partition(".")[2])
    size = abs(value) if value is not None and terms.metric == "outcome.bias" else value
    return Reading(size if size is not None and math.isfinite(size) else None, judged)


def _own_loss(terms: Terms, cells: Sequence[Cell], *, coverage: float) -> Reading:
    """The mean of one's own loss. One that comes to no number is none, so that many of these hide nothing."""
    loss = row_losses.newest(cells)
    held = [cell for cell in cells if cell.rule.loss == loss]
    found = RowLoss.of(((cell.rule, cell.sums) for cell in held), "age", loss=loss)
    if few := _few(terms, found.n, "prediction with a loss"):
        return few
    predictions = sum(cell.sums.get("predictions", 0) for cell in held)
    if found.n < coverage * predictions:
        words = f"{percent(found.n / predictions)} of {counted(predictions, 'prediction')} have a loss at age L"
        return Reading(None, found.n, f"{words}, and it takes {percent(coverage)}")
    return Reading(found.mean, found.n)


def of_days(
    terms: Terms, cells: Iterable[Cell], *, revision: str, coverage: float, start_us: int, rule: Rule | None = None
) -> Reading:
    """What all days up to this one have added up to; the day itself must have a mean."""
    own = [
        cell
        for cell in cells
        if cell.arm.role in SERVED and cell.arm.revision == revision and cell.start_us <= start_us
    ]
    today = merged(cell.sums for cell in own if cell.start_us == start_us)
    if few := _few(terms, today.get("age.n", 0), "judged prediction", least=cusum.FEWEST):
        return few
    days = cusum.days_of(own, coverage=coverage, rule=rule)
    if not days or days[-1].start_us != start_us:
        return _uncovered(today, coverage)
    found = cusum.change(days)
    if found is None:
        words = f"{counted(len(days), 'day')} of {cusum.FIRST_DAYS + 1} are judged"
        return Reading(None, days[-1].n, words)
    return Reading(found.score, days[-1].n)


def coarsened(terms: Terms, start_us: int, *, now_us: int) -> str:
    """Why a window's own profile cannot be had any more: profiles are put together to hours, and then to days."""
    age_us = now_us - start_us
    if terms.metric != DRIFT and age_us > FINE_US and terms.window_us % HOUR_US:
        return "it is judged too late: profiles become hours after two hours"
    if terms.metric != DRIFT and age_us > HOURLY_US and terms.window_us % DAY_US:
        return "it is judged too late: profiles become days after two days"
    return ""


def of_profile(terms: Terms, yardstick: Yardstick, profile: Profile | None, *, start_us: int) -> Reading:
    """From a window's profile, in the reference's bins."""
    reference = yardstick.reference
    if terms.feature and terms.feature not in {feature.name for feature in reference.features}:
        return Reading(None, words=f"the reference has no feature {terms.feature!r}")
    if profile is None or profile.rows < terms.samples:
        rows = profile.rows if profile else 0
        return Reading(None, rows, f"{count(rows)} of {counted(terms.samples, 'row')}")
    if terms.metric == DRIFT:
        return _drift(terms, yardstick, profile, start_us=start_us)
    return _data(terms, reference, profile)


def _drift(terms: Terms, yardstick: Yardstick, profile: Profile, *, start_us: int) -> Reading:
    findings = [
        finding
        for finding in judge(yardstick, profile, start=start_us // SECOND_US)
        if not terms.feature or finding.feature == terms.feature
    ]
    if all(finding.usual.optimistic for finding in findings):
        most = max(finding.usual.windows for finding in findings)
        return Reading(
            None, profile.rows, f"the reference has {count(most)} windows, and what is usual takes {count(ENOUGH)}"
        )
    drifted = sorted((finding for finding in findings if finding.pages), key=_severity, reverse=True)
    features = len({finding.feature for finding in drifted})
    return Reading(float(features), profile.rows, features=tuple(map(_drifted, drifted[:MOST_NAMES])))


def _severity(finding: Finding) -> float:
    """How many times further than usual."""
    usual = max(finding.usual.most, finding.reference)
    return finding.effect / usual if usual else math.inf


def _drifted(finding: Finding) -> DriftedFeature:
    return DriftedFeature(
        feature=finding.feature,
        side=finding.side.value,
        aspect=finding.aspect.value,
        effect=finding.effect,
        usual=max(finding.usual.most, finding.reference),
        p=finding.p,
    )


def _data(terms: Terms, reference: Reference, profile: Profile) -> Reading:
    """The share of rows of the worst feature, or of the one that is named."""
    aspect = Aspect(terms.metric.partition(".")[2])
    found: list[tuple[float, Feature]] = []
    for feature in reference.features:
        named = feature.name == terms.feature if terms.feature else feature.binning.side is Side.X
        if named and aspect in Aspect.of(feature):
            part, whole = share_of(profile.features[feature.name], aspect)
            found.append((part / whole if whole else 0.0, feature))
    if not found:
        return Reading(None, words=f"no feature of the reference can be {aspect.value}")
    worst = sorted(found, key=lambda item: (-item[0], item[1].name))
    return Reading(
        worst[0][0],
        profile.rows,
        features=tuple(_rows_of(feature, aspect, share) for share, feature in worst[:10] if share),
    )


def _rows_of(feature: Feature, aspect: Aspect, share: float) -> DriftedFeature:
    part, whole = share_of(feature.sums, aspect)
    return DriftedFeature(
        feature=feature.name,
        side=feature.binning.side.value,
        aspect=aspect.value,
        effect=share,
        usual=part / whole if whole else 0.0,
    )


def _uncovered(sums: Sums, coverage: float) -> Reading:
    predictions, judged = sums.get("predictions", 0), sums.get("age.n", 0)
    words = f"{percent(judged / predictions)} of {counted(predictions, 'prediction')} have an outcome at age L"
    return Reading(None, judged, f"{words}, and it takes {percent(coverage)}")


def _few(terms: Terms, samples: int, noun: str, *, least: int = 0) -> Reading | None:
    least = max(least, terms.samples)
    if samples >= least:
        return None
    return Reading(None, samples, f"{count(samples)} of {counted(least, noun)}")
