"""What the README shows to those who write events themselves is read and joined as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

from switchyard_contracts.model_deployment import Monitoring
from switchyard_contracts.topics import ModelRecord
from switchyard_testkit.monitor_world import World

README = Path(__file__).resolve().parents[3] / "README.md"


def test_its_events_are_joined(tmp_path: Path) -> None:
    (section,) = re.findall(r"^## Models without the gateway\n(.*?)^## ", README.read_text("utf-8"), re.S | re.M)
    model, *events, rows = re.findall(r"```json\n(.*?)```", section, re.S)
    assert len(events) == 3
    assert Monitoring.model_validate(json.loads(rows)).rows is not None
    record = ModelRecord.model_validate_json(model)
    assert record.generation == 0

    world = World(tmp_path)
    world.broker.teach(record.subject, model.encode())
    for second, event in enumerate(events):
        world.say(event.encode(), at=-9.5 * 3600 + second)
    world.run()
    assert world.ledger() == {"stored": 3}
    (sums,) = world.sums_of_arms(record.subject)
    assert sums["predictions"] == sums["age.n"] == 1
    assert world.store.labels(record.subject) == {"in": 1, "joined": 1}
    world.store.close()
