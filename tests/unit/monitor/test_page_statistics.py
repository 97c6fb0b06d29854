"""What the page says of classes, scores, segments, places and days that become worse."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from switchyard_monitor.class_answers import Estimate
from switchyard_monitor.page import units
from switchyard_monitor.page.class_tables import verdict
from switchyard_monitor.page.deployment import GENERATIONS
from switchyard_testkit.monitor_world import CLASSES, MONITORING, SECOND, SUBJECT, batch, classified, outcome
from switchyard_testkit.page_world import PageWorld

HOME = "http://monitor"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PageWorld]:
    made = PageWorld(tmp_path)
    yield made
    made.close()


def shown(world: PageWorld) -> str:
    """The deployment's page."""
    browser = TestClient(world.app(), base_url=HOME)
    browser.post("/page/login", data={"token": "all"}, headers={"origin": HOME})
    answer = browser.get(f"/page/deployments/{SUBJECT}")
    assert answer.status_code == 200
    return answer.text


def rows(page: str, caption: str) -> list[list[str]]:
    """The rows of the table whose caption begins so, its headings first."""

    def words(text: str) -> str:
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", text))).strip()

    found = next(held for held in re.findall(r"<table.*?</table>", page, re.S) if words(held).startswith(caption))
    return [
        [words(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
        for row in re.findall(r"<tr.*?</tr>", found, re.S)
    ]


def test_classes_scores_and_what_they_promise_are_told(world: PageWorld) -> None:
    spoken: dict[str, Any] = {
        **CLASSES,
        "prediction": {**CLASSES["prediction"], "classes": ["late", HOSTILE]},
        "segments": [{"name": "x", "path": "$.x", "values": [HOSTILE]}],
    }
    world.publish(SUBJECT, spoken)
    chance = random.Random(1)
    for place in range(200):
        score = chance.random()
        said, happened = ("late" if sure else HOSTILE for sure in (score >= 0.5, chance.random() < score))
        world.world.say(classified(f"p{place}", said, score, x=HOSTILE), at=1)
        if place:
            world.world.say(outcome(f"p{place}", happened), at=2)
    world.catch_up()
    page = shown(world)
    assert HOSTILE not in page
    headings, late, other = rows(page, "Classes at age L")
    assert headings[2:6] == ["Class", "Happened", "Said", "Precision"]
    assert (late[2], other[2]) == ("late", HOSTILE)
    assert re.fullmatch(r"\d\d(\.\d)? % \(\d\d(\.\d)? % to \d\d(\.\d)? %\)", late[5])
    assert late[-1].startswith(HOSTILE), "what it was mostly taken for"
    (_, scores) = rows(page, "Scores beside what happened")
    assert scores[2] == "199"
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", scores[3])
    (_, promise) = rows(page, "Quality that scores promise")
    assert (promise[2], promise[6], promise[-1]) == ("200", "199", "no more than chance")
    assert "held no number" not in page
    (_, part) = rows(page, "Quality by parts of X")
    assert part[2:6] == ["x", HOSTILE, "200", "199"]


def test_predictions_without_a_score_are_told_where_one_is_said(world: PageWorld) -> None:
    world.publish(SUBJECT, CLASSES)
    world.world.say(classified("a", "late", 80), at=1)
    world.catch_up()
    assert "1 of 1 predictions held no number from 0 to 1" in shown(world).replace("\u00a0", " ")
    world.world.say(classified("b", "late", 0.8), at=1)
    world.catch_up()
    assert "1 of 2 predictions held no number from 0 to 1" in shown(world).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Estimate(n=9, accuracy=0.5), "no outcome yet"),
        (Estimate(n=9, accuracy=0.5, judged=9, gap_z=-1.9), "no more than chance"),
        (Estimate(n=9, accuracy=0.5, judged=9), "no more than chance"),
        (Estimate(n=9, accuracy=0.5, judged=9, gap_z=-2.0), "calibration or concept"),
    ],
)
def test_a_gap_is_calibration_or_concept_and_never_one_of_them(found: Estimate, words: str) -> None:
    assert verdict(found) == words


def test_what_was_clicked_is_told_by_place(world: PageWorld) -> None:
    spoken: dict[str, Any] = {
        "prediction": {"path": "$.delay", "task": "ranking"},
        "outcome": {**MONITORING["outcome"], "affectedBy": "decision"},
        "rows": {"request": "$.rows", "response": "$.answers"},
        "window": "5s",
    }
    world.publish(SUBJECT, spoken)
    world.world.say(batch("a", [1, 2]), at=1)
    for row in range(2):
        world.world.say(outcome("a", row, row=row, event_id=f"o{row}"), at=2)
    world.catch_up()
    page = shown(world)
    assert [row[2:6] for row in rows(page, "What was clicked")[1:]] == [
        ["1", "1", "0", "0 %"],
        ["2", "1", "1", "100 %"],
    ]
    assert "Share clicked" in rows(page, "Quality against outcomes")[0]


def test_days_are_told_of_all_generations_that_a_revision_had(world: PageWorld) -> None:
    world.publish(SUBJECT, CLASSES | {"segments": [{"name": "x", "path": "$.x", "values": ["a"]}]})
    days = GENERATIONS + 6
    for day in range(days):
        for place in range(40):
            name, at = f"p{day}-{place}", day * 86_400 + 1
            said = classified(name, "late", 0.9, x="a", at=at, traffic=day + 1)
            world.world.say(said, at=at)
            world.world.say(outcome(name, "late" if place > day % 3 else "early", at=at + 1), at=at + 1)
        world.world.now_us += 86_400 * SECOND
    world.catch_up()
    page = shown(world)
    assert f"generations 7 to {days} of its route; older ones are left out" in page
    (_, line) = rows(page, "Whether days have become worse")
    assert line[2] == str(days - 1), "the newest is not over"
    said = html.unescape(page)
    assert "Accuracy by day, judged at age L" in said
    (_, *told) = rows(page, "Accuracy by day")
    assert [line[1] for line in told[:3]] == ["97.5 %", "95 %", "92.5 %"]
    assert len(told) == days - 1
    (_, *covered) = rows(page, "Coverage by day")
    assert {line[1] for line in covered} == {"100 %"}
    (_, part) = rows(page, "Quality by parts of X")
    assert part[4] == units.count(40 * days)


def test_of_numbers_without_segments_nothing_of_this_is_shown(world: PageWorld) -> None:
    world.publish(SUBJECT)
    world.catch_up()
    page = shown(world)
    for caption in ("Classes at age L", "Scores beside", "Quality that scores", "Quality by parts", "What was clicked"):
        assert caption not in page
