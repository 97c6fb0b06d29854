"""Profiles in the database: one text a window, revision, role, generation, reference and partition.

Writers add to their own partition's rows, and readers add the partitions, as with sums.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection
from switchyard_contracts.windows import start
from switchyard_profile.profile import Profile

from switchyard_monitor.adapters.statements import execute, execute_many, stream
from switchyard_monitor.domain.profiling import Coarsening, ProfileKey, Profiles, Span

_KEY = "subject = ? AND start_us = ? AND revision = ? AND role = ? AND traffic = ? AND baseline = ? AND partition = ?"
_FINE = "subject = ? AND start_us < ? AND baseline = ? AND start_us - start_us / ? * ? <> 0"
_COLUMNS = "subject, start_us, revision, role, traffic, baseline, partition"


def write_profiles(connection: Connection, partition: int, profiles: Profiles) -> None:
    """Add what a batch counted, and say that these windows are due to be judged."""
    _add(connection, partition, profiles)
    execute_many(
        connection,
        "INSERT INTO drift_due (subject, baseline, start_us, times) VALUES (?,?,?,1)"
        " ON CONFLICT (subject, baseline, start_us) DO UPDATE SET times = drift_due.times + 1",
        sorted({(key.subject, key.baseline, key.start_us) for key in profiles}),
    )


def _add(connection: Connection, partition: int, profiles: Profiles) -> None:
    rows = []
    for key, profile in sorted(profiles.items(), key=lambda item: item[0]):
        place = _place(key, partition)
        held = execute(connection, f"SELECT body FROM profile WHERE {_KEY}", place).scalar()
        total = profile if held is None else Profile.decode(json.loads(held)).merge(profile)
        rows.append((*place, total.encode()))
    execute_many(
        connection,
        f"INSERT INTO profile ({_COLUMNS}, body) VALUES (?,?,?,?,?,?,?,?)"
        f" ON CONFLICT ({_COLUMNS}) DO UPDATE SET body = excluded.body",
        rows,
    )


def coarsen_profiles(connection: Connection, partition: int, moving: Coarsening, *, most: int) -> None:
    """Move the oldest rows, `most` at most, into the longer windows that they lie in.

    The window itself begins when its first part does, so that part stays where it is, and the others are added to it.
    """
    rows = execute(
        connection,
        f"SELECT start_us, revision, role, traffic, body FROM profile WHERE {_FINE} AND partition = ?"
        " ORDER BY start_us LIMIT ?",
        (*_fine(moving), partition, most),
    ).all()
    moved: Profiles = {}
    for start_us, revision, role, traffic, body in rows:
        place = ProfileKey(moving.subject, revision, role, traffic, moving.baseline, start_us)
        to = place._replace(start_us=start(start_us, moving.length_us))
        part = Profile.decode(json.loads(body))
        moved[to] = moved[to].merge(part) if to in moved else part
        execute(connection, f"DELETE FROM profile WHERE {_KEY}", _place(place, partition))
    _add(connection, partition, moved)  # what is only moved was judged before, or is due already


def drop_profiles(connection: Connection, subject: str, *, before_us: int) -> None:
    """Forget a deployment's profiles of windows that begin before then, whatever they were counted in."""
    execute(connection, "DELETE FROM profile WHERE subject = ? AND start_us < ?", (subject, before_us))


def fine_profiles(connection: Connection, moving: Coarsening) -> set[int]:
    """The partitions that have something to be moved."""
    return set(execute(connection, f"SELECT DISTINCT partition FROM profile WHERE {_FINE}", _fine(moving)).scalars())


def read_profiles(connection: Connection, wanted: Span) -> Profiles:
    """The profiles of windows that begin in a span, all partitions together."""
    rows = stream(
        connection,
        "SELECT start_us, revision, role, traffic, body FROM profile"
        " WHERE subject = ? AND start_us >= ? AND start_us < ? AND baseline = ?",
        (wanted.subject, wanted.since_us, wanted.until_us, wanted.baseline),
    )
    found: Profiles = {}
    for start_us, revision, role, traffic, body in rows:
        if wanted.revision not in (None, revision):
            continue
        at_us = start(start_us, wanted.length_us)
        key = ProfileKey(wanted.subject, revision, role, traffic, wanted.baseline, at_us)
        part = Profile.decode(json.loads(body))
        found[key] = found[key].merge(part) if key in found else part
    return found


def _fine(moving: Coarsening) -> tuple[str | int, ...]:
    return moving.subject, moving.before_us, moving.baseline, moving.length_us, moving.length_us


def _place(key: ProfileKey, partition: int) -> tuple[str | int, ...]:
    return key.subject, key.start_us, key.revision, key.role, key.traffic, key.baseline, partition
