"""Evidence: sums with their sample sizes, from the monitor; the verdict functions in `verdicts` judge them.

The monitor answers `GET /v1/deployments/{ns}/{name}/evidence` with one `Evidence` per metric asked. It sends sums per
window, never a bare average, so that whoever judges can see what it judges, and everyone judges the same way.
A window's candidate share is `probability`: how likely the candidate was to be drawn while its generation ran. Sums of
different generations are never pooled.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from switchyard_contracts.base import Timestamp
from switchyard_contracts.events import Part
from switchyard_contracts.sticky import FOLDS


class ArmSums(Part):
    """One arm in one window. Which fields are filled depends on the metric."""

    n: int = 0
    """Exchanges (error rate, latency) or judged predictions (outcome)."""
    predictions: int = 0
    """Outcome: predictions, judged or not."""
    failures: int = 0
    """Error rate: exchanges that failed. Latency: exchanges slower than the threshold. Accuracy: wrong ones."""
    loss: float = 0.0
    """Outcome: Σ of the capped loss."""
    loss_squares: float = 0.0
    """Outcome: Σ of its squares."""


class ArmFolds(Part):
    """One arm in one window, by fold (`sticky.fold_of` the user's bucket): the same sums as `ArmSums`."""

    n: Annotated[list[int], Field(min_length=FOLDS, max_length=FOLDS)]
    failures: Annotated[list[int], Field(min_length=FOLDS, max_length=FOLDS)]
    loss: Annotated[list[float], Field(min_length=FOLDS, max_length=FOLDS)]


class Folds(Part):
    """Both arms by fold, where users stay with their arm."""

    candidate: ArmFolds
    stable: ArmFolds


class WindowSums(Part):
    """Both arms in one window of one ModelRoute generation."""

    start: Timestamp
    traffic: int
    probability: float
    """How likely an exchange of this generation was the candidate's, from 0 to 1."""
    candidate: ArmSums = ArmSums()
    stable: ArmSums = ArmSums()
    folds: Folds | None = None
    """The same by groups of users, where the split was sticky: single requests are no units there."""


class Coverage(Part):
    """How many of an arm's predictions of mature windows have a label at age L."""

    predictions: int = 0
    judged: int = 0

    @property
    def share(self) -> float:
        """Judged of all, from 0 to 1; 0 when there are none."""
        return self.judged / self.predictions if self.predictions else 0.0


class PairBlock(Part):
    """The judged pairs of one block of time, in one ModelRoute generation of stable's."""

    start: Timestamp
    traffic: int
    pairs: int = 0
    """Requests that both revisions answered, judged or not."""
    candidate: ArmSums = ArmSums()
    stable: ArmSums = ArmSums()
    """The same predictions in both: capped losses, or wrong answers, of those with a label at age L."""
    difference: float = 0.0
    """Σd, d = the candidate's loss − stable's on the same id, uncapped."""
    difference_squares: float = 0.0
    """Σd²; by single pairs, so it says nothing of how days differ."""


class Paired(Part):
    """Requests of stable that were mirrored to the candidate, so that both answered the same X."""

    block_seconds: float
    """What varies together: the units of the paired boundary."""
    blocks: list[PairBlock] = []
    """In order of time; complete ones only, old enough to be judged."""
    seen: int = 0
    """Pairs in those blocks."""
    judged: int = 0
    """Pairs that have a label at age L."""
    expected: float = 0.0
    """Stable's predictions in those blocks that the mirror should have covered."""
    spread: float = 0.0
    """The variance of `expected`: 0 where everything of stable's is mirrored, not where a sample is."""
    unanswered: int = 0
    """Mirrored requests that came to the revision and got no answer that could be used."""
    copies: int | None = None
    """All mirrored requests that came to the revision, where a request carries many rows, each a pair; else None."""
    pending: int = 0
    """Pairs of blocks that are not complete yet, or too young."""
    value: float | None = None
    """The candidate's value over the judged pairs, in the metric's own unit, uncapped; `againstValue` is stable's."""
    against_value: float | None = None
    difference: float | None = None
    """The mean of d, uncapped, with an interval from the blocks' sums."""
    lower: float | None = None
    upper: float | None = None
    rate_per_second: float | None = None
    """How fast judged pairs arrive at present."""

    @property
    def missing(self) -> float:
        """Pairs that should be there and are not, beyond what the drawing of a sample explains."""
        return max(0.0, self.expected - self.seen - 3.0 * math.sqrt(self.spread))

    @property
    def coverage(self) -> float:
        """The share of the expected pairs that are there, from 0 to 1; 0 when none are expected."""
        return 1.0 - self.missing / self.expected if self.expected else 0.0

    @property
    def overflow(self) -> float:
        """The share of the expected pairs that never reached the mirrored revision, as far as anyone saw."""
        lost = self.expected * self.unanswered / self.copies if self.copies else self.unanswered
        return max(0.0, self.missing - lost) / self.expected if self.expected else 0.0


class Evidence(Part):
    """What the monitor knows for one metric of one candidate against one stable revision."""

    deployment: str
    metric: str
    revision: str
    against: str
    traffic: list[int]
    """The ModelRoute generations that were asked for."""
    watermark: Timestamp | None = None
    """Everything with an event time up to here has been read, on every partition; null before the first event."""
    windows: list[WindowSums] = []
    """In order of time, mature ones only."""
    candidate: ArmSums = ArmSums()
    stable: ArmSums = ArmSums()
    """Totals of the windows, for reading; never for judging over a moving weight."""
    candidate_coverage: Coverage = Coverage()
    stable_coverage: Coverage = Coverage()
    pending: int = 0
    """Predictions of the candidate that are too young to be judged."""
    cap: float | None = None
    """The loss cap: the 99th percentile of |e| of the stable revision's judged errors before the rollout."""
    threshold: float | None = None
    """Latency in seconds that counts as slow, set by the first row of each window from earlier windows of stable."""
    value: float | None = None
    """The candidate's value in the metric's own unit, uncapped."""
    against_value: float | None = None
    lower: float | None = None
    upper: float | None = None
    """About 95 % of such intervals hold the true value. They are for reading; nothing is decided by them."""
    kind: Literal["fixed", "anytime", "none"] = "none"
    """Whether the interval holds for one look or for every look."""
    method: str = ""
    """What the interval is made by, or why there are no windows yet."""
    ratio: float | None = None
    """Error rate: how many times as often the candidate fails as stable, by whose each failure under a split was."""
    ratio_lower: float | None = None
    ratio_upper: float | None = None
    """Of the ratio; null where nothing sets an upper end, as none of the failures were stable's."""
    rate_per_second: float | None = None
    """How fast judged samples of the candidate arrive at present, for estimates of the time left."""
    paired: Paired | None = None
    """Pairs, where stable's requests are mirrored to the candidate and the metric can be compared on them; else null.

    Where it is not null, pairs decide, also while there are none yet.
    """
