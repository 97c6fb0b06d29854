"""`capacity: frugal`: never more than replicas + 1 pods in all, so weights and pods change places one pod at a time.

A weight goes as far as ready pods can take it, on either side; when every gateway has it, whoever lost share gives up
the pods that it needs no more, and whoever gains gets as many once they are gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from switchyard_contracts.quantities import FULL

from switchyard_operator.domain.step import sustainable

SPARE = 1
"""How many pods there may be beside those that serve all of the traffic."""


def enough(wanted: int, weight: int) -> int:
    """How many pods a share needs. A basis point more is nothing: thirds have no exact one."""
    return max(1, -(-wanted * (weight - 1) // FULL))


def onward(weight: int, goal: int, *, wanted: int, ready: int, stable_ready: int) -> int:
    """How far the candidate's weight can go towards a goal with the pods that are ready now.

    On the way down stable's pods say how far, unless the candidate's own cannot take what would be left to it. Where
    stable has none, nothing falls: traffic is not sent into nothing.
    """
    able = sustainable(wanted, ready)
    if goal >= weight:
        return max(weight, min(goal, able))
    if not stable_ready:
        return weight
    left = max(goal, FULL - sustainable(wanted, stable_ready))
    return min(weight, max(goal, min(left, able)))


def towards(weight: int, goal: int, *, wanted: int) -> int:
    """How many pods the candidate has on its way from a weight to a goal: the next one, until it has enough."""
    if goal <= weight:
        return enough(wanted, weight)
    more = weight * wanted // FULL
    while sustainable(wanted, more) <= weight:
        more += 1
    return max(enough(wanted, weight), min(more, enough(wanted, goal)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """One revision's pods: how many are asked for, are there, must stay and are wished for."""

    wanted: int
    pods: int
    """Those on their way out among them: they hold what they run on until they are gone."""
    least: int
    wish: int


def share_out(holdings: Mapping[str, Holding], *, wanted: int) -> dict[str, int]:
    """How many each is to ask for; earlier ones first. Nobody grows into room that is not free yet."""
    found = {name: min(held.wanted, max(held.wish, held.least)) for name, held in holdings.items()}
    room = wanted + SPARE - sum(max(found[name], held.pods) for name, held in holdings.items())
    for name, held in holdings.items():
        more = max(0, min(room, max(held.wish, held.least) - found[name]))
        found[name] += more
        room -= more
    return found
