"""Whether every ready gateway runs the newest route, and if not, who does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from switchyard_contracts.judgement import counted, noun

from switchyard_operator.domain.world import GatewayReport

SILENT_AFTER = timedelta(seconds=30)
"""A ready gateway that has not acknowledged for so long is named."""


class SyncState(StrEnum):
    """How far a route has come."""

    UNKNOWN = "Unknown"
    """There is no route, so there is nothing to acknowledge."""
    ACKNOWLEDGED = "Acknowledged"
    WAITING = "Waiting"
    SILENT = "GatewaySilent"
    REJECTED = "RejectedByGateway"
    NO_GATEWAY = "NoGateway"


@dataclass(frozen=True, slots=True)
class Sync:
    """The state, and a sentence that names whoever is missing."""

    state: SyncState = SyncState.ACKNOWLEDGED
    message: str = ""

    @property
    def reason(self) -> str:
        """The condition's reason."""
        return self.state.value

    @property
    def acknowledged(self) -> bool:
        """Every ready gateway has it."""
        return self.state is SyncState.ACKNOWLEDGED


def compare(reports: Sequence[GatewayReport], *, generation: int, waiting_for: timedelta) -> Sync:
    """Hold what the gateways say against the route's generation."""
    if not reports:
        return Sync(SyncState.NO_GATEWAY, "no gateway pod is ready, so nobody can acknowledge the route")
    behind = [report for report in reports if report.generation is None or report.generation < generation]
    if refused := [report for report in behind if report.rejected]:
        words = "; ".join(f"{report.pod}: {report.rejected}" for report in refused)
        return Sync(SyncState.REJECTED, f"Envoy refuses generation {generation}: {words}")
    if not behind:
        return Sync(SyncState.ACKNOWLEDGED, f"generation {generation} runs on {counted(len(reports), 'gateway')}")
    words = "; ".join(f"{report.pod} ({_lag(report)})" for report in behind)
    there = len(reports) - len(behind)
    # The noun goes by the whole; of one gateway the verb does too, though none of it runs.
    run = f"{there} of {counted(len(reports), 'gateway')} {noun(there or len(reports), 'runs', 'run')}"
    text = f"{run} generation {generation}; waiting for {words}"
    return Sync(SyncState.SILENT if waiting_for > SILENT_AFTER else SyncState.WAITING, text)


def _lag(report: GatewayReport) -> str:
    if report.error:
        return report.error
    return "does not know the route" if report.generation is None else f"runs generation {report.generation}"
