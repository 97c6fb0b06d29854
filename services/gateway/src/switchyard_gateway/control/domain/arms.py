"""What each arm of a split was asked and how it ended, by ModelRoute generation and by time.

It is kept for guards that must be judged while the monitor is silent. The candidate's share of the split has a cluster
of its own, which holds neither previews nor mirrored requests. Who answered in it without being the candidate stood in
for it: such a request is one that the candidate failed, whatever became of it. (Stable's cluster holds the previews of
stable too; Envoy does not tell them apart.)

What was counted between two looks is some generation's only if Envoy ran that one all the while. So the first look at
a new generation, a while after Envoy took it, counts for nobody: requests of the old one are still on their way then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from switchyard_gateway.control.domain.counters import Growth
from switchyard_gateway.control.domain.fragment import Routing
from switchyard_gateway.control.domain.world import DeploymentKey

SETTLING = 1.0
"""Seconds after which Envoy's threads send nothing by the old routes any more."""
WINDOW = 10
"""Seconds. What an outage does to both arms at once must not be laid to one of them over a whole step."""
MOST_WINDOWS = 60
"""Of one deployment; beyond, the oldest two become one, so that nothing is lost but when it was."""


@dataclass(frozen=True, slots=True)
class ArmCount:
    """One arm in one window."""

    weight: int
    """Its share of the split, in basis points."""
    requests: int = 0
    failures: int = 0
    """Its own bad ends, and the requests that another had to answer. Where an attempt fell into one window and its
    repetition into the next, this may be less than nought."""
    failed_over: int = 0
    """The latter alone."""

    def plus(self, other: ArmCount) -> ArmCount:
        """The sum; the weight is that of both."""
        return replace(
            self,
            requests=self.requests + other.requests,
            failures=self.failures + other.failures,
            failed_over=self.failed_over + other.failed_over,
        )


@dataclass(frozen=True, slots=True)
class Window:
    """Some time in which Envoy ran one generation."""

    traffic: int
    start: int
    """Seconds since 1970."""
    arms: Mapping[str, ArmCount]
    """By revision."""

    def plus(self, other: Window) -> Window:
        """Both as one that began with this."""
        both = dict(self.arms)
        for revision, arm in other.arms.items():
            both[revision] = both[revision].plus(arm) if revision in both else arm
        return replace(self, arms=both)


@dataclass(frozen=True, slots=True)
class _Running:
    routing: Routing
    since: float


@dataclass(slots=True)
class Arms:
    """The windows of every deployment, and what has to be known to add to them."""

    windows: dict[DeploymentKey, tuple[Window, ...]] = field(default_factory=dict)
    _running: dict[DeploymentKey, _Running] = field(default_factory=dict)
    _looked_at: float | None = None

    def run(self, routed: Mapping[DeploymentKey, Routing], *, now: float) -> None:
        """Envoy runs these routes, as far as is known at this time."""
        running = {}
        for key, routing in routed.items():
            known = self._running.get(key)
            if known is not None and known.routing == routing:
                running[key] = known
                continue
            running[key] = _Running(routing, now)
            if any(window.traffic > routing.generation for window in self.windows.get(key, ())):
                del self.windows[key]  # a ModelRoute that was made anew counts from 1 again
        self._running = running

    def begin_anew(self) -> None:
        """Another Envoy counts now: what it ran before it was looked at is not known."""
        self._looked_at = None

    def wants_a_look(self, now: float) -> bool:
        """Whether some generation waits for its first look, from which on it counts."""
        return any(self._settled(each, now) and not self._counts(each) for each in self._running.values())

    def take(self, grown: Iterable[Growth], *, looked_at: float, at: float) -> None:
        """Add what was counted since the last look; `looked_at` is this look's own time, `at` the same for people."""
        found: dict[DeploymentKey, dict[str, ArmCount]] = {}
        counting = {key: each for key, each in self._running.items() if self._counts(each)}
        arms = {arm.cluster: (key, arm) for key, each in counting.items() for arm in each.routing.arms}
        for growth in grown:
            if growth.key[0] not in arms:
                continue
            key, arm = arms[growth.key[0]]
            count, own = growth.count, growth.owner[1] == arm.revision
            astray = 0 if own else count.requests
            failures = (count.errors if own else astray) - count.retries
            new = ArmCount(arm.weight, count.requests, failures, astray)
            held = found.setdefault(key, {})
            held[arm.revision] = held[arm.revision].plus(new) if arm.revision in held else new
        for key, counts in found.items():
            if any(count.requests or count.failures for count in counts.values()):
                self._add(key, Window(counting[key].routing.generation, int(at // WINDOW * WINDOW), counts))
        self._looked_at = looked_at

    def forget(self, alive: Iterable[DeploymentKey]) -> None:
        """Drop the windows of deployments that are no more."""
        kept = set(alive)
        self.windows = {key: windows for key, windows in self.windows.items() if key in kept}

    def _settled(self, running: _Running, now: float) -> bool:
        return now >= running.since + SETTLING

    def _counts(self, running: _Running) -> bool:
        return self._looked_at is not None and self._settled(running, self._looked_at)

    def _add(self, key: DeploymentKey, new: Window) -> None:
        held = self.windows.get(key, ())
        if held and (held[-1].traffic, held[-1].start) == (new.traffic, new.start):
            held = (*held[:-1], held[-1].plus(new))
        else:
            held = (*held, new)
        self.windows[key] = _shortened(held)


def _shortened(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    """No more than the most: the oldest two become one, or the oldest goes, if it is another generation's."""
    while len(windows) > MOST_WINDOWS:
        first, second, *rest = windows
        windows = (first.plus(second), *rest) if first.traffic == second.traffic else (second, *rest)
    return windows
