"""Formulas of the monitor and of profiles, broken as one breaks them: see `switched_off`.

An independent check is proven by what it finds. Each switch puts a formula that looks alike in the place of ours; where
tests hold the function itself, it is its body that is replaced, which then names what its own module has.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import betainc
from switchyard_contracts import boundary, evalues, intervals
from switchyard_contracts.evalues import log_tilt
from switchyard_contracts.intervals import _z
from switchyard_monitor.adapters.batch import SqlBatch
from switchyard_monitor.domain import drift, effects, entries, identity, judging, sums, twosample
from switchyard_monitor.domain.identity import PREFIX_BYTES
from switchyard_monitor.domain.quality import Quality
from switchyard_monitor.domain.rules import Value
from switchyard_monitor.domain.usual import Aspect
from switchyard_monitor.ports import Lease, Work
from switchyard_profile import moments
from switchyard_profile.binning import Binning
from switchyard_profile.moments import PARTS, Moments
from switchyard_profile.profile import FeatureSums

from switchyard_testkit.images.recipes import REPOSITORY, Recipe
from switchyard_testkit.switching import Switch, always, instead


def rewritten(function: Callable[..., Any], by: Callable[..., Any]) -> Switch:
    """Another body for a function, under whatever name anyone holds it."""
    return instead(function, "__code__", by.__code__)


def of_one_sample(reference: Sequence[int], current: Sequence[int]) -> tuple[float, int]:
    """X² as if the reference were no sample itself."""
    held, found = np.array(reference, dtype=np.float64), np.array(current, dtype=np.float64)
    rows, window = held.sum(), found.sum()
    there = held > 0
    if rows == 0 or window == 0 or there.sum() < 2:
        return 0.0, 0
    expected = held[there] * window / rows
    return float(np.sum((found[there] - expected) ** 2 / expected)), int(there.sum()) - 1


def more_than_so_many(held: int, rows: int, found: int, window: int, *, inflation: float) -> float:
    """The chance of more, without that of as many."""
    return float(betainc((found + 1.0) / inflation, held / inflation + 1.0, window / (rows + window)))


def each_by_itself(chances: Sequence[float], *, share: float) -> list[bool]:
    """Every p-value below the share is a finding, however many were looked at."""
    return [p <= share for p in chances]


def in_nats(expected: Any, found: Any) -> float:
    """Jensen-Shannon with natural logarithms."""
    middle = (expected + found) / 2
    divergence = sum(
        0.5 * float(np.sum(share[share > 0] * np.log(share[share > 0] / middle[share > 0])))
        for share in (expected, found)
    )
    return math.sqrt(max(0.0, divergence))


def signs_and_all(edges: Sequence[float], reference: Sequence[int], current: Sequence[int]) -> float:
    """The area between the two distribution functions, where what lies above cancels what lies below."""
    held, found = np.cumsum(reference) / sum(reference), np.cumsum(current) / sum(current)
    apart = (found - held)[1 : len(edges) + 1]
    return float(abs(np.sum((apart[:-1] + apart[1:]) / 2 * np.diff(edges))))


def one_way(expected: Any, found: Any) -> float:
    """Kullback and Leibler's divergence: half of what PSI is."""
    return float(np.sum(found * np.log(found / expected)))


def half_a_row_each(reference: Sequence[int], current: Sequence[int]) -> Any:
    """Empty groups have as much in a small window as in the reference, and the window is drawn towards equal shares."""
    held, found = np.array(reference, dtype=np.float64), np.array(current, dtype=np.float64)
    held, found = held + 0.5, found + 0.5
    return held / held.sum(), found / found.sum()


def walds(n: float, share: float, *, z: float) -> tuple[float, float]:
    """The interval of textbooks."""
    half = z * math.sqrt(share * (1 - share) / n)
    return share - half, share + half


def normal_ranks(n: int, quantile: float, *, level: float = 0.95) -> tuple[int, int] | None:
    """Ranks as if what is counted were normal, however few there are."""
    half = _z(level) * math.sqrt(n * quantile * (1 - quantile))
    lower, upper = math.floor(n * quantile - half), math.ceil(n * quantile + half)
    return (lower, upper) if lower >= 1 and upper <= n else None


def as_of_draws(patch: pytest.MonkeyPatch) -> None:
    """The means that leave a group out are taken for draws: their spread is that of a mean, over as many again."""
    own = intervals._error

    def error(groups: Sequence[tuple[float, float]], of: Callable[[float], float], least: int) -> float | None:
        found = own(groups, of, least)
        return None if found is None else found / (len(groups) - 1)

    patch.setattr(intervals, "_error", error)


def whosever_the_weight(_: float, *, theta: float) -> float:
    """Whose a failure is, as if each arm had half of the requests."""
    return theta / (1.0 + theta)


def one_look(variance: float, *, r: float, alpha: float) -> float:
    """Hoeffding's bound, for who looks once."""
    return math.sqrt(-2.0 * variance * math.log(alpha))


def as_if_there_were_many(width: float, *, variance: float, units: float) -> float:
    """No wider for a guess from a few blocks."""
    return width


def at_the_best_rate(n: int, failures: int, *, limit: float) -> float:
    """The likelihood ratio at the rate that fits best, which no chance of α bounds."""
    rate = max(limit, failures / n) if n else limit
    lost = failures * math.log(rate / limit) if failures else 0.0
    return lost + ((n - failures) * math.log((1.0 - rate) / (1.0 - limit)) if failures < n else 0.0)


def at_one_ratio(strata: Iterable[evalues.Shared], *, margin: float) -> float:
    """Against one rate beyond the margin, twice it, and no other."""
    kept = [stratum for stratum in strata if 0.0 < stratum.probability < 1.0]
    return log_tilt(kept, theta=2.0 * margin, null=margin)


def of_the_sample_less_one(self: Quality) -> float | None:
    """Squares by n − 1, as if they were of a variance."""
    return self.squares / (self.numeric - 1) if self.numeric > 1 else None


def as_far_as_it_does_not_cancel(self: Quality) -> float | None:
    """The size of the mean error for the mean size of errors."""
    return abs(self.total) / self.numeric if self.numeric else None


def smoothed_share(self: Quality) -> float | None:
    """Laplace's rule for a share."""
    named = self.n - self.numeric
    return (self.right + 1) / (named + 2) if named else None


def the_last_one_holds(total: dict[str, int], part: Mapping[str, int], sign: int = 1) -> dict[str, int]:
    """What comes later takes the place of what was there."""
    total.update({name: sign * value for name, value in part.items() if value})
    return total


def taken_out_by_size(total: dict[str, int], part: Mapping[str, int], sign: int = 1) -> dict[str, int]:
    """Taking out never leaves less than nothing."""
    for name, value in part.items():
        new = total.get(name, 0) + value if sign > 0 else max(0, total.get(name, 0) - value)
        if new:
            total[name] = new
        else:
            total.pop(name, None)
    return total


def in_floats(numbers: Any, *, center: float, scale: float) -> tuple[Moments, int]:
    """Sums of floats, which no order, split or retraction leaves as they are."""
    inside = np.abs(numbers - center) < 2048.0 * scale
    parts = np.where(inside, (numbers - center) / scale, 0.0) * PARTS
    return Moments(len(numbers), float(parts.sum()), float((parts * parts).sum())), int((~inside).sum())  # type: ignore[arg-type]


def of_all_there_are(self: Moments, *, scale: float) -> float | None:
    """The deviation of a population."""
    if self.n < 2:
        return None
    return scale * math.sqrt(self.n * self.qq - self.q * self.q) / self.n / PARTS


def from_zero(numbers: Any, *, center: float, scale: float) -> tuple[Moments, int]:
    """Sums of squares about zero and not about a centre, as one writes them down first."""
    n = max(1, len(numbers))
    variance = max(0.0, float((numbers * numbers).sum()) / n - float(numbers.sum() / n) ** 2)
    q = round(float((numbers - center).sum()) / scale * PARTS)
    return Moments(len(numbers), q, round(n * variance * (PARTS / scale) ** 2) - (-q * q // n)), 0


def bins_of_the_window(patch: pytest.MonkeyPatch) -> None:
    """Each sample is counted in as many bins of equal width between its own least and greatest value."""
    own = FeatureSums.of

    def of(binning: Binning, values: Sequence[Any]) -> FeatureSums:
        found = own(binning, values)
        numbers = [value for value in values if isinstance(value, int | float)]
        if not binning.type.measured or len(numbers) < len(values) or not numbers:
            return found
        counts, _ = np.histogram(numbers, bins=len(found.counts) - 1)
        return FeatureSums(counts=(*counts.tolist(), 0), low=found.low, high=found.high, q=found.q, qq=found.qq)

    patch.setattr(FeatureSums, "of", of)


def without_a_share_of(aspect: Aspect) -> Switch:
    """Nobody counts what of a window is so."""

    def switch(patch: pytest.MonkeyPatch) -> None:
        own = drift.share_of

        def share_of(found: FeatureSums, asked: Aspect) -> tuple[int, int]:
            counted, rows = own(found, asked)
            return (0, rows) if asked is aspect else (counted, rows)

        patch.setattr(drift, "share_of", share_of)

    return switch


def labels_of_any_age(versions: Sequence[entries.Version], *_: Any) -> list[entries.Version]:
    """Whatever has come by now counts at age L."""
    return list(versions)


def whoever_said_it_was_right(patch: pytest.MonkeyPatch) -> None:
    """What is judged is judged by what was said."""
    own = judging.judge

    def judge(cell: Any, names: Any, rule: Any, said: Value, happened: Value | None, sign: int, **more: Any) -> None:
        own(cell, names, rule, said, None if happened is None else said, sign, **more)

    patch.setattr(entries, "judge", judge)


def each_owner_by_itself(patch: pytest.MonkeyPatch) -> None:
    """An owner knows of a prediction only what it has written itself."""
    find, write = SqlBatch.entries, SqlBatch.write
    wrote: dict[object, set[bytes]] = {}

    def mine(batch: SqlBatch) -> set[bytes]:
        """By the cache that all transactions of a process share."""
        return wrote.setdefault(id(batch.book._cache), set())

    def known(self: SqlBatch, keys: Iterable[bytes]) -> dict[bytes, entries.Entry]:
        return {key: entry for key, entry in find(self, keys).items() if key in mine(self)}

    def written(self: SqlBatch, lease: Lease, work: Work) -> None:
        changes = work.changes
        mine(self).update({key for key, _ in changes.preds} | {key for key, _ in changes.versions})
        mine(self).update(key for key, *_ in changes.exchanges)
        write(self, lease, work)

    patch.setattr(SqlBatch, "entries", known)
    patch.setattr(SqlBatch, "write", written)


def by_its_id_alone(subject: str, prediction_id: str) -> bytes:
    """The key of a prediction, whosever it is."""
    return hashlib.blake2b(prediction_id.encode(), digest_size=PREFIX_BYTES).digest()


def images_of_the_developers_lock(patch: pytest.MonkeyPatch) -> None:
    """Images take the developer's packages too."""
    own = Recipe.sources

    def sources(self: Recipe) -> list[Path]:
        return [*own(self), REPOSITORY / "locks" / "dev.txt"]

    patch.setattr(Recipe, "sources", sources)


SWITCHES: Mapping[str, Switch] = {
    "two-samples-and-not-one": rewritten(twosample.pearson, of_one_sample),
    "as-many-or-more": rewritten(twosample.chance_of_more, more_than_so_many),
    "findings-among-many": rewritten(drift.benjamini_hochberg, each_by_itself),
    "logarithms-to-the-base-of-two": rewritten(effects.jensen_shannon, in_nats),
    "distances-that-do-not-cancel": rewritten(effects.wasserstein, signs_and_all),
    "both-ways-of-psi": rewritten(effects.psi, one_way),
    "empty-groups-in-proportion": rewritten(effects.smoothed, half_a_row_each),
    "wilsons-score": instead(intervals, "_score", walds),
    "ranks-of-a-few": rewritten(intervals.quantile_ranks, normal_ranks),
    "groups-left-out-in-turn": as_of_draws,
    "whose-a-failure-is": instead(intervals, "whose", whosever_the_weight),
    "a-boundary-for-every-look": rewritten(boundary.width, one_look),
    "blocks-that-are-few": rewritten(boundary.few, as_if_there_were_many),
    "every-rate-above-the-limit": rewritten(evalues.log_exceeds, at_the_best_rate),
    "margins-that-are-mixed": rewritten(evalues.log_worse, at_one_ratio),
    "means-of-squares": instead(Quality, "mse", property(of_the_sample_less_one)),
    "means-of-sizes": instead(Quality, "mae", property(as_far_as_it_does_not_cancel)),
    "shares-as-they-are": instead(Quality, "accuracy", property(smoothed_share)),
    "sums-that-add-up": rewritten(sums.add, the_last_one_holds),
    "sums-below-zero": rewritten(sums.add, taken_out_by_size),
    "moments-in-whole-numbers": rewritten(moments.moments, in_floats),
    "a-deviation-of-a-sample": rewritten(Moments.deviation, of_all_there_are),
    "squares-about-a-centre": rewritten(moments.moments, from_zero),
    "bins-of-the-reference": bins_of_the_window,
    "a-test-that-finds": instead(drift, "chance_of", always(1.0)),
    "what-is-missing-being-counted": without_a_share_of(Aspect.MISSING),
    "names-without-a-bin": without_a_share_of(Aspect.UNSEEN),
    "numbers-beyond-the-limits": without_a_share_of(Aspect.OUTSIDE),
    "labels-of-an-age": instead(entries, "in_time", labels_of_any_age),
    "outcomes-that-judge": whoever_said_it_was_right,
    "rows-that-every-owner-finds": each_owner_by_itself,
    "epochs": instead(SqlBatch, "lock", always(None)),
    "deployments-in-keys": rewritten(identity.prefix, by_its_id_alone),
    "locks-of-their-own": images_of_the_developers_lock,
}
"""By what is taken away."""
