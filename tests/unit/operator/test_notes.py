"""Kubernetes events: what a person is told in which situation, in which words, and how often."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.model_deployment import Phase
from switchyard_operator.adapters.notes import ClusterNotes
from switchyard_operator.domain import kinds
from switchyard_operator.domain.world import Body
from switchyard_operator.errors import Refused
from switchyard_testkit.fake_cluster import FakeCluster
from switchyard_testkit.rollout_world import CANARY_SPEC, SHADOW_SPEC, SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
NEW_YEAR = "2026-01-01T00:00:00Z"
FIRST, BETTER = Model(version="1.0.0", loss=100.0), Model(version="2.0.0", loss=50.0)
BY_HAND = SPEC | {"strategy": {"type": "BlueGreen", "blueGreen": {"autoPromote": False}}}


def deployed(second: Model = BETTER, spec: dict[str, Any] = CANARY_SPEC) -> Simulation:
    """The first model serves, and its events are forgotten."""
    world = Simulation({ONE: FIRST, TWO: second})
    world.deploy(spec, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.notes.posted.clear()
    world.notes.times.clear()
    return world


def canary(second: Model = BETTER, spec: dict[str, Any] = CANARY_SPEC, *, at: str = "") -> Simulation:
    """The second is on its way, and has reached a step."""
    world = deployed(second, spec)
    world.deploy(spec, image=TWO)
    world.run(lambda: world.phase is not Phase.COMPLETED)
    if at:
        world.run(lambda: world.status.rollout is not None and world.status.rollout.step == at)
    return world


def first() -> Simulation:
    world = Simulation({ONE: FIRST})
    world.deploy(CANARY_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def promoted() -> Simulation:
    world = canary()
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def failing() -> Simulation:
    world = canary(Model(version="2.0.0", failing=0.2))
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    return world


def never_ready(reason: str) -> Callable[[], Simulation]:
    def situation() -> Simulation:
        world = canary(Model(version="2.0.0", starts=False, pod_reason=reason))
        world.run(lambda: world.phase is Phase.ROLLED_BACK)
        return world

    return situation


def smoke_fails() -> Simulation:
    world = canary(Model(version="2.0.0", smoke="answered 500: no weights"))
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    return world


def refused() -> Simulation:
    world = Simulation({ONE: Model(starts=False)})
    world.deploy(CANARY_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.REFUSED)
    return world


def monitor_down() -> Simulation:
    world = canary(at="five")
    world.monitor.down = "the monitor does not answer: ConnectError"
    world.run_for(timedelta(minutes=2))
    return world


def by_hand() -> Simulation:
    world = canary(spec=BY_HAND)
    world.run(lambda: world.phase is Phase.PAUSED)
    return world


def aborted() -> Simulation:
    world = canary(at="five")
    assert world.status.rollout
    world.command("abort", rollout=world.status.rollout.id, reason="the wrong file")
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    return world


def stale_command() -> Simulation:
    world = canary(at="five")
    world.command("abort", rollout="delay-0000.1")
    world.run_for(timedelta(seconds=5))
    return world


def envoy_refuses() -> Simulation:
    world = canary(at="five")
    world.gateways.refusing = "timeout: 999999d is out of range"
    world.run(lambda: world.route[TWO] == ("candidate", 2500))
    world.run_for(timedelta(seconds=10))
    return world


def a_gateway_is_silent() -> Simulation:
    world = canary(at="five")
    world.gateways.silent = {"gateway-1"}
    world.run_for(timedelta(minutes=2))
    return world


def spec_refused() -> Simulation:
    world = deployed()
    world.deploy(CANARY_SPEC | {"strategy": {"type": "Bandit"}}, image=ONE)
    world.run_for(timedelta(seconds=5))
    return world


def stable_dies() -> Simulation:
    world = canary(at="five")
    world.frozen_pods = {world.revision(ONE)}
    world.run_for(timedelta(seconds=40))
    return world


def spool_full() -> Simulation:
    world = canary(at="five")
    world.gateways.unrecorded = {"gateway-0": "the spool is full, 812 exchanges were dropped"}
    world.run_for(timedelta(seconds=10))
    return world


def shadow_ends() -> Simulation:
    world = canary(spec=SHADOW_SPEC)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


RETRY = "kubectl switchyard retry delay"
SITUATIONS = [
    pytest.param(first, "Normal", "Deployed", r"1\.0\.0 \(delay-\w+\) serves as the first revision", id="deployed"),
    pytest.param(promoted, "Normal", "RolloutStarted", r"is on its way: five, quarter, half", id="a rollout begins"),
    pytest.param(promoted, "Normal", "StepEntered", r"2\.0\.0 \(.*\) enters step five: 5%", id="a step is entered"),
    pytest.param(promoted, "Normal", "Switching", r"all of the traffic goes to the candidate", id="the switch"),
    pytest.param(promoted, "Normal", "Promoted", r"2\.0\.0 .* is the model now: outcome: .*[0-9]", id="promoted"),
    pytest.param(promoted, "Normal", "Completed", r"2\.0\.0 .* stays", id="the watch is over"),
    pytest.param(
        failing,
        "Warning",
        "TakenBack",
        rf"was taken back at 5%: errors: .*[0-9].*{RETRY}",
        id="taken back",
    ),
    pytest.param(failing, "Normal", "BackOnStable", r"all of the traffic is 1\.0\.0's, on every gateway", id="back"),
    pytest.param(aborted, "Normal", "TakenBack", r"aborted by ada: the wrong file", id="a person's abort"),
    pytest.param(
        never_ready("ImagePullBackOff"),
        "Warning",
        "ImagePullFailing",
        r"is not ready: .*ImagePullBackOff.*Check the image's name",
        id="the image cannot be pulled, while there is time",
    ),
    pytest.param(
        never_ready("CrashLoopBackOff"),
        "Warning",
        "CrashLooping",
        r"is not ready: .*CrashLoopBackOff.*kubectl logs --previous",
        id="it crashes, while there is time",
    ),
    pytest.param(
        never_ready("CrashLoopBackOff"),
        "Warning",
        "GateFailed",
        rf"got no traffic: 0 of 2 pods ready after .*CrashLoopBackOff.*{RETRY}",
        id="never ready",
    ),
    pytest.param(
        smoke_fails,
        "Warning",
        "GateFailed",
        r"got no traffic: .*answered 500: no weights",
        id="the smoke fails",
    ),
    pytest.param(refused, "Warning", "Refused", r"no revision did before it: 0 of 2 pods ready", id="refused"),
    pytest.param(
        monitor_down,
        "Warning",
        "EvidenceUnavailable",
        r"holds at 5%: .*the monitor does not answer.*see that the monitor answers",
        id="no evidence can be had",
    ),
    pytest.param(promoted, "Normal", "AwaitingEvidence", r"holds at [0-9]+% for evidence: .*[0-9]", id="too few yet"),
    pytest.param(
        by_hand, "Warning", "AwaitingPerson", r"waits for a person.*kubectl switchyard promote delay", id="by hand"
    ),
    pytest.param(stale_command, "Warning", "CommandRefused", r"abort by ada: Refused: .*delay-0000\.1", id="command"),
    pytest.param(
        envoy_refuses, "Warning", "RouteRejected", r"Envoy refuses generation [0-9]+: .*999999d.*change what", id="NACK"
    ),
    pytest.param(a_gateway_is_silent, "Warning", "GatewaySilent", r"gateway-1.*look at that pod", id="silent"),
    pytest.param(spec_refused, "Warning", "SpecRefused", r"spec\.strategy", id="spec"),
    pytest.param(stable_dies, "Warning", "StableDead", r"stable 1\.0\.0 has no ready pod", id="stable is dead"),
    pytest.param(stable_dies, "Warning", "Expedited", r"goes to the candidate.*Find out", id="expedited"),
    pytest.param(
        spool_full,
        "Warning",
        "ExchangesNotRecorded",
        r"evidence of 2\.0\.0 .* is missing.*gateway-0: the spool is full, 812 exchanges were dropped",
        id="the spool drops events",
    ),
    pytest.param(shadow_ends, "Normal", "ShadowEnded", r"compared, and no user was given", id="a shadow ends"),
]


@pytest.mark.parametrize(("situation", "kind", "reason", "words"), SITUATIONS)
def test_a_person_is_told(situation: Callable[[], Simulation], kind: str, reason: str, words: str) -> None:
    told = situation().notes.of()
    assert [each for each in told if each[:2] == (kind, reason) and re.search(words, each[2])], told


@pytest.mark.parametrize("situation", [promoted, first, shadow_ends], ids=lambda each: each.__name__)
def test_a_rollout_that_goes_well_warns_of_nothing(situation: Callable[[], Simulation]) -> None:
    assert [each for each in situation().notes.of() if each[0] == "Warning"] == []


@pytest.mark.parametrize(
    "situation",
    [promoted, failing, smoke_fails, monitor_down, by_hand, a_gateway_is_silent, stable_dies, spool_full],
    ids=lambda each: each.__name__,
)
def test_every_event_is_a_reason_in_camel_case_a_sentence_and_told_once(situation: Callable[[], Simulation]) -> None:
    world = situation()
    for kind, reason, message in world.notes.of():
        assert re.fullmatch(r"([A-Z][a-z]+)+", reason), reason
        assert 10 < len(message) <= 1024
        assert "None" not in message
        assert ".." not in message
        assert kind == "Normal" or "  " not in message
    again = [world.notes.posted[name]["reason"] for name, times in world.notes.times.items() if times > 1]
    assert again == []


def test_what_becomes_of_a_revision_is_told_of_the_revision_too() -> None:
    assert [each[1] for each in promoted().notes.of("ModelRevision")] == ["Promoted"]
    assert [each[1] for each in failing().notes.of("ModelRevision")] == ["TakenBack"]


def test_a_new_operator_tells_nothing_that_was_told() -> None:
    for situation in (promoted, failing, monitor_down, by_hand):
        world = situation()
        world.notes.posted.clear()
        world.restart()
        world.run_for(timedelta(seconds=30))
        assert world.notes.of() == [], situation.__name__


def test_a_state_that_comes_again_is_the_same_event_once_more() -> None:
    world = canary(at="five")
    for _ in range(2):
        world.monitor.down = "the monitor does not answer: ConnectError"
        world.run(lambda: world.status.rollout is not None and world.status.rollout.reason == "EvidenceUnavailable")
        world.monitor.down = ""
        world.run(lambda: world.status.rollout is not None and world.status.rollout.reason != "EvidenceUnavailable")
        if world.status.rollout is None or world.status.rollout.step != "five":
            break
    (name,) = [name for name, body in world.notes.posted.items() if body["reason"] == "EvidenceUnavailable"]
    assert world.notes.times[name] == 2


def test_the_log_names_what_each_route_is_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="switchyard_operator")
    world = canary(at="five")
    assert world.status.rollout
    routed = [record.__dict__ for record in caplog.records if "route " in record.getMessage()]
    last = routed[-1]
    assert (last["deployment"], last["rollout"]) == ("/".join(world.cache.deployments()[0]), world.status.rollout.id)
    assert (last["revision"], last["reason"]) == (world.revision(TWO), "Stepped")
    assert last["traffic"] == world.gateways.generation


def event(message: str = "it is so", at: str = NEW_YEAR) -> Body:
    place = {"kind": "ModelDeployment", "namespace": "demo", "name": "delay", "uid": "u"}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "delay.0a1b", "namespace": "demo"},
        "involvedObject": place,
        "reason": "Paused",
        "message": message,
        "type": "Normal",
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
    }


class TestCounting:
    """The same event again."""

    def test_it_is_counted_up_and_says_what_it_says_now(self, now: Any) -> None:
        cluster = FakeCluster(now)
        notes = ClusterNotes(cluster)
        for message, at in (
            ("a", "2026-01-01T00:00:00Z"),
            ("b", "2026-01-01T00:05:00Z"),
            ("c", "2026-01-01T00:06:00Z"),
        ):
            notes.post(event(message, at))
        held = cluster.read(kinds.EVENT, "demo", "delay.0a1b")
        assert held is not None
        assert (held["count"], held["message"]) == (3, "c")
        assert (held["firstTimestamp"], held["lastTimestamp"]) == (NEW_YEAR, "2026-01-01T00:06:00Z")

    def test_one_of_an_operator_before_is_left_as_it_is(self, now: Any) -> None:
        cluster = FakeCluster(now)
        ClusterNotes(cluster).post(event("a"))
        ClusterNotes(cluster).post(event("b"))
        held = cluster.read(kinds.EVENT, "demo", "delay.0a1b")
        assert held is not None
        assert (held["count"], held["message"]) == (1, "a")

    def test_one_that_is_refused_is_lost_and_said_in_the_log(self, now: Any, caplog: pytest.LogCaptureFixture) -> None:
        class Forbids(FakeCluster):
            def create(self, body: Body) -> Body:
                raise Refused("cannot create Event: the API server answers 403")

        ClusterNotes(Forbids(now)).post(event())
        assert "an event was lost: cannot create Event" in caplog.text


@pytest.fixture
def now() -> Callable[[], Any]:
    return Simulation({ONE: FIRST}).clock
