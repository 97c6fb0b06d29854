"""Alarms in the database: who evaluates, what is remembered, and what was said, each commit in one transaction.

Whoever evaluates holds the deployment's row, by an epoch that grows with each new owner. A member that was frozen while
it judged finds another epoch there, and what it judged is undone. Records go into the outbox with what they tell of, so
that each is sent at least once, under an id that is a hash of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from re import Pattern
from typing import Any

from sqlalchemy import Connection, and_, delete, func, or_, select, update
from switchyard_contracts.alarm_records import AlarmEvent, AlarmHead, AlarmRecord

from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.batch import read_marks, write_headers
from switchyard_monitor.adapters.engine import guarded, open_reader, open_writer
from switchyard_monitor.adapters.statements import alone, inserting
from switchyard_monitor.domain.alarms import State
from switchyard_monitor.domain.entries import Arm, Cell
from switchyard_monitor.domain.retention import Rungs
from switchyard_monitor.domain.roster import Asked, Judged
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.sums import pick
from switchyard_monitor.errors import Relieved
from switchyard_monitor.ports import Found, Said, Turn

MOST_RECORDS = 1000
"""Kept of a deployment."""
NO_PARTITION = -1
"""In the outbox, of what came of no partition's records."""


class SqlAlarms:
    """Alarms in the same database as the sums, over connections of their own."""

    def __init__(self, url: str) -> None:
        self._writer = open_writer(url)
        self._reader = open_reader(url)

    def members(self, *, now_us: int) -> list[str]:
        """Who lives, by what the readers announce."""
        table = tables.member
        query = select(table.c.name).where(table.c.expires_us > now_us).order_by(table.c.name)
        with guarded(), self._reader.begin() as connection:
            return list(connection.execute(query).scalars())

    def subjects(self) -> list[str]:
        """The deployments of which anything is remembered."""
        query = select(tables.alarm.c.subject).distinct().order_by(tables.alarm.c.subject)
        with guarded(), self._reader.begin() as connection:
            return list(connection.execute(query).scalars())

    def take(self, subject: str, member: str, *, now_us: int, ttl_us: int) -> Turn | None:
        """The right to evaluate, while nobody else has it; None when somebody has."""
        table = tables.evaluator
        mine, until = table.c.owner == member, now_us + ttl_us
        with guarded(), self._writer.begin() as connection:
            new = inserting(connection, table).values(subject=subject, epoch=0, expires_us=0)
            connection.execute(new.on_conflict_do_nothing(index_elements=["subject"]))
            if not connection.execute(
                update(table)
                .where(table.c.subject == subject, mine, table.c.expires_us > now_us)
                .values(expires_us=until)
            ).rowcount:
                free = or_(table.c.owner.is_(None), mine, table.c.expires_us <= now_us)
                taken = update(table).where(and_(table.c.subject == subject, free))
                values = {"owner": member, "epoch": table.c.epoch + 1, "expires_us": until}
                if not connection.execute(taken.values(**values)).rowcount:
                    return None
            row = connection.execute(select(table).where(table.c.subject == subject)).one()
            states, closed = read_states(connection, subject), _closed(connection, subject)
            rungs = read_marks(connection, [subject]).get(subject, Rungs())
            return Turn(subject, member, row.epoch, states, Asked(row.asked_us, row.request), closed, rungs)

    def keep(self, turn: Turn, judged: Judged, *, now_us: int, ttl_us: int, topic: str) -> int:
        """Remember what was judged and say it, in one transaction; answers how many records are new."""
        table = tables.evaluator
        held = and_(table.c.subject == turn.subject, table.c.owner == turn.owner, table.c.epoch == turn.epoch)
        values = {"expires_us": now_us + ttl_us, "asked_us": judged.asked.at_us, "request": judged.asked.request}
        with guarded(), self._writer.begin() as connection:
            alone(connection, [turn.subject])  # beside nobody who moves its windows
            if connection.execute(update(table).where(held).values(**values)).rowcount != 1:
                raise Relieved(f"another member evaluates {turn.subject} by now")
            rungs = read_marks(connection, [turn.subject]).get(turn.subject, Rungs())
            if judged.begins_us is not None and rungs != turn.rungs and max(rungs) > judged.begins_us:
                raise Relieved(f"windows of {turn.subject} were put together while a rule began with them")
            _remember(connection, turn, judged.states)
            return _say(connection, turn.subject, judged.records, topic=topic)

    def cells(self, subject: str, *, since_us: int, until_us: int, names: Pattern[str]) -> Found:
        """The cells of windows that begin from one time up to another, some of their sums."""
        arm, rule, cell = tables.arm, tables.rule, tables.cell
        query = (
            select(arm, rule.c.body, cell.c.start_us, cell.c.sums)
            .join(rule, arm.c.rule == rule.c.id)
            .join(cell, cell.c.arm == arm.c.id)
            .where(rule.c.subject == subject, cell.c.start_us >= since_us, cell.c.start_us < until_us)
        )
        with guarded(), self._reader.begin() as connection:
            rows = connection.execute(query).all()
            rungs = read_marks(connection, [subject]).get(subject, Rungs())
        rules: dict[str, Rule] = {body: Rule.read(json.loads(body)) for body in {row.body for row in rows}}
        cells = [
            Cell(
                Arm(row.rule, row.revision, row.role, row.traffic, row.weight_bp, row.assignment, row.fold),
                rules[row.body],
                row.start_us,
                pick(row.sums, names),
            )
            for row in rows
        ]
        return Found(cells, rungs)

    def served(self, subject: str, *, until_us: int) -> bool:
        """Whether any window began before that. Who has totals and no window had all of them before what is kept."""
        arm, rule, cell, total = tables.arm, tables.rule, tables.cell, tables.total
        own = rule.c.subject == subject
        windows, totals = (
            select(table.c.arm)
            .join(arm, table.c.arm == arm.c.id)
            .join(rule, arm.c.rule == rule.c.id)
            .where(own)
            .limit(1)
            for table in (cell, total)
        )
        with guarded(), self._reader.begin() as connection:
            if connection.execute(windows.where(cell.c.start_us < until_us)).first() is not None:
                return True
            if connection.execute(windows).first() is not None:
                return False
            return connection.execute(totals.where(total.c.sums != "{}")).first() is not None

    def said(self, subject: str, *, limit: int) -> Said:
        """What is remembered and was said of one deployment."""
        table = tables.alarm_record
        newest = select(table.c.body).where(table.c.subject == subject).order_by(table.c.n.desc())
        asked = newest.where(table.c.event == AlarmEvent.RETRAIN_REQUESTED.value)
        with guarded(), self._reader.begin() as connection:
            found = [AlarmRecord.read(body) for body in connection.execute(newest.limit(limit)).scalars()]
            request = connection.execute(asked.limit(1)).scalar()
            states = read_states(connection, subject)
        records = [record for record in found if record is not None]
        return Said(states, records, AlarmRecord.read(request) if request else None)

    def heads(self) -> list[AlarmHead]:
        """The newest record of every deployment that has any."""
        table, alarm = tables.alarm_record, tables.alarm
        newest = select(func.max(table.c.n)).group_by(table.c.subject)
        query = select(table.c.subject, table.c.id).where(table.c.n.in_(newest)).order_by(table.c.subject)
        firing = select(alarm.c.subject, func.sum(alarm.c.firing)).group_by(alarm.c.subject)
        with guarded(), self._reader.begin() as connection:
            fire = {subject: int(many) for subject, many in connection.execute(firing)}
            return [
                AlarmHead(deployment=subject, newest=newest_id, firing=fire.get(subject, 0))
                for subject, newest_id in connection.execute(query)
            ]

    def close(self) -> None:
        """Let go of all connections."""
        self._writer.dispose()
        self._reader.dispose()


def read_states(connection: Connection, subject: str) -> dict[str, State]:
    """What is remembered of a deployment's alarms, by rule."""
    table = tables.alarm
    rows = connection.execute(select(table.c.name, table.c.body).where(table.c.subject == subject))
    found = {name: State.read(body) for name, body in rows}
    return {name: state for name, state in found.items() if state is not None}


def _closed(connection: Connection, subject: str) -> dict[str, str]:
    """By rules, the record that closed an alarm of it last."""
    table = tables.alarm_record
    of = select(table.c.alarm, table.c.id).where(table.c.subject == subject, table.c.event == AlarmEvent.CLOSED.value)
    return {row.alarm: row.id for row in connection.execute(of.order_by(table.c.n))}


def _remember(connection: Connection, turn: Turn, states: Mapping[str, State]) -> None:
    table = tables.alarm
    gone = turn.states.keys() - states.keys()
    if gone:
        connection.execute(delete(table).where(table.c.subject == turn.subject, table.c.name.in_(sorted(gone))))
    for name, state in states.items():
        if turn.states.get(name) == state:
            continue
        values: dict[str, Any] = {"firing": int(state.firing), "body": json.dumps(state.encode(), sort_keys=True)}
        new = inserting(connection, table).values(subject=turn.subject, name=name, **values)
        connection.execute(new.on_conflict_do_update(index_elements=["subject", "name"], set_=values))


def _say(connection: Connection, subject: str, records: Iterable[AlarmRecord], *, topic: str) -> int:
    """Write down those that are new, in order, and have them sent."""
    table, new = tables.alarm_record, 0
    for record in records:
        body = record.model_dump_json(by_alias=True)
        values = {"subject": subject, "id": record.id, "event": record.event.value, "alarm": record.alarm, "body": body}
        inserted = inserting(connection, table).values(**values).on_conflict_do_nothing(index_elements=["id"])
        if connection.execute(inserted.returning(table.c.n)).first() is None:
            continue
        new += 1
        connection.execute(
            tables.outbox.insert().values(
                partition=NO_PARTITION,
                topic=topic,
                key=subject.encode(),
                value=body.encode(),
                headers=write_headers((("idempotency-key", record.id.encode()),)),
            )
        )
    if new:
        beyond = select(table.c.n).where(table.c.subject == subject).order_by(table.c.n.desc()).offset(MOST_RECORDS)
        connection.execute(delete(table).where(table.c.subject == subject, table.c.n.in_(beyond)))
    return new
