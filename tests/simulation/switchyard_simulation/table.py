"""The table, as it is printed and as it stands in the README."""

from __future__ import annotations

from collections.abc import Sequence

from switchyard_simulation.rollout import End
from switchyard_simulation.scenarios import Interval, Scenario
from switchyard_simulation.tally import BUDGET, Covered, Kind, Tally

HEAD = ("what", "runs", "wrongly promoted", "wrongly rolled back", "budget", "", "else")
HEAD_OF_INTERVALS = ("interval meant to hold in 95 %", "runs", "held", "band", "width", "")


def head(names: Sequence[str]) -> list[str]:
    """The first two lines of a table."""
    return [_line(names), "|" + "---|" * len(names)]


def group(name: str) -> str:
    """What the rows below have in common."""
    return _line((f"**{name}**", *([""] * (len(HEAD) - 1))))


def rollout(scenario: Scenario, tally: Tally) -> str:
    """A row of rollouts."""
    shares = [_share(*tally.share(end)) if end in scenario.wrong else "–" for end in (End.PROMOTED, End.ROLLED_BACK)]
    return _line((scenario.what, f"{len(tally.ends):,}", *shares, f"{100 * BUDGET:.0f} %", tally.verdict, tally.found))


def interval(one: Interval, covered: Covered) -> str:
    """A row of intervals."""
    return _line(of_interval(one.what, covered))


def of_interval(what: str, covered: Covered) -> tuple[str, ...]:
    """Its cells."""
    held = _share(covered.held / covered.runs, *covered.interval)
    band = "–" if covered.kind is Kind.SHOWN else "–".join(f"{100 * end:.0f}" for end in covered.band) + " %"
    width = "–" if covered.width is None else f"{covered.width:.3g}"
    return (what, f"{covered.runs:,}", held, band, width, covered.verdict)


def plain(cells: Sequence[str]) -> str:
    """A row of what is said elsewhere."""
    return _line(cells)


def _share(share: float, low: float, high: float) -> str:
    return f"{100 * share:.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
