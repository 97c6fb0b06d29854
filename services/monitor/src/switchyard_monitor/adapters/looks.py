"""Sums for people to look at: a query or two for a page, however many arms a deployment has had."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from re import Pattern
from typing import Any

from sqlalchemy import Engine, Row, Select, Subquery, func, select

from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.engine import guarded, open_reader
from switchyard_monitor.adapters.remembered import Reading, Remembered
from switchyard_monitor.domain.entries import Arm, Cell, Pair, PairCell
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import Sums, decode, merged, pick

MOST_NAMES = 500_000
"""Of sums that are remembered; some 60 MB."""


class SqlLooks:
    """Reads beside the writer, and never writes."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = open_reader(url)
        self._remembered = Remembered(MOST_NAMES)

    def totals(self, subjects: Sequence[str], *, generations: int) -> dict[str, list[Cell]]:
        """Each arm's windows added up, of the newest so many generations of each deployment."""
        arms = _newest_arms(subjects, generations)
        query = select(arms, tables.total.c.sums).join(tables.total, tables.total.c.arm == arms.c.id)
        found: dict[str, list[Cell]] = {subject: [] for subject in subjects}
        for (arm, rule, _), sums in self._sums(query, _arm).items():
            found[rule.subject].append(Cell(arm, rule, 0, merged(sums)))
        return found

    def day_totals(self, subject: str, *, generations: int) -> list[Cell]:
        """Each arm's days added up, of the newest so many generations."""
        arms, total = _newest_arms([subject], generations), tables.day_total
        query = select(arms, total.c.sums).join(total, total.c.arm == arms.c.id)
        return [Cell(arm, rule, 0, merged(sums)) for (arm, rule, _), sums in self._sums(query, _arm).items()]

    def days(self, subject: str, *, generations: int, names: Pattern[str]) -> list[Cell]:
        """The days of their revisions, whatever the generation; some of their sums, each partition's apart."""
        newest, day, every, rule = _newest_arms([subject], generations), tables.day_cell, tables.arm, tables.rule
        query = (
            select(every, rule.c.body, day.c.start_us, day.c.sums)
            .join(rule, every.c.rule == rule.c.id)
            .join(day, day.c.arm == every.c.id)
            .where(rule.c.subject == subject, every.c.revision.in_(select(newest.c.revision)))
            .order_by(day.c.start_us, day.c.arm, day.c.partition)
        )
        return self._cells(query, partial(pick, names=names), names)

    def windows(
        self, subject: str, *, generations: int, since_us: int, limit: int, without: tuple[str, ...]
    ) -> list[Cell]:
        """The windows since then, each partition's apart, without sums whose names begin so."""
        arms, cell = _newest_arms([subject], generations), tables.cell
        query = (
            select(arms, cell.c.start_us, cell.c.sums)
            .join(cell, cell.c.arm == arms.c.id)
            .where(cell.c.start_us >= since_us)
            .order_by(cell.c.start_us.desc())
            .limit(limit)
        )
        return self._cells(query, partial(_without, names=without), without)

    def pair_totals(self, subject: str, *, generations: int) -> list[PairCell]:
        """Each pair's windows added up, of the newest so many generations that have pairs."""
        pair, rule, total = tables.pair, tables.rule, tables.pair_total
        rank = func.dense_rank().over(order_by=pair.c.traffic.desc()).label("rank")
        ranked = (
            select(pair, rule.c.subject, rule.c.digest, rule.c.body, rank)
            .join(rule, pair.c.rule == rule.c.id)
            .where(rule.c.subject == subject)
            .subquery()
        )
        query = (
            select(ranked, total.c.sums).join(total, total.c.pair == ranked.c.id).where(ranked.c.rank <= generations)
        )
        return [PairCell(pair, rule, 0, merged(sums)) for (pair, rule, _), sums in self._sums(query, _pair).items()]

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    def _cells(self, query: Select[Any], read: Reading, what: object) -> list[Cell]:
        """The rows of one query as cells, in its order, each partition's apart; `what` as in `Remembered.of`."""
        arm_of, rule_of = lru_cache(_arm_of), lru_cache(_rule_of)
        with guarded(), self.engine.begin() as connection:
            rows = connection.execute(query).all()
        found = []
        for row in rows:
            arm = arm_of(row.rule, row.revision, row.role, row.traffic, row.weight_bp, row.assignment)
            found.append(Cell(arm, rule_of(row.body), row.start_us, self._remembered.of(row.sums, read, what)))
        return found

    def _sums(self, query: Select[Any], owner: Any) -> dict[tuple[Any, Rule, int], list[Mapping[str, int]]]:
        """The rows of one query, those of one owner and window together; partitions are added by the caller."""
        rules: dict[str, Rule] = {}
        found: dict[tuple[Any, Rule, int], list[Mapping[str, int]]] = {}
        with guarded(), self.engine.begin() as connection:
            for row in connection.execute(query):
                rule = rules.get(row.body)
                if rule is None:
                    rule = rules[row.body] = _rule_of(row.body)
                key = owner(row), rule, getattr(row, "start_us", 0)
                found.setdefault(key, []).append(decode(row.sums))
        return found


def _newest_arms(subjects: Sequence[str], generations: int) -> Subquery:
    arm, rule = tables.arm, tables.rule
    rank = func.dense_rank().over(partition_by=rule.c.subject, order_by=arm.c.traffic.desc()).label("rank")
    ranked = (
        select(arm, rule.c.subject, rule.c.body, rank)
        .join(rule, arm.c.rule == rule.c.id)
        .where(rule.c.subject.in_(list(subjects)))
        .subquery()
    )
    return select(ranked).where(ranked.c.rank <= generations).subquery()


def _arm(row: Row[Any]) -> Arm:
    return Arm(row.rule, row.revision, row.role, row.traffic, row.weight_bp, row.assignment)


def _arm_of(rule: int, revision: str, role: str, traffic: int, weight_bp: int, assignment: str) -> Arm:
    return Arm(rule, revision, role, traffic, weight_bp, assignment)


def _rule_of(body: str) -> Rule:
    return Rule.read(json.loads(body))


def _without(text: str, names: tuple[str, ...]) -> Sums:
    return {name: value for name, value in decode(text).items() if not name.startswith(names)}


def _pair(row: Row[Any]) -> Pair:
    return Pair(row.rule, row.stable, row.mirrored, row.traffic)
