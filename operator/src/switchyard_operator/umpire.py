"""Asks, now and then, for what decides about shadows: what their pairs say, and which version a nameless one is.

No rollout waits for it. A round is due every `shadows.PACE`; where the monitor has just left a rollout without an
answer, it is spared this one. What was learnt in a round holds until the next, so that a pass which writes no status
loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from switchyard_contracts.evidence import Evidence

from switchyard_operator.cache import Key
from switchyard_operator.domain import shadows
from switchyard_operator.domain.bearings import Bearings
from switchyard_operator.domain.shadows import Standing
from switchyard_operator.domain.world import Compared, Revision, World
from switchyard_operator.errors import EvidenceUnavailable, TryLater
from switchyard_operator.ports import Models, Monitor

Pair = tuple[str, str, datetime | None]
"""A shadow's revision, the one that it is compared with, and since when: begun anew, it is another comparison."""


@dataclass(slots=True)
class Round:
    """What was learnt of one deployment's shadows."""

    at: datetime
    versions: dict[str, str]
    """Of revisions whose status did not say it yet."""
    compared: Mapping[Pair, Compared] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)
    """Revisions whose pods were asked in this round."""


class Umpire:
    """The newest round of each deployment."""

    def __init__(self, *, monitor: Monitor, models: Models) -> None:
        self._monitor = monitor
        self._models = models
        self._rounds: dict[Key, Round] = {}

    def look(self, world: World, known: Bearings) -> World:
        """The world with what is known of its shadows."""
        beside = [each for each in known.shadows if each.wanted]
        if not beside:
            return world
        key = world.namespace, world.name
        last = self._rounds.get(key)
        spared = any(item.unavailable for item in world.judged)
        if last is None or (world.now - last.at >= shadows.PACE and not spared):
            last = Round(world.now, last.versions if last else {}, self._compare(world, beside))
            self._rounds[key] = last
        self._meet(world, beside, last)
        met = {each.revision: _named(world.revisions[each.revision], last) for each in beside}
        compared = {
            each.said.name: found
            for each in beside
            if each.status.generations and (found := last.compared.get(_pair(each)))
        }
        return replace(world, revisions={**world.revisions, **met}, compared=compared)

    def forget(self, key: Key) -> None:
        """The deployment is gone."""
        self._rounds.pop(key, None)

    def _compare(self, world: World, beside: list[Standing]) -> dict[Pair, Compared]:
        """What each one's pairs say. A monitor that does not answer is not asked again in the same round."""
        found: dict[Pair, Compared] = {}
        silence = ""
        for each in beside:
            answers: dict[str, Evidence | str] = {}
            asked = shadows.questions(world.spec, each)
            for question in asked:
                try:
                    answer = silence or self._monitor.evidence(f"{world.namespace}/{world.name}", question)
                except EvidenceUnavailable as error:
                    answer = silence = str(error)
                answers[question.metric.name] = answer
            if asked:
                found[_pair(each)] = shadows.judge(world.spec, asked, answers)
        return found

    def _meet(self, world: World, beside: list[Standing], now: Round) -> None:
        """Ask a pod of each for its version, once in a round, where nobody else has said it."""
        for each in beside:
            revision, addresses = world.revisions[each.revision], world.workload(each.revision).addresses
            if revision.version or not addresses or revision.name in now.met | now.versions.keys():
                continue
            now.met.add(revision.name)
            try:
                now.versions[revision.name] = self._models.facts(addresses[0], revision.spec.pod.port).version
            except TryLater:
                continue


def _pair(each: Standing) -> Pair:
    return each.revision, each.status.against, each.status.since


def _named(revision: Revision, known: Round) -> Revision:
    """The revision, with its version as a pod said it until the revision's status does."""
    version = known.versions.get(revision.name, "")
    if revision.version or not version:
        return revision
    return replace(revision, status=revision.status.model_copy(update={"version": version}))
