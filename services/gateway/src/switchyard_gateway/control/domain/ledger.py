"""What Envoy has said of each deployment, beyond one connection's life: what it took, and what it will not take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from switchyard_gateway.control.domain.fragment import Assignment, Cluster, Fragment, Routing
from switchyard_gateway.control.domain.world import DeploymentKey

Part = Cluster | Assignment | Routing


@dataclass(frozen=True, slots=True)
class Target:
    """What a deployment should be: its newest fragment, or the one before should that be refused."""

    desired: Fragment | None
    fallback: Fragment | None = None
    """The last acknowledged ModelRoute over the newest endpoints."""
    generation: int = 0
    problem: str = ""
    """Why there is no desired fragment, though there is a ModelRoute."""


@dataclass(slots=True)
class Ledger:
    """Shared by all streams of one control process; `accepted` is also what the volume remembers."""

    accepted: dict[DeploymentKey, Fragment] = field(default_factory=dict)
    refused: dict[Part, str] = field(default_factory=dict)
    """What Envoy refused, by itself, and with which words."""
    revision: int = 0
    """Counts the changes of `accepted`."""

    def accept(self, fragment: Fragment) -> None:
        """Envoy holds all of this fragment."""
        old = self.accepted.get(fragment.key)
        if old is fragment:
            return
        self.accepted[fragment.key] = fragment
        if old != fragment or old.endpoints != fragment.endpoints:
            self.revision += 1

    def forget(self, key: DeploymentKey) -> None:
        """Envoy no longer routes to this deployment."""
        if self.accepted.pop(key, None):
            self.revision += 1

    def prune(self, alive: Callable[[Part], bool]) -> None:
        """Drop the refusals of what nobody wants any more."""
        self.refused = {part: message for part, message in self.refused.items() if alive(part)}

    def effective(self, target: Target) -> Fragment | None:
        """The newest fragment of which nothing was refused."""
        for fragment in (target.desired, target.fallback):
            if fragment and not self.objection(fragment):
                return fragment
        return None

    def objection(self, fragment: Fragment) -> str:
        """Envoy's words against a fragment's routes or clusters; empty: none."""
        if not self.refused:
            return ""
        for part in (fragment.routing, *fragment.clusters):
            if part in self.refused:
                return self.refused[part]
        return ""


class State(StrEnum):
    """How a ModelRoute stands with this gateway's Envoy."""

    SYNCED = "Synced"
    PENDING = "Pending"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the door says of one deployment."""

    generation: int
    """The ModelRoute generation that Envoy runs; 0: none."""
    state: State
    message: str = ""
