"""The book of arms, pairs and rules: rows carry a number, the book says what it stands for.

They are only ever added, so a cache never goes stale; but what a transaction wrote down is forgotten when it is undone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, astuple

from sqlalchemy import Connection, select

from switchyard_monitor.adapters import tables
from switchyard_monitor.domain.entries import Arm, Pair
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.errors import Unreadable


class BookCache:
    """What was read or written so far."""

    def __init__(self) -> None:
        self.arms: dict[int, Arm] = {}
        self.arm_ids: dict[Arm, int] = {}
        self.pairs: dict[int, Pair] = {}
        self.pair_ids: dict[Pair, int] = {}
        self.rules: dict[int, Rule] = {}
        self.rule_ids: dict[Rule, int] = {}


class SqlBook:
    """The book within one transaction."""

    def __init__(self, connection: Connection, cache: BookCache) -> None:
        self._connection = connection
        self._cache = cache
        self._new_arms: list[int] = []
        self._new_pairs: list[int] = []
        self._new_rules: list[int] = []

    def id_of(self, arm: Arm) -> int:
        """The number of an arm; a new one is written down."""
        known = self._cache.arm_ids.get(arm)
        if known is not None:
            return known
        columns = ("rule", "revision", "role", "traffic", "weight_bp", "assignment", "fold")
        values = dict(zip(columns, astuple(arm), strict=True))
        query = select(tables.arm.c.id).filter_by(**values)
        number = self._connection.execute(query).scalar()
        if number is None:
            result = self._connection.execute(tables.arm.insert().values(**values))
            number = int(result.inserted_primary_key[0])  # type: ignore[index]
            self._new_arms.append(number)
        self._cache.arms[number] = arm
        self._cache.arm_ids[arm] = number
        return number

    def arm(self, arm_id: int) -> Arm:
        """The arm of a number."""
        arm = self._cache.arms.get(arm_id)
        if arm is None:
            row = self._connection.execute(select(tables.arm).where(tables.arm.c.id == arm_id)).one()
            arm = Arm(row.rule, row.revision, row.role, row.traffic, row.weight_bp, row.assignment, row.fold)
            self._cache.arms[arm_id] = arm
            self._cache.arm_ids[arm] = arm_id
        return arm

    def pair_id(self, pair: Pair) -> int:
        """The number of a pair; a new one is written down."""
        known = self._cache.pair_ids.get(pair)
        if known is not None:
            return known
        values = asdict(pair)
        number = self._connection.execute(select(tables.pair.c.id).filter_by(**values)).scalar()
        if number is None:
            result = self._connection.execute(tables.pair.insert().values(**values))
            number = int(result.inserted_primary_key[0])  # type: ignore[index]
            self._new_pairs.append(number)
        self._cache.pairs[number] = pair
        self._cache.pair_ids[pair] = number
        return number

    def pair(self, number: int) -> Pair:
        """The pair of a number."""
        pair = self._cache.pairs.get(number)
        if pair is None:
            row = self._connection.execute(select(tables.pair).where(tables.pair.c.id == number)).one()
            pair = Pair(row.rule, row.stable, row.mirrored, row.traffic)
            self._cache.pairs[number] = pair
            self._cache.pair_ids[pair] = number
        return pair

    def rule_id(self, rule: Rule) -> int:
        """The number of a rule; a new one is written down."""
        known = self._cache.rule_ids.get(rule)
        if known is not None:
            return known
        query = select(tables.rule.c.id).filter_by(subject=rule.subject, digest=rule.digest)
        number = self._connection.execute(query).scalar()
        if number is None:
            values = {"subject": rule.subject, "digest": rule.digest, "body": json.dumps(rule.body, sort_keys=True)}
            result = self._connection.execute(tables.rule.insert().values(**values))
            number = int(result.inserted_primary_key[0])  # type: ignore[index]
            self._new_rules.append(number)
        self._cache.rules[number] = rule
        self._cache.rule_ids[rule] = number
        return number

    def rule(self, rule_id: int) -> Rule:
        """The rule of a number; `Unreadable` where its row is none, as another release may have left it."""
        rule = self._cache.rules.get(rule_id)
        if rule is None:
            body = self._connection.execute(select(tables.rule.c.body).where(tables.rule.c.id == rule_id)).scalar_one()
            rule = _read(rule_id, body)
            self._cache.rules[rule_id] = rule
            self._cache.rule_ids[rule] = rule_id
        return rule

    def forget(self) -> None:
        """The transaction was undone: what it wrote down never was."""
        for number in self._new_arms:
            self._cache.arm_ids.pop(self._cache.arms.pop(number), None)
        for number in self._new_pairs:
            self._cache.pair_ids.pop(self._cache.pairs.pop(number), None)
        for number in self._new_rules:
            self._cache.rule_ids.pop(self._cache.rules.pop(number), None)


def _read(rule_id: int, body: str) -> Rule:
    try:
        rule = Rule.read(json.loads(body))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"rule {rule_id} in the database cannot be read: {error}") from error
    for name in ("window_us", "judged_after_us", "horizon_us"):
        if not isinstance(getattr(rule, name), int):
            raise Unreadable(f"rule {rule_id} in the database cannot be read: {name} is no whole number")
    return rule
