"""What the monitor holds is what its work takes: free memory goes back, and no connection keeps much of a database."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from switchyard_monitor import heap
from switchyard_monitor.adapters.engine import open_reader, open_writer

MIB = 1024 * 1024


def held() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_what_lies_free_between_what_is_held_goes_back_to_the_machine() -> None:
    blocks: list[bytes | None] = [bytes(4000) for _ in range(50_000)]
    blocks[:] = [block if number % 1000 == 0 else None for number, block in enumerate(blocks)]
    before = held()
    heap.trim()
    assert before - held() > 100 * MIB
    assert sum(block is not None for block in blocks) == 50


@pytest.mark.parametrize("opened", [open_writer, open_reader])
def test_a_connection_keeps_two_mebibytes_of_a_sqlite_file(opened: Callable[[str], Engine], tmp_path: Path) -> None:
    engine = opened(f"sqlite:///{tmp_path / 'monitor.db'}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA cache_size")).scalar() == -2048
    engine.dispose()
