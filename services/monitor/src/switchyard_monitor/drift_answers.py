"""The shapes of what is said about profiles and drift, and how they are put together from stored profiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from switchyard_contracts.base import Timestamp
from switchyard_contracts.events import Part
from switchyard_contracts.windows import SECOND_US
from switchyard_profile.binning import Side
from switchyard_profile.importance import Importance
from switchyard_profile.profile import Profile
from switchyard_profile.readings import Reading, quantile
from switchyard_profile.reference import Feature, Reference

from switchyard_monitor.domain.drift import Finding, judge, lasting
from switchyard_monitor.domain.drift_book import K, N
from switchyard_monitor.domain.gauges import SERVED
from switchyard_monitor.domain.profiling import Profiles
from switchyard_monitor.domain.rows import moment
from switchyard_monitor.domain.twosample import LEAST
from switchyard_monitor.domain.usual import Yardstick

MOST_TIMES = 1000.0
"""So many times further than usual is what is never there."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class Baseline(Part):
    """A reference that was handed over."""

    digest: str
    rows: int
    features: list[str]
    windows: int


class FeatureAnswer(Part):
    """One feature of some rows, in its own unit."""

    name: str
    side: str
    type: str
    rows: int
    missing: int
    wrong: int
    outside: int
    unseen: int
    clipped: int
    low: float | None = None
    high: float | None = None
    approximate: bool = False
    """Whether `low` and `high` may be wider than what is there now."""
    mean: float | None = None
    deviation: float | None = None
    quantiles: dict[str, float] = {}
    importance: Importance | None = None
    """How much the feature matters, as the baseline says it."""
    counts: list[int]
    """Rows per bin of the baseline; the last are those where the value is missing."""


class ProfileAnswer(Part):
    """What one revision was asked and said in one role."""

    revision: str
    role: str
    baseline: str
    since: Timestamp
    until: Timestamp
    rows: int
    """Ys; where Xs and Ys come apart, each feature says how many rows it rests on."""
    features: list[FeatureAnswer]


class FindingAnswer(Part):
    """One aspect of one feature in one window."""

    feature: str
    side: str
    aspect: str
    rows: int
    effect: float
    """PSI of a distribution, else a share of rows."""
    reference: float
    usual: float
    """What 99 % of the reference's own windows stay below."""
    inflation: float
    """φ, as it was learnt."""
    reference_windows: int
    optimistic: bool
    """Whether those are too few to say what is usual; nobody is paged then."""
    p: float | None = None
    psi: float | None = None
    jensen_shannon: float | None = None
    wasserstein: float | None = None
    importance: Importance | None = None
    """How much the feature matters, as the baseline says it."""
    drifted: bool
    lasting: bool
    """Whether at least two of the last three windows drifted."""
    pages: bool


class DriftWindow(Part):
    """One window that is over."""

    start: Timestamp
    rows: int
    """Ys; where Xs and Ys come apart, each finding says how many rows it rests on."""
    findings: list[FindingAnswer]


class DriftAnswer(Part):
    """Drift of one revision's X and Y against its baseline, window by window."""

    revision: str
    baseline: str | None = None
    waiting_for: str = ""
    """Why there is no baseline to hold it against."""
    misfits: list[str] = []
    """Where the baseline and the model seem to speak of different features; findings about those say nothing."""
    window_seconds: int | None = None
    windows: list[DriftWindow] = []


def handed_over(reference: Reference) -> Baseline:
    """What was taken in."""
    names = [feature.name for feature in reference.features]
    return Baseline(digest=reference.digest, rows=reference.rows, features=names, windows=len(reference.starts))


def profiles(reference: Reference, found: Profiles, *, since_us: int, until_us: int) -> list[ProfileAnswer]:
    """By revision and role, all generations and windows together."""
    total: dict[tuple[str, str], Profile] = {}
    for key, profile in found.items():
        place = key.revision, key.role
        total[place] = total[place].merge(profile) if place in total else profile
    return [
        ProfileAnswer(
            revision=revision,
            role=role,
            baseline=reference.digest,
            since=moment(since_us),
            until=moment(until_us),
            rows=profile.rows,
            features=[_feature(feature, profile) for feature in reference.features],
        )
        for (revision, role), profile in sorted(total.items())
    ]


class Order(StrEnum):
    """In which order the findings of a window are told."""

    FEATURE = "feature"
    """As the baseline has its features."""
    WEIGHT = "weight"
    """By drift × importance, the most first: how many times further than usual, and how much the feature matters."""


def drift(
    yardstick: Yardstick,
    revision: str,
    found: Profiles,
    *,
    misfits: Sequence[str] = (),
    order: Order = Order.FEATURE,
) -> DriftAnswer:
    """Every window of the revision, in order of time; the windows are as long as the reference's, and over."""
    known = {feature.name: feature for feature in yardstick.reference.features}
    windows = sorted(_windows(found).items())
    history: dict[tuple[str, str], list[bool]] = {}
    said = []
    for start, profile in windows:
        findings = judge(yardstick, profile, start=start)
        for one in findings:
            history.setdefault((one.feature, one.aspect), []).append(one.drifted)
        said.append(
            DriftWindow(
                start=moment(start * SECOND_US),
                rows=profile.rows,
                findings=[
                    _finding(one, known[one.feature], history[one.feature, one.aspect])
                    for one in (
                        findings
                        if order is Order.FEATURE
                        else sorted(findings, key=lambda one: -weighed(one, known[one.feature]))
                    )
                ],
            )
        )
    reference = yardstick.reference
    return DriftAnswer(
        revision=revision,
        baseline=reference.digest,
        misfits=[*misfits, *_nowhere(reference, windows[-1][1])] if windows else [*misfits],
        window_seconds=reference.length_seconds,
        windows=said,
    )


def _nowhere(reference: Reference, profile: Profile) -> Iterator[str]:
    """Features that no row had, where some should: that is seldom drift, and mostly another name or place."""
    for feature in reference.features:
        sums = profile.features[feature.name]
        if sums.rows * feature.sums.present / reference.rows >= LEAST and sums.missing == sums.rows:
            where = "monitoring.prediction.path" if feature.binning.side is Side.Y else "monitoring.features"
            yield (
                f"{feature.name} was found in none of the {sums.rows:,} rows of the last window;"
                f" {where} says where it stands"
            )


def _windows(found: Profiles) -> Mapping[int, Profile]:
    total: dict[int, Profile] = {}
    for key, profile in found.items():
        if key.role in SERVED:
            start = key.start_us // SECOND_US
            total[start] = total[start].merge(profile) if start in total else profile
    return total


def _feature(feature: Feature, profile: Profile) -> FeatureAnswer:
    binning, sums = feature.binning, profile.features[feature.name]
    reading = Reading.of(binning, sums)
    found = {f"{share:g}": quantile(binning, sums, share) for share in QUANTILES}
    return FeatureAnswer(
        name=binning.name,
        side=binning.side,
        type=binning.type,
        rows=reading.rows,
        missing=reading.missing,
        wrong=reading.wrong,
        outside=reading.outside,
        unseen=reading.unseen,
        clipped=reading.clipped,
        low=reading.low,
        high=reading.high,
        approximate=reading.approximate,
        mean=reading.mean,
        deviation=reading.deviation,
        quantiles={share: value for share, value in found.items() if value is not None},
        importance=feature.importance,
        counts=list(sums.counts),
    )


def weighed(one: Finding, feature: Feature) -> float:
    """Drift × importance."""
    usual = max(one.usual.most, one.reference)
    return feature.weight * (one.effect / usual if usual else MOST_TIMES if one.effect else 0.0)


def _finding(one: Finding, feature: Feature, history: Iterable[bool]) -> FindingAnswer:
    lasts = lasting([*history], k=K, n=N)
    return FindingAnswer(
        feature=one.feature,
        side=one.side,
        aspect=one.aspect,
        rows=one.rows,
        effect=one.effect,
        reference=one.reference,
        usual=one.usual.most,
        inflation=one.usual.inflation,
        reference_windows=one.usual.windows,
        optimistic=one.usual.optimistic,
        p=one.p,
        psi=one.effects.psi if one.effects else None,
        jensen_shannon=one.effects.jensen_shannon if one.effects else None,
        wasserstein=one.effects.wasserstein if one.effects else None,
        importance=feature.importance,
        drifted=one.drifted,
        lasting=lasts,
        pages=lasts and one.pages,
    )
