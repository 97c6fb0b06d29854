"""A namespace per test on the real cluster. No cluster is an error: these tests are never skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from switchyard_testkit.apiserver import api_client, temporary_namespace
from switchyard_testkit.install import Installation
from switchyard_testkit.models import Models

LAST = ("test_rights.py", "test_chart.py")
"""What looks back on all the others, and what installs anew; in this order, behind everything else."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the order of the files, but for the last."""
    items.sort(key=lambda item: LAST.index(item.path.name) if item.path.name in LAST else -1)


@pytest.fixture(scope="session")
def installation() -> Installation:
    return Installation.read("test")


@pytest.fixture
def models(installation: Installation) -> Iterator[Models]:
    with api_client(installation.slot) as api, temporary_namespace(api, "t") as name:
        yield Models(installation, name)
