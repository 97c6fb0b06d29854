"""Whom the tests' installation tells of rollouts, and which Prometheus it asks; the demo's knows nobody."""

from __future__ import annotations

import json
from pathlib import Path

from switchyard_contracts.notifications import Event
from switchyard_operator.settings import Settings
from switchyard_testkit import outside


def test_the_demo_knows_nobody(tmp_path: Path) -> None:
    assert outside.values("demo") == {}
    assert outside.secrets("demo", tmp_path, key="a key") == []
    assert list(tmp_path.iterdir()) == []


def test_rollouts_are_told_of_in_their_namespaces_alone() -> None:
    said = outside.values("test")["notifications"]["receivers"]
    settings = Settings(notifications=json.dumps(said), kafka_servers="broker:9092")
    told = {
        namespace: [one.name for one in settings.receivers if one.hears(f"{namespace}/delay", Event.PROMOTED)]
        for namespace in (*outside.DESKS, "t-0a1b2c")
    }
    assert told == {"told": ["desk-of-told", "bus"], "taken-back": ["desk-of-taken-back", "bus"], "t-0a1b2c": []}
