"""Who was right on the page and in answers: only where an outcome can say so, and in words that hold."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from switchyard_monitor.answers import quality
from switchyard_monitor.domain.entries import Arm, Cell
from switchyard_monitor.domain.rules import Rule
from switchyard_testkit.monitor_world import MONITORING, SUBJECT, decision, inference, outcome
from switchyard_testkit.page_world import PageWorld

HOME = "http://monitor"
OUTCOME: dict[str, Any] = MONITORING["outcome"]
NEARNESS = MONITORING | {"decision": {"path": "$.buffer"}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PageWorld]:
    made = PageWorld(tmp_path)
    yield made
    made.close()


def told(world: PageWorld, monitoring: Mapping[str, Any], decided: Any) -> None:
    """A prediction of 20, decided about, and an outcome of 30."""
    world.publish(SUBJECT, monitoring, stable="stable-1")
    world.world.say(inference("p", y=20.0), at=1)
    world.world.say(decision("p", decided), at=2)
    world.world.say(outcome("p", 30.0), at=3)
    world.catch_up()


def page(world: PageWorld) -> str:
    browser = TestClient(world.app(), base_url=HOME)
    browser.post("/page/login", data={"token": "all"}, headers={"origin": HOME})
    found = browser.get(f"/page/deployments/{SUBJECT}").text
    (section,) = re.findall(r'<section id="people".*?</section>', found, re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", section)))


def answer(world: PageWorld) -> dict[str, Any]:
    client = TestClient(world.app(), base_url=HOME, headers={"authorization": "Bearer all"})
    (line,) = client.get(f"/v1/deployments/{SUBJECT}/quality").json()
    found: dict[str, Any] = line
    return found


def test_where_decisions_change_what_happens_nobody_is_said_to_have_been_right(world: PageWorld) -> None:
    told(world, MONITORING | {"outcome": OUTCOME | {"affectedBy": "decision"}}, decided=False)
    found = page(world)
    assert "What people decide changes what happens here" in found
    assert "Prediction right" not in found
    assert "Decisions that followed the prediction" in found, "what they did is said all the same"
    assert (answer(world)["right"], answer(world)["rightByActor"]) == (None, {})


def test_where_they_do_not_it_is_said(world: PageWorld) -> None:
    told(world, MONITORING, decided=False)
    assert "Prediction right" in page(world)
    assert answer(world)["right"]["model"] == 1


def test_a_number_is_nearer_and_not_right(world: PageWorld) -> None:
    told(world, NEARNESS, decided=90.0)
    found = page(world)
    assert "Prediction nearer" in found
    assert "right" not in found.partition("Who was nearer, the model or who decided")[2].lower()


def test_what_was_counted_before_there_were_such_counts_and_is_taken_out_now_breaks_nothing() -> None:
    """An amended outcome takes its first contribution out, of which an older release had counted no part."""
    arm = Arm(1, "r", "stable", 1, 10_000, "split")
    sums = {
        "predictions": 3,
        "who.differ": 1,
        "who.model": 2,
        "who.decider": -1,
        "dec.n:human": 3,
        "who.model:human": -1,
    }
    (line,) = quality([Cell(arm, Rule(SUBJECT, task="regression"), 0, sums)])
    assert line.right is not None
    assert (line.right.model, line.right.decider, line.right.share) == (2, 0, 1.0)
    assert line.right_by_actor["human"].model == 0
