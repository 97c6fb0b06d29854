"""Drift: whether a window's X or Y differs from the reference by more than is usual, without crying wolf.

For each feature one test of its distribution: Pearson's X² over at most ten groups of the reference's bins, divided by
φ, which is how much larger X² is between windows in which nothing changed (Rao and Scott 1981), *and* a PSI that is
larger than in 99 % of those windows. What can be counted by itself (missing, of another type, never seen, beyond the
limits) is tested as a share, for more of it, by the same two measures. Benjamini and Hochberg keep the false ones among
all findings of a window at `FALSE_SHARE`; k of n windows make an alarm of it, which is what the stated rate is about.

Without twenty windows of the reference nobody can say what is usual: findings are shown, marked optimistic, and page
nobody. Without a reference there is `NoBaseline`, which says what is waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from switchyard_profile.binning import Side
from switchyard_profile.profile import FeatureSums, Profile
from switchyard_profile.reference import Feature

from switchyard_monitor.domain.effects import jensen_shannon, psi, smoothed, wasserstein
from switchyard_monitor.domain.twosample import chance_of, chance_of_more, pearson, pooled
from switchyard_monitor.domain.usual import Aspect, Usual, Yardstick

FALSE_SHARE = 0.01
"""The share of false findings among all of a window, at most."""
LEARNING_DAYS = 7
"""Full days of stable that make a reference by themselves, where none was given."""
LEARNING_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class NoBaseline:
    """There is nothing yet to compare with."""

    days: int
    rows: int

    @property
    def sentence(self) -> str:
        """What is waited for."""
        waits = []
        if self.days < LEARNING_DAYS:
            waits.append(f"{self.days} of {LEARNING_DAYS} full days")
        if self.rows < LEARNING_ROWS:
            waits.append(f"{self.rows:,} of {LEARNING_ROWS:,} rows")
        return f"no baseline yet: the stable revision has served {' and '.join(waits)}"


def waits_for(*, days: int, rows: int) -> NoBaseline | None:
    """Whether stable's first full days are not enough for a reference."""
    return NoBaseline(days, rows) if days < LEARNING_DAYS or rows < LEARNING_ROWS else None


@dataclass(frozen=True, slots=True)
class Effects:
    """How far a distribution lies from the reference's; for showing."""

    psi: float
    jensen_shannon: float
    wasserstein: float | None
    """In the feature's own unit; none for names, and where no number says it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One aspect of one feature in one window."""

    feature: str
    side: Side
    aspect: Aspect
    rows: int
    """Rows of the window that it rests on."""
    effect: float
    """PSI of a distribution, or the share of rows."""
    reference: float
    """The same of the reference: 0 for PSI."""
    usual: Usual
    p: float | None
    """None where there were too few rows to tell."""
    effects: Effects | None = None
    drifted: bool = False

    @property
    def pages(self) -> bool:
        """Whether an alarm may come of it."""
        return self.drifted and not self.usual.optimistic


def judge(yardstick: Yardstick, profile: Profile, *, start: int) -> list[Finding]:
    """Every aspect of every feature of a window that begins at `start` (seconds since 1970).

    The window is as long as those of the reference, and counted in its bins (`OtherBaseline` else).
    """
    profile.fits(yardstick.reference.digest)
    found = [
        _finding(feature, profile.features[feature.name], aspect, yardstick.usual(feature.name, aspect, start=start))
        for feature in yardstick.reference.features
        for aspect in Aspect.of(feature)
    ]
    rejected = benjamini_hochberg([1.0 if one.p is None else one.p for one in found], share=FALSE_SHARE)
    return [
        replace(one, drifted=refuted and one.effect > max(one.usual.most, one.reference))
        for one, refuted in zip(found, rejected, strict=True)
    ]


def benjamini_hochberg(chances: Sequence[float], *, share: float) -> list[bool]:
    """Which of these p-values to call findings, so that at most this share of those called are false on average."""
    ranked = sorted(chances)
    limits = [p for rank, p in enumerate(ranked, start=1) if p <= share * rank / len(ranked)]
    return [bool(limits) and p <= limits[-1] for p in chances]


def lasting(drifted: Sequence[bool], *, k: int, n: int) -> bool:
    """Whether at least k of the last n windows drifted; windows come in order of time."""
    return sum(drifted[-n:]) >= k


def _finding(feature: Feature, sums: FeatureSums, aspect: Aspect, usual: Usual) -> Finding:
    if aspect is Aspect.DISTRIBUTION:
        return _of_distribution(feature, sums, usual)
    (held, rows), (found, window) = share_of(feature.sums, aspect), share_of(sums, aspect)
    return Finding(
        feature=feature.name,
        side=feature.binning.side,
        aspect=aspect,
        rows=window,
        effect=found / window if window else 0.0,
        reference=held / rows if rows else 0.0,
        usual=usual,
        p=chance_of_more(held, rows, found, window, inflation=usual.inflation_at(window)) if rows and window else None,
    )


def _of_distribution(feature: Feature, sums: FeatureSums, usual: Usual) -> Finding:
    held, found = feature.grouped(feature.sums), feature.grouped(sums)
    rows, p, effects = sums.present, None, None
    if rows:
        x2, df = pearson(*pooled(held, found, neighbours=feature.binning.type.measured))
        p = chance_of(x2 / usual.inflation_at(rows), df) if df else None
        effects = _effects(feature, sums, held, found)
    return Finding(
        feature=feature.name,
        side=feature.binning.side,
        aspect=Aspect.DISTRIBUTION,
        rows=rows,
        effect=effects.psi if effects else 0.0,
        reference=0.0,
        usual=usual,
        p=p,
        effects=effects,
    )


def _effects(feature: Feature, sums: FeatureSums, held: Sequence[int], found: Sequence[int]) -> Effects:
    shares = smoothed(held, found)
    binning = feature.binning
    moved = wasserstein(binning.edges, feature.sums.counts[:-1], sums.counts[:-1]) if binning.type.measured else None
    return Effects(psi(*shares), jensen_shannon(*shares), moved)


def share_of(sums: FeatureSums, aspect: Aspect) -> tuple[int, int]:
    """How many rows have something, and of how many."""
    if aspect is Aspect.MISSING:
        return sums.missing, sums.rows
    if aspect is Aspect.WRONG:
        return sums.wrong, sums.rows
    return (sums.counts[-2] if aspect is Aspect.UNSEEN else sums.outside), sums.present
