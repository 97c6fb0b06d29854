"""Profiling: X and Y of what is served, counted once each in the reference's bins, and what is said of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token, Tokens
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain.profiling import Bins, Span, Watch
from switchyard_monitor.domain.usual import Aspect
from switchyard_monitor.health import Health
from switchyard_monitor.metrics import MonitorCollector
from switchyard_profile.binning import PREDICTION, Side
from switchyard_profile.profile import Profile
from switchyard_profile.reference import DAY_SECONDS, Reference
from switchyard_profile.training import Options, reference
from switchyard_testkit.local_broker import LocalBroker
from switchyard_testkit.monitor_world import (
    MONITORING,
    NOON_US,
    SECOND,
    SUBJECT,
    World,
    decision,
    deletion,
    inference,
    mirrored,
    outcome,
)

BASE = f"/v1/deployments/{SUBJECT}"
DAYS = 30
ROWS = 200


def rows_of(chance: np.random.Generator, rows: int = ROWS) -> list[dict[str, Any]]:
    """Some flights."""
    return [
        {"carrier": str(carrier), "distance": float(distance)}
        for carrier, distance in zip(
            chance.choice(["UA", "B6", "EV"], rows, p=[0.5, 0.3, 0.2]), chance.normal(1000.0, 300.0, rows), strict=True
        )
    ]


def learnt() -> Reference:
    """What a model was trained on: thirty days that ended before the world's noon."""
    chance = np.random.default_rng(1)
    rows = [row for _ in range(DAYS) for row in rows_of(chance)]
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in ("carrier", "distance")}
    columns["delay"] = [row["distance"] / 50.0 for row in rows]
    first = NOON_US // SECOND // DAY_SECONDS * DAY_SECONDS - 40 * DAY_SECONDS
    times = [first + at // ROWS * DAY_SECONDS for at in range(len(rows))]
    return reference(columns, times=times, options=Options(prediction="delay"))


REFERENCE = learnt()
WATCHED: dict[str, Any] = MONITORING | {"reference": REFERENCE.digest, "window": "5m"}


def world_of(path: Path, *, monitoring: Mapping[str, Any] = WATCHED, partitions: int = 1) -> World:
    """A world whose deployment names the reference, which was handed over."""
    world = World(path, broker=LocalBroker(partitions))
    world.teach(monitoring)
    world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    return world


def flight(prediction_id: str, x: Mapping[str, Any], *, y: Any = 20.0, **changes: Any) -> bytes:
    """One exchange about one flight, as BentoML's clients send it."""
    return inference(prediction_id, y=y, request={"encoding": "json", "value": {"flight": dict(x)}}, **changes)


def profiles(world: World) -> dict[tuple[str, str, int], Profile]:
    """All that was counted, by (revision, role, traffic)."""
    found: dict[tuple[str, str, int], Profile] = {}
    span = Span(subject=SUBJECT, baseline=REFERENCE.digest, since_us=0, until_us=2**62)
    whole = world.store.profiles(span)
    for key, profile in whole.items():
        place = key.revision, key.role, key.traffic
        found[place] = found[place].merge(profile) if place in found else profile
    return found


def counted(rows: Sequence[Mapping[str, Any]], answers: Sequence[Any]) -> Profile:
    """The same rows, counted at once."""
    columns = {name: [row.get(name) for row in rows] for name in ("carrier", "distance")}
    return Profile.of(REFERENCE.digest, REFERENCE.binnings, {**columns, PREDICTION: answers}, rows=len(rows))


anything = st.sampled_from(["UA", "XX", 1, None]), st.one_of(st.none(), st.floats(-5e3, 5e3), st.just("far"))


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(*anything, st.floats(-50, 50), st.integers(0, 900)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.integers(1, 3),
)
def test_any_order_duplication_and_partition_gives_the_same_profiles(
    tmp_path_factory: pytest.TempPathFactory, found: list[Any], chance: random.Random, partitions: int
) -> None:
    world = world_of(tmp_path_factory.mktemp("world"), partitions=partitions)
    said = [
        (flight(f"f{place}", {"carrier": carrier, "distance": distance}, y=y, at=at), place)
        for place, (carrier, distance, y, at) in enumerate(found)
    ]
    said += said[:3]
    chance.shuffle(said)
    for value, place in said:
        world.say(value, at=1000, partition=place % partitions)
    world.run()
    rows = [{"carrier": carrier, "distance": distance} for carrier, distance, _, _ in found]
    assert profiles(world) == {("stable-1", "stable", 3): counted(rows, [y for _, _, y, _ in found])}
    world.store.close()


ROW = {"carrier": "UA", "distance": 900.0}


@pytest.mark.parametrize(
    ("more", "rows"),
    [
        pytest.param([flight("a", ROW, event_id="again")], 1, id="a repeat of the same X"),
        pytest.param([flight("a", {**ROW, "distance": 1.0}, event_id="other")], 1, id="another X under the same id"),
        pytest.param([flight("b", ROW, status=503, error=True)], 1, id="an error"),
        pytest.param([flight("b", ROW, y="soon")], 1, id="an answer without a Y"),
        pytest.param([flight("b", ROW, y=None)], 1, id="an answer of null"),
        pytest.param([deletion("a", at=1)], 1, id="a deletion keeps sums"),
        pytest.param([outcome("a", 3.0), decision("a", True)], 1, id="labels"),
        pytest.param([flight("b", {})], 2, id="an X without features is a row of which all is missing"),
    ],
)
def test_what_made_a_y_is_counted_once(tmp_path: Path, more: list[bytes], rows: int) -> None:
    world = world_of(tmp_path)
    for value in [flight("a", ROW), *more]:
        world.say(value)
    world.run()
    assert profiles(world)["stable-1", "stable", 3].rows == rows


def test_a_mirrored_answer_is_a_profile_of_its_own(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.say(flight("a", ROW, y=1.0))
    world.say(mirrored("a", y=99.0, request={"encoding": "json", "value": {"flight": ROW}}))
    world.run()
    found = profiles(world)
    assert found["stable-1", "stable", 3] == counted([ROW], [1.0])
    assert found["next-2", "shadow", 3] == counted([ROW], [99.0])


def test_a_request_that_was_cut_short_is_not_profiled(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.say(inference("a", request={"encoding": "json", "value": None, "complete": False, "bytes": 9}))
    world.run()
    assert profiles(world) == {}


def test_features_stand_where_the_resource_says(tmp_path: Path) -> None:
    paths = [{"name": "distance", "path": "$.trip.miles"}]
    world = world_of(tmp_path, monitoring=WATCHED | {"features": paths})
    value = {"carrier": "UA", "trip": {"miles": 900.0}, "distance": 1.0}
    world.say(inference("a", y=3.0, request={"encoding": "json", "value": value}))
    world.run()
    assert profiles(world)["stable-1", "stable", 3] == counted([ROW], [3.0])


@pytest.mark.parametrize(
    ("window", "starts"),
    [
        pytest.param("5m", {0, 300, 3600}, id="as the deployment says"),
        pytest.param("7d", {-12 * 3600}, id="as the reference, whose days are shorter"),
        pytest.param("7h", {-12 * 3600}, id="as the reference, whose days are not made up of them"),
    ],
)
def test_what_is_judged_is_made_up_of_what_is_counted(tmp_path: Path, window: str, starts: set[int]) -> None:
    world = world_of(tmp_path, monitoring=WATCHED | {"window": window})
    for at in (0, 301, 3601):
        world.say(flight(f"f{at}", ROW, at=at), at=3601)
    world.run()
    span = Span(subject=SUBJECT, baseline=REFERENCE.digest, since_us=0, until_us=2**62)
    assert {(key.start_us - NOON_US) // SECOND for key in world.store.profiles(span)} == starts


def test_nothing_is_profiled_before_the_reference_is_there(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.teach(WATCHED)
    world.say(flight("a", ROW))
    world.run()
    world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    world.say(flight("b", ROW))
    world.run()
    assert profiles(world) == {}, "the store is not asked with every batch"
    world.pass_time(6)
    world.say(flight("c", ROW))
    world.run()
    assert profiles(world)["stable-1", "stable", 3].rows == 1


def test_a_reference_of_another_release_stops_nobody(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.teach(WATCHED)
    world.store.keep_baseline(REFERENCE.digest, b'{"format": "switchyard.dev/profile.v9"}')
    world.say(flight("a", ROW))
    world.run()
    assert world.ledger() == {"stored": 1}
    assert Baselines(world.store).reference(REFERENCE.digest) is None


def client_of(world: World) -> TestClient:
    token = Token(name="all", sha256=hashlib.sha256(b"all").hexdigest(), deployments=["*"])
    registry, health = CollectorRegistry(), Health(lambda: 0.0)
    registry.register(MonitorCollector(store=world.store, health=health, drifting=world.drifting()))
    app = create_app(store=world.store, models=world.models, tokens=Tokens([token]), health=health, registry=registry)
    return TestClient(app, headers={"Authorization": "Bearer all"})


def serve(world: World, days: int, *, spoil: int | None = None) -> None:
    """Whole days of flights, of which those from `spoil` on have their distances in kilometres; then one hour more."""
    chance = np.random.default_rng(2)
    midnight = -12 * 3600
    for day in range(days):
        for place, row in enumerate(rows_of(chance)):
            at = midnight + (day + 1) * DAY_SECONDS + 400 * place
            if spoil is not None and day >= spoil:
                row["distance"] *= 1.609
            world.say(flight(f"{day}-{place}", row, y=row["distance"] / 50.0, at=at), at=at)
    world.now_us = NOON_US + (midnight + (days + 1) * DAY_SECONDS + 3600) * SECOND
    world.run()
    world.pass_time(2)
    world.run()


def test_a_reference_is_handed_over_once_the_resource_names_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.teach(WATCHED)
    world.run()
    client = client_of(world)
    assert "nobody has handed over" in client.get(f"{BASE}/profile").json()["detail"]
    assert "nobody has handed over" in client.get(f"{BASE}/drift?revision=r").json()["waitingFor"]
    assert client.put(f"{BASE}/baseline", content=REFERENCE.to_bytes()).status_code == 201
    assert client.put(f"{BASE}/baseline", content=REFERENCE.to_bytes()).json()["digest"] == REFERENCE.digest
    assert Reference.of_bytes(client.get(f"{BASE}/baseline").content).digest == REFERENCE.digest


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        pytest.param(reference({"x": [1, 2]}).to_bytes(), 409, "names sha256:", id="a profile that is not named"),
        pytest.param(b"{}", 422, "make the profile anew", id="no profile"),
    ],
)
def test_nothing_else_is_taken_in(tmp_path: Path, body: bytes, status: int, says: str) -> None:
    world = World(tmp_path)
    world.teach(WATCHED)
    world.run()
    answer = client_of(world).put(f"{BASE}/baseline", content=body)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert world.store.baseline(REFERENCE.digest) is None


@pytest.mark.parametrize(
    ("made", "monitoring", "says"),
    [
        pytest.param(
            REFERENCE,
            {"features": [{"name": "mass", "path": "$.mass"}]},
            "mass is not in the profile",
            id="a feature that it does not have",
        ),
        pytest.param(
            REFERENCE,
            {"features": [{"name": "prediction", "path": "$.mass"}]},
            "has carrier, distance",
            id="Y is no feature",
        ),
        pytest.param(
            reference({"x": [1, 2], "y": ["no", "yes"]}, options=Options(prediction="y")),
            {},
            "Y of the profile",
            id="classes, where numbers are predicted",
        ),
    ],
)
def test_a_reference_of_another_model_is_refused_with_what_helps(
    tmp_path: Path, made: Reference, monitoring: Mapping[str, Any], says: str
) -> None:
    world = World(tmp_path)
    world.teach(WATCHED | {"reference": made.digest} | monitoring)
    world.run()
    answer = client_of(world).put(f"{BASE}/baseline", content=made.to_bytes())
    assert answer.status_code == 409
    assert says in answer.json()["detail"]
    assert "make it anew" in answer.json()["detail"]


def test_a_feature_that_no_request_has_is_called_a_misfit(tmp_path: Path) -> None:
    paths = [{"name": "distance", "path": "$.trip.miles"}, {"name": "mass", "path": "$.mass"}]
    world = world_of(tmp_path, monitoring=WATCHED | {"features": paths})
    serve(world, 1)
    answer = client_of(world).get(f"{BASE}/drift?revision=stable-1").json()
    named, nowhere = answer["misfits"]
    assert named.startswith("monitoring.features: mass is not in the profile")
    assert nowhere.startswith("distance was found in none of the 200 rows")


def test_a_deployment_that_names_none_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.teach()
    world.run()
    client = client_of(world)
    assert "no baseline yet" in client.get(f"{BASE}/profile").json()["detail"]
    assert "no baseline yet" in client.get(f"{BASE}/drift?revision=r").json()["waitingFor"]


def test_a_deployment_that_is_not_monitored_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.teach(None)
    world.run()
    assert "has no spec.monitoring" in client_of(world).get(f"{BASE}/drift?revision=r").json()["waitingFor"]


def test_old_profiles_are_put_together_and_answers_stay_the_same(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    serve(world, 4, spoil=2)
    at = (world.now_us - NOON_US) / SECOND - 100.0
    world.say(flight("new", ROW, at=at), at=at)
    world.run()
    span = Span(subject=SUBJECT, baseline=REFERENCE.digest, since_us=0, until_us=2**62)
    client = client_of(world)
    asked = f"{BASE}/drift?revision=stable-1", f"{BASE}/profile?since=2026-03-01T00:00:00Z"
    before, fine = [client.get(url).json() for url in asked], len(world.store.profiles(span))
    for _ in range(100):
        world.pass_time(1)
        world.reader.step()
    starts = [key.start_us // SECOND for key in world.store.profiles(span)]
    old = [start for start in starts if start < world.now_us // SECOND - 2 * DAY_SECONDS]
    late = [start for start in starts if start > world.now_us // SECOND - 7200]
    assert {start % DAY_SECONDS for start in old} == {0}
    assert {start % 3600 for start in set(starts) - set(late)} == {0}
    assert any(start % 3600 for start in late)
    assert len(starts) < fine / 3
    after = [client.get(url).json() for url in asked]
    assert after[0] == before[0]
    assert [one["features"] for one in after[1]] == [one["features"] for one in before[1]]


def test_the_profile_of_the_last_day(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    serve(world, 2)
    (whole,) = client_of(world).get(f"{BASE}/profile?since=2026-03-03T00:00:00Z").json()
    features = {feature["name"]: feature for feature in whole["features"]}
    assert (whole["revision"], whole["role"], whole["rows"]) == ("stable-1", "stable", ROWS)
    assert features["distance"]["mean"] == pytest.approx(1000.0, abs=60.0)
    assert features["distance"]["quantiles"]["0.5"] == pytest.approx(1000.0, abs=60.0)
    assert features["prediction"]["side"] == "Y"
    assert sum(features["carrier"]["counts"]) == ROWS


def test_drift_is_told_of_days_that_are_over_and_lasts_after_two(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    serve(world, 4, spoil=2)
    answer = client_of(world).get(f"{BASE}/drift?revision=stable-1").json()
    assert answer["baseline"] == REFERENCE.digest
    assert [window["rows"] for window in answer["windows"]] == [ROWS] * 4
    told = [
        {
            finding["feature"]: finding["pages"]
            for finding in window["findings"]
            if finding["aspect"] == "distribution" and finding["drifted"]
        }
        for window in answer["windows"]
    ]
    assert told == [{}, {}, {"distance": False, "prediction": False}, {"distance": True, "prediction": True}]


def test_how_much_a_feature_matters_is_told_and_orders_what_is_found(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    serve(world, 4, spoil=2)
    client = client_of(world)
    (whole,) = client.get(f"{BASE}/profile?since=2026-03-03T00:00:00Z").json()
    weights = {feature.name: feature.weight for feature in REFERENCE.features}
    shown = {one["name"]: (one.get("importance") or {}).get("prediction", 0.0) for one in whole["features"]}
    assert shown == weights
    assert max(weights.values()) > 0.1
    plain, ordered = (
        client.get(f"{BASE}/drift?revision=stable-1{order}").json()["windows"][-1]["findings"]
        for order in ("", "&order=weight")
    )
    assert sorted(map(str, ordered)) == sorted(map(str, plain))
    usual = [max(one["usual"], one["reference"]) for one in ordered]
    found = [
        weights[one["feature"]] * (one["effect"] / most if most else 1000.0 * bool(one["effect"]))
        for one, most in zip(ordered, usual, strict=True)
    ]
    assert found == sorted(found, reverse=True)
    assert ordered[0]["feature"] == "distance"
    assert client.get(f"{BASE}/drift?revision=stable-1&order=luck").status_code == 422


def test_prometheus_is_told_of_the_last_day_by_side_and_aspect(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    serve(world, 4, spoil=2)
    assert "switchyard_drift_features{" not in client_of(world).get("/metrics").text, "nothing is judged for a scrape"
    assert world.judge_drift() == 4
    said = {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in client_of(world).get("/metrics").text.splitlines()
        if line.startswith("switchyard_drift")
    }
    labels = f'deployment="{SUBJECT}",revision="stable-1",side="{{}}"'
    for side in "XY":
        group = f'{{aspect="distribution",{labels.format(side)}}}'
        assert said[f"switchyard_drift_features{group}"] == 1
        assert said[f"switchyard_drift_paging_features{group}"] == 1
        assert said[f"switchyard_drift_largest_psi{{{labels.format(side)}}}"] > 0.1
    groups = {name for name, count in said.items() if name.startswith("switchyard_drift_features") and not count}
    assert len(groups) == 3 + 2, "missing, wrong and unseen of X, missing and wrong of Y"
    end = said[f'switchyard_drift_window_end_timestamp_seconds{{deployment="{SUBJECT}",revision="stable-1"}}']
    assert end == NOON_US / SECOND + 12 * 3600 + 4 * DAY_SECONDS


def test_a_deployment_without_a_reference_says_nothing_of_drift(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.teach()
    world.say(flight("a", ROW))
    world.run()
    assert list(world.drifting().lines()) == []


def test_prometheus_is_told_of_rows_that_came_late(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    serve(world, 2)
    world.judge_drift()
    clock = iter(float(second) for second in (0, 0, 30, 30, 90, 90))
    drifting = world.drifting(clock=lambda: next(clock))

    def drifted() -> int:
        ((_, line),) = drifting.lines()
        assert line.end_us == NOON_US + (12 * 3600 + 2 * DAY_SECONDS) * SECOND
        return line.drifted[Side.X, Aspect.DISTRIBUTION]

    assert drifted() == 0
    after = (world.now_us - NOON_US) / SECOND
    for place, row in enumerate(rows_of(np.random.default_rng(3))):
        late = {**row, "distance": row["distance"] * 1.609}
        world.say(flight(f"late-{place}", late, y=1.0, at=after - DAY_SECONDS / 2), at=after)
    world.run()
    assert world.judge_drift() == 1
    assert drifted() == 0, "it is not read for every scrape"
    assert drifted() == 1


def test_until_a_window_is_judged_the_one_before_it_is_told(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    serve(world, 2)
    world.judge_drift()
    drifting = world.drifting()
    ((_, before),) = drifting.lines()
    at = (world.now_us - NOON_US) / SECOND
    world.say(flight("next", ROW, at=at), at=at)
    world.run()
    world.pass_time(DAY_SECONDS)
    world.tick()
    world.run()
    assert [line.end_us for _, line in drifting.lines()] == [before.end_us]
    assert [line.end_us for _, line in world.drifting().lines()] == [before.end_us], "of a new process too"
    world.judge_drift()
    assert [line.end_us for _, line in drifting.lines()] == [before.end_us + DAY_SECONDS * SECOND]
    world.pass_time(DAY_SECONDS)
    world.tick()
    world.run()
    assert list(drifting.lines()) == [], "nobody was asked in the last one"


def test_a_scrape_reads_for_a_moment_only(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.teach(WATCHED, subject="demo/other")
    for day in range(2):
        for subject in (SUBJECT, "demo/other"):
            for place in range(20):
                at = DAY_SECONDS * day + place
                world.say(flight(f"{day}-{place}", ROW, at=at, subject=subject), at=at)
    world.now_us = NOON_US + 2 * DAY_SECONDS * SECOND
    world.run()
    world.pass_time(2)
    world.run()
    world.judge_drift()
    seconds = iter(range(0, 1000, 2))
    drifting = world.drifting(clock=lambda: next(seconds))
    said = [sorted(subject for subject, _ in drifting.lines()) for _ in range(3)]
    assert said == [[SUBJECT], [SUBJECT, "demo/other"], [SUBJECT, "demo/other"]]


WHOLE: list[Any] = [{"carrier": "UA", "distance": 1.0, "more": 1}, {"distance": 2, "carrier": None}]
ODD: list[Any] = [
    {"carrier": "UA"},
    {"flight": {"carrier": "B6", "distance": 3.0}},
    {},
    [],
    ["carrier"],
    "carrier",
    7,
    None,
]


@pytest.mark.parametrize("requests", [[], WHOLE, *([*WHOLE, odd] for odd in ODD), ODD, ODD[1:2]], ids=str)
def test_a_column_has_the_same_values_however_its_requests_are_read(requests: list[Any]) -> None:
    inner = [one["flight"] if isinstance(one, dict) and "flight" in one else one for one in requests]
    columns = Watch(Bins.of(REFERENCE), {}).columns(requests, ["y"])
    assert columns.keys() == {"carrier", "distance", PREDICTION}
    assert columns[PREDICTION] == ["y"]
    for name in ("carrier", "distance"):
        assert list(columns[name]) == [one.get(name) if isinstance(one, dict) else None for one in inner]
