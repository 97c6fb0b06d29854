"""What gateways count, without gateways: in the place of control and Envoy. It passes the same suite as they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from switchyard_contracts.counted import Counted, CountedArm, CountedWindow

WINDOW = 10


@dataclass
class FakeCounters:
    """One gateway's windows."""

    node: str = "gateway-0"
    windows: dict[tuple[int, datetime], dict[str, CountedArm]] = field(default_factory=dict)

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
        arms = self.windows.setdefault((traffic, start), {})
        held = arms.get(revision, CountedArm(weight_bp=weights[revision]))
        arms[revision] = CountedArm(
            weight_bp=held.weight_bp,
            requests=held.requests + requests,
            failures=held.failures + failing + failed_over,
            failed_over=held.failed_over + failed_over,
        )

    def counted(self) -> Counted:
        """Its answer."""
        found = [
            CountedWindow(traffic=traffic, start=start, arms=dict(arms))
            for (traffic, start), arms in sorted(self.windows.items(), key=lambda item: (item[0][1], item[0][0]))
        ]
        return Counted(node=self.node, windows=found)
