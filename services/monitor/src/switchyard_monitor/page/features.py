"""The pages of X and Y: all features of a window, the worst first, and one feature over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from switchyard_contracts.windows import SECOND_US
from switchyard_profile.profile import FeatureSums
from switchyard_profile.readings import Reading, quantile
from switchyard_profile.reference import Feature

from switchyard_monitor.domain.drift import Finding
from switchyard_monitor.domain.drift_book import FeatureDrift, K, N
from switchyard_monitor.domain.usual import Aspect
from switchyard_monitor.drift_answers import weighed
from switchyard_monitor.page import tables, units
from switchyard_monitor.page.charts import FAILURE, Chart, Line, Mark, Span, chart
from switchyard_monitor.page.drifts import STATES, Against, Card, Found, State, card, gapped, state, worst_first
from switchyard_monitor.page.spreads import Spread, spread
from switchyard_monitor.ports import DriftBook

PAGE = 24
FEW = 5
"""Shown on the deployment's own page, beside Y."""
SORTS = ("worst", "weight", "name")
ASPECTS = {
    Aspect.DISTRIBUTION: ("Distribution: PSI against the reference", "PSI"),
    Aspect.MISSING: ("Share of rows without a value", "Missing"),
    Aspect.WRONG: ("Share of rows with a value of another type", "Another type"),
    Aspect.UNSEEN: ("Share of names that the reference has no place for", "Never seen"),
    Aspect.OUTSIDE: ("Share of numbers beyond the stated limits", "Beyond the limits"),
}
QUANTILES = ((0.01, "1"), (0.05, "5"), (0.25, "25"), (0.5, "50"), (0.75, "75"), (0.95, "95"), (0.99, "99"))


EXPLAINS = {"prediction": "Explains of the answer (ε²)", "outcome": "Explains of the outcome (ε²)"}


@dataclass(frozen=True, slots=True)
class Features:
    """The features of one window, a page of them."""

    cards: Sequence[Card]
    total: int
    """That fit what was looked for."""
    all: int
    find: str
    sort: str
    page: int
    pages: int
    states: Sequence[tuple[State, int]]
    """How many are how, of all."""


@dataclass(frozen=True, slots=True)
class One:
    """One feature."""

    name: str
    side: str
    type: str
    state: State
    spread: Spread
    numbers: tables.Table
    found: tables.Table
    charts: Sequence[Chart]


def features(held: Against, subject: str, book: DriftBook, *, find: str, sort: str, page: int) -> Features:
    """A page of the list; with the sort "worst", those that drifted come first."""
    every = _every(held, subject, book)
    sort = sort if sort in SORTS else SORTS[0]
    fitting = [one for one in every if find.lower() in one.drift.feature.lower()]
    if sort == "name":
        fitting.sort(key=lambda one: one.drift.feature)
    if sort == "weight":
        known = held.features
        fitting.sort(key=lambda one: -most_weighed(known[one.drift.feature], one))
    pages = max(1, -(-len(fitting) // PAGE))
    page = min(max(1, page), pages)
    return Features(
        cards=_cards(held, fitting[(page - 1) * PAGE : page * PAGE]),
        total=len(fitting),
        all=len(every),
        find=find,
        sort=sort,
        page=page,
        pages=pages,
        states=[(each, count) for each in STATES if (count := sum(one.state is each for one in every))],
    )


def most_weighed(feature: Feature, found: Found) -> float:
    """Drift × importance, of the aspect that drifted most."""
    return max((weighed(one, feature) for one in found.drift.told[1]), default=0.0)


def few(held: Against, subject: str, book: DriftBook) -> Features:
    """Y, and the worst of X."""
    every = _every(held, subject, book)
    known = held.features
    answers = [one for one in every if known[one.drift.feature].binning.side == "Y"]
    rest = [one for one in every if known[one.drift.feature].binning.side != "Y"]
    return Features(
        cards=_cards(held, [*answers, *rest[:FEW]]),
        total=len(every),
        all=len(every),
        find="",
        sort=SORTS[0],
        page=1,
        pages=1,
        states=[(each, count) for each in STATES if (count := sum(one.state is each for one in every))],
    )


def one(held: Against, subject: str, book: DriftBook, name: str) -> One | None:
    """A feature's own page; None where it was not found in the window."""
    feature = held.features.get(name)
    if feature is None or held.window is None or held.reference is None:
        return None
    since, until = held.windows[0].start_us, held.window.start_us
    lines = book.history(subject, held.reference.digest, held.revision, name, since_us=since, until_us=until)
    if not lines or lines[-1].start_us != until:
        return None
    sums, findings = lines[-1].told
    return One(
        name=name,
        side=feature.binning.side.value,
        type=feature.binning.type.value,
        state=state(lines[-1], lines),
        spread=spread(feature, sums),
        numbers=_numbers(feature, sums),
        found=_found(findings),
        charts=_charts(lines, held.reference.length_seconds),
    )


def _every(held: Against, subject: str, book: DriftBook) -> list[Found]:
    if held.reference is None or held.window is None:
        return []
    starts = [window.start_us for window in held.windows[-N:]]
    lines = book.features(subject, held.reference.digest, held.revision, starts=starts)
    return worst_first(lines, held.window)


def _cards(held: Against, found: Sequence[Found]) -> list[Card]:
    known = held.features
    return [card(known[one.drift.feature], one, number) for number, one in enumerate(found, start=1)]


def _numbers(feature: Feature, sums: FeatureSums) -> tables.Table:
    """What both are, number by number."""
    binning = feature.binning
    both = (feature.sums, sums)
    readings = [Reading.of(binning, each) for each in both]

    def line(words: str, value: Callable[[Reading], str]) -> tuple[str, ...]:
        return (words, *(value(reading) for reading in readings))

    def shares(words: str, count: Callable[[Reading], int]) -> tuple[str, ...]:
        return line(words, lambda reading: units.share(count(reading) / reading.rows if reading.rows else 0.0))

    rows = [line("Rows", lambda one: units.count(one.rows)), shares("Missing", lambda one: one.missing)]
    told = feature.importance.to_json() if feature.importance else {}
    rows += [(words, units.share(told[of]), "") for of, words in EXPLAINS.items() if of in told]
    rows += [("Importance, as it was said", units.number(told["own"]), "")] if "own" in told else []
    if any(reading.wrong for reading in readings):
        rows.append(shares("Of another type", lambda one: one.wrong))
    if binning.type.measured:
        if binning.minimum is not None or binning.maximum is not None:
            rows.append(shares("Beyond the stated limits", lambda one: one.outside))
        rows.append(line("Mean", lambda one: units.number(one.mean)))
        rows.append(line("Standard deviation", lambda one: units.number(one.deviation)))
        rows.append(line("Least", lambda one: units.number(one.low)))
        for share, words in QUANTILES:
            found = [units.number(quantile(binning, each, share)) for each in both]
            rows.append((f"{words}{units.GAP}% below" if share != 0.5 else "Median", *found))
        rows.append(line("Greatest", lambda one: units.number(one.high)))
    else:
        rows.append(shares("Any other name", lambda one: one.unseen))
    return tables.Table("The window beside the reference", ("Measure", "Reference", "Window"), rows)


def _found(findings: Sequence[Finding]) -> tables.Table:
    rows = []
    for each in findings:
        title, _ = ASPECTS[each.aspect]
        value = _value(each.aspect)
        rows.append(
            (
                title,
                value(each.effect),
                value(max(each.usual.most, each.reference)),
                units.NOTHING if each.p is None else units.chance(each.p),
                units.number(round(each.usual.inflation, 2)),
                units.count(each.usual.windows),
                ("differs" if each.usual.optimistic else "drifted") if each.drifted else "as usual",
            )
        )
    columns = ("What is looked at", "Window", "Usual, at most", "p", "φ", "Windows of the reference", "Found")
    return tables.Table("How it was judged", columns, rows)


def _value(aspect: Aspect) -> Callable[[float | None], str]:
    if aspect is Aspect.DISTRIBUTION:
        return lambda value: units.number(None if value is None else round(value, 4))
    return lambda value: units.NOTHING if value is None else units.share(value)


def _charts(lines: Sequence[FeatureDrift], length: int) -> list[Chart]:
    """Each aspect over time with what is usual; those that never were anything are left out."""
    found: dict[Aspect, list[tuple[int, Finding]]] = {}
    for line in lines:
        for each in line.told[1]:
            found.setdefault(each.aspect, []).append((line.start_us, each))
    drawn = [
        _chart(aspect, held, length)
        for aspect, held in found.items()
        if aspect is Aspect.DISTRIBUTION or any(each.effect or each.reference for _, each in held)
    ]
    return [one for one in drawn if one is not None]


def _chart(aspect: Aspect, held: Sequence[tuple[int, Finding]], length: int) -> Chart | None:
    title, name = ASPECTS[aspect]
    value = _value(aspect)
    values: list[tuple[float, float | None]] = []
    limits: list[tuple[float, float | None]] = []
    marks: list[Mark] = []
    usual: list[Span] = []
    history: list[bool] = []
    for start_us, each in held:
        begin = start_us / SECOND_US
        at, limit = begin + length / 2, max(each.usual.most, each.reference)
        values.append((at, each.effect))
        limits.append((at, limit))
        usual.append(Span(begin, begin + length, limit))
        history.append(each.drifted)
        if each.drifted:
            lasts = sum(history[-N:]) >= K and not each.usual.optimistic
            words = f"{units.short_clock(start_us)}: {name} {value(each.effect)}, usual up to {value(limit)}"
            marks.append(Mark(FAILURE if lasts else "diamond", at, each.effect, words))
    first, last = held[0][0] / SECOND_US, held[-1][0] / SECOND_US + length
    return chart(
        f"drift-{aspect.value}",
        title,
        lines=[Line(name, 0, gapped(values, length)), Line("Usual, at most", 1, gapped(limits, length))],
        begin=first,
        end=last,
        words=value,
        marks=marks,
        usual=usual,
        lag=length / 2,
        time="Window from (UTC)",
    )
