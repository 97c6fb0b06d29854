"""Finding the one that Envoy refuses, among many sent together.

Envoy takes or refuses a response as a whole. So a group that is refused is halved until single offenders stand alone,
each with Envoy's own words; where those words name some of the group, the others are tried first, without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Group = tuple[str, ...]


@dataclass(slots=True)
class Trial:
    """Groups that still wait to be tried, the next one last."""

    waiting: list[Group] = field(default_factory=list)

    def next(self, wanted: Sequence[str]) -> Group:
        """The group to send: what an earlier refusal left, as far as it is still wanted, else everything wanted."""
        still = set(wanted)
        while self.waiting:
            group = tuple(key for key in self.waiting.pop() if key in still)
            if group:
                return group
        return tuple(wanted)

    def refused(self, group: Group, message: str) -> str | None:
        """Envoy refused this group: the offender if it was alone, else nobody yet."""
        if len(group) <= 1:
            return group[0] if group else None
        named = tuple(key for key in group if key in message or key.replace("/", ".") in message)
        if 0 < len(named) < len(group):
            rest = tuple(key for key in group if key not in named)
            self.waiting += [named, rest]
        else:
            half = len(group) // 2
            self.waiting += [group[half:], group[:half]]
        return None
