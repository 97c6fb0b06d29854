"""What several contract modules share: an API server that needs no cluster, one for each process that runs tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from switchyard_testkit.apiserver import applied_crds
from switchyard_testkit.own_apiserver import ApiServer, garbage_collector, own_api_server

CRDS = Path(__file__).resolve().parents[2] / "manifests" / "crds"


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A real one with the product's types; each module makes a namespace of its own in it."""
    folder = tmp_path_factory.mktemp("apiserver")
    with own_api_server(folder) as api:
        applied_crds(api, CRDS)
        with garbage_collector(folder):
            yield ApiServer(api, folder / "kubeconfig")
