"""The ways in which what may yet be joined, judged or asked for might be deleted: each is a test, and one life has all.

`test_retention` says what goes and when. Here a protection is what is tested: without it, its test fails.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.topics import RolloutRecord
from switchyard_contracts.windows import DAY_US, HOUR_US
from switchyard_monitor.domain.entries import Entry
from switchyard_monitor.domain.identity import key
from switchyard_monitor.domain.retention import Keep
from switchyard_monitor.health import Health
from switchyard_monitor.pruner import MISSED_US, PIECE_US, ROUND_US, SECOND_LOOK_US, Piece, Pruner
from switchyard_monitor.reader import Pace
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON,
    NOON_US,
    SECOND,
    SUBJECT,
    World,
    decision,
    inference,
    input_alone,
    mirrored,
    model_record,
    outcome,
    prediction_alone,
)
from switchyard_testkit.replay_suite import again, closes, live, reread

DAY, HOUR = 86_400, 3_600
ME = ["monitor-0"]
LOANS = "demo/loans"
BARE = Keep(rows_us=0, margin_us=0)
"""Nobody wants to look at rows, and no clock differs from another: what stays is what is needed."""
LEAST = Keep(rows_us=0, margin_us=0, windows_us=0, hourly_us=0, daily_us=0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach()
    yield made
    made.store.close()


def known(world: World, prediction_id: str, subject: str = SUBJECT) -> Entry | None:
    return world.store.entry(key(subject, prediction_id))[0]


def horizon(days: int) -> dict[str, Any]:
    return {**MONITORING, "outcome": {**MONITORING["outcome"], "horizon": f"{days}d"}}


def told_apart(days: int) -> dict[str, Any]:
    """Judged late, and by the parts of X: what is known of an X that came alone decides where a late label counts."""
    carrier = {"name": "carrier", "path": "$.x.carrier", "values": ["AA"]}
    asked = horizon(days)
    return {**asked, "outcome": {**asked["outcome"], "judgedAfter": f"{days}d"}, "segments": [carrier]}


def said(phase: Phase) -> RolloutRecord:
    return RolloutRecord(
        id="1", namespace="a", name="b", rollout="b-1.1", revision="b-1", at=NOON, phase=phase.value, reason="r"
    )


def fine(world: World, subject: str = SUBJECT) -> int:
    """How many windows are as they were."""
    return sum(start % HOUR != 0 for *_, start in [*world.sums(subject), *world.pair_sums(subject)])


def look(world: World, pruner: Pruner) -> None:
    """One look at the clocks, after which nothing is done, and as much later as the second one is."""
    pruner.step(ME)
    assert not pruner.busy
    world.pass_time(SECOND_LOOK_US / SECOND)


class TestClocks:
    def test_nothing_is_older_than_by_the_databases_clock(self, world: World) -> None:
        world.say(inference("a"))
        world.elapse(7 * DAY + 20 * HOUR)
        for hours, there in ((-1, True), (+1, False)):
            database_us = NOON_US + 7 * DAY_US + hours * HOUR_US
            world.pruner(keep=BARE, database_us=database_us).run(ME)
            assert (known(world, "a") is not None) is there

    def test_where_producers_set_the_times_nothing_is_put_away(self, world: World) -> None:
        health = Health(lambda: 0.0)
        assert health.times_doubted == ""
        health.create_time_records = 1
        world.say(inference("a", at=7), at=7)
        world.elapse(500 * DAY)
        before = world.sums()
        pruner = world.pruner(keep=BARE, doubt=health.times_doubted)
        pruner.run(ME)
        assert (known(world, "a") is not None, world.sums()) == (True, before)
        assert "must use LogAppendTime" in pruner.held["clocks"]
        world.pruner(keep=BARE).run(ME)
        assert (known(world, "a"), world.sums()) == (None, {})

    def test_all_clocks_that_are_wrong_for_minutes_when_a_machine_starts_make_nothing_old(self, world: World) -> None:
        world.say(inference("a", at=7), at=7)
        world.elapse(60)
        right_us = world.now_us
        pruner = world.pruner(keep=BARE)
        world.now_us += 4000 * DAY_US
        world.tick()
        world.run()
        for _ in range(4):
            pruner.step(ME)
            world.pass_time(PIECE_US / SECOND)
        world.now_us = right_us + 60 * SECOND
        for _ in range(40):
            world.tick()
            world.run()
            pruner.step(ME)
            world.pass_time(SECOND_LOOK_US / SECOND)
        assert known(world, "a") is not None
        assert fine(world) == 1

    def test_a_leap_of_all_clocks_between_two_rounds_is_looked_at_twice(self, world: World) -> None:
        world.say(inference("a"))
        world.elapse(60)
        pruner = world.pruner(keep=BARE)
        look(world, pruner)
        pruner.step(ME)
        while pruner.busy:
            pruner.step(ME, hurry=True)
        world.elapse(30 * DAY)
        look(world, pruner)
        assert known(world, "a") is not None
        pruner.step(ME)
        while pruner.busy:
            pruner.step(ME, hurry=True)
        assert known(world, "a") is None

    def test_a_clock_that_is_set_back_does_not_put_off_rounds_for_ever(self, world: World) -> None:
        world.say(inference("a"))
        world.elapse(9 * DAY)
        pruner = world.pruner(keep=BARE)
        world.now_us += 4000 * DAY_US
        pruner.step(ME)
        world.now_us -= 4000 * DAY_US
        for _ in range(20):
            pruner.step(ME)
            world.pass_time((ROUND_US + SECOND) / SECOND)
        assert known(world, "a") is None

    def test_a_partition_that_is_stopped_holds_all(self, tmp_path: Path) -> None:
        world = World(tmp_path, broker=LocalBroker(2))
        world.teach()
        world.say(inference("a"))
        world.say(outcome("a", 1.0, at=1), at=1, partition=1)
        world.run()
        world.broker.delete_before(1, 5)
        world.pass_time(11)
        world.start()
        world.run()
        assert world.store.positions()[1].stopped
        world.now_us = NOON_US + 90 * DAY_US
        for _ in range(2):
            world.broker.append(b'{"type": "tick"}', partition=0, at_us=world.now_us)
            world.run()
            world.pass_time(2)
        world.pruner(keep=BARE).run(ME)
        assert known(world, "a") is not None, "what it did not read may speak of it"
        world.store.close()

    def test_a_partition_that_is_new_in_the_topic_holds_all_until_it_is_read(self, tmp_path: Path) -> None:
        world = World(tmp_path, pace=Pace(batch=1, linger=0.0, margin_us=0))
        world.teach(horizon(60))
        world.say(inference("a"))
        world.elapse(30 * DAY)
        world.broker.partitions = 2
        at = 59 * DAY
        world.say(outcome("a", 1.0, at=at), at=at, partition=1)
        world.now_us = NOON_US + 90 * DAY_US
        world.broker.append(b'{"type": "tick"}', partition=0, at_us=world.now_us)
        assert world.reader.step() == 1, "the first has been read to its end, of the second nothing"
        world.pruner(keep=BARE).run(ME)
        assert known(world, "a") is not None
        world.run()
        assert world.store.labels(SUBJECT) == {"in": 1, "joined": 1}
        world.store.close()


class TestRecords:
    def test_rows_stay_while_what_is_asked_for_today_cannot_be_read(self, world: World) -> None:
        world.say(inference("a"))
        world.run()
        world.broker.teach(SUBJECT, b'{"it": "may say sixty days"}')
        world.elapse(59 * DAY)
        pruner = world.pruner(keep=BARE)
        pruner.run(ME)
        assert known(world, "a") is not None
        assert "those of demo/flight-delay stay: its newest record" in pruner.held["rows"]
        world.teach(horizon(60))
        world.run()
        pruner.run(ME)
        assert (known(world, "a") is not None, pruner.held) == (True, {})

    def test_a_horizon_that_becomes_longer_in_the_middle_of_a_round_holds_what_is_left(self, world: World) -> None:
        for i in range(10):
            world.say(inference(f"own-{i}"))
        world.elapse(9 * DAY)
        pruner = world.pruner(keep=BARE, piece=Piece(rows=2, keys=1))
        look(world, pruner)
        while pruner.rows < 3:
            pruner.step(ME, hurry=True)
        world.teach(horizon(60))
        world.run()
        while pruner.busy:
            pruner.step(ME, hurry=True)
        assert pruner.rows == 3

    def test_windows_stay_while_a_record_is_missing_and_events_come(self, world: World) -> None:
        """Of a rollout that is watched nothing tells but the record, and that was lost with its topic."""
        world.say(inference("a", at=7), at=7)
        world.elapse(3 * DAY)
        world.broker._models.clear()
        world.start()
        for days, there in ((3, 1), (MISSED_US // DAY_US, 1), (MISSED_US // DAY_US + 1, 0)):
            world.now_us = NOON_US + days * DAY_US
            world.elapse(0)
            world.pruner().run(ME)
            assert fine(world) == there

    def test_windows_stay_for_a_while_of_a_deployment_that_is_said_to_be_gone(self, world: World) -> None:
        """An operator that cannot see its objects says so too."""
        world.say(inference("a", at=7), at=7)
        world.elapse(3 * DAY)
        world.broker.teach(SUBJECT, None)
        world.run()
        world.pruner().run(ME)
        assert fine(world) == 1
        world.elapse(12 * DAY)
        world.pruner(rollout=lambda _: said(Phase.WATCHING)).run(ME)
        assert fine(world) == 0

    def test_windows_stay_while_a_candidate_answers_whoever_has_spoken_of_it(self, world: World) -> None:
        """The operator's word waits, as Kafka was away; what the gateways kept has come before it."""
        for at in (7, 5 * DAY):
            world.say(inference(f"stable-{at}", at=at), at=at)
            world.say(inference(f"next-{at}", at=at, role="candidate", revision="next-2"), at=at)
        world.elapse(6 * DAY)
        before = world.sums()
        world.pruner().run(ME)
        assert world.sums() == before
        world.elapse(2 * DAY)
        world.pruner().run(ME)
        assert fine(world) < len(before)

    def test_a_long_comparison_keeps_every_window_and_row_of_its_own(self, world: World) -> None:
        """An A/B test of eight weeks, judged at the end of them by outcomes that take as long."""
        world.teach(horizon(60))
        for day in range(56):
            at = day * DAY + 7
            for role, revision in (("stable", "stable-1"), ("candidate", "next-2")):
                sticky = {"assignment": "sticky", "unit": day, "role": role, "revision": revision}
                world.say(inference(f"{role}-{day}", at=at, **sticky), at=at)
        world.elapse(56 * DAY)
        before = world.sums()
        for _ in range(2):
            world.pruner(keep=LEAST, rollout=lambda _: said(Phase.PROGRESSING)).run(ME)
        assert world.sums() == before
        for day in range(56):
            world.say(outcome(f"stable-{day}", 1.0, at=56 * DAY), at=56 * DAY)
        world.run()
        assert world.store.labels(SUBJECT) == {"in": 56, "joined": 56}


class TestReplays:
    def test_what_is_read_once_more_after_its_rows_have_gone_changes_nothing(self, world: World) -> None:
        live(world)
        for at in (0, 8 * DAY):
            world.say(inference(f"at-{at}", at=at), at=at)
            world.say(input_alone(f"x-{at}", at=at), at=at)
            world.say(prediction_alone(f"y-{at}", at=at), at=at)
        world.elapse(9 * DAY)
        world.pruner(keep=BARE).run(ME)
        assert (known(world, "a"), known(world, f"at-{8 * DAY}") is None) == (None, False)
        before, (position,) = totals(world), world.store.positions()
        again(world)
        assert totals(world) == before
        assert closes(world)
        assert reread(world).columns.keys() <= {"late", "duplicate"}
        assert totals(world) == before
        assert world.store.positions()[0].aged_us == position.aged_us, "no time goes back for it"

    def test_it_is_late_by_the_clock_that_rows_have_gone_by(self, tmp_path: Path) -> None:
        """Our own clock stands still, and so does the watermark of a partition where nothing comes."""
        world = World(tmp_path, broker=LocalBroker(2))
        world.teach()
        world.say(inference("a"), partition=1)
        world.run()
        for days in (20, 40):
            world.broker.append(b'{"type": "tick"}', partition=0, at_us=NOON_US + days * DAY_US)
            world.pass_time(2)
            world.run()
        world.pruner(keep=BARE, database_us=NOON_US + 40 * DAY_US).run(ME)
        assert known(world, "a") is None
        before = totals(world)
        again(world)
        assert totals(world) == before
        assert world.ledger()["late"] == 1
        world.store.close()


class TestReplicas:
    def test_no_replicas_settings_take_what_another_still_needs(self, world: World) -> None:
        """A rule is everybody's: it stands in the database."""
        world.teach(horizon(60))
        world.say(inference("a", at=7), at=7)
        members = ["monitor-0", "monitor-1"]
        for _ in range(20):
            world.elapse(2.9 * DAY)
            for name, keep in zip(members, (LEAST, Keep()), strict=True):
                world.pruner(name=name, keep=keep).run(members)
        world.say(outcome("a", 3.0, at=58 * DAY), at=58 * DAY)
        world.run()
        assert world.store.labels(SUBJECT) == {"in": 1, "joined": 1}
        assert sum(sums.get("now.n", 0) for sums in world.sums().values()) == 1

    def test_a_round_that_is_left_in_the_middle_is_begun_anew_by_another(self, world: World) -> None:
        for i in range(10):
            world.say(inference(f"own-{i}"))
            world.say(outcome(f"own-{i}", 1.0))
            world.say(outcome(f"orphan-{i}", 1.0))
        world.elapse(9 * DAY)
        before = totals(world)
        pruner = world.pruner(keep=BARE, piece=Piece(rows=3, keys=2))
        look(world, pruner)
        for _ in range(4):
            pruner.step(ME, hurry=True)
        assert pruner.busy
        world.start()
        world.elapse(61)
        world.pruner(keep=BARE, name="monitor-1").run(["monitor-1"])
        assert totals(world) == before
        assert world.store.labels(SUBJECT) == {"in": 20, "joined": 10, "expired": 10}


def totals(world: World) -> list[Any]:
    """What no retention may change."""
    store = world.store
    found: list[Any] = []
    for subject in (SUBJECT, LOANS):
        cells = sorted(store.totals(store.arms(subject)), key=lambda cell: str(cell.arm))
        days = sorted(store.day_totals(store.arms(subject)), key=lambda cell: str(cell.arm))
        pairs = sorted(store.pair_totals(store.pairs(subject)), key=lambda cell: str(cell.pair))
        found += [(str(cell.arm), cell.sums) for cell in (*cells, *days)]
        found += [(str(cell.pair), cell.sums) for cell in pairs]
    return found


@pytest.mark.rule("retention-rows")
def test_a_correction_of_a_window_that_is_no_more_makes_no_half_of_it(world: World) -> None:
    """Corrections keep a row alive for as long as they come; the window of its prediction goes meanwhile."""
    keep = Keep(rows_us=0, windows_us=DAY_US, hourly_us=DAY_US, daily_us=DAY_US)
    world.say(inference("a"))
    there = []
    for number in range(4):
        at = number * 6 * DAY
        world.say(outcome("a", float(number), at=at, revision=number), at=at)
        world.run()
        there.append(len(world.sums()))
        world.elapse(6 * DAY)
        world.pruner(keep=keep).run(ME)
    assert known(world, "a") is not None
    assert there == [1, 2, 0, 0], "as it was, by hour and by day, and no more"
    (cell,) = world.store.totals(world.store.arms(SUBJECT))
    assert cell.sums["now.n"] == 1
    assert cell.sums["now.e"] == round((10.0 - 3.0) * 2**20), "the last correction is in the sum of all"


@dataclass
class Life:
    """What is told in half a year: two deployments whose horizons change, with all that delays and repeats."""

    chance: random.Random
    told: list[tuple[float, int, bytes]] = field(default_factory=list)
    """By the time they come: the partition, and what comes."""
    rules: list[tuple[float, str, int]] = field(default_factory=list)
    """From when on a deployment's horizon is so many days."""

    def tell(self) -> None:
        chance = self.chance
        for subject in (SUBJECT, LOANS):
            for at in sorted([0.0, *(chance.uniform(0, 100) for _ in range(2))]):
                self.rules.append((at * DAY, subject, chance.choice([1, 20, 45])))
        for i in range(60):
            at, subject = chance.uniform(0, 130) * DAY, chance.choice([SUBJECT, LOANS])
            came = at + chance.choice([0.0, chance.uniform(0, 6.9) * DAY])
            patience = min(days for since, name, days in self.rules if name == subject and since <= came) * DAY
            x, y = {"carrier": chance.choice(["AA", "UA"])}, chance.gauss(0, 30)
            if chance.random() < 0.4:  # X and Y apart, either first
                apart = (
                    input_alone(f"p{i}", x=x, at=at, subject=subject),
                    prediction_alone(f"p{i}", y=y, at=at, subject=subject),
                )
                answers = chance.sample(apart, k=2)
            else:
                answers = [inference(f"p{i}", x=x, y=y, at=at, subject=subject)]
            if chance.random() < 0.5:
                answers.append(mirrored(f"p{i}", x=x, y=chance.gauss(0, 30), at=at, subject=subject))
            if chance.random() < 0.2:
                answers.append(inference(f"f{i}", at=at, subject=subject, error=True, status=503))
            if chance.random() < 0.2 and len(answers) == 1:
                answers.append(inference(f"p{i}", event_id=f"again-{i}", x=x, at=at, subject=subject))
            for answer in answers:
                self._say(came, answer)
                if chance.random() < 0.5:
                    self._say(came + chance.choice([0.5, 3, 5, 7.5, 20]) * DAY, answer)
            for revision in range(chance.randrange(3)):
                late = at + chance.uniform(0, patience * 0.99)
                self._say(late, outcome(f"p{i}", chance.gauss(0, 30), at=late, revision=revision, subject=subject))
            if chance.random() < 0.4:
                late = at + chance.uniform(0, patience * 0.99)
                self._say(late, decision(f"p{i}", chance.random() < 0.5, at=late, subject=subject))
            if chance.random() < 0.2:
                self._say(at, outcome(f"orphan{i}", 1.0, at=at, subject=subject))
        self.told.sort(key=lambda one: one[0])

    def _say(self, came: float, value: bytes) -> None:
        self.told.append((came, self.chance.randrange(2), value))


def lead(world: World, life: Life, *, tidied: random.Random | None) -> None:
    """Lead it, with restarts, wrong clocks and any settings, if things are put away; else as it is."""
    rules = sorted(life.rules)
    behind = (0, 20 * HOUR)  # one broker's clock is most of a day behind
    for number, (came, partition, value) in enumerate(life.told):
        if rules and rules[0][0] <= came:
            world.run()
        while rules and rules[0][0] <= came:
            _, subject, days = rules.pop(0)
            world.broker.teach(subject, model_record(told_apart(days), subject=subject))
        world.now_us = NOON_US + round(came * SECOND)
        world.say(value, at=came - behind[partition], partition=partition)
        if number % 12 == 0:  # at the same times with and without: which of two partitions is first, the books say
            world.run()
            if tidied is not None:
                put_away(world, tidied)
    world.run()


def put_away(world: World, chance: random.Random) -> None:
    if chance.random() < 0.2:
        world.pass_time(11)
        world.start()
        world.run()
    pruner = world.pruner(
        keep=Keep(
            rows_us=chance.choice([0, 5, 30]) * DAY_US,
            windows_us=chance.randrange(3) * DAY_US,
            hourly_us=chance.randrange(3, 9) * DAY_US,
            daily_us=chance.randrange(9, 90) * DAY_US,
        ),
        piece=Piece(rows=chance.randrange(5, 40), keys=chance.randrange(3, 20), moves=chance.randrange(5, 50)),
        database_us=world.now_us + chance.choice([-2, -1, 0, 900]) * DAY_US,
    )
    whole = chance.random() < 0.7
    mark_us = pruner._mark()
    pieces = iter(()) if mark_us is None else pruner._all(mark_us)
    pruner._members = ME
    for _ in itertools.islice(pieces, None if whole else chance.randrange(9)):
        pass


@pytest.mark.rule("retention-rows")
@pytest.mark.parametrize("seed", range(4))
def test_a_life_with_retention_adds_up_to_the_same_as_one_without(tmp_path: Path, seed: int) -> None:
    life = Life(random.Random(seed))
    life.tell()
    books, left = [], []
    for name in ("plain", "tidied"):
        (tmp_path / name).mkdir()
        world = World(tmp_path / name, broker=LocalBroker(2), pace=Pace(linger=0.0, margin_us=0))
        lead(world, life, tidied=random.Random(seed) if name == "tidied" else None)
        labels = {subject: dict(world.store.labels(subject)) for subject in (SUBJECT, LOANS)}
        for held in labels.values():
            held["orphan"] = held.get("orphan", 0) + held.pop("expired", 0)
        books.append((totals(world), world.ledger(), labels))
        left.append(sum(known(world, f"p{i}", subject) is not None for i in range(60) for subject in (SUBJECT, LOANS)))
        world.store.close()
    plain, tidied = books
    assert tidied == plain
    assert left[1] < left[0] - 15, "much must have gone meanwhile"
