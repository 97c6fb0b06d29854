"""Freezes: when a moment is frozen and until when, by the clocks of the place; and what a rollout may do meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from switchyard_contracts.acceptance import SpecRejected, read
from switchyard_contracts.freezes import DAYS, Freeze
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.quantities import FULL
from switchyard_operator.domain import kinds
from switchyard_operator.domain.freezing import FARTHEST, frozen
from switchyard_operator.settings import Settings
from switchyard_testkit.rollout_world import CANARY_SPEC, NOON, SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
FIRST, BETTER = Model(version="1.0.0", loss=100.0), Model(version="2.0.0", loss=50.0)
MINUTE = timedelta(minutes=1)
VIENNA = ZoneInfo("Europe/Vienna")


def freeze(start: str, end: str, **words: Any) -> Freeze:
    return Freeze.model_validate({"from": start, "to": end} | words)


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


NIGHTS = freeze("18:00", "06:00")
OFFICE = freeze("09:00", "17:00", days=["Mon", "Tue", "Wed", "Thu", "Fri"], timeZone="America/New_York")
HOLIDAYS = freeze("2026-12-23T18:00", "2027-01-07T06:00", timeZone="Europe/Vienna", reason="the holidays")
WEEKEND = freeze("00:00", "00:00", days=["Sat", "Sun"])


@pytest.mark.parametrize(
    ("freezes", "moment", "until"),
    [
        pytest.param([], at("2026-12-24T12:00"), None, id="none is there"),
        pytest.param([NIGHTS], at("2026-03-04T12:00"), None, id="by day"),
        pytest.param([NIGHTS], at("2026-03-04T18:00"), at("2026-03-05T06:00"), id="it begins at its first minute"),
        pytest.param([NIGHTS], at("2026-03-05T05:59"), at("2026-03-05T06:00"), id="after midnight it still holds"),
        pytest.param([NIGHTS], at("2026-03-05T06:00"), None, id="its last moment is no part of it"),
        pytest.param(
            [OFFICE], at("2026-03-04T15:00"), at("2026-03-04T22:00"), id="New York's morning, before its clocks"
        ),
        pytest.param([OFFICE], at("2026-03-11T15:00"), at("2026-03-11T21:00"), id="and after: an hour earlier for us"),
        pytest.param([OFFICE], at("2026-03-07T15:00"), None, id="on a Saturday nobody is at the office"),
        pytest.param([HOLIDAYS], at("2026-12-23T16:59"), None, id="17:59 in Vienna"),
        pytest.param([HOLIDAYS], at("2026-12-23T17:00"), at("2027-01-07T05:00"), id="18:00 in Vienna"),
        pytest.param([HOLIDAYS], at("2027-12-24T12:00"), None, id="dates happen once"),
        pytest.param([WEEKEND], at("2026-03-07T10:00"), at("2026-03-09T00:00"), id="Saturday runs on into Sunday"),
        pytest.param(
            [freeze("18:00", "06:00", days=["Fri"])],
            at("2026-03-07T05:00"),
            at("2026-03-07T06:00"),
            id="Friday's night",
        ),
        pytest.param(
            [freeze("18:00", "06:00", days=["Fri"])],
            at("2026-03-06T05:00"),
            None,
            id="Thursday's night is not Friday's",
        ),
        pytest.param(
            [NIGHTS, freeze("06:00", "08:00")],
            at("2026-03-05T01:00"),
            at("2026-03-05T08:00"),
            id="two that touch are one",
        ),
        pytest.param(
            [freeze("02:30", "03:30", timeZone="Europe/Vienna")],
            at("2026-03-29T03:10", "Europe/Vienna"),
            at("2026-03-29T03:30", "Europe/Vienna"),
            id="a beginning that the clocks leave out",
        ),
        pytest.param(
            [freeze("01:00", "02:30", timeZone="Europe/Vienna")],
            datetime(2026, 10, 25, 1, 15, tzinfo=UTC),
            datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
            id="an end that comes twice is the second",
        ),
    ],
)
def test_when_a_moment_is_frozen(freezes: list[Freeze], moment: datetime, until: datetime | None) -> None:
    found = frozen(freezes, moment)
    assert (found.until if found else None) == until


def test_who_freezes_all_of_the_time_is_told_a_far_day() -> None:
    found = frozen([freeze("00:00", "00:00")], NOON)
    assert found
    assert found.until - NOON >= FARTHEST


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            lambda start, end, days, zone: freeze(start, end, days=days, timeZone=zone),
            st.sampled_from(["00:00", "02:30", "09:00", "18:00", "23:59"]),
            st.sampled_from(["00:00", "02:30", "06:00", "17:00"]),
            st.lists(st.sampled_from(DAYS), max_size=6, unique=True),
            st.sampled_from(["UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe"]),
        ),
        max_size=3,
    ),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001
)
def test_a_freeze_is_over_when_it_says_and_not_before(freezes: list[Freeze], moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    found = frozen(freezes, now)
    if found is None:
        return
    assert found.until > now
    if found.until - now < FARTHEST:
        assert frozen(freezes, found.until) is None
    halfway = frozen(freezes, now + (found.until - now) / 2)
    assert halfway
    assert halfway.until >= found.until


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param({"from": "18:00", "to": "2026-12-24T06:00"}, "both from and to with a date", id="half a date"),
        pytest.param(
            {"from": "2026-12-24T06:00", "to": "2026-12-23T06:00"}, "is not after 2026-12-24T06:00", id="backwards"
        ),
        pytest.param({"from": "2026-02-30T06:00", "to": "2026-03-23T06:00"}, "is no date", id="no such day"),
        pytest.param(
            {"from": "18:00", "to": "06:00", "timeZone": "Europe/Wien"}, "no time zone 'Europe/Wien'", id="zone"
        ),
        pytest.param(
            {"from": "2026-12-23T06:00", "to": "2026-12-24T06:00", "days": ["Mon"]}, "happens once", id="days of dates"
        ),
        pytest.param({"from": "6pm", "to": "06:00"}, "freeze[0].from", id="another clock"),
        pytest.param({"from": "18:00", "to": "06:00", "day": ["Mon"]}, "freeze[0].day", id="a misspelt field"),
        pytest.param({"from": "18:00", "to": "06:00", "days": ["Monday"]}, "freeze[0].days[0]", id="a day by its name"),
    ],
)
def test_a_freeze_that_makes_no_sense_is_refused_by_its_field(said: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecRejected) as refused:
        read(SPEC | {"freeze": [said]})
    assert words in str(refused.value)
    assert "freeze[0]" in str(refused.value)


def test_the_settings_name_a_freeze_that_makes_no_sense() -> None:
    assert Settings.from_env({"OPERATOR_FREEZES": '[{"from": "18:00", "to": "06:00"}]'}).frozen == (NIGHTS,)
    with pytest.raises(ValidationError, match=r"0: Value error, timeZone: there is no time zone 'Mars'"):
        Settings.from_env({"OPERATOR_FREEZES": '[{"from": "18:00", "to": "06:00", "timeZone": "Mars"}]'})


def soon(after: timedelta, *, length: timedelta = timedelta(minutes=6)) -> dict[str, str]:
    """A freeze from so long after noon."""
    moment = (NOON + after).replace(second=0)
    return {"from": f"{moment:%Y-%m-%dT%H:%M}", "to": f"{moment + length:%Y-%m-%dT%H:%M}", "reason": "the holidays"}


def deployed(second: Model = BETTER, **changes: Any) -> Simulation:
    """The first model serves, and the second is on its way in a freeze that began before it."""
    world = Simulation({ONE: FIRST, TWO: second})
    world.deploy(CANARY_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(CANARY_SPEC | changes, image=TWO)
    return world


def frozen_at_five(second: Model = BETTER) -> Simulation:
    """The second has 5 %, and a freeze has begun."""
    world = deployed(second)
    world.run(lambda: world.route.get(TWO) == ("candidate", 500))
    began = world.clock.now - NOON
    world.deploy(CANARY_SPEC | {"freeze": [soon(began)]}, image=TWO)
    world.run_for(timedelta(seconds=3))
    return world


def weight(world: Simulation) -> int:
    return world.route[TWO][1] if TWO in world.route else 0


@pytest.mark.rule("freeze")
def test_in_a_freeze_no_weight_rises_and_afterwards_it_goes_on() -> None:
    world = frozen_at_five()
    world.run_for(3 * MINUTE)
    rollout = world.status.rollout
    assert rollout
    assert weight(world) == 500
    assert (rollout.phase, rollout.reason) == (Phase.PAUSED, "Frozen")
    assert rollout.frozen_until
    assert f"{rollout.frozen_until:%Y-%m-%dT%H:%MZ}" in rollout.message
    assert "the holidays" in rollout.message
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.clock.now >= rollout.frozen_until
    assert world.status.rollout
    assert world.status.rollout.frozen_until is None


@pytest.mark.rule("freeze")
def test_a_freeze_before_the_first_traffic_lets_pods_come_and_nothing_else() -> None:
    world = deployed(freeze=[soon(timedelta(0), length=timedelta(hours=2))])
    world.run_for(3 * MINUTE)
    assert (weight(world), world.replicas[TWO], world.phase) == (0, 2, Phase.PAUSED)


@pytest.mark.rule("freeze")
def test_a_first_deployment_waits_for_its_end_too() -> None:
    world = Simulation({ONE: FIRST})
    world.deploy(CANARY_SPEC | {"freeze": [soon(timedelta(0))]}, image=ONE)
    world.run_for(3 * MINUTE)
    assert world.route == {}
    world.run(lambda: world.phase is Phase.COMPLETED)
    assert world.clock.now >= NOON + 6 * MINUTE


@pytest.mark.rule("freeze")
def test_a_freeze_of_the_whole_installation_holds_everybody() -> None:
    world = Simulation({ONE: FIRST})
    world.freezes = (Freeze.model_validate(soon(timedelta(0))),)
    world.restart()
    world.deploy(CANARY_SPEC, image=ONE)
    world.run_for(3 * MINUTE)
    assert (world.route, world.phase) == ({}, Phase.PAUSED)


def test_one_that_fails_goes_home_in_a_freeze() -> None:
    world = deployed(Model(version="2.0.0", loss=50.0, failing=0.005))
    world.run(lambda: world.route.get(TWO) == ("candidate", 500))
    world.deploy(CANARY_SPEC | {"freeze": [soon(world.clock.now - NOON, length=timedelta(hours=5))]}, image=TWO)
    world.run_for(timedelta(seconds=3))
    world.images[TWO] = Model(version="2.0.0", loss=50.0, failing=0.5)
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=10 * MINUTE)
    assert world.route[ONE] == ("stable", FULL)


def test_an_abort_goes_in_a_freeze() -> None:
    world = frozen_at_five()
    assert world.status.rollout
    world.command("abort", rollout=world.status.rollout.id)
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=timedelta(seconds=10))


def test_a_way_back_to_who_served_before_goes_in_a_freeze() -> None:
    world = deployed()
    world.run(lambda: world.phase is Phase.WATCHING)
    world.deploy(CANARY_SPEC | {"freeze": [soon(world.clock.now - NOON)]}, image=ONE)
    world.run(lambda: world.route.get(ONE) == ("stable", FULL), within=MINUTE)


def test_pods_that_are_short_lower_the_weight_and_it_rises_again_after_the_freeze() -> None:
    world = frozen_at_five()
    world.frozen_count[world.revision(TWO)] = 2
    world.run(lambda: weight(world) == 0, within=MINUTE)
    world.frozen_count.clear()
    world.run_for(2 * MINUTE)
    assert weight(world) == 0, "no weight rises, not even back"
    world.run(lambda: world.phase is Phase.WATCHING)


def test_a_candidate_takes_over_from_a_dead_stable_in_a_freeze() -> None:
    world = frozen_at_five()
    world.frozen_pods.add(world.revision(ONE))
    world.run(lambda: world.route.get(TWO) == ("stable", FULL), within=MINUTE)


@pytest.mark.rule("freeze")
def test_only_an_override_with_a_reason_goes_through() -> None:
    world = frozen_at_five()
    assert world.status.rollout
    rollout = world.status.rollout.id
    world.command("promote", rollout=rollout)
    world.run_for(MINUTE)
    assert weight(world) == 500
    answers = [body["status"]["message"] for body in world.cluster.find(kinds.MODEL_COMMAND)]
    assert "frozen until" in answers[0]
    assert "override" in answers[0]
    world.command("promote", rollout=rollout, override=True, reason="the regulator asks for it")  # type: ignore[arg-type]
    world.run(lambda: world.route.get(TWO) == ("stable", FULL), within=MINUTE)


def test_deadlines_stand_still_in_a_freeze() -> None:
    """Its pods are not ready for longer than the spec waits, and most of that time is frozen."""
    serving = SPEC["serving"] | {"readyWithin": "3m"}
    world = deployed(Model(version="2.0.0", starts=False), serving=serving, freeze=[soon(timedelta(minutes=2))])
    world.run(lambda: world.status.rollout is not None and world.status.rollout.pauses != [])
    world.run_for(4 * MINUTE)
    assert world.phase is Phase.PROVISIONING
    world.run(lambda: world.phase is Phase.ROLLED_BACK, within=5 * MINUTE)


def test_a_switch_that_all_traffic_has_taken_is_finished() -> None:
    world = deployed()
    world.run(lambda: world.route.get(TWO) == ("stable", FULL))
    world.deploy(CANARY_SPEC | {"freeze": [soon(world.clock.now - NOON, length=timedelta(hours=5))]}, image=TWO)
    world.run(lambda: world.phase is Phase.WATCHING, within=MINUTE)


def test_frozen_says_so_once_and_warns_nobody() -> None:
    world = frozen_at_five()
    world.run_for(3 * MINUTE)
    told = [(kind_, words) for kind_, reason, words in world.notes.of() if reason == "Frozen"]
    assert len(told) == 1
    assert told[0][0] == "Normal"
    assert "5%: frozen until" in told[0][1]
