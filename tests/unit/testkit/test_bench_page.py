"""The measurement of the monitor's pages: what it says of a page that is too slow, and what it ends with."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[2] / "bench" / "bench_page.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    found = importlib.util.spec_from_file_location("bench_page", FILE)
    assert found
    assert found.loader
    made = importlib.util.module_from_spec(found)
    sys.modules[found.name] = made  # where dataclasses look their module up
    found.loader.exec_module(made)
    return made


def measured(bench: ModuleType, *taken: float, size: int = 1024) -> Any:
    return bench.Measured("/page/", list(taken), [1.0] * len(taken), size, size // 5)


def test_pages_within_the_limit_end_with_0(bench: ModuleType) -> None:
    page = measured(bench, 900.0, *[299.0] * 40)
    assert page.line().endswith("  within 300 ms and 1000 kB\n"), (
        "the first load, with nothing in memory, is told apart"
    )
    assert bench.code([page, page]) == 0


def test_one_page_over_the_limit_ends_with_1(bench: ModuleType) -> None:
    slow = measured(bench, 10.0, *[10.0] * 37, *[301.0] * 3)
    assert slow.line().endswith("  OVER 300 ms and 1000 kB\n")
    assert bench.code([measured(bench, 10.0, *[10.0] * 40), slow]) == 1


def test_a_page_of_more_than_a_megabyte_ends_with_1(bench: ModuleType) -> None:
    assert bench.code([measured(bench, *[10.0] * 40, size=1_000_000)]) == 0
    assert bench.code([measured(bench, *[10.0] * 40, size=1_000_001)]) == 1
