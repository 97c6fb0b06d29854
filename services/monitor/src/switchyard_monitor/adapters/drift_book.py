"""The book of drift in the same database as the profiles, over connections of its own."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, select, update

from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.engine import guarded, open_reader, open_writer
from switchyard_monitor.adapters.statements import execute, execute_many
from switchyard_monitor.domain.drift_book import Due, FeatureDrift, Page, WindowDrift
from switchyard_monitor.domain.usual import Aspect

_WINDOW = ("subject", "baseline", "revision", "start_us", "rows", "features", "drifted")
_FEATURE = ("subject", "baseline", "revision", "feature", "start_us", "effect", "usual", "drifted", "body")
_WINDOWS = "FROM drift_window WHERE subject = ? AND baseline = ?"
_REVISIONS = f"""
WITH RECURSIVE known (revision) AS (
  SELECT min(revision) {_WINDOWS}
  UNION ALL
  SELECT (SELECT min(revision) {_WINDOWS} AND revision > known.revision) FROM known WHERE known.revision IS NOT NULL
)
SELECT revision, (SELECT max(start_us) {_WINDOWS} AND revision = known.revision)
FROM known WHERE revision IS NOT NULL
"""
"""From one to the next by the index: a year of hours has thousands of windows, and a handful of revisions."""


class SqlDriftBook:
    """What windows were found to be."""

    def __init__(self, url: str) -> None:
        self._writer = open_writer(url)
        self._reader = open_reader(url)

    def members(self, *, now_us: int) -> list[str]:
        """Who lives, by what the readers announce."""
        table = tables.member
        query = select(table.c.name).where(table.c.expires_us > now_us).order_by(table.c.name)
        with guarded(), self._reader.begin() as connection:
            return list(connection.execute(query).scalars())

    def due(self) -> list[tuple[str, str, int]]:
        """The deployments and baselines of which anything is due to be judged, and since when, in microseconds."""
        table = tables.drift_due
        of = table.c.subject, table.c.baseline
        query = select(*of, func.min(table.c.start_us)).group_by(*of).order_by(*of)
        with guarded(), self._reader.begin() as connection:
            return [(subject, baseline, oldest) for subject, baseline, oldest in connection.execute(query)]

    def dues(self, subject: str, baseline: str) -> list[Due]:
        """What of one deployment is due, in order of time."""
        table = tables.drift_due
        query = select(table).where(table.c.subject == subject, table.c.baseline == baseline).order_by(table.c.start_us)
        with guarded(), self._reader.begin() as connection:
            return [Due(row.subject, row.baseline, row.start_us, row.times) for row in connection.execute(query)]

    def keep(self, subject: str, baseline: str, pages: Sequence[Page], *, done: Sequence[Due]) -> None:
        """Write down what windows were found to be.

        What is due stays so where more came meanwhile; and where another judged it meanwhile, of as many rows or of
        more, what is written stays.
        """
        windows = [
            (subject, baseline, window.revision, window.start_us, window.rows, window.features, window.drifted)
            for window in (page.window for page in pages)
        ]
        features = [
            (
                *(subject, baseline, page.window.revision, one.feature, one.start_us),
                *(one.effect, one.usual, " ".join(sorted(one.drifted)), one.body),
            )
            for page in pages
            for one in page.features
        ]
        table = tables.drift_due
        with guarded(), self._writer.begin() as connection:
            for one in sorted(done, key=lambda one: one.start_us):
                there = connection.execute(update(table).where(_is(one)).values(times=table.c.times))
                if there.rowcount != 1:
                    return
            execute_many(connection, _putting("drift_window", _WINDOW, keys=4), windows)
            execute_many(connection, _putting("drift_feature", _FEATURE, keys=5), features)
            for one in sorted(done, key=lambda one: one.start_us):
                connection.execute(delete(table).where(_is(one), table.c.times == one.times))

    def revisions(self, subject: str, baseline: str) -> dict[str, int]:
        """The revisions that have windows, and the start of each one's newest, in microseconds."""
        with guarded(), self._reader.begin() as connection:
            rows = execute(connection, _REVISIONS, (subject, baseline) * 3).all()
        return {revision: newest for revision, newest in rows}  # noqa: C416  rows are no pairs to mypy

    def windows(
        self,
        subject: str,
        baseline: str,
        *,
        revision: str | None = None,
        until_us: int | None = None,
        limit: int | None = None,
    ) -> list[WindowDrift]:
        """Windows of every revision or of one, in order of time; of those that begin by then the newest so many."""
        table = tables.drift_window
        query = select(table).where(table.c.subject == subject, table.c.baseline == baseline)
        if revision is not None:
            query = query.where(table.c.revision == revision)
        if until_us is not None:
            query = query.where(table.c.start_us <= until_us)
        query = query.order_by(table.c.start_us.desc(), table.c.revision.desc()).limit(limit)
        with guarded(), self._reader.begin() as connection:
            rows = connection.execute(query).all()
        return [WindowDrift(row.revision, row.start_us, row.rows, row.features, row.drifted) for row in reversed(rows)]

    def following(self, subject: str, baseline: str, revision: str, start_us: int) -> int | None:
        """The start of a revision's next window after this one."""
        table = tables.drift_window
        query = select(func.min(table.c.start_us)).where(
            table.c.subject == subject,
            table.c.baseline == baseline,
            table.c.revision == revision,
            table.c.start_us > start_us,
        )
        with guarded(), self._reader.begin() as connection:
            found: int | None = connection.execute(query).scalar()
        return found

    def features(self, subject: str, baseline: str, revision: str, *, starts: Sequence[int]) -> list[FeatureDrift]:
        """All features in these windows."""
        table = tables.drift_feature
        query = select(table).where(
            table.c.subject == subject,
            table.c.baseline == baseline,
            table.c.revision == revision,
            table.c.start_us.in_(list(starts)),
        )
        with guarded(), self._reader.begin() as connection:
            return [_feature(row) for row in connection.execute(query.order_by(table.c.start_us, table.c.feature))]

    def history(
        self, subject: str, baseline: str, revision: str, feature: str, *, since_us: int, until_us: int
    ) -> list[FeatureDrift]:
        """One feature in every window that begins since the one time and by the other, in order of time."""
        table = tables.drift_feature
        query = select(table).where(
            table.c.subject == subject,
            table.c.baseline == baseline,
            table.c.revision == revision,
            table.c.feature == feature,
            table.c.start_us.between(since_us, until_us),
        )
        with guarded(), self._reader.begin() as connection:
            return [_feature(row) for row in connection.execute(query.order_by(table.c.start_us))]

    def close(self) -> None:
        """Let go of all connections."""
        self._writer.dispose()
        self._reader.dispose()


def drop_drift(connection: Connection, subject: str, *, before_us: int) -> None:
    """Forget what a deployment's windows were found to be that begin before then.

    Features are found by their windows: all of a deployment's may be a hundred megabytes, which nobody looks through.
    """
    windows = "FROM drift_window WHERE subject = ? AND start_us < ?"
    old = execute(connection, f"SELECT DISTINCT baseline, revision {windows}", (subject, before_us)).all()
    execute(connection, f"DELETE {windows}", (subject, before_us))
    execute_many(
        connection,
        "DELETE FROM drift_feature WHERE subject = ? AND baseline = ? AND revision = ? AND start_us < ?",
        [(subject, baseline, revision, before_us) for baseline, revision in sorted(old)],
    )


def _is(due: Due) -> ColumnElement[bool]:
    table = tables.drift_due
    return and_(table.c.subject == due.subject, table.c.baseline == due.baseline, table.c.start_us == due.start_us)


def _putting(table: str, columns: Sequence[str], *, keys: int) -> str:
    new = ", ".join(f"{name} = excluded.{name}" for name in columns[keys:])
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({','.join('?' * len(columns))})"
        f" ON CONFLICT ({', '.join(columns[:keys])}) DO UPDATE SET {new}"
    )


def _feature(row: Row[tuple[object, ...]]) -> FeatureDrift:
    drifted = frozenset(Aspect(name) for name in row.drifted.split())
    return FeatureDrift(row.start_us, row.feature, row.effect, row.usual, drifted, row.body)
