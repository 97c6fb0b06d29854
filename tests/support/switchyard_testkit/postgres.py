"""A real PostgreSQL of a test's own: Debian's, on loopback, in a folder of its own, run by somebody who is not root.

`python -m switchyard_testkit.postgres install` brings it. It forgets nothing when it is killed; only the machine's own
crash would cost it something, because it does not wait for the disk.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.adapters.tables import metadata

from switchyard_testkit.envoy import free_port
from switchyard_testkit.errors import MachineError, TestkitError
from switchyard_testkit.machine import POSTGRES_PACKAGES, ensure_packages
from switchyard_testkit.node import pki
from switchyard_testkit.waiting import until

USER, PASSWORD = "switchyard", "open sesame/%"
SYSTEM_USER = "postgres"
"""Debian's package makes it; the server refuses to run as root."""
TEMPLATE = "up_to_date"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "log_line_prefix": "%m %a ",
    "ssl": "on",
    "ssl_cert_file": "../server.crt",
    "ssl_key_file": "../server.key",
}


@dataclass
class Postgres:
    """A server with a place and a port of its own; stopped and started again it has what it had.

    It speaks TLS to whoever asks for it; its folder holds the authority's `ca.crt`.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        """How the monitor is told of one of its databases."""
        return f"postgresql://{USER}:open%20sesame%2F%25@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of the test's own; each statement is a transaction."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=PASSWORD,
            dbname=database,
            autocommit=True,
            options="-c lock_timeout=30s",
        )

    def empty(self) -> str:
        """The URL of a new database without tables. It sorts as people do, so that what must not depend on it shows."""
        return self.url(self._create("template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"))

    def up_to_date(self) -> str:
        """The URL of a new database that has all tables, and nothing in them."""
        with self.connect() as connection:
            made = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchone()
        if made is None:
            url = self.empty()
            store = SqlStore(url)
            store.migrate()
            store.close()
            with self.connect() as connection:
                connection.execute(f"ALTER DATABASE {url.rpartition('/')[2]} RENAME TO {TEMPLATE}")
        return self.url(self._create(TEMPLATE))

    def clear(self, url: str) -> None:
        """Take out all that is in one, but for its tables: faster than a new one, which takes 8 MB."""
        names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        with self.connect(url.rpartition("/")[2]) as connection:
            connection.execute(f"TRUNCATE {names} RESTART IDENTITY")

    def _create(self, template: str) -> str:
        name = f"monitor_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def start(self) -> None:
        """Start it and wait until it answers."""
        words = [_program("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        for name, value in SETTINGS.items():
            words += ["-c", f"{name}={value}"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                words, stdout=log, stderr=log, cwd=self.folder, user=_user(), group=_user(), start_new_session=True
            )
        until(self._answers, f"PostgreSQL answers; its log is {self.folder / 'server.log'}", seconds=100, every=0.05)

    def crash(self) -> None:
        """End it at once, as a crash would: nothing is written down, and what was begun is undone at the next start."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it; whoever is connected is sent away."""
        self._end(signal.SIGINT)

    def cpu_seconds(self) -> float:
        """What the server has used so far, and those of its processes that still run."""
        assert self.process is not None
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                words = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            if self.process.pid in (int(path.parent.name), int(words[1])):
                ticks += sum(map(int, words[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise MachineError(f"PostgreSQL ended: {(self.folder / 'server.log').read_text()[-2000:]}")
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def real_postgres() -> Iterator[Postgres]:
    """One that runs; it is ended whatever happens. Its folder must be one that its user can reach."""
    with TemporaryDirectory(prefix="switchyard-postgres-") as name:
        server = Postgres(Path(name))
        password = server.folder / "password"
        password.write_text(PASSWORD)
        pki.make_authority(server.folder, "postgres")
        pki.make_server(server.folder, "server", ["localhost", "127.0.0.1"])
        (server.folder / "server.key").chmod(0o600)
        if (user := _user()) is not None:
            for path in (server.folder, *server.folder.iterdir()):
                shutil.chown(path, user, user)
        words = [_program("initdb"), "-D", str(server.folder / "data"), "-U", USER, f"--pwfile={password}"]
        words += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, cwd=server.folder, user=user, group=user
        )
        if done.returncode:
            raise MachineError(f"initdb ended with code {done.returncode}: {done.stderr[-2000:]}")
        server.start()
        try:
            yield server
        finally:
            server.crash()


def _user() -> str | None:
    return SYSTEM_USER if os.geteuid() == 0 else None


def _program(name: str) -> str:
    """The newest that Debian has installed; its programs are not on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if not found:
        raise MachineError(f"no {name} is installed; run `python -m switchyard_testkit.postgres install`.")
    return str(found[-1])


def main(arguments: list[str]) -> int:
    """`install`."""
    if arguments != ["install"]:
        raise MachineError(f"{' '.join(arguments)!r} is no command; use install.")
    ensure_packages(POSTGRES_PACKAGES)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TestkitError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
