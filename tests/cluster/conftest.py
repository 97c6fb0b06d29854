"""A namespace per test on the real cluster. No cluster is an error: these tests are never skipped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from switchyard_testkit.apiserver import api_client, temporary_namespace
from switchyard_testkit.install import Installation
from switchyard_testkit.models import Models


@pytest.fixture(scope="session")
def installation() -> Installation:
    return Installation.read("test")


@pytest.fixture
def models(installation: Installation) -> Iterator[Models]:
    with api_client(installation.slot) as api, temporary_namespace(api, "t") as name:
        yield Models(installation, name)
