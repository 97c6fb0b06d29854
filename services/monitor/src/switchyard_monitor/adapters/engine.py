"""Opening the database: one connection that writes, some that read, and the schema brought up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from switchyard_monitor.errors import StoreUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(url: str, *, begin: str) -> Engine:
    """An engine whose transactions start with `begin`; a writer takes the write lock at once, so none fails half-way.

    `synchronous=FULL` in WAL mode: a commit that was acknowledged survives a power cut, because Kafka's offset is
    part of it and nobody would read the records again.
    """
    if not url.startswith("sqlite"):
        raise ValueError(f"{url!r} is not supported yet; use a SQLite file, such as sqlite:////var/lib/switchyard/m.db")
    kwargs: dict[str, Any] = {"connect_args": {"timeout": 5.0, "check_same_thread": False, "isolation_level": None}}
    if begin == "BEGIN IMMEDIATE":
        kwargs["poolclass"] = StaticPool
    engine = create_engine(url, **kwargs)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "cache_size=-65536",
            "temp_store=MEMORY",
            "wal_autocheckpoint=4000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema up to date, in one transaction."""
    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with guarded(), engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "head")


@contextmanager
def guarded() -> Iterator[None]:
    """Say "the store is not available" for every way in which a database can fail."""
    try:
        yield
    except DBAPIError as error:
        raise StoreUnavailable(f"the database refused: {error.orig}") from error
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"the database is not available: {error}") from error
