"""What is told of shadows: that one is compared, is proven, is compared no more, or cannot be; once, everywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from switchyard_contracts.model_deployment import Phase, ShadowState, ShadowStatus
from switchyard_contracts.notifications import Event, Notification
from switchyard_operator.domain import kinds, letters
from switchyard_operator.metrics import Rollouts
from switchyard_testkit.rollout_world import KEY, NAMESPACE, PAIRED_SPEC, Model, Simulation, shadow
from switchyard_testkit.telling import Told

ONE, TWO, THREE = (f"models/delay:{number}" for number in (1, 2, 3))
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
BESIDE = [shadow("better", TWO, sample="50%")]
SPECS: dict[str, Any] = PAIRED_SPEC | {"shadows": BESIDE}
BEGUN, JUDGED = ["ShadowStarted"], ["ShadowStarted", "ShadowPassed"]


def serving(spec: dict[str, Any] = SPECS, **second: Any) -> Told:
    """The first model serves, and what was told of that is forgotten."""
    nature = Model(**{"version": "2.0.0", "loss": 50.0} | second)
    third = Model(version="3.0.0", loss=60.0)
    world = Told({ONE: Model(version="1.0.0", loss=100.0), TWO: nature, THREE: third})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.run_for(SECOND)
    for inbox in world.inboxes.values():
        inbox.received[:] = [item for item in inbox.received if item.event is Event.SHADOW]
    return world


def beside(world: Simulation) -> ShadowStatus:
    return next(iter(world.status.shadows))


def come_to(world: Simulation, verdict: str) -> None:
    world.run(lambda: beside(world).verdict == verdict)


def begun() -> Told:
    world = serving()
    world.run(lambda: bool(world.samples), within=MINUTE)
    return world


def judged() -> Told:
    world = serving()
    world.run(lambda: beside(world).verdict == "Pass")
    return world


def worse() -> Told:
    world = serving(loss=400.0)
    world.run(lambda: beside(world).verdict == "Fail")
    return world


def taken_out() -> Told:
    world = judged()
    world.deploy(PAIRED_SPEC)
    world.run(lambda: not world.status.shadows)
    return world


def replaced() -> Told:
    world = judged()
    world.deploy(PAIRED_SPEC | {"shadows": [shadow("better", THREE, sample="50%")]})
    world.run(lambda: THREE in world.samples)
    return world


def asked_for() -> Told:
    world = judged()
    world.deploy(SPECS, image=TWO)
    world.run(lambda: beside(world).state is ShadowState.ASIDE)
    return world


def outrun() -> Told:
    """Another revision comes to serve."""
    world = judged()
    world.deploy(SPECS, image=THREE)
    world.run(lambda: world.route.get(THREE) == ("stable", 10_000) and bool(beside(world).verdict))
    return world


def without_image() -> Told:
    return serving(starts=False, pod_reason="ImagePullBackOff")


def crashing() -> Told:
    world = begun()
    world.images[TWO] = Model(version="2.0.0", loss=50.0, starts=False)
    return world


def hanging() -> Told:
    world = begun()
    world.frozen_pods.add(world.revision(TWO))
    return world


def never_ready() -> Told:
    world = serving(SPECS | {"shadows": []})
    world.deploy(SPECS)
    world.tick()
    world.frozen_pods.add(world.revision(TWO))
    world.run_for(11 * MINUTE)
    return world


def unconfigured() -> Told:
    broken = shadow("better", TWO)
    broken["model"] = broken["model"] | {"config": {"envFrom": [{"configMap": "gone"}]}}
    return serving(PAIRED_SPEC | {"shadows": [broken]})


SITUATIONS = [
    pytest.param(begun, BEGUN, "is sent 50% of the requests of 1.0.0", id="it begins"),
    pytest.param(judged, JUDGED, "is proven to be within its limits, beside 1.0.0: outcome: RMSE", id="it is proven"),
    pytest.param(worse, ["ShadowStarted", "ShadowFailed"], "worse than allowed, beside 1.0.0", id="it is proven worse"),
    pytest.param(
        taken_out, [*JUDGED, "ShadowStopped"], "names it no more. It came to Pass, over ", id="it is taken out"
    ),
    pytest.param(
        replaced,
        [*JUDGED, "ShadowStopped", "ShadowStarted"],
        "is sent 50% of the requests of 1.0.0",
        id="another has its name",
    ),
    pytest.param(
        asked_for, [*JUDGED, "ShadowStopped"], "no more: it is what spec.model asks for", id="it is to be the model"
    ),
    pytest.param(
        outrun, [*JUDGED, "ShadowStopped", "ShadowStarted"], "of the requests of 3.0.0", id="another model serves"
    ),
    pytest.param(without_image, ["ShadowImagePullFailing"], "the nodes may pull it", id="there is no image"),
    pytest.param(crashing, [*BEGUN, "ShadowCrashLooping"], "kubectl logs --previous", id="it crashes"),
    pytest.param(hanging, [*BEGUN, "ShadowNotReady"], "0 of 1 pod ready", id="its pods are ready no more"),
    pytest.param(never_ready, ["ShadowNotReady"], "nothing else waits for it", id="its pods never are"),
    pytest.param(unconfigured, ["ShadowRefused"], "there is no ConfigMap 'gone'", id="it cannot be made"),
]


@pytest.mark.parametrize(("situation", "reasons", "words"), SITUATIONS)
def test_what_becomes_of_a_shadow_is_told_once_by_notification_and_by_event(
    situation: Callable[[], Told], reasons: list[str], words: str
) -> None:
    world = situation()
    world.run_for(20 * SECOND)
    told = [item for item in world.inboxes["desk"].received if item.event is Event.SHADOW]
    assert [item.reason for item in told][: len(reasons)] == reasons
    last = told[len(reasons) - 1]
    assert words in last.message
    assert (last.shadow, last.rollout) == ("better", "")
    world.run_for(2 * MINUTE)
    after = [item for item in world.inboxes["desk"].received if item.event is Event.SHADOW]
    assert len({item.id for item in after}) == len(after)
    assert {item.reason for item in after[len(reasons) :]} <= {"ShadowPassed"}, "of a comparison that began anew"
    noted = [reason for _, reason, _ in world.notes.of() if reason.startswith("Shadow")]
    assert sorted(set(noted)) == sorted({item.reason for item in after})
    names = [name for name, body in world.notes.posted.items() if body["reason"].startswith("Shadow")]
    assert {world.notes.times[name] for name in names} == {1}


def told_of(world: Told) -> list[str]:
    """What the desk was told of shadows."""
    return [item.reason for item in world.inboxes["desk"].received if item.event is Event.SHADOW]


def test_a_comparison_that_begins_anew_has_nothing_of_what_was_learnt_before() -> None:
    world = judged()
    before = beside(world)
    world.deploy(PAIRED_SPEC)
    world.run(lambda: not world.samples, within=5 * SECOND)
    world.deploy(SPECS)
    world.run(lambda: bool(world.samples), within=10 * SECOND)
    world.run_for(3 * SECOND)
    anew = beside(world)
    assert anew.since
    assert before.since
    assert anew.since > before.since
    assert (anew.verdict, anew.pairs, anew.verdicts) == ("", 0, [])
    assert told_of(world) == [*JUDGED, "ShadowStopped", "ShadowStarted"]


def test_a_route_that_somebody_deletes_ends_no_comparison() -> None:
    world = judged()
    before = beside(world)
    world.cluster.take(kinds.MODEL_ROUTE, *KEY)
    world.run_for(20 * SECOND)
    assert world.samples == {TWO: 5_000}
    assert (beside(world).since, beside(world).verdict) == (before.since, "Pass")
    assert world.status.shadow_history == []
    assert told_of(world) == JUDGED
    assert "ShadowStopped" not in {reason for _, reason, _ in world.notes.of()}
    since = [record.shadows[0].since for record in world.bus.rollouts if record.shadows]
    assert None not in since[since.index(before.since) :]


def test_a_crash_loop_of_another_week_is_told_again() -> None:
    world = crashing()
    world.run_for(10 * SECOND)
    world.images[TWO] = Model(version="2.0.0", loss=50.0)
    world.run(lambda: beside(world).state is ShadowState.COMPARING)
    world.images[TWO] = Model(version="2.0.0", loss=50.0, starts=False)
    world.run_for(10 * SECOND)
    assert told_of(world).count("ShadowCrashLooping") == 1, "it falls over again at once"
    world.images[TWO] = Model(version="2.0.0", loss=50.0)
    world.run(lambda: beside(world).state is ShadowState.COMPARING)
    world.clock.now += timedelta(days=7)
    world.images[TWO] = Model(version="2.0.0", loss=50.0, starts=False)
    world.run_for(10 * SECOND)
    assert told_of(world).count("ShadowCrashLooping") == 2


def test_a_shadow_that_is_refused_another_day_is_told_again() -> None:
    world = unconfigured()
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gone", "namespace": NAMESPACE}}
    world.cluster.put(config)
    world.run(lambda: bool(world.samples), within=MINUTE)
    world.clock.now += timedelta(days=1)
    world.cluster.take(kinds.CONFIG_MAP, NAMESPACE, "gone")
    world.run_for(10 * SECOND)
    assert [reason for reason in told_of(world) if reason not in JUDGED] == [
        "ShadowRefused",
        "ShadowStopped",
        "ShadowRefused",
    ]


def test_a_verdict_is_told_when_it_is_another_and_not_when_the_monitor_was_away() -> None:
    world = judged()
    world.monitor.down = "the monitor does not answer: ConnectError"
    world.run(lambda: beside(world).verdict == "Error")
    world.monitor.down = ""
    for loss, verdict in ((50.0, "Pass"), (400.0, "Fail"), (50.0, "Pass")):
        world.images[TWO] = Model(version="2.0.0", loss=loss)
        come_to(world, verdict)
    assert told_of(world) == [*JUDGED, "ShadowFailed", "ShadowPassed"]
    assert beside(world).proven == "Pass"


def test_figures_are_those_of_the_pairs() -> None:
    told = judged().inboxes["desk"].received[-1]
    (figure,) = told.figures
    assert (figure.name, figure.verdict, figure.paired) == ("outcome", "Pass", True)
    assert figure.samples >= 200
    assert (told.version, told.against) == ("2.0.0", beside(judged()).against)


def test_a_chat_is_told_of_a_shadow_by_its_name() -> None:
    lines = letters.slack("airport/delay", judged().inboxes["desk"].received[-1])["text"].splitlines()
    assert lines[0] == ":busts_in_silhouette: *airport/delay*: the shadow better (2.0.0) is within its limits"
    assert lines[2].startswith("• outcome (decide): Pass, ")
    refused = Notification.model_validate(
        {"id": "a", "event": "Shadow", "shadow": "better", "reason": "ShadowRefused", "at": "2026-01-01T12:00:00Z"}
    )
    assert letters.slack("airport/delay", refused)["text"].endswith("the shadow better cannot be compared")


@pytest.mark.parametrize(
    ("situation", "words"),
    [
        pytest.param(without_image, "cannot be compared", id="before it is sent anything"),
        pytest.param(crashing, "has no ready pod and is compared all the same", id="while it is compared"),
    ],
)
def test_a_chat_is_told_whether_a_shadow_without_pods_is_compared(situation: Callable[[], Told], words: str) -> None:
    world = situation()
    world.run_for(10 * SECOND)
    told = next(item for item in world.inboxes["desk"].received if item.reason.startswith(("ShadowI", "ShadowC")))
    assert letters.slack("airport/delay", told)["text"].splitlines()[0].endswith(words)


def test_a_comparison_that_is_over_is_kept_with_its_numbers_and_why() -> None:
    world = judged()
    before = beside(world)
    world.deploy(PAIRED_SPEC)
    world.run(lambda: not world.status.shadows)
    world.run_for(MINUTE)
    (entry,) = world.status.shadow_history
    assert (entry.name, entry.version, entry.against) == ("better", "2.0.0", world.revision(ONE))
    assert (entry.verdict, entry.reason, entry.message) == ("Pass", "TakenOut", "spec.shadows names it no more")
    assert (entry.started_at, entry.verdicts[0].name) == (before.since, "outcome")
    assert entry.pairs >= before.pairs > 200
    assert entry.ended_at
    assert entry.started_at
    assert entry.ended_at > entry.started_at


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        pytest.param(replaced, "Replaced", id="another has its name"),
        pytest.param(asked_for, "Asked", id="it is to be the model"),
        pytest.param(outrun, "AnotherServes", id="another model serves"),
    ],
)
def test_why_a_comparison_is_over(situation: Callable[[], Told], reason: str) -> None:
    world = situation()
    world.run_for(5 * SECOND)
    assert [(entry.reason, entry.verdict) for entry in world.status.shadow_history] == [(reason, "Pass")]


def test_a_restore_without_statuses_makes_no_news_of_a_shadow_that_is_old() -> None:
    world = judged()
    world.clock.now += timedelta(days=3)
    world.run_for(SECOND)
    world.inboxes["desk"].received.clear()
    for body in world.cluster.find(kinds.MODEL_DEPLOYMENT) + world.cluster.find(kinds.MODEL_REVISION):
        world.cluster.objects[body["kind"], NAMESPACE, body["metadata"]["name"]].pop("status", None)
    world.restart()
    world.run_for(MINUTE)
    assert beside(world).verdict == "Pass"
    assert world.inboxes["desk"].received == []


def test_an_operator_that_dies_after_any_write_tells_the_end_and_keeps_it_once() -> None:
    whole = judged()
    first = len(whole.cluster.writes)
    whole.deploy(PAIRED_SPEC)
    whole.run_for(10 * SECOND)
    for write in range(first + 1, len(whole.cluster.writes) + 1):
        world = judged()
        world.cluster.crash_after = write
        world.deploy(PAIRED_SPEC)
        world.run_for(10 * SECOND)
        assert world.cluster.crash_after is None, f"nothing struck write {write}"
        assert [entry.reason for entry in world.status.shadow_history] == ["TakenOut"], f"after write {write}"
        assert {item.reason for item in world.inboxes["desk"].received} == {*JUDGED, "ShadowStopped"}


def test_records_say_how_each_shadow_stands_and_come_when_one_stands_otherwise() -> None:
    world = judged()
    records = [record for record in world.bus.rollouts if record.shadows]
    states = [record.shadows[0].state for record in records]
    assert list(dict.fromkeys(states)) == ["Waiting", "Provisioning", "Comparing"]
    assert (records[0].shadows[0].sample, records[-1].shadows[0].sample) == ("", "50%")
    assert records[-1].shadows[0].verdict == "Pass"
    last = records[-1].shadows[0]
    assert (last.name, last.version, last.against) == ("better", "2.0.0", world.revision(ONE))
    assert last.verdicts[0].samples >= 200
    assert len({record.id for record in records}) == len(records) < 12
    world.run_for(5 * MINUTE)
    assert [record for record in world.bus.rollouts if record.shadows] == records, "numbers alone are no news"
    world.deploy(PAIRED_SPEC)
    world.run_for(5 * SECOND)
    assert world.bus.rollouts[-1].shadows == []


def test_prometheus_is_told_of_each_shadow() -> None:
    world = judged()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Rollouts(world.cache, leading=lambda: True))
    lines = generate_latest(registry).decode().splitlines()
    labels = f'deployment="{"/".join(KEY)}"'
    assert f'switchyard_shadow_state{{{labels},shadow="better",state="Comparing"}} 1.0' in lines
    assert f'switchyard_shadow_verdict{{{labels},metric="outcome",shadow="better",verdict="Pass"}} 1.0' in lines
    (pairs,) = (line for line in lines if line.startswith("switchyard_shadow_pairs{"))
    assert float(pairs.rpartition(" ")[2]) > 200
