"""The book of drift: what each window that is over was found to be, kept, so that nobody judges it again to look at it.

To judge a day of 200 features takes its profiles, which may be a hundred megabytes of windows of five minutes, and all
p-values of it together. What came of that takes a kilobyte a feature. A batch that adds to a window says that it is
due, late rows too; whoever judges it takes the word back, unless more came meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from switchyard_contracts.canonical import canonical
from switchyard_contracts.windows import SECOND_US
from switchyard_profile.binning import Side
from switchyard_profile.profile import FeatureSums, Profile

from switchyard_monitor.domain.drift import Effects, Finding, judge
from switchyard_monitor.domain.usual import Aspect, Usual, Yardstick

K, N = 2, 3
"""Of so many windows in a row, so many must have drifted before it is said to last."""


@dataclass(frozen=True, slots=True)
class Due:
    """Rows were added to profiles of the window that begins then, so often; times are in microseconds since 1970."""

    subject: str
    baseline: str
    start_us: int
    times: int


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature in one window. What lists are made of stands beside the whole, which is read where it is shown."""

    start_us: int
    feature: str
    effect: float
    """PSI of its distribution."""
    usual: float
    """What 99 % of the reference's own windows stay below."""
    drifted: frozenset[Aspect]
    body: str

    @classmethod
    def of(cls, start_us: int, feature: str, sums: FeatureSums, findings: Sequence[Finding]) -> Self:
        """What was found."""
        spread = next(one for one in findings if one.aspect is Aspect.DISTRIBUTION)
        held = {name: getattr(sums, name) for name in _SUMS}
        body = canonical({"sums": held, "findings": [_kept(one) for one in findings]}).decode()
        drifted = frozenset(one.aspect for one in findings if one.drifted)
        return cls(start_us, feature, spread.effect, spread.usual.most, drifted, body)

    @property
    def told(self) -> tuple[FeatureSums, list[Finding]]:
        """The window's sums and findings."""
        held = json.loads(self.body)
        sums = FeatureSums(**{**held["sums"], "counts": tuple(held["sums"]["counts"])})
        return sums, [_found(self.feature, one) for one in held["findings"]]


@dataclass(frozen=True, slots=True)
class WindowDrift:
    """One window of one revision."""

    revision: str
    start_us: int
    rows: int
    features: int
    """How many the reference has."""
    drifted: int
    """In how many of them anything had drifted."""


@dataclass(frozen=True, slots=True)
class Page:
    """One window's page of the book."""

    window: WindowDrift
    features: Sequence[FeatureDrift]

    @classmethod
    def of(cls, yardstick: Yardstick, revision: str, profile: Profile, *, start_us: int) -> Self:
        """Judge the window."""
        by_feature: dict[str, list[Finding]] = {}
        for one in judge(yardstick, profile, start=start_us // SECOND_US):
            by_feature.setdefault(one.feature, []).append(one)
        features = [
            FeatureDrift.of(start_us, name, profile.features[name], findings) for name, findings in by_feature.items()
        ]
        drifted = sum(bool(one.drifted) for one in features)
        return cls(WindowDrift(revision, start_us, profile.rows, len(features), drifted), features)


_SUMS = tuple(each.name for each in fields(FeatureSums))


def _kept(one: Finding) -> dict[str, Any]:
    return asdict(one) | {"side": one.side.value, "aspect": one.aspect.value}


def _found(feature: str, kept: dict[str, Any]) -> Finding:
    effects = kept["effects"]
    return Finding(
        **kept
        | {
            "feature": feature,
            "side": Side(kept["side"]),
            "aspect": Aspect(kept["aspect"]),
            "usual": Usual(**kept["usual"]),
            "effects": Effects(**effects) if effects else None,
        }
    )
