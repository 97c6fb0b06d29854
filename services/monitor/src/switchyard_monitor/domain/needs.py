"""Needs: up to where a deployment's windows may be coarser, or no more, for all that alarms and drift may yet look at.

A rule looks at a window once, as long after its end as the rule says, be that two months; what it found is remembered
then, and the window is not asked for again. Sums that lie in hours or days by then answer only who asks for whole ones.
So what was begun to be judged holds its windows from the next one on, and so does what a rule would begin with that
nobody has judged yet. What is due to be judged of drift holds the whole window of the reference that it lies in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from switchyard_monitor.domain.alarms import State, Terms, first
from switchyard_monitor.domain.gauges import by_day, by_hour
from switchyard_monitor.domain.retention import Rungs

FREE_US = 2**62
NOTHING = Rungs(FREE_US, FREE_US, FREE_US)


@dataclass(frozen=True, slots=True)
class Unjudged:
    """What of a deployment was begun to be judged, or is due to be."""

    states: Mapping[str, State] = field(default_factory=dict)
    """Of alarms, by rule."""
    due: Mapping[str, int] = field(default_factory=dict)
    """By baseline, the start of the oldest profile whose drift is due to be judged."""


def needed(terms: Iterable[Terms], states: Mapping[str, State], due_us: Iterable[int], mark_us: int) -> Rungs:
    """Up to where windows may be put together to hours and to days, and may go; times in microseconds since 1970.

    Args:
        terms: the rules of today.
        states: what is remembered of rules. One that is none of today's, or was another, holds all from its next window
            on: who judges takes it out, or begins anew.
        due_us: the starts of the reference's windows whose drift is due to be judged.
        mark_us: up to when all is known.
    """
    found = [Rungs(FREE_US, FREE_US, start_us) for start_us in due_us]
    today = {rule.name: rule for rule in terms}
    found += [_from(rule, first(rule, mark_us)) for rule in today.values()]
    for name, state in states.items():
        rule = today.get(name)
        same = rule is not None and rule.definition == state.definition
        found.append(_from(rule, state.next_us) if rule and same else Rungs(*(state.next_us,) * 3))
    return Rungs(*map(min, zip(NOTHING, *found, strict=True)))


def _from(rule: Terms, start_us: int) -> Rungs:
    return Rungs(
        FREE_US if by_hour(rule) else start_us,
        FREE_US if by_day(rule) else start_us,
        start_us,
    )
