"""Sums of windows as lines over time: requests, errors, latency, quality and its coverage, a line for each revision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from switchyard_contracts.model_route import RouteRole

from switchyard_monitor.domain.entries import Cell
from switchyard_monitor.domain.quality import Quality, latency
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import Sums
from switchyard_monitor.page import units
from switchyard_monitor.page.charts import STYLES, Chart, Format, Line, chart

WINDOWS = 120
"""So many windows are shown: 10 h of windows of five minutes."""
POINTS = 60

UNSEEN = (
    "now.",
    "age.h:",
    "age.loss.",
    "age.n:",
    "age.e:",
    "age.ee:",
    "age.a:",
    "age.right:",
    "delay:",
    "dec.",
    "who.",
)
"""Sums that no line is made of; most of a window's are."""

Bucket = Mapping[Rule, Sums]
"""The sums of some windows; those of different rules stay apart."""


@dataclass(frozen=True, slots=True)
class Period:
    """What the charts show, in microseconds: whole buckets, the last one is over."""

    begin_us: int
    end_us: int
    bucket_us: int
    read_us: int
    """Up to where everything has been read, which may be past the last bucket."""

    @classmethod
    def until(cls, watermark_us: int, window_us: int) -> Period:
        """The newest windows up to the watermark."""
        bucket_us = window_us * (WINDOWS // POINTS)
        end_us = watermark_us // bucket_us * bucket_us
        return cls(end_us - POINTS * bucket_us, end_us, bucket_us, watermark_us)

    def after(self, start_us: int) -> Period:
        """Without the bucket of this window and those before it: not all of their rows were read."""
        dropped = max(0, (start_us - self.begin_us) // self.bucket_us + 1)
        return replace(self, begin_us=min(self.end_us, self.begin_us + dropped * self.bucket_us))

    def judged(self, after_us: int) -> Period:
        """Without the buckets of which not every prediction is so old: to judge them would be too soon."""
        end_us = self.begin_us + max(0, self.read_us - after_us - self.begin_us) // self.bucket_us * self.bucket_us
        return replace(self, end_us=min(self.end_us, end_us))

    @property
    def words(self) -> str:
        """Such as "the last 15 h up to …"."""
        length = units.span((self.end_us - self.begin_us) / 1e6)
        return f"the last {length} up to {units.moment(units.from_us(self.end_us))}"


def trends(cells: Sequence[Cell], period: Period, *, names: Mapping[str, str]) -> list[Chart]:
    """The charts that have a value in them."""
    lines: dict[str, dict[int, dict[Rule, Sums]]] = {}
    for cell in cells:
        if period.begin_us <= cell.start_us < period.end_us:
            at = (cell.start_us - period.begin_us) // period.bucket_us
            sums = lines.setdefault(_name(cell, names), {}).setdefault(at, {}).setdefault(cell.rule, {})
            for name, value in cell.sums.items():
                sums[name] = sums.get(name, 0) + value
    busiest = sorted(lines, key=lambda name: (-sum(_sum(part, "requests") for part in lines[name].values()), name))
    kept = [(name, lines[name]) for name in sorted(busiest[:STYLES])]
    classes = any(cell.rule.task in ("classification", "ranking") for cell in cells)
    seconds = period.bucket_us / 1e6
    judged = period.judged(max((cell.rule.judged_after_us for cell in cells), default=0))

    def drawn(
        id: str,
        title: str,
        value: Callable[[Bucket], float | None],
        *,
        words: Format,
        top: float | None = None,
        within: Period = period,
    ) -> Chart | None:
        points = [Line(name, style, _points(held, within, value)) for style, (name, held) in enumerate(kept)]
        begin, end = period.begin_us / 1e6, period.end_us / 1e6
        return chart(id, title, lines=points, begin=begin, end=end, words=words, top=top)

    found = [
        drawn("requests", "Requests per second", lambda part: _sum(part, "requests") / seconds, words=units.number),
        drawn("errors", "Error rate", lambda part: _share(part, "errors", "requests"), words=units.percent),
        drawn("latency", "Latency, 95th percentile", _latency, words=units.seconds),
        drawn("quality", "Accuracy at age L", _accuracy, words=units.percent, top=1.0, within=judged)
        if classes
        else drawn("quality", "RMSE at age L, in the unit of the prediction", _rmse, words=units.number, within=judged),
        drawn(
            "coverage",
            "Coverage: predictions with an outcome at age L",
            lambda part: _share(part, "age.n", "predictions"),
            words=units.percent,
            top=1.0,
            within=judged,
        ),
    ]
    return [one for one in found if one is not None]


def _name(cell: Cell, names: Mapping[str, str]) -> str:
    version = names.get(cell.arm.revision, cell.arm.revision)
    return f"{version} (mirrored)" if cell.arm.role == RouteRole.SHADOW else version


def _points(
    held: Mapping[int, Bucket], period: Period, value: Callable[[Bucket], float | None]
) -> list[tuple[float, float | None]]:
    buckets = (period.end_us - period.begin_us) // period.bucket_us
    return [
        ((period.begin_us + (at + 0.5) * period.bucket_us) / 1e6, value(held[at]) if at in held else None)
        for at in range(buckets)
    ]


def _sum(part: Bucket, name: str) -> int:
    return sum(sums.get(name, 0) for sums in part.values())


def _share(part: Bucket, some: str, whole: str) -> float | None:
    count = _sum(part, whole)
    return _sum(part, some) / count if count else None


def _latency(part: Bucket) -> float | None:
    at = latency(part.values()).quantile(0.95)
    return None if at is None else at / 1_000_000


def _rmse(part: Bucket) -> float | None:
    return Quality.of(part.items(), "age").rmse


def _accuracy(part: Bucket) -> float | None:
    return Quality.of(part.items(), "age").accuracy
