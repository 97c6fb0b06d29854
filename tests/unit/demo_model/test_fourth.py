"""The fourth chapter: what it applies, what it is held against, and that each of its promises can be broken."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from switchyard_contracts.alarm_records import AlarmEvent
from switchyard_contracts.model_deployment import ModelDeploymentSpec
from switchyard_demo_model.pipeline.evaluate import evaluate
from switchyard_demo_model.pipeline.prepare import Row
from switchyard_demo_model.pipeline.source import source
from switchyard_demo_model.pipeline.stages import Pipeline
from switchyard_demo_model.product.ledger import Errors
from switchyard_demo_model.serving.model import LinearModel
from switchyard_demo_model.story.expectations import Script
from switchyard_demo_model.story.plot import Chapter, Ending, Story, chapters, deployment
from switchyard_demo_model.story.reference import FIRST, LAST, on_the_clock
from switchyard_demo_model.story.summer import (
    DAYS,
    DRIFTED,
    LEAP,
    LIMIT,
    SPRING,
    WORSE,
    watched,
    watched_deployment,
    window,
)
from switchyard_demo_model.story.watched import Watched, figures, tables
from switchyard_demo_model.world.journeys import Journey, journeys
from switchyard_demo_model.world.schedule import Pace, World
from switchyard_testkit.summer import (
    FIRED,
    LEAPT,
    REQUEST,
    SECONDS,
    TRAINING,
    book,
    errors,
    record,
    starts,
    summer,
    windows,
)

DIGEST = "sha256:" + "1" * 64
SCRIPT = Script.read()
PACE = Pace(SCRIPT.pace.rate, SCRIPT.pace.day_seconds)
MOST_SPRING = 15  # windows of two days, as many as the story has patience for


# --- what is applied --------------------------------------------------------------------------------------------------


def applied(pace: Pace = PACE) -> dict[str, Any]:
    chapter = watched(Story.MAIN)
    return watched_deployment(
        chapter, image="r/x@" + DIGEST, provenance={"gitCommit": "abc"}, namespace="f", pace=pace, reference=DIGEST
    )


def test_the_file_is_a_legal_model_deployment_whose_windows_are_those_of_the_reference() -> None:
    monitoring = ModelDeploymentSpec.model_validate(applied()["spec"]).monitoring
    assert monitoring
    assert monitoring.reference == DIGEST
    assert [alarm.name for alarm in monitoring.alarms] == [DRIFTED, WORSE]
    assert monitoring.alarms[1].window == timedelta(seconds=window(PACE)) == DAYS * timedelta(seconds=4)
    assert monitoring.retrain
    assert monitoring.retrain.job
    compile(monitoring.retrain.job.command[-1], "trainer", "exec")


def test_it_is_the_second_chapters_model_again_and_only_monitoring_is_more() -> None:
    second = chapters(Story.MAIN)[1]
    chapter = watched(Story.MAIN)
    assert (chapter.recipe, chapter.version) == (second.recipe, second.version)
    plain = deployment(
        Chapter("x", second.recipe, Ending.PROMOTED),
        image="r/x@" + DIGEST,
        provenance={"gitCommit": "abc"},
        namespace="f",
        pace=PACE,
    )["spec"]
    more = applied()["spec"]
    assert {key for key in more if more[key] != plain[key]} == {"monitoring"}
    assert {key for key in more["monitoring"] if more["monitoring"][key] != plain["monitoring"].get(key)} == {
        "reference",
        "alarms",
        "retrain",
    }


def test_windows_are_whole_seconds() -> None:
    with pytest.raises(ValueError, match="choose another day_seconds"):
        window(Pace(40.0, 4.3))


# --- what it is held against, and what really differs -----------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> LinearModel:
    return Pipeline(source()).models["2.0.0"].model


@pytest.fixture(scope="module")
def winter() -> tuple[Journey, ...]:
    return journeys(source(), first=FIRST, days=(LAST - FIRST).days + 1)


def test_the_reference_is_the_training_on_the_storys_clock(winter: tuple[Journey, ...], model: LinearModel) -> None:
    world = World(winter, first=FIRST, pace=PACE, seed=SCRIPT.pace.seed)
    made = on_the_clock(world, model, window_seconds=window(PACE))
    days = (LAST - FIRST).days + 1
    assert made.rows == days * PACE.per_day
    assert made.length_seconds == window(PACE)
    assert len(made.starts) == -(-days // DAYS) >= 20, "with fewer nobody can say what is usual"
    lateness = next(one for one in made.features if one.name == "departure_delay")
    assert lateness.sums.missing, "cancelled flights are asked about too"
    again = World(winter, first=FIRST, pace=PACE, seed=SCRIPT.pace.seed)
    assert on_the_clock(again, model, window_seconds=window(PACE)).digest == made.digest


def test_a_world_that_begins_another_day_is_no_training(winter: tuple[Journey, ...], model: LinearModel) -> None:
    world = World(winter, first=FIRST + timedelta(days=1), pace=PACE, seed=1)
    with pytest.raises(ValueError, match="the first day of the training"):
        on_the_clock(world, model, window_seconds=8)


def test_the_limit_lies_between_spring_and_the_windows_after_the_leap(model: LinearModel) -> None:
    def rmse(first: date, windows: int) -> list[float]:
        days = DAYS * windows
        world = World(journeys(source(), first=first, days=days), first=first, pace=PACE, seed=SCRIPT.pace.seed)
        drawn = [day.asked if (day := world.day(index)) else () for index in range(days)]
        return [
            evaluate(
                model,
                [
                    Row(one.flight, one.arrival_delay)
                    for asked in drawn[begin : begin + DAYS]
                    for one in asked
                    if one.arrival_delay is not None
                ],
            ).rmse
            for begin in range(0, days, DAYS)
        ]

    assert SCRIPT.patience.calm == MOST_SPRING * window(PACE)
    assert all(value < LIMIT for value in rmse(SPRING, MOST_SPRING))
    assert all(value > LIMIT + 1 for value in rmse(LEAP, 2))


# --- what is figured out ----------------------------------------------------------------------------------------------


def false(found: Watched) -> list[str]:
    """The chapter's promises that are broken."""
    held = SCRIPT.check(figures(found), short=False)
    return [one.figure for one in held if one.figure.startswith("fourth.") and not one.held]


def test_a_chapter_that_went_as_promised_breaks_no_promise() -> None:
    assert false(summer()) == []


EARLY = record(AlarmEvent.FIRED, DRIFTED, at=LEAPT - timedelta(seconds=1))
OTHER = REQUEST.model_copy(update={"id": "another"})


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        pytest.param({"drift": windows()[1:]}, ["fourth.calm"], id="too few windows of spring"),
        pytest.param({"drift": windows(lasting=(-1, 1))}, ["fourth.driftedBefore"], id="drift before the leap"),
        pytest.param(
            {"book": book(FIRED[1], REQUEST, FIRED[0], EARLY, request=REQUEST)},
            ["fourth.firedBefore"],
            id="an alarm before the leap",
        ),
        pytest.param({"drift": windows(lasting=())}, ["fourth.drifted"], id="nothing left the reference for long"),
        pytest.param(
            {
                "drift": [
                    replace(one, findings=[replace(finding, effect=0.2) for finding in one.findings])
                    for one in windows()
                ]
            },
            ["fourth.lateness.usual"],
            id="departures as late as usual",
        ),
        pytest.param(
            {"book": book(FIRED[1], REQUEST, request=REQUEST)}, ["fourth.fired.drifted"], id="no alarm on drift"
        ),
        pytest.param(
            {"book": book(FIRED[1], REQUEST, FIRED[0], FIRED[0], request=REQUEST)},
            ["fourth.fired.drifted"],
            id="an alarm that fired twice",
        ),
        pytest.param(
            {"book": book(REQUEST, FIRED[0], request=REQUEST)},
            ["fourth.fired.worse", "fourth.rmse.agreement", "fourth.rmse.spring"],
            id="no alarm on outcomes",
        ),
        pytest.param(
            {"own": dict(zip(starts(-1, 0, 1), map(errors, (17.0, 26.6, 30.0)), strict=True))},
            ["fourth.rmse.agreement"],
            id="an error that the product did not see",
        ),
        pytest.param(
            {"own": {}}, ["fourth.rmse.agreement", "fourth.rmse.spring"], id="windows in which nobody asked anything"
        ),
        pytest.param({"spring": errors(25.0)}, ["fourth.rmse.spring"], id="spring was as bad"),
        pytest.param({"spring": Errors()}, ["fourth.rmse.spring"], id="there was no spring"),
        pytest.param(
            {"book": book(FIRED[1], OTHER, REQUEST, FIRED[0], request=OTHER)},
            ["fourth.requests", "fourth.request.told"],
            id="asked twice",
        ),
        pytest.param(
            {"book": book(FIRED[1], FIRED[0]), "trainings": []},
            [
                "fourth.requests",
                "fourth.trainings",
                "fourth.training.ended",
                "fourth.request.told",
                "fourth.request.windows",
                "fourth.request.features",
            ],
            id="never asked",
        ),
        pytest.param({"trainings": [TRAINING, TRAINING]}, ["fourth.trainings"], id="two Jobs"),
        pytest.param(
            {"trainings": [replace(TRAINING, ended="Failed")]}, ["fourth.training.ended"], id="a Job that failed"
        ),
        pytest.param(
            {"trainings": [replace(TRAINING, evidence=OTHER.model_dump_json(by_alias=True))]},
            ["fourth.request.told"],
            id="a Job that was told something else",
        ),
    ],
)
def test_each_promise_can_be_broken(changes: dict[str, Any], broken: list[str]) -> None:
    assert false(summer(**changes)) == broken


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        pytest.param({"looks": REQUEST.looks[-1:]}, "fourth.request.windows", id="one window alone"),
        pytest.param({"features": []}, "fourth.request.features", id="no feature"),
    ],
)
def test_a_request_names_what_it_rests_on(changes: dict[str, Any], figure: str) -> None:
    request = record(AlarmEvent.RETRAIN_REQUESTED, DRIFTED, **changes)
    told = replace(TRAINING, evidence=request.model_dump_json(by_alias=True))
    assert false(summer(book=book(FIRED[1], request, FIRED[0], request=request), trainings=[told])) == [figure]


def test_a_window_of_few_rows_is_neither_calm_nor_drifted() -> None:
    few = [replace(one, rows=99) for one in windows(lasting=(-1, 1))]
    assert false(summer(drift=few)) == ["fourth.calm", "fourth.drifted", "fourth.lateness.usual"]


def test_the_tables_say_what_drifted_and_what_it_rests_on() -> None:
    found = {title: rows for title, _, rows in tables(summer())}
    drifted, outcomes, said = found.values()
    assert drifted == [("departure_delay", "x", "distribution", "0.44", "0.25", "2 of 2", "yes")]
    assert [row[1:] for row in outcomes] == [
        ("spring", "300", "17.00 min", "17.00 min"),
        ("summer", "300", "26.60 min", "26.60 min"),
        ("summer", "300", "27.70 min", "27.70 min"),
    ]
    assert [row[:3] for row in said] == [
        ("Fired", DRIFTED, f"{2 * SECONDS + 2} s"),
        ("RetrainRequested", DRIFTED, f"{2 * SECONDS + 2} s"),
        ("Fired", WORSE, f"{2 * SECONDS + 4} s"),
        ("Job", TRAINING.name, "Complete"),
    ]
