"""Numbers at the end of what floats can hold, as some systems write where nothing was measured: they stop nobody."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from switchyard_monitor.domain.drift_book import Page
from switchyard_monitor.domain.effects import wasserstein
from switchyard_monitor.domain.learning import DAY_US, Example, learn
from switchyard_monitor.domain.usual import Yardstick
from switchyard_monitor.page import units
from switchyard_profile import training
from switchyard_profile.profile import FeatureSums, Profile
from switchyard_profile.readings import Reading, quantile
from switchyard_testkit.monitor_world import MONITORING, SUBJECT, inference
from switchyard_testkit.page_world import PageWorld

FAR = 1.7e308
HOME = "http://monitor"
BASE = f"/v1/deployments/{SUBJECT}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PageWorld]:
    made = PageWorld(tmp_path)
    yield made
    made.close()


def columns(rows: int = 300) -> dict[str, list[float]]:
    return {
        "ends": [FAR if row % 2 else -FAR for row in range(rows)],
        "wide": [(-FAR, 0.0, FAR)[row % 3] for row in range(rows)],
        "y": [float(row % 7) for row in range(rows)],
    }


def test_how_far_values_moved_is_not_said_where_no_number_can() -> None:
    assert wasserstein([-FAR, FAR], [0, 1, 1, 0], [0, 0, 2, 0]) is None
    assert wasserstein([-FAR, FAR], [0, 1, 1, 0], [0, 1, 1, 0]) is None, "nought times infinity is no number"


def test_what_is_learnt_of_them_is_judged_and_kept() -> None:
    found = columns()
    examples = [
        Example("s", "r", row % 7 * DAY_US, row, row.to_bytes(16), row % 7 * DAY_US, {"ends": far, "prediction": 1.0})
        for row, far in enumerate(found["ends"])
    ]
    made = learn(examples)
    assert made is not None
    window = Profile.of(made.digest, made.binnings, {"ends": [FAR] * 100, "prediction": [1.0] * 100}, rows=100)
    page = Page.of(Yardstick(made), "r", window, start_us=0)
    (ends,) = [one for one in page.features if one.feature == "ends"]
    assert ends.told[1][0].effects is not None
    assert ends.told[1][0].effects.wasserstein is None


def test_what_is_read_of_them_is_a_number_or_nothing() -> None:
    made = training.reference(columns())
    for feature in made.features:
        sums = FeatureSums.of(feature.binning, [FAR, FAR, -FAR])
        reading = Reading.of(feature.binning, sums)
        said = [reading.mean, reading.deviation, *(quantile(feature.binning, sums, at / 10) for at in range(11))]
        assert all(number is None or math.isfinite(number) for number in said)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_shown_as_none(number: float) -> None:
    assert units.number(number) == units.NOTHING


def test_their_pages_and_answers_come(world: PageWorld) -> None:
    made = training.reference(columns(), options=training.Options(prediction="y"))
    world.world.store.keep_baseline(made.digest, made.to_bytes())
    world.publish(SUBJECT, MONITORING | {"reference": made.digest}, stable="stable-1")
    for row in range(60):
        request = {"encoding": "json", "value": {"ends": FAR, "wide": FAR if row % 2 else -FAR}}
        world.world.say(inference(f"p{row}", at=float(row), request=request), at=float(row))
    world.world.pass_time(86_400)
    world.catch_up()
    world.catch_up()
    browser = TestClient(world.app(), base_url=HOME)
    browser.post("/page/login", data={"token": "all"}, headers={"origin": HOME})
    for path in ("", "/features", "/feature?name=ends", "/feature?name=wide"):
        assert browser.get(f"/page/deployments/{SUBJECT}{path}").status_code == 200, path
    for path in ("profile", "drift?revision=stable-1"):
        assert browser.get(f"{BASE}/{path}", headers={"authorization": "Bearer all"}).status_code == 200, path
