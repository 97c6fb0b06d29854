"""The timeline: what happened in rollouts, and the place in their topic, written together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError
from sqlalchemy import case, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from switchyard_contracts.topics import RolloutRecord

from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.engine import guarded, open_reader, open_writer
from switchyard_monitor.adapters.statements import alone, inserting
from switchyard_monitor.domain.rollouts import Happening
from switchyard_monitor.errors import Unreadable

MOST_OF_A_DEPLOYMENT = 2000
"""About twenty rollouts' worth at a hundred records each; a year of them where one happens every few weeks."""


class SqlTimeline:
    """The timeline in the same database as the sums, over connections of its own."""

    def __init__(self, url: str, *, most: int = MOST_OF_A_DEPLOYMENT) -> None:
        self._writer = open_writer(url)
        self._reader = open_reader(url)
        self._most = most

    def place(self) -> tuple[str | None, dict[int, int]]:
        """The topic that was read, and the next offset of each of its partitions."""
        with guarded(), self._reader.begin() as connection:
            rows = connection.execute(select(tables.rollout_place)).all()
        return (rows[0].topic_id if rows else None), {row.partition: row.next_offset for row in rows}

    def learn(
        self, happenings: Sequence[Happening], *, topic_id: str, offsets: Mapping[int, int], oldest_us: int
    ) -> None:
        """Merge these in, move the offsets and forget what is older but for each one's last, in one transaction."""
        event, place = tables.rollout_event, tables.rollout_place
        with guarded(), self._writer.begin() as connection:
            alone(connection, ["the timeline"])
            if happenings:
                connection.execute(
                    _merging(inserting(connection, event)),
                    [
                        {
                            "subject": happening.subject,
                            "id": happening.id,
                            "first_us": happening.first_us,
                            "last_us": happening.last_us,
                            "body": happening.body,
                        }
                        for happening in happenings
                    ],
                )
            for subject in sorted({happening.subject for happening in happenings}):
                order = (event.c.last_us.desc(), event.c.id.desc())
                beyond = select(event.c.id).where(event.c.subject == subject).order_by(*order).offset(self._most)
                connection.execute(delete(event).where(event.c.subject == subject, event.c.id.in_(beyond)))
            # Never the last word on a deployment: by it a rollout is under way or is not.
            newer = event.alias()
            later = (newer.c.last_us > event.c.last_us) | (
                (newer.c.last_us == event.c.last_us) & (newer.c.id > event.c.id)
            )
            outlived = exists().where(newer.c.subject == event.c.subject, later)
            connection.execute(delete(event).where(event.c.last_us < oldest_us, outlived))
            connection.execute(delete(place).where(place.c.topic_id != topic_id))
            for partition, next_offset in offsets.items():
                connection.execute(
                    inserting(connection, place)
                    .values(partition=partition, topic_id=topic_id, next_offset=next_offset)
                    .on_conflict_do_update(index_elements=["partition"], set_={"next_offset": next_offset})
                )

    def of(self, subject: str, *, limit: int) -> list[Happening]:
        """The newest of a deployment, newest first."""
        event = tables.rollout_event
        query = (
            select(event)
            .where(event.c.subject == subject)
            .order_by(event.c.last_us.desc(), event.c.id.desc())
            .limit(limit)
        )
        with guarded(), self._reader.begin() as connection:
            return [
                Happening(row.subject, row.id, row.first_us, row.last_us, row.body) for row in connection.execute(query)
            ]

    def latest(self, subjects: Sequence[str]) -> dict[str, Happening]:
        """The newest of each."""
        event = tables.rollout_event
        # Of each deployment the index is asked once: a window over all its rows would read them.
        inner = event.alias()
        newest = (
            select(inner.c.id)
            .where(inner.c.subject == event.c.subject)
            .order_by(inner.c.last_us.desc(), inner.c.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        query = select(event).where(event.c.subject.in_(list(subjects)), event.c.id == newest)
        with guarded(), self._reader.begin() as connection:
            return {
                row.subject: Happening(row.subject, row.id, row.first_us, row.last_us, row.body)
                for row in connection.execute(query)
            }

    def last(self, subject: str) -> RolloutRecord | None:
        """What was said last of a deployment's rollouts; `Unreadable` where its row is no record."""
        found = self.latest([subject]).get(subject)
        try:
            return found.record if found else None
        except ValidationError as error:
            raise Unreadable(f"what was said last of its rollouts cannot be read: {found and found.id!r}") from error

    def close(self) -> None:
        """Let go of all connections."""
        self._writer.dispose()
        self._reader.dispose()


def _merging(adding: sqlite.Insert | postgresql.Insert) -> sqlite.Insert | postgresql.Insert:
    """Add a record, or merge it into the one that is there, as `domain.rollouts.merge` does."""
    held, new = tables.rollout_event.c, adding.excluded
    newer = (new.last_us > held.last_us) | ((new.last_us == held.last_us) & (new.body > held.body))
    return adding.on_conflict_do_update(
        index_elements=["subject", "id"],
        set_={
            "first_us": case((new.first_us < held.first_us, new.first_us), else_=held.first_us),
            "last_us": case((new.last_us > held.last_us, new.last_us), else_=held.last_us),
            "body": case((newer, new.body), else_=held.body),
        },
    )
