"""Paired evidence: the same requests computed once more with numpy, and judged by the shared verdicts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from scipy import stats
from switchyard_contracts.evidence import ArmSums, Evidence, PairBlock
from switchyard_contracts.model_deployment import Metric
from switchyard_contracts.verdicts import Budget, Verdict, judge
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token, Tokens
from switchyard_monitor.domain.paired import difference
from switchyard_monitor.health import Health
from switchyard_monitor.metrics import MonitorCollector
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON,
    NOON_US,
    ROWS,
    SECOND,
    World,
    batch,
    inference,
    mirrored,
    outcome,
)

BASE = "/v1/deployments/demo/flight-delay"
BUDGET = Budget(alpha_promote=0.025, alpha_guard=0.0125, alpha_rollback=0.0125)
OUTCOME = Metric.model_validate(
    {"name": "outcome", "metric": "outcome.rmse", "role": "decide", "maxIncrease": "5%", "minSamples": 400}
)
BLOCK, BLOCKS, EACH = 10, 9, 100
"""Seconds, and pairs in each."""


@dataclass
class Played:
    """What was played, by block and pair."""

    mine: Any
    other: Any
    """Errors."""
    slower: Any


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.teach()
    yield made
    made.store.close()


@pytest.fixture
def client(world: World) -> TestClient:
    registry = CollectorRegistry()
    health = Health(lambda: 0.0)
    registry.register(MonitorCollector(store=world.store, health=health, drifting=world.drifting()))
    token = Token(name="operator", sha256=hashlib.sha256(b"all").hexdigest(), deployments=["*"])
    app = create_app(store=world.store, models=world.models, tokens=Tokens([token]), health=health, registry=registry)
    return TestClient(app, headers={"Authorization": "Bearer all"})


def always(_: int) -> bool:
    return True


def never(_: int) -> bool:
    return False


def play(
    world: World,
    *,
    noise: float,
    weight: int = 10_000,
    mirror: int = 10_000,
    sends: Callable[[int], bool] = always,
    answers: Callable[[int], bool] = always,
    blocks: int = BLOCKS,
) -> Played:
    """Stable answers 100 requests in every block of 10 s, which are mirrored to a candidate with that much noise."""
    chance = np.random.default_rng(3)
    errors = np.zeros((2, blocks, EACH))
    slower = np.zeros((blocks, EACH))
    for i in range(blocks * EACH):
        at = i * BLOCK / EACH
        truth, hard = float(chance.normal(10, 30)), float(chance.normal(0, 20))
        place = divmod(i, EACH)
        stable, its = truth + hard + float(chance.normal(0, 2)), truth + noise * hard + float(chance.normal(0, 2))
        errors[0][place], errors[1][place] = its - truth, stable - truth
        first, second = int(chance.lognormal(8, 0.5)), int(chance.lognormal(8.2, 0.5))
        slower[place] = (second - first) / 1e6
        world.say(inference(f"p{i}", y=stable, at=at, latencyUs=first, weightBp=weight), at=at)
        if sends(i):
            failed = {} if answers(i) else {"status": 500, "error": True}
            late = at + 0.01
            world.say(mirrored(f"p{i}", y=its, at=late, latencyUs=second, weightBp=mirror, **failed), at=late)
        world.say(outcome(f"p{i}", truth, at=at), at=at + 2)
    read_all(world, blocks * BLOCK + 60)
    return Played(errors[0], errors[1], slower)


def read_all(world: World, now: float) -> None:
    """At so many seconds past noon, and again when what waited may be done."""
    world.now_us = NOON_US + round(now * SECOND)
    world.run()
    world.pass_time(2)
    world.run()


def ask(client: TestClient, metric: str = "outcome.rmse", **params: Any) -> Evidence:
    query = {"metric": metric, "revision": "next-2", "against": "stable-1", "traffic": "3", "block": "10s", **params}
    answer = client.get(f"{BASE}/evidence", params={name: value for name, value in query.items() if value})
    assert answer.status_code == 200, answer.text
    return Evidence.model_validate(answer.json())


@pytest.mark.parametrize(("metric", "power"), [("outcome.rmse", 2), ("outcome.mse", 2), ("outcome.mae", 1)])
def test_blocks_agree_with_numpy(world: World, client: TestClient, metric: str, power: int) -> None:
    played = play(world, noise=0.5, blocks=11)
    found = ask(client, metric)
    pairs = found.paired
    assert pairs is not None
    assert found.cap is not None
    assert (len(pairs.blocks), pairs.seen, pairs.judged, pairs.expected) == (11, 1100, 1100, 1100.0)
    assert (pairs.coverage, pairs.overflow, pairs.pending) == (1.0, 0.0, 0)
    d = np.abs(played.mine) ** power - np.abs(played.other) ** power
    for index, block in enumerate(pairs.blocks):
        assert (block.pairs, block.candidate.n, block.stable.n) == (100, 100, 100)
        assert block.difference == pytest.approx(d[index].sum(), rel=1e-6)
        assert block.difference_squares == pytest.approx((d[index] ** 2).sum(), rel=1e-6)
        capped = [np.minimum(np.abs(errors[index]), found.cap) ** power for errors in (played.mine, played.other)]
        assert block.candidate.loss == pytest.approx(capped[0].sum(), rel=5e-3)
        assert block.stable.loss == pytest.approx(capped[1].sum(), rel=5e-3)
    assert pairs.difference == pytest.approx(d.mean(), rel=1e-6)
    lost = (np.minimum(np.abs(played.other), found.cap) ** power).sum(1)
    units = (lost**2).sum() ** 2 / (lost**4).sum()
    assert 8 < units < 11
    half = stats.t.ppf(0.975, units - 1) * d.sum(1).std(ddof=1) * 11**0.5 / d.size
    assert pairs.lower == pytest.approx(pairs.difference - half, rel=2e-2)
    assert pairs.upper == pytest.approx(pairs.difference + half, rel=2e-2)
    assert pairs.rate_per_second == pytest.approx(10.0)


def day(index: int, *, lost: float, difference: float) -> PairBlock:
    start = NOON + timedelta(days=index)
    return PairBlock(
        start=start, traffic=3, candidate=ArmSums(n=100), stable=ArmSums(n=100, loss=lost), difference=difference
    )


@pytest.mark.parametrize(
    ("lost", "units"),
    [
        pytest.param([5.0] * 8, 8.0, id="days that are alike"),
        pytest.param([0.0] * 8, 8.0, id="days on which nothing was lost"),
        pytest.param([5.0] * 4 + [0.0] * 4, 4.0, id="days of which half say nothing"),
        pytest.param([50.0, 40.0] + [1.0] * 6, 1.9, id="two storms, which are too few"),
        pytest.param([5.0], 1.0, id="one day"),
    ],
)
def test_a_storm_is_one_day_however_many_calm_ones_there_are(lost: list[float], units: float) -> None:
    blocks = [day(at, lost=each, difference=each * (-1) ** at + at) for at, each in enumerate(lost)]
    mean, interval = difference(blocks)
    d = np.array([block.difference for block in blocks])
    assert mean == pytest.approx(d.mean() / 100)
    if units < 2:
        assert interval is None
        return
    assert interval is not None
    half = stats.t.ppf(0.975, units - 1) * d.std(ddof=1) * len(d) ** 0.5 / (100 * len(d))
    assert (interval[1] - interval[0]) / 2 == pytest.approx(half, rel=5e-2)


def test_values_are_uncapped_and_in_the_metrics_own_unit(world: World, client: TestClient) -> None:
    played = play(world, noise=0.5, blocks=11)
    pairs = ask(client).paired
    assert pairs is not None
    assert pairs.value == pytest.approx(float(np.sqrt((played.mine**2).mean())), rel=1e-6)
    assert pairs.against_value == pytest.approx(float(np.sqrt((played.other**2).mean())), rel=1e-6)


@pytest.mark.parametrize(
    ("noise", "verdict"),
    [
        pytest.param(0.5, Verdict.PASS, id="a candidate with half the error"),
        pytest.param(1.05, Verdict.INCONCLUSIVE, id="one at the margin"),
        pytest.param(1.6, Verdict.FAIL, id="a worse one"),
    ],
)
def test_the_shared_verdicts_judge_it(world: World, client: TestClient, noise: float, verdict: Verdict) -> None:
    play(world, noise=noise, blocks=11)
    found = judge(OUTCOME, ask(client), budget=BUDGET, min_coverage=0.8)
    assert found.paired
    assert found.verdict == verdict, found.message
    assert found.samples == 1100


def test_a_block_counts_when_it_is_over_and_its_last_prediction_is_old_enough(world: World, client: TestClient) -> None:
    for i in range(30):
        world.say(inference(f"p{i}", at=i), at=i)
        world.say(mirrored(f"p{i}", at=i), at=i)
    for now, seen, blocks in ((29, 0, 0), (30, 10, 1), (39, 10, 1), (40, 20, 2), (50, 30, 3)):
        world.now_us = NOON_US + now * SECOND
        world.run()
        pairs = ask(client, "outcome.accuracy").paired
        assert pairs is not None
        assert (pairs.seen, pairs.pending, len(pairs.blocks)) == (seen, 30 - seen, blocks)
        assert pairs.expected == seen


def test_without_a_cap_there_are_pairs_but_no_blocks(world: World, client: TestClient) -> None:
    play(world, noise=0.5, blocks=8)
    found = ask(client)
    assert found.paired is not None
    assert (found.paired.seen, found.paired.blocks) == (800, [])
    said = judge(OUTCOME, found, budget=BUDGET, min_coverage=0.8)
    assert (said.verdict, said.message) == (
        Verdict.NO_DATA,
        "the loss cap needs 1,000 judged errors of stable, 800 are there",
    )


def test_a_block_is_as_long_as_the_spec_says_unless_asked_otherwise(world: World, client: TestClient) -> None:
    play(world, noise=0.5, blocks=1)
    default, shorter = ask(client, block=None).paired, ask(client, block="1s").paired
    assert default is not None
    assert shorter is not None
    assert default.block_seconds == 86_400
    assert shorter.block_seconds == 5, "never shorter than a window"
    answer = client.get(f"{BASE}/evidence?metric=outcome.rmse&revision=a&against=b&traffic=3&block=soon")
    assert answer.status_code == 422


def test_what_the_mirror_let_fall_is_told_from_what_failed(world: World, client: TestClient) -> None:
    play(world, noise=0.5, sends=lambda i: i % 20 != 0, answers=lambda i: i % 10 != 1, blocks=11)
    pairs = ask(client).paired
    assert pairs is not None
    assert (pairs.expected, pairs.seen, pairs.unanswered) == (1100.0, 935, 110)
    assert pairs.coverage == pytest.approx(0.85)
    assert pairs.overflow == pytest.approx(0.05)
    said = judge(OUTCOME, ask(client), budget=BUDGET, min_coverage=0.8)
    assert (said.verdict, said.reason) == (Verdict.FAIL, "PairsMissing")
    assert "left 110 of 1,045 copies" in said.message


def test_what_only_the_mirror_let_fall_is_nobodys_failure(world: World, client: TestClient) -> None:
    play(world, noise=0.5, sends=lambda i: i % 20 != 0, blocks=11)
    said = judge(OUTCOME, ask(client), budget=BUDGET, min_coverage=0.8)
    assert (said.verdict, said.reason) == (Verdict.INCONCLUSIVE, "MirrorOverflow")


def test_a_mirrored_sample_is_expected_to_cover_its_share(world: World, client: TestClient) -> None:
    """Stable has 80 % of the traffic, and 40 % of the traffic is mirrored: half of stable's requests."""
    play(world, noise=0.5, weight=8000, mirror=4000, sends=lambda i: i % 2 == 0, blocks=11)
    pairs = ask(client).paired
    assert pairs is not None
    assert (pairs.expected, pairs.seen) == (550.0, 550)
    assert pairs.spread == pytest.approx(275.0)


def test_a_mirror_that_is_wholly_dead_is_missed_where_it_was_to_be_on(world: World, client: TestClient) -> None:
    play(world, noise=0.5, sends=never, blocks=11)
    assert ask(client).paired is None
    pairs = ask(client, mirrored="3").paired
    assert pairs is not None
    assert (pairs.expected, pairs.seen, pairs.overflow) == (1100.0, 0, 1.0)
    assert ask(client, mirrored="7").paired is None


def test_a_mirror_that_has_just_begun_is_waited_for(world: World, client: TestClient) -> None:
    world.run()
    assert ask(client).paired is None
    found = ask(client, mirrored="3").paired
    assert found is not None
    assert (found.expected, found.seen, found.pending, found.blocks) == (0.0, 0, 0, [])
    world.say(mirrored("a", status=500, error=True), at=1)
    world.run()
    assert ask(client).paired is not None


def test_classes_are_compared_by_wrong_answers(world: World, client: TestClient) -> None:
    world.teach(
        {**MONITORING, "prediction": {"path": "$.delay", "task": "classification"}, "decision": {"path": "$.buffer"}}
    )
    chance = np.random.default_rng(4)
    wrong = chance.random((2, 80)) < np.array([[0.1], [0.5]])
    for i in range(80):
        said = ["early" if hit else "late" for hit in wrong[:, i]]
        world.say(mirrored(f"p{i}", y=said[0], at=i), at=i)
        world.say(inference(f"p{i}", y=said[1], at=i), at=i)
        world.say(outcome(f"p{i}", "late", at=i), at=i)
    read_all(world, 200)
    pairs = ask(client, "outcome.accuracy").paired
    assert pairs is not None
    by_block = wrong.reshape(2, 8, 10)
    assert [block.candidate.failures for block in pairs.blocks] == by_block[0].sum(1).tolist()
    assert [block.stable.failures for block in pairs.blocks] == by_block[1].sum(1).tolist()
    d = by_block[0].astype(int) - by_block[1].astype(int)
    assert [block.difference for block in pairs.blocks] == d.sum(1).tolist()
    assert [block.difference_squares for block in pairs.blocks] == (d**2).sum(1).tolist()
    assert (pairs.value, pairs.against_value) == (1 - wrong[0].mean(), 1 - wrong[1].mean())
    (line,) = client.get(f"{BASE}/pairs").json()
    assert line["agreement"] == (wrong[0] == wrong[1]).mean()
    assert line["atAge"]["onlyMirroredRight"] == (~wrong[0] & wrong[1]).sum()
    assert line["atAge"]["onlyStableRight"] == (wrong[0] & ~wrong[1]).sum()
    assert line["atAge"]["lossDifference"] == pytest.approx(d.mean())


def test_pairs_of_other_generations_and_revisions_are_left_out(world: World, client: TestClient) -> None:
    play(world, noise=0.5, blocks=2)
    assert ask(client, traffic="4").paired is None
    assert ask(client, revision="other-3").paired is None
    assert ask(client, metric="error_rate").paired is None


def test_where_the_outcome_depends_on_what_was_decided_pairs_are_not_applicable(
    world: World, client: TestClient
) -> None:
    world.teach({**MONITORING, "outcome": {**MONITORING["outcome"], "affectedBy": "decision"}})
    play(world, noise=0.5, blocks=11)
    assert ask(client).paired is None
    assert client.get(f"{BASE}/pairs").json()[0]["pairs"] == 1100


def test_mirrored_exchanges_are_in_no_window_of_the_split(world: World, client: TestClient) -> None:
    play(world, noise=0.5, blocks=2)
    for metric in ("error_rate", "latency_p50", "outcome.coverage", "outcome.accuracy"):
        found = ask(client, metric)
        assert found.candidate.n == 0
        assert (found.candidate_coverage.predictions, found.pending) == (0, 0)
    assert ask(client, "error_rate").stable.n == 200


def test_pairs_are_counted_by_generation(world: World, client: TestClient) -> None:
    played = play(world, noise=0.5, answers=lambda i: i % 10 != 0, blocks=2)
    (line,) = client.get(f"{BASE}/pairs", params={"revision": "next-2", "traffic": "3"}).json()
    kept = np.arange(200).reshape(2, 100) % 10 != 0
    slower = played.slower[kept]
    assert (line["revision"], line["against"], line["traffic"]) == ("next-2", "stable-1", 3)
    assert (line["pairs"], line["expected"], line["coverage"], line["unanswered"]) == (180, 200.0, 0.9, 20)
    assert line["latencyDifference"] == pytest.approx(slower.mean(), rel=1e-6)
    assert line["latencyDifferenceP50"] == pytest.approx(float(np.median(slower)), rel=1 / 8)
    d = played.mine[kept] ** 2 - played.other[kept] ** 2
    for judged in (line["atAge"], line["latest"]):
        assert judged["n"] == 180
        assert judged["rmse"] == pytest.approx(float(np.sqrt((played.mine[kept] ** 2).mean())), rel=1e-6)
        assert judged["stableRmse"] == pytest.approx(float(np.sqrt((played.other[kept] ** 2).mean())), rel=1e-6)
        assert judged["lossDifference"] == pytest.approx(d.mean(), rel=1e-6)
        assert judged["lossDifferenceSd"] == pytest.approx(d.std(), rel=1e-6)
    apart = (played.mine - played.other)[kept]
    assert line["difference"] == pytest.approx(apart.mean(), abs=1e-5)
    assert line["differenceRms"] == pytest.approx(float(np.sqrt((apart**2).mean())), rel=1e-6)
    assert client.get(f"{BASE}/pairs", params={"revision": "other-3"}).json() == []
    assert client.get(f"{BASE}/pairs", params={"traffic": "4"}).json() == []


def test_a_revision_that_never_answered_has_a_line_too(world: World, client: TestClient) -> None:
    play(world, noise=0.5, answers=never, blocks=1)
    (line,) = client.get(f"{BASE}/pairs").json()
    assert (line["pairs"], line["expected"], line["coverage"], line["unanswered"]) == (0, 100.0, 0.0, 100)
    assert line["agreement"] is None


def test_prometheus_and_the_api_description_have_them(world: World, client: TestClient) -> None:
    played = play(world, noise=0.5, answers=lambda i: i % 10 != 0, blocks=2)
    text = client.get("/metrics").text
    labels = '{against="stable-1",deployment="demo/flight-delay",revision="next-2"}'
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("switchyard_pair"))
    assert float(lines[f"switchyard_pairs_total{labels}"]) == 180
    assert float(lines[f"switchyard_pair_judged{labels}"]) == 180
    assert float(lines[f"switchyard_pair_coverage_ratio{labels}"]) == pytest.approx(0.9)
    kept = np.arange(200).reshape(2, 100) % 10 != 0
    d = played.mine[kept] ** 2 - played.other[kept] ** 2
    assert float(lines[f"switchyard_pair_loss_difference{labels}"]) == pytest.approx(d.mean(), rel=1e-6)
    slower = float(lines[f"switchyard_pair_latency_difference_seconds{labels}"])
    assert slower == pytest.approx(played.slower[kept].mean(), rel=1e-6)
    assert 0 < float(lines[f"switchyard_pair_agreement_ratio{labels}"]) < 1
    described = client.get("/openapi.json").json()
    assert f"{BASE.replace('demo/flight-delay', '{namespace}/{name}')}/pairs" in described["paths"]
    assert "differenceSquares" in described["components"]["schemas"]["PairBlock"]["properties"]


def test_of_requests_of_many_rows_every_row_is_a_pair_and_every_request_a_copy(
    world: World, client: TestClient
) -> None:
    world.teach(ROWS)
    for i in range(20):
        world.say(batch(f"p{i}", [1.0] * 10, at=i / 10), at=i / 10)
        failed = {"status": 500, "error": True} if i < 3 else {}
        copy = batch(f"p{i}", [2.0] * 10, at=i / 10, role="shadow", revision="next-2", event_id=f"m{i}", **failed)
        world.say(copy, at=i / 10)
    read_all(world, 300)
    found = ask(client).paired
    assert found is not None
    assert (found.seen, found.expected) == (170, 200.0)
    assert (found.copies, found.unanswered) == (20, 3)
    assert found.overflow == 0.0


def test_what_the_capture_cut_short_or_asked_for_nothing_is_no_failure_of_the_copies(
    world: World, client: TestClient
) -> None:
    world.teach(ROWS)
    whole = {"encoding": "json", "value": {"answers": []}}
    cut = {"encoding": "none", "complete": False}
    for i in range(20):
        answers = {} if i >= 6 else {"response": cut if i < 3 else whole}
        asked = [] if 3 <= i < 6 else [1.0] * 10
        for more in ({}, {"role": "shadow", "revision": "next-2", "event_id": f"m{i}"}):
            world.say(batch(f"p{i}", asked, at=i / 10, **answers, **more), at=i / 10)
    read_all(world, 300)
    found = ask(client).paired
    assert found is not None
    assert (found.seen, found.expected) == (140, 140.0)
    assert (found.copies, found.unanswered) == (20, 0)


def test_rows_are_drawn_by_the_request(world: World, client: TestClient) -> None:
    world.teach(ROWS)
    for i in range(40):
        world.say(batch(f"p{i}", [1.0] * 10, at=i / 10, weightBp=10_000), at=i / 10)
        if i % 2:
            copy = {"role": "shadow", "revision": "next-2", "event_id": f"m{i}", "weightBp": 5_000}
            world.say(batch(f"p{i}", [2.0] * 10, at=i / 10, **copy), at=i / 10)
    read_all(world, 300)
    found = ask(client).paired
    assert found is not None
    assert (found.expected, found.seen) == (200.0, 200)
    assert found.spread == 40 * 10**2 * 0.5 * 0.5
