"""Two members at once: one begins to judge by a rule, and the other, who has not heard of it, puts windows together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from switchyard_contracts.windows import DAY_US, HOUR_US
from switchyard_monitor.adapters.alarms import SqlAlarms
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain.retention import Keep
from switchyard_monitor.domain.roster import Judged
from switchyard_monitor.models import Models
from switchyard_monitor.ports import Turn
from switchyard_monitor.rosters import Rosters
from switchyard_testkit.alarm_world import STABLE, AlarmWorld
from switchyard_testkit.databases import Databases
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import MONITORING, NOON_US, SUBJECT, World, inference, model_record, outcome

DAY, HOUR = 86_400, 3_600
LEAST = Keep(rows_us=0, margin_us=0, windows_us=0, hourly_us=0, daily_us=0)
WORSE = {
    **{"name": "worse", "metric": "outcome.rmse", "max": "3", "window": "30m", "breaches": 1, "of": 2},
    **{"minSamples": 1, "onNoData": "fire"},
}


def monitoring(*rules: dict[str, Any]) -> dict[str, Any]:
    late = {**MONITORING["outcome"], "judgedAfter": "3d", "horizon": "4d"}
    return {**MONITORING, "window": "10m", "outcome": late, "alarms": list(rules)}


def unheard() -> Models:
    """What a member knows that has not heard of the rule."""
    broker, models = LocalBroker(), Models()
    broker.teach(SUBJECT, model_record(monitoring(), stable=STABLE))
    models.learn(broker.models())
    return models


class Beside:
    """The database's alarms, for a member beside whom another acts: after a turn was taken, or before it ends."""

    def __init__(self, alarms: SqlAlarms, **acts: Callable[[], None]) -> None:
        self._alarms, self._acts = alarms, acts
        self.members, self.subjects, self.cells = alarms.members, alarms.subjects, alarms.cells
        self.served, self.said, self.heads, self.close = alarms.served, alarms.said, alarms.heads, alarms.close

    def take(self, subject: str, member: str, *, now_us: int, ttl_us: int) -> Turn | None:
        turn = self._alarms.take(subject, member, now_us=now_us, ttl_us=ttl_us)
        self._act("taken")
        return turn

    def keep(self, turn: Turn, judged: Judged, *, now_us: int, ttl_us: int, topic: str) -> int:
        self._act("judged")
        return self._alarms.keep(turn, judged, now_us=now_us, ttl_us=ttl_us, topic=topic)

    def _act(self, when: str) -> None:
        if act := self._acts.pop(when, None):
            act()


def lived(databases: Databases, tmp_path: Path) -> AlarmWorld:
    """Traffic of six days, every half hour, all of it good; nobody has a rule, and nothing was put away yet."""
    url = databases.up_to_date()
    watched = AlarmWorld(World(tmp_path, url=url), url)
    world = watched.world
    world.teach(monitoring(), stable=STABLE)
    for place in range(6 * 48):
        at = place * HOUR / 2 + 60
        world.say(inference(f"p{place}", y=10.0, at=at), at=at)
        world.say(outcome(f"p{place}", 9.0, at=at), at=at)
    world.elapse(6 * DAY)
    return watched


@pytest.mark.parametrize("when", ["taken", "judged"])
def test_a_rule_that_begins_while_another_puts_windows_together_takes_none_for_silent(
    databases: Databases, tmp_path: Path, when: str
) -> None:
    watched = lived(databases, tmp_path)
    world = watched.world
    deaf = unheard()
    other = world.pruner(keep=LEAST, name="monitor-0")
    other._rosters = Rosters(deaf, Baselines(world.store), clock_us=lambda: world.now_us)
    other._models = deaf
    world.teach(monitoring(WORSE), stable=STABLE)
    world.run()
    alarms: Any = Beside(watched.alarms, **{when: lambda: other.run(["monitor-0"])})
    evaluator = watched.member("monitor-0", alarms=alarms)
    evaluator.step()
    words: set[str] = set()
    hours = [start for *_, start in world.sums() if start < 3 * DAY]
    assert {start % HOUR for start in hours} == {0}, "much must have been put together meanwhile"
    for hours in range(0, 4 * 24, 4):
        world.now_us = NOON_US + 6 * DAY_US + hours * HOUR_US
        at = (world.now_us - NOON_US) / 1e6
        world.say(inference(f"late{hours}", y=10.0, at=at), at=at)
        world.say(outcome(f"late{hours}", 9.0, at=at), at=at)
        world.tick()
        world.run()
        evaluator._next_us = 0
        while evaluator.step():
            evaluator._next_us = 0
        words |= {look.words for state in watched.alarms.said(SUBJECT, limit=1).states.values() for look in state.looks}
    (state,) = watched.alarms.said(SUBJECT, limit=1).states.values()
    assert state.looks, "it is judged from there on"
    assert not any("too late" in said for said in words)
    watched.close()
