"""A Prometheus in memory: samples, and as much of PromQL as our tests speak. It passes the real one's contract suite.

It knows `sum(max_over_time(name{label="value"}[1m]))`, with or without the aggregation, `max`, `min`, `avg`, `last`
or `count` over time, `=` and `=~` on labels, and division by a number. All else it refuses, as the real one refuses
what is no PromQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any, TypeVar

from switchyard_contracts.base import LABEL_REVISION
from switchyard_contracts.quantities import parse_duration
from switchyard_operator.domain import kinds
from switchyard_operator.domain.outside import Inquiry, Looks
from switchyard_operator.errors import EvidenceUnavailable, QueryRefused, SwitchyardError
from switchyard_operator.lookout import Lookout

from switchyard_testkit.rollout_world import NAMESPACE, Model, Simulation

T = TypeVar("T")

QUERY = re.compile(
    r"(?:(?P<total>sum|max)\()?(?P<over>max|min|avg|last|count)_over_time\((?P<name>\w+)(?:\{(?P<labels>[^}]*)\})?"
    r"\[(?P<window>\w+)\]\)(?(total)\))(?: / (?P<divisor>[0-9.]+))?"
)
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
OVER: Mapping[str, Callable[[Sequence[float]], float]] = {
    "max": max,
    "min": min,
    "avg": fmean,
    "last": lambda values: values[-1],
    "count": lambda values: float(len(values)),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of one series."""

    name: str
    labels: Mapping[str, str]
    at: datetime
    value: float


@dataclass
class FakePrometheus:
    """`switchyard_operator.ports.Prometheus`."""

    samples: list[Sample] = field(default_factory=list)
    down: str = ""
    """Why it cannot be asked."""
    asked: list[Inquiry] = field(default_factory=list)

    def put(self, name: str, value: float, *, at: datetime, **labels: str) -> None:
        """What it has scraped."""
        self.samples.append(Sample(name, labels, at, value))

    def looks(self, asked: Inquiry) -> Looks:
        """The port."""
        self.asked.append(asked)
        if self.down:
            raise EvidenceUnavailable(self.down)
        parsed = QUERY.fullmatch(asked.query.strip())
        if parsed is None:
            raise QueryRefused(f"Prometheus refuses the query: this is no query: {asked.query}; mend promql.query")
        found = [self._at(moment, parsed) for moment in asked.times]
        series = {labels for values in found for labels in values}
        if len(series) > 1:
            raise QueryRefused(f"the query gives {len(series)} series, and one number is wanted; aggregate them")
        return Looks(asked, tuple(next(iter(values.values()), None) for values in found))

    def _at(self, moment: datetime, parsed: re.Match[str]) -> dict[frozenset[tuple[str, str]], float]:
        """The value of each series at a moment."""
        window, fits = parse_duration(parsed["window"]), MATCHER.findall(parsed["labels"] or "")
        held: dict[frozenset[tuple[str, str]], list[float]] = {}
        for sample in self.samples:
            if sample.name == parsed["name"] and _fits(sample, fits) and _within(sample, moment, window):
                held.setdefault(frozenset(sample.labels.items()), []).append(sample.value)
        values = {labels: OVER[parsed["over"]](numbers) for labels, numbers in held.items()}
        if parsed["total"] and values:
            values = {frozenset(): sum(values.values()) if parsed["total"] == "sum" else max(values.values())}
        divisor = float(parsed["divisor"] or 1)
        return {labels: _divided(value, divisor) for labels, value in values.items()}


def _fits(sample: Sample, wanted: Sequence[tuple[str, str, str]]) -> bool:
    return all(
        re.fullmatch(value if how == "=~" else re.escape(value), sample.labels.get(label, ""))
        for label, how, value in wanted
    )


def _within(sample: Sample, moment: datetime, window: timedelta) -> bool:
    return moment - window < sample.at <= moment


def _divided(value: float, divisor: float) -> float:
    """As floats divide: 0 / 0 is NaN, all else by 0 is infinite."""
    if divisor:
        return value / divisor
    return float("nan") if not value else float("inf") if value > 0 else float("-inf")


class AtOnce(Executor):
    """Answers before it is waited for, so that a test needs no time."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """The port."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except SwitchyardError as error:
            future.set_exception(error)
        return future


class WhenTold(Executor):
    """Answers nothing until it is told to: a server that hangs."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """The port."""
        future: Future[T] = Future()
        self.waiting.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def answer(self) -> None:
        """Everything that was asked."""
        for each in self.waiting:
            each()
        self.waiting.clear()


class Watched(Simulation):
    """A rollout whose pods are looked at by a Prometheus: each revision has a gauge `load`, scraped every 5 s."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.prometheus = FakePrometheus()
        self.loads: dict[str, float | None] = {}
        """By image; an image without one is not scraped."""
        super().__init__(models)

    def outlook(self) -> Lookout:
        return Lookout(self.prometheus, AtOnce())

    def tick(self) -> None:
        """Scrape, then let the operator look."""
        at = self.clock.now + self.stride
        if int(at.timestamp()) % 5 == 0:
            for revision, image in self.serving().items():
                if (load := self.loads.get(image)) is not None:
                    self.prometheus.put("load", load, at=at, namespace=NAMESPACE, pod=f"{revision}-0")
        super().tick()

    def serving(self) -> dict[str, str]:
        """The revisions that have pods, and their images."""
        found = self.cluster.find(kinds.DEPLOYMENT)
        names = [body["metadata"]["labels"][LABEL_REVISION] for body in found]
        return {name: self.image(name) for name in names}
