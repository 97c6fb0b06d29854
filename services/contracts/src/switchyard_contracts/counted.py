"""What a gateway's Envoy counted of each arm of a split: what error guards are judged by while the monitor is silent.

A gateway pod answers `GET :8081/counters?deployment=<namespace>/<name>` with one `Counted`. Its windows are counted by
Envoy itself, whatever became of records, Kafka and the monitor; they know of requests and of failures, and of nothing
else. They start anew with control; with Envoy they do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from switchyard_contracts.base import Timestamp
from switchyard_contracts.events import Part
from switchyard_contracts.evidence import ArmSums, WindowSums
from switchyard_contracts.quantities import FULL


class CountedArm(Part):
    """One arm in one window."""

    weight_bp: int
    """Its share of the split."""
    requests: int = 0
    failures: int = 0
    """Answers of 5xx, resets, timeouts, and requests that another revision had to answer in its place.

    Where an attempt fell into one window and its repetition into the next, this may be less than nought.
    """
    failed_over: int = 0
    """The latter alone."""


class CountedWindow(Part):
    """Some time in which Envoy ran one ModelRoute generation."""

    traffic: int
    start: Timestamp
    arms: Mapping[str, CountedArm] = {}
    """By revision; whoever has no share of the split has no arm."""


class Counted(Part):
    """One gateway's answer."""

    node: str = ""
    windows: list[CountedWindow] = []
    """In order of time."""


def sums(
    counted: Iterable[Counted],
    *,
    revision: str,
    against: str,
    traffic: Collection[int],
    since: datetime | None = None,
) -> list[WindowSums]:
    """The windows of all gateways together; those of one start and one generation become one.

    Generations are numbered anew when a deployment is, so what began before `since` was another life's.
    """
    found: dict[tuple[datetime, int], list[CountedWindow]] = defaultdict(list)
    for gateway in counted:
        for window in gateway.windows:
            if window.traffic in traffic and (since is None or window.start >= since):
                found[window.start, window.traffic].append(window)
    return [
        WindowSums(
            start=start,
            traffic=generation,
            probability=_probability(windows, revision, against),
            candidate=_arm(windows, revision),
            stable=_arm(windows, against),
        )
        for (start, generation), windows in sorted(found.items())
    ]


def _probability(windows: list[CountedWindow], revision: str, against: str) -> float:
    """How likely the revision was to be drawn; without an arm of its own, what the other's leaves."""
    own = next((window.arms[revision].weight_bp for window in windows if revision in window.arms), None)
    other = next((window.arms[against].weight_bp for window in windows if against in window.arms), FULL)
    return (FULL - other if own is None else own) / FULL


def _arm(windows: list[CountedWindow], revision: str) -> ArmSums:
    """An error of a request that began in an earlier window counts as a request of this one."""
    arms = [window.arms[revision] for window in windows if revision in window.arms]
    failures = max(0, sum(arm.failures for arm in arms))
    return ArmSums(n=max(failures, sum(arm.requests for arm in arms)), failures=failures)
