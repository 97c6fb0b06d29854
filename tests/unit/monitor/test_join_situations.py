"""Everything that can happen to a prediction on its way through the join, one record at a time and all at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from switchyard_monitor.reader import Pace
from switchyard_testkit.join_situations import SITUATIONS, Situation
from switchyard_testkit.monitor_world import World


@pytest.mark.parametrize("batch", [1, 5000], ids=["one by one", "at once"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_what_is_known_of_it_then(tmp_path: Path, situation: Situation, batch: int) -> None:
    world = World(tmp_path, pace=Pace(batch=batch, linger=0.0, margin_us=0))
    situation.play(world)
    world.store.close()
