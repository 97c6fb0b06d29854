"""Opening the database, SQLite or PostgreSQL: engines that write, engines that read, the schema brought up to date.

SQLAlchemy builds the statements that are rare, alembic keeps the schema, psycopg speaks to PostgreSQL. The few
statements that run for every event are spelled out (`statements`): building them would cost more than running them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from switchyard_monitor.adapters.statements import alone
from switchyard_monitor.errors import StoreUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"
FORMS = "sqlite:////var/lib/switchyard/monitor.db or postgresql://user:password@host:5432/name"
CLIENT = {
    "application_name": "switchyard-monitor",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
"""A server that vanished without a word is noticed within half a minute. What the URL says of these comes first."""
SESSION = ("lock_timeout = '10s'", "idle_in_transaction_session_timeout = '60s'", "plan_cache_mode = force_custom_plan")
"""Nobody waits for ever for a member that was frozen in the middle of a transaction; and no plan is kept that was made
while a table was empty."""
CONNECTIONS = 4
"""Of one engine to PostgreSQL, beside one that is kept open; a replica has nine engines."""


def open_writer(url: str) -> Engine:
    """An engine for transactions that write.

    SQLite has one writer, which takes the lock when it begins, so that none fails half-way. `synchronous=FULL` in WAL
    mode: a commit that was acknowledged survives a power cut, because Kafka's offset is part of it and nobody would
    read the records again. PostgreSQL's own defaults promise the same.
    """
    found = _database(url)
    if found.get_backend_name() == "sqlite":
        return _sqlite(found, begin="BEGIN IMMEDIATE", poolclass=StaticPool)
    # Each statement sees what was committed before it: also what was, while this transaction waited to be alone.
    return _postgres(found, isolation_level="READ COMMITTED")


def open_reader(url: str) -> Engine:
    """An engine for transactions that only read: all queries of one see the same moment."""
    found = _database(url)
    if found.get_backend_name() == "sqlite":
        return _sqlite(found, begin="BEGIN")
    return _postgres(found, isolation_level="REPEATABLE READ", execution_options={"postgresql_readonly": True})


def migrate(engine: Engine) -> None:
    """Bring the schema up to date, in one transaction; replicas that start together do so one after another."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with guarded(), engine.begin() as connection:
        alone(connection, ["the schema"])
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")


@contextmanager
def guarded() -> Iterator[None]:
    """Say "the store is not available" for every way in which a database can fail."""
    try:
        yield
    except DBAPIError as error:
        raise StoreUnavailable(f"the database refused: {' '.join(str(error.orig).split())}") from error
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"the database is not available: {error}") from error


def _database(url: str) -> URL:
    """The URL, with our driver; an error never repeats it, because it may hold a password."""
    try:
        found = make_url(url)
    except ArgumentError:
        raise ValueError(f"the database's URL cannot be read; it looks like {FORMS}") from None
    match found.get_backend_name():
        case "sqlite":
            return found
        case "postgresql" | "postgres":
            return found.set(drivername="postgresql+psycopg")
        case other:
            raise ValueError(f"a database of the kind {other!r} is not supported; the URL looks like {FORMS}")


def _sqlite(url: URL, *, begin: str, **kwargs: Any) -> Engine:
    connect_args = {"timeout": 5.0, "check_same_thread": False, "isolation_level": None}
    engine = create_engine(url, connect_args=connect_args, **kwargs)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            # KiB for each connection. Keys begin with the time, so pages that are needed again soon are few.
            "cache_size=-2048",
            "temp_store=MEMORY",
            "wal_autocheckpoint=4000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgres(url: URL, **kwargs: Any) -> Engine:
    engine = create_engine(
        url,
        connect_args={name: value for name, value in CLIENT.items() if name not in url.query},
        pool_size=1,
        max_overflow=CONNECTIONS,
        pool_timeout=5.0,
        # A connection that died while it lay idle is found out before it is used.
        pool_pre_ping=True,
        use_native_hstore=False,
        **kwargs,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        for setting in SESSION:
            connection.execute(f"SET {setting}")
        connection.commit()

    return engine
