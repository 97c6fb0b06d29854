"""The fold of a batch: what it changes is what its entries stand for then, less what they stood for before."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from switchyard_contracts.topics import ModelRecord
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.changes import Changes
from switchyard_monitor.domain.entries import Arm, Entry, Pair, contribute
from switchyard_monitor.domain.facts import Record, read
from switchyard_monitor.domain.join import Fold
from switchyard_monitor.domain.pairs import contribute_pairs
from switchyard_monitor.domain.rules import Known, Rule
from switchyard_monitor.domain.sums import Sums, add
from switchyard_testkit.monitor_world import (
    CLASSES,
    MONITORING,
    NOON_US,
    SECOND,
    SUBJECT,
    classified,
    decision,
    deletion,
    inference,
    input_alone,
    mirrored,
    model_record,
    outcome,
    prediction_alone,
)

SEGMENTS = {"segments": [{"name": "x", "path": "$.x", "values": ["1", "3"]}]}
CLICKS = {**MONITORING["outcome"], "affectedBy": "decision"}
RANKING = {"prediction": {"path": "$.delay", "task": "ranking"}, "outcome": CLICKS, "window": "5s"}
OF: dict[str, dict[str, Any]] = {
    "numbers": MONITORING,
    "numbers in parts": {**MONITORING, **SEGMENTS},
    "classes": {**CLASSES, **SEGMENTS, "outcome": {**CLASSES["outcome"], "path": "$.delay"}},
    "places": RANKING,
}
IDS = ("a", "b")
OF_REQUESTS = ("requests", "errors", "unmeasured", "latency:", "unreadable", "failover", "conflicts")
Added = dict[str, dict[Any, Sums]]


class Pages:
    """A book in memory."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._arms: list[Arm] = []
        self._pairs: list[Pair] = []

    def id_of(self, arm: Arm) -> int:
        """Its place."""
        return _place(self._arms, arm)

    def arm(self, arm_id: int) -> Arm:
        """What stands there."""
        return self._arms[arm_id]

    def pair_id(self, pair: Pair) -> int:
        """Its place."""
        return _place(self._pairs, pair)

    def rule(self, rule_id: int) -> Rule:
        """There is one."""
        return self._rule


def _place(held: list[Any], new: Any) -> int:
    if new not in held:
        held.append(new)
    return held.index(new)


floats = st.floats(-1e4, 1e4) | st.sampled_from([0.0, 1.0, 3.0, 1e9, -1e9])


@st.composite
def facts(draw: st.DrawFn) -> list[tuple[bytes, int]]:
    """What may come of two predictions, and when."""
    found: list[bytes] = []
    for name in IDS:
        for revision in draw(st.sampled_from([(), ("r1",), ("r1", "r1"), ("r1", "r2")])):
            changes = {"at": draw(st.integers(0, 40)), "event_id": f"{name}-{revision}", "revision": revision}
            if draw(st.booleans()):
                found.append(inference(name, y=draw(floats), x=draw(st.sampled_from([1, 1, 2])), **changes))
            else:
                said = draw(st.sampled_from(["late", "early", "never"]))
                found.append(classified(name, said, draw(st.floats(0, 1)), **changes))
        if draw(st.booleans()):
            found.append(
                mirrored(name, y=draw(floats), at=draw(st.integers(0, 40)), latencyUs=draw(st.integers(0, 99)))
            )
        if draw(st.booleans()):
            found.append(prediction_alone(name, y=draw(floats), at=draw(st.integers(0, 40)), role="candidate"))
            found.append(input_alone(name, at=draw(st.integers(0, 40)), x=draw(st.sampled_from([1, 1, 3]))))
        for version in range(draw(st.integers(0, 3))):
            value = draw(st.one_of(floats, st.sampled_from(["late", "early"])))
            found.append(outcome(name, value, at=draw(st.integers(0, 60)), revision=version))
        for version in range(draw(st.integers(0, 2))):
            found.append(decision(name, draw(st.booleans()), at=draw(st.integers(0, 60)), revision=version))
    found += draw(st.sampled_from([[], [], [deletion("a", at=50)]]))
    return [(value, draw(st.integers(61, 90))) for value in draw(st.permutations(found))]


def folded(
    said: Iterable[tuple[bytes, int]], known: Known, parts: Iterable[int], book: Pages, entries: dict[bytes, Entry]
) -> Added:
    """The changes of all parts together, each of so many facts, as a store has them."""
    erased: set[bytes] = set()
    added: Added = {"cells": {}, "days": {}, "pairs": {}, "labels": {}, "ledger": {"": {}}}
    left = list(said)
    for size in parts:
        batch, left = left[:size], left[size:]
        fold = Fold(rules={SUBJECT: known}, book=book, entries=entries, erased=erased)
        for value, at in batch:
            fact = read(Record(0, 0, NOON_US + at * SECOND, None, value))
            assert fact is not None
            fold.take(fact)
        changes: Changes = fold.finish()
        for name, total in added.items():
            new: Mapping[Any, Sums] = {"": changes.ledger} if name == "ledger" else getattr(changes, name)
            for place, sums in new.items():
                add(total.setdefault(place, {}), sums)
    assert not left
    return {name: {place: sums for place, sums in total.items() if sums} for name, total in added.items()}


@pytest.mark.parametrize("monitoring", OF.values(), ids=OF)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(said=facts(), chance=st.randoms(use_true_random=False))
def test_what_a_batch_changes_is_what_each_fact_alone_would(
    said: list[tuple[bytes, int]], chance: random.Random, monitoring: Mapping[str, Any]
) -> None:
    known = Known.of(1, Rule.of(ModelRecord.model_validate_json(model_record(monitoring))))
    book, entries = Pages(known.rule), dict[bytes, Entry]()
    one_by_one = folded(said, known, [1] * len(said), book, entries)
    parts, left = [], len(said)
    while left:
        parts.append(chance.randint(1, left))
        left -= parts[-1]
    assert folded(said, known, parts, book, {}) == one_by_one
    assert folded(said, known, [len(said)], book, {}) == one_by_one
    if not any(b"deletion" in value for value, _ in said):
        # By the definition: what all entries stand for in the end, added up.
        cells, days, pairs, labels = (dict[Any, Sums]() for _ in range(4))
        for key, entry in entries.items():
            contribute(entry, book, cells, days, labels.setdefault(SUBJECT, {}), 1, group=identity.fold(key))
            contribute_pairs(entry, book, pairs, 1)
        stands = {"cells": cells, "days": days, "pairs": pairs, "labels": labels}
        assert {name: _left(one_by_one[name]) for name in stands} == {
            name: _left(held) for name, held in stands.items()
        }


def _left(held: Mapping[Any, Mapping[str, int]]) -> dict[Any, Sums]:
    """Without what counts requests, and not predictions."""
    cells = {
        place: {name: by for name, by in sums.items() if by and not name.startswith(OF_REQUESTS)}
        for place, sums in held.items()
    }
    return {place: sums for place, sums in cells.items() if sums}
