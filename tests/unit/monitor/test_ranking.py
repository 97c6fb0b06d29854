"""Ranking by click: what was shown at which place, and how often it was clicked."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import dcg_score, ndcg_score
from switchyard_contracts.model_deployment import Monitoring
from switchyard_contracts.windows import DAY_US
from switchyard_monitor import metrics
from switchyard_monitor.answers import RevisionQuality, quality
from switchyard_monitor.change_answers import ByDay
from switchyard_monitor.domain.cusum import days_of
from switchyard_monitor.domain.days import LAST_PLACE, add_to_day, discount
from switchyard_monitor.domain.entries import Arm, Cell
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.domain.scores import ONE
from switchyard_monitor.domain.sums import Sums
from switchyard_monitor.page.class_tables import places, rankings
from switchyard_monitor.segment_answers import NAMES, segments
from switchyard_testkit.monitor_world import MONITORING, SUBJECT, World, batch, outcome

OUTCOME = {**MONITORING["outcome"], "path": "$.delay", "affectedBy": "decision"}
SHOWN: dict[str, Any] = {
    "prediction": {"path": "$.delay", "task": "ranking"},
    "outcome": OUTCOME,
    "rows": {"request": "$.rows", "response": "$.answers"},
    "segments": [{"name": "kind", "path": "$.x", "values": ["a", "b"]}],
    "window": "5s",
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach(SHOWN)
    yield made
    made.store.close()


def line_of(world: World) -> RevisionQuality:
    arms = world.store.arms(SUBJECT)
    (line,) = quality(world.store.totals(arms), ByDay(world.store.day_totals(arms), (), None, 0.0))
    return line


def test_what_is_clicked_is_told_by_place(world: World) -> None:
    chance, rows = random.Random(1), []
    for request in range(80):
        kinds = [chance.choice("ab") for _ in range(4)]
        world.say(batch(f"p{request}", [1, 2, 3, 70], xs=kinds), at=1)
        for row, place in enumerate((1, 2, 3, 70)):
            clicked = chance.random() < 1 / (place + 1)
            world.say(outcome(f"p{request}", clicked, row=row, event_id=f"o{request}-{row}"), at=2)
            rows.append((place, kinds[row], clicked))
    world.run()
    frame = pd.DataFrame(rows, columns=["place", "kind", "clicked"])
    line = line_of(world)
    assert line.ranking is not None
    assert (line.ranking.shown, line.ranking.clicked) == (320, frame["clicked"].sum())
    assert line.at_age.accuracy == frame["clicked"].mean()
    assert line.at_age.accuracy_lower is not None
    assert (line.at_age.rmse, line.classes, line.scores) == (None, None, None)
    assert line.ranking.mean_place == pytest.approx(frame[frame["clicked"]]["place"].mean())
    found = {one.place: (one.shown, one.clicked) for one in line.ranking.places}
    assert found == {
        min(place, LAST_PLACE): (len(held), held["clicked"].sum()) for place, held in frame.groupby("place")
    }
    assert [row[2] for row in places([line], {}).rows] == ["1", "2", "3", "50 and further"]
    (told,) = segments(world.store.days(world.store.arms(SUBJECT), names=NAMES))
    assert {part.part: part.accuracy for part in told.features[0].parts} == frame.groupby("kind")[
        "clicked"
    ].mean().to_dict()
    (day,) = days_of(world.store.days(world.store.arms(SUBJECT)), coverage=0.8)
    assert day.mean == pytest.approx(1 - frame["clicked"].mean())


def play_lists(world: World, clicks: Any) -> Any:
    """150 lists of five; whether each place of each was clicked."""
    played = np.array([clicks(i) for i in range(150)])
    for request, row in enumerate(played):
        world.say(batch(f"p{request}", [1, 2, 3, 4, 5], xs=["a"] * 5), at=1)
        for place, clicked in enumerate(row):
            world.say(outcome(f"p{request}", bool(clicked), row=place, event_id=f"o{request}-{place}"), at=2)
    world.run()
    return played


SHOWN_FIRST = np.tile([5.0, 4.0, 3.0, 2.0, 1.0], (150, 1))


@pytest.mark.rule("check-ranking-by-click")
def test_of_lists_with_one_click_at_most_mrr_and_ndcg_are_those_of_the_lists(world: World) -> None:
    chance = np.random.default_rng(2)
    played = play_lists(world, lambda _: np.eye(6)[chance.choice(6, p=[0.3, 0.2, 0.15, 0.1, 0.05, 0.2])][:5])
    ranking = line_of(world).ranking
    assert ranking is not None
    assert (ranking.lists, ranking.clicked) == (150, played.sum())
    places = played.argmax(1) + 1
    reciprocal = np.where(played.any(1), 1 / places, 0.0)
    assert ranking.mrr.value == pytest.approx(reciprocal.mean(), abs=1e-6)
    clicked = played.any(1)
    assert ranking.ndcg.value == pytest.approx(ndcg_score(played[clicked], SHOWN_FIRST[clicked]), abs=1e-5)
    assert ranking.dcg.value == pytest.approx(dcg_score(played, SHOWN_FIRST), abs=1e-5)
    half = 1.96 * reciprocal.std() / 150**0.5
    assert ranking.mrr.lower == pytest.approx(reciprocal.mean() - half, abs=0.5 * half)
    assert ranking.mrr.upper == pytest.approx(reciprocal.mean() + half, abs=0.5 * half)
    told = {name: value for name, _, value in metrics._judged(line_of(world))}
    assert told["switchyard_outcome_mrr_ratio"] == ranking.mrr.value
    assert told["switchyard_outcome_ndcg_ratio"] == ranking.ndcg.value
    assert rankings([line_of(world)], {}).rows[0][2:4] == ("150", str(round(played.sum())))


def test_of_lists_with_more_clicks_dcg_is_theirs_and_each_click_counts_for_itself(world: World) -> None:
    chance = np.random.default_rng(3)
    played = play_lists(world, lambda _: chance.random(5) < [0.6, 0.5, 0.4, 0.3, 0.2])
    ranking = line_of(world).ranking
    assert ranking is not None
    assert ranking.dcg.value == pytest.approx(dcg_score(played, SHOWN_FIRST), abs=1e-5)
    assert ranking.mrr.value == pytest.approx((played / [1, 2, 3, 4, 5]).sum() / 150, abs=1e-6)
    gains = 1 / np.log2(np.arange(2, 7))
    assert ranking.ndcg.value == pytest.approx((played * gains).sum() / played.sum(), abs=1e-5)


@pytest.mark.parametrize("place", [1, 2, 3, 7, 49, 999_999, 1_000_000])
def test_a_discount_is_that_of_its_definition(place: int) -> None:
    assert discount(place) / ONE == pytest.approx(1 / math.log2(place + 1), abs=2e-6)


def test_a_click_that_comes_in_time_takes_the_place_of_none(world: World) -> None:
    world.say(batch("a", [1, 2], xs=["a", "b"]), at=1)
    world.say(outcome("a", 0), at=2)
    world.run()
    world.say(outcome("a", 1, revision=1), at=3)
    world.say(outcome("a", "perhaps", revision=2), at=3)
    world.run()
    line = line_of(world)
    assert line.ranking is not None
    assert (line.judged, line.ranking.shown, line.ranking.clicked) == (1, 1, 1)
    assert world.ledger() == {"stored": 2, "superseded": 1, "invalid": 1}


def test_what_is_no_place_is_no_prediction(world: World) -> None:
    world.say(batch("a", [0, 1.5, "first", 3], xs=["a"] * 4), at=1)
    world.run()
    assert line_of(world).predictions == 1


def test_what_was_added_is_taken_out_again() -> None:
    rule, day = Rule("demo/m", task="ranking", outcome="$"), Sums()
    for sign in (1, -1):
        for place, clicked in ((1.0, 1.0), (2.0, 0.0), (10.0**9, 1.0)):
            add_to_day(day, rule, place, clicked, sign, fold=0)
    assert not any(day.values())


def test_what_was_no_ranking_once_is_none_of_its_places() -> None:
    before = Rule(SUBJECT, task="regression", outcome="$.delay")
    now = Rule(SUBJECT, task="ranking", outcome="$.clicked")
    sums: list[Sums] = [{}, {}]
    for _ in range(40):
        add_to_day(sums[0], before, 7.0, 9.0, 1, fold=0)
        add_to_day(sums[1], now, 2.0, 1.0, 1, fold=0)
    days = [
        Cell(Arm(place, "r", "stable", 3, 10_000, "split"), rule, 0, named)
        for place, (rule, named) in enumerate(zip((before, now), sums, strict=True), start=1)
    ]
    (line,) = quality(days, ByDay(days, days, 3 * DAY_US, 0.8, now))
    assert line.ranking is not None
    assert (line.ranking.shown, line.ranking.clicked, line.ranking.mean_place) == (40, 40, 2.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"outcome": {**OUTCOME, "affectedBy": "nothing"}}, "depends on what was shown"),
        ({"decision": {"path": "$.x"}}, "nobody decides"),
        ({"prediction": {**SHOWN["prediction"], "positive": "a"}}, "only where task is classification"),
    ],
)
def test_what_a_ranking_has_none_of_is_said(change: dict[str, Any], words: str) -> None:
    assert Monitoring.model_validate(SHOWN)
    with pytest.raises(ValidationError, match=words):
        Monitoring.model_validate(SHOWN | change)
