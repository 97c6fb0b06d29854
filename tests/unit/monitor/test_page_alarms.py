"""Alarms on the page: how each rule stands, and what was said."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from switchyard_contracts.alarm_records import AlarmBook, AlarmEvent, AlarmRecord, DriftedFeature
from switchyard_monitor.page.alarms import alarms
from switchyard_testkit.alarm_world import STABLE, rule, watched
from switchyard_testkit.monitor_world import NOON, SUBJECT, inference
from switchyard_testkit.page_world import PageWorld

HOME = "http://monitor"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PageWorld]:
    made = PageWorld(tmp_path)
    yield made
    made.close()


def look(world: PageWorld) -> str:
    browser = TestClient(world.app(), base_url=HOME)
    browser.post("/page/login", data={"token": "all"}, headers={"origin": HOME})
    answer = browser.get(f"/page/deployments/{SUBJECT}")
    assert answer.status_code == 200
    (section,) = re.findall(r'<section id="alarms".*?</section>', answer.text, re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", section))).strip()


def ask(world: PageWorld, window: int, *, failing: int) -> None:
    for place in range(10):
        at = window * 5.0 + place * 0.5
        failed = {"status": 503, "error": True} if place < failing else {}
        world.world.say(inference(f"{window}-{place}", at=at, **failed), at=at)


def test_without_rules_it_says_how_to_have_one(world: PageWorld) -> None:
    world.publish(SUBJECT, stable=STABLE)
    world.catch_up()
    assert "No rule watches this deployment: monitoring.alarms names none." in look(world)


def test_a_rule_that_nothing_was_judged_by_is_not_quiet(world: PageWorld) -> None:
    world.publish(SUBJECT, watched(rule("errors", "error_rate", max="10%")), stable=STABLE)
    world.world.run()
    assert "errors error_rate Nothing judged yet" in look(world)


def test_a_rule_whose_windows_have_too_little_says_so_and_is_not_quiet(world: PageWorld) -> None:
    world.publish(SUBJECT, watched(rule("errors", "error_rate", max="10%", minSamples=500)), stable=STABLE)
    ask(world, 0, failing=0)
    world.world.pass_time(10)
    world.catch_up()
    said = look(world)
    assert "errors error_rate No data" in said
    assert "no data: none yet" not in said


def test_a_rule_that_fires_says_since_when_and_by_what_windows(world: PageWorld) -> None:
    world.publish(SUBJECT, watched(rule("errors", "error_rate", max="10%", of=2)), stable=STABLE)
    ask(world, 0, failing=0)
    ask(world, 1, failing=5)
    world.world.pass_time(10)
    world.catch_up()
    world.catch_up()
    said = look(world)
    assert said.startswith("Alarms 1 firing How each rule stands")
    assert "Firing since 2026-03-01 12:00:" in said
    assert "2026-03-01 12:00 within: 0 %" in said.replace("\u00a0", " ")
    assert "2026-03-01 12:00:05 beyond: 50 %" in said.replace("\u00a0", " ")
    assert "Fired errors" in said


def test_a_drift_names_the_worst_features_and_how_many_more() -> None:
    features = [
        DriftedFeature(feature=f"f{n}", side="X", aspect="distribution", effect=1.0, usual=0.1) for n in range(7)
    ]
    record = AlarmRecord(
        id="a", event=AlarmEvent.FIRED, namespace="demo", name="m", alarm="drift", metric="drift", at=NOON,
        features=features,
    )  # fmt: skip
    (entry,) = alarms(AlarmBook(deployment="demo/m", records=[record])).entries
    assert entry.features[0] == "f0 (distribution 1, usual up to 0.100)"
    assert entry.features[-1] == "and 2 more"
    assert len(entry.features) == 6
