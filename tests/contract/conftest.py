"""What contract modules share, one for each process that runs tests: an API server, and the monitor's databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from switchyard_testkit.apiserver import applied_crds
from switchyard_testkit.own_apiserver import ApiServer, garbage_collector, own_api_server

if TYPE_CHECKING:
    from switchyard_testkit.databases import Databases
    from switchyard_testkit.postgres import Postgres

CRDS = Path(__file__).resolve().parents[2] / "manifests" / "crds"


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real one with the product's types; each module makes a namespace of its own in it."""
    folder = tmp_path_factory.mktemp("apiserver")
    with own_api_server(folder) as api:
        applied_crds(api, CRDS)
        with garbage_collector(folder):
            yield ApiServer(api, folder / "kubeconfig")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL; each test makes databases of its own in it."""
    # The gateway's environment, which shares this file, has no driver.
    from switchyard_testkit.postgres import real_postgres

    with real_postgres() as server:
        yield server


@pytest.fixture(scope="module", params=["SQLite", "PostgreSQL"])
def databases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Both kinds of databases, one after the other."""
    from switchyard_testkit.databases import SqliteFiles

    if request.param == "PostgreSQL":
        server: Postgres = request.getfixturevalue("postgres")
        return server
    return SqliteFiles(tmp_path_factory.mktemp("databases"))
