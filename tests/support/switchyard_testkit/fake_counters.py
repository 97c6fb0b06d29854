"""What gateways count, without gateways: in the place of control and Envoy. It passes the same suite as they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from switchyard_contracts.counted import Counted, CountedArm, CountedWindow

WINDOW = 10
MOST_WINDOWS = 60


@dataclass
class FakeCounters:
    """One gateway's windows."""

    node: str = "gateway-0"
    windows: list[CountedWindow] = field(default_factory=list)

    def serve(
        self,
        revision: str,
        requests: int,
        *,
        weights: Mapping[str, int],
        traffic: int,
        at: datetime,
        failing: int = 0,
        failed_over: int = 0,
    ) -> None:
        """So many requests were the revision's; some of them failed, some were answered by another in its place."""
        start = datetime.fromtimestamp(int(at.timestamp() // WINDOW * WINDOW), UTC)
        new = CountedArm(
            weight_bp=weights[revision], requests=requests, failures=failing + failed_over, failed_over=failed_over
        )
        newest = self.windows[-1] if self.windows else None
        if newest and (newest.traffic, newest.start) == (traffic, start):
            self.windows[-1] = _joined(newest, {revision: new})
        else:
            self.windows.append(CountedWindow(traffic=traffic, start=start, arms={revision: new}))
        if len(self.windows) > MOST_WINDOWS:
            first, second = self.windows[:2]
            self.windows[:2] = [_joined(first, second.arms) if first.traffic == second.traffic else second]

    def counted(self) -> Counted:
        """Its answer."""
        return Counted(node=self.node, windows=list(self.windows))


def _joined(window: CountedWindow, others: Mapping[str, CountedArm]) -> CountedWindow:
    arms = dict(window.arms)
    for revision, other in others.items():
        held = arms.get(revision)
        arms[revision] = held.model_copy(update=_sums(held, other)) if held else other
    return window.model_copy(update={"arms": arms})


def _sums(one: CountedArm, other: CountedArm) -> dict[str, int]:
    return {
        "requests": one.requests + other.requests,
        "failures": one.failures + other.failures,
        "failed_over": one.failed_over + other.failed_over,
    }
