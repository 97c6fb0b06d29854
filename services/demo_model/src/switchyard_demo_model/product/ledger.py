"""What the product saw, counted by itself: the story holds what the system says of itself against this."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

KEPT = 200  # failures kept with their details; beyond that they are counted


@dataclass(frozen=True, slots=True)
class Answer:
    """One good answer."""

    number: int
    prediction_id: str
    version: str
    revision: str
    delay: float
    seconds: float
    at: float  # when it was asked for, in seconds since 1970


@dataclass(frozen=True, slots=True)
class Landing:
    """How far a good answer was off."""

    at: float  # when it was asked for, in seconds since 1970
    version: str
    error: float


@dataclass(frozen=True, slots=True)
class Failure:
    """One call that did not go as it must."""

    at: float  # seconds from the start
    what: str  # predict | decisions | outcomes
    why: str


@dataclass(slots=True)
class Errors:
    """How far a version's predictions were off, as the product saw it."""

    count: int = 0
    squares: float = 0.0

    def add(self, error: float) -> None:
        """One more."""
        self.count += 1
        self.squares += error * error

    @property
    def rmse(self) -> float | None:
        """Root of the mean square, or None where nothing landed yet."""
        return math.sqrt(self.squares / self.count) if self.count else None


@dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot of the ledger."""

    asked: int
    answered: int
    failed: Mapping[str, int]
    in_flight: int
    decisions: int
    outcomes: int
    versions: Mapping[str, int]
    rmse: Mapping[str, float]
    p50: float
    p99: float
    behind: float  # seconds by which the driver ran late at worst


@dataclass(slots=True)
class Ledger:
    """Written by the traffic driver alone; others read it through `statistics` and `failures`."""

    asked: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    decisions: int = 0
    outcomes: int = 0
    behind: float = 0.0
    served: set[str] = field(default_factory=set)
    versions: Counter[str] = field(default_factory=Counter)
    revisions: Counter[str] = field(default_factory=Counter)
    errors: dict[str, Errors] = field(default_factory=dict)
    landings: list[Landing] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def answered(self, answer: Answer) -> str | None:
        """Enter a good answer; an objection says why it is none after all."""
        if answer.prediction_id in self.served:
            return f"prediction id {answer.prediction_id} was given out twice"
        self.served.add(answer.prediction_id)
        self.versions[answer.version] += 1
        self.revisions[answer.revision] += 1
        self.seconds.append(answer.seconds)
        return None

    def failure(self, failure: Failure) -> None:
        """Enter a call that failed."""
        self.failed[failure.what] += 1
        if len(self.failures) < KEPT:
            self.failures.append(failure)

    def landed(self, answer: Answer, arrival_delay: float) -> None:
        """Enter how far an answer was off."""
        error = answer.delay - arrival_delay
        self.errors.setdefault(answer.version, Errors()).add(error)
        self.landings.append(Landing(answer.at, answer.version, error))

    def errors_of(self, version: str, *, since: float, until: float) -> Errors:
        """How far a version's answers were off that were asked for in that time (seconds since 1970)."""
        found = Errors()
        for landing in tuple(self.landings):
            if landing.version == version and since <= landing.at < until:
                found.add(landing.error)
        return found

    def statistics(self) -> Statistics:
        """How things stand now."""
        ordered = sorted(self.seconds)
        return Statistics(
            asked=self.asked,
            answered=len(ordered),
            failed=dict(self.failed),
            in_flight=self.asked - len(ordered) - self.failed["predict"],
            decisions=self.decisions,
            outcomes=self.outcomes,
            versions=dict(self.versions),
            rmse={version: found.rmse for version, found in dict(self.errors).items() if found.rmse is not None},
            p50=quantile(ordered, 0.5),
            p99=quantile(ordered, 0.99),
            behind=self.behind,
        )


def quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share does not exceed; 0 of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
