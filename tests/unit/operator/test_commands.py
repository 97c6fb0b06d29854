"""What a person's command does to a rollout: what it skips, what it never skips, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.model_command import ModelCommandStatus
from switchyard_contracts.model_deployment import Phase, RolloutStatus
from switchyard_operator.domain import kinds
from switchyard_testkit.rollout_world import CANARY_SPEC, NAMESPACE, SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
BY_HAND: dict[str, Any] = SPEC | {"strategy": {"type": "BlueGreen", "blueGreen": {"autoPromote": False}}}
BY_ITSELF: dict[str, Any] = SPEC | {"strategy": {"type": "BlueGreen"}}
SICK = Model(version="2.0.0", smoke="answered 500: no weights")


def at(where: str, spec: Mapping[str, Any] = CANARY_SPEC, *, two: Model | None = None) -> Simulation:
    """The second model is on its way, and has reached a step, or a phase."""
    world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: two or Model(version="2.0.0", loss=50.0)})
    world.deploy({**spec, "gates": []})
    world.run(lambda: world.phase is Phase.COMPLETED)
    first = rollout(world).revision
    world.deploy(spec, image=TWO)
    world.run(
        lambda: where in (rollout(world).step, world.phase, rollout(world).reason) and rollout(world).revision != first
    )
    return world


def rollout(world: Simulation) -> RolloutStatus:
    assert world.status.rollout
    return world.status.rollout


def answer(world: Simulation, name: str) -> ModelCommandStatus:
    body = world.cluster.read(kinds.MODEL_COMMAND, NAMESPACE, name)
    return ModelCommandStatus.model_validate((body or {}).get("status") or {})


def said(world: Simulation, verb: str, **words: Any) -> tuple[str | None, str, str]:
    """Give a command; result, reason and message."""
    name = world.command(verb, **words)
    world.run(lambda: answer(world, name).result is not None, within=timedelta(seconds=5))
    found = answer(world, name)
    return found.result, found.reason, found.message


def told(world: Simulation) -> list[tuple[str, str]]:
    """What the rollout remembers."""
    return [(item.verb, item.by) for item in rollout(world).commands]


class TestPromoteFull:
    def test_it_skips_holds_and_analyses(self) -> None:
        world = at("five", two=Model(version="2.0.0", loss=100.0))  # no better: its outcomes never decide
        assert said(world, "promote", rollout=rollout(world).id)[:2] == ("Accepted", "Promoted")
        world.run(lambda: world.phase is Phase.WATCHING, within=timedelta(seconds=30))

    def test_it_never_skips_the_smoke_request(self) -> None:
        world = at("Gating", two=SICK)
        said(world, "promote", rollout=rollout(world).id)
        world.run(lambda: world.phase is Phase.ROLLED_BACK)
        assert rollout(world).reason == "SmokeFailed"
        assert world.weights == []

    def test_it_never_skips_pods_that_are_not_ready(self) -> None:
        world = at("five")
        world.frozen_count[world.revision(TWO)] = 1
        said(world, "promote", rollout=rollout(world).id)
        world.run_for(timedelta(minutes=2))
        assert max(weight for _, weight in world.weights) < 10_000
        world.frozen_count.clear()
        world.run(lambda: world.phase is Phase.WATCHING)


class TestOverride:
    def test_it_is_content_with_one_ready_pod(self) -> None:
        world = at("five")
        world.frozen_count[world.revision(TWO)] = 1
        result, _, message = said(world, "promote", rollout=rollout(world).id, override=True, reason="the tower burns")
        assert (result, "one ready pod is enough" in message) == ("Accepted", True)
        world.run(lambda: world.phase is Phase.WATCHING)
        assert world.route[TWO] == ("stable", 10_000)

    def test_it_gives_nothing_to_a_revision_without_a_ready_pod(self) -> None:
        world = at("five")
        world.frozen_pods.add(world.revision(TWO))
        said(world, "promote", rollout=rollout(world).id, override=True, reason="the tower burns")
        world.run_for(timedelta(minutes=2))
        assert world.route[TWO][1] == 0

    def test_it_passes_the_smoke_request_and_is_recorded_as_what_it_is(self) -> None:
        world = at("Gating", two=SICK)
        said(world, "promote", rollout=rollout(world).id, override=True, reason="the tower burns")
        world.run(lambda: world.phase is Phase.WATCHING)
        assert rollout(world).overridden == "overridden by ada: the tower burns"
        world.run(lambda: world.phase is Phase.COMPLETED)
        (word,) = world.status.history[-1].commands
        assert (word.verb, word.by, word.reason, word.override) == ("promote", "ada", "the tower burns", True)

    @pytest.mark.rule("promote-full")
    @pytest.mark.parametrize("before", ["provisioning", "traffic", "promotion"])
    def test_a_required_gate_holds_the_full_promote_and_not_the_override(self, before: str) -> None:
        gate = {"name": "board", "type": "Approval", "before": before}
        world = at("AwaitingApproval", {**BY_ITSELF, "gates": [gate]})
        said(world, "promote", rollout=rollout(world).id)
        world.run_for(timedelta(seconds=10))
        assert rollout(world).reason == "AwaitingApproval"
        assert not any(weight for _, weight in world.weights)
        said(world, "promote", rollout=rollout(world).id, override=True, reason="the tower burns")
        world.run(lambda: world.phase is Phase.WATCHING, within=timedelta(minutes=1))

    def test_an_approve_is_remembered_with_its_gate(self) -> None:
        world = at("AwaitingApproval", {**BY_ITSELF, "gates": [{"name": "board", "type": "Approval"}]})
        said(world, "approve", rollout=rollout(world).id, gate="board")
        assert [(item.verb, item.gate) for item in rollout(world).commands] == [("approve", "board")]

    @pytest.mark.parametrize(
        ("words", "reason"),
        [
            pytest.param({}, "ReasonMissing", id="without a reason"),
            pytest.param({"reason": "the tower burns", "step": "five"}, "Unfit", id="of one step"),
        ],
    )
    def test_it_is_refused(self, words: dict[str, str], reason: str) -> None:
        world = at("five")
        assert said(world, "promote", rollout=rollout(world).id, override=True, **words)[:2] == ("Refused", reason)
        assert rollout(world).overridden == ""

    def test_it_may_follow_a_promote_of_every_step(self) -> None:
        world = at("five")
        world.frozen_count[world.revision(TWO)] = 1
        said(world, "promote", rollout=rollout(world).id)
        said(world, "promote", rollout=rollout(world).id, override=True, reason="the tower burns")
        assert told(world) == [("promote", "ada")] * 2
        assert rollout(world).overridden


class TestPause:
    def test_a_persons_pause_and_the_rollouts_own_both_must_clear(self) -> None:
        world = at("preview", BY_HAND)
        said(world, "pause", rollout=rollout(world).id, reason="lunch")
        _, _, granted = said(world, "promote", rollout=rollout(world).id, step="preview")
        assert "paused by ada: lunch, so it goes on when it is resumed" in granted
        world.run_for(timedelta(minutes=1))
        assert world.route[TWO] == ("candidate", 0), "the promote is granted, the pause still holds"
        said(world, "resume", rollout=rollout(world).id)
        world.run(lambda: world.phase is Phase.WATCHING)

    def test_a_resume_says_what_the_rollout_itself_still_waits_for(self) -> None:
        world = at("preview", BY_HAND)
        said(world, "pause", rollout=rollout(world).id)
        assert said(world, "resume", rollout=rollout(world).id)[2].endswith("step preview still waits for a promote")
        world.run_for(timedelta(minutes=1))
        assert (world.phase, rollout(world).reason) == (Phase.PAUSED, "AwaitingPromote")

    def test_a_second_pause_says_who_was_first_and_one_resume_clears_both(self) -> None:
        world = at("five")
        said(world, "pause", rollout=rollout(world).id, reason="lunch")
        assert "it was paused by ada: lunch" in said(world, "pause", rollout=rollout(world).id, reason="tea")[2]
        said(world, "resume", rollout=rollout(world).id)
        world.run(lambda: world.phase is Phase.WATCHING)

    def test_a_resume_of_what_nobody_paused_says_so(self) -> None:
        world = at("five")
        assert said(world, "resume", rollout=rollout(world).id)[2].endswith("nobody had paused it")


class TestGuards:
    @pytest.mark.parametrize("verb", ["retry", "rollback"])
    def test_a_command_that_names_another_rollout_than_it_saw_is_refused(self, verb: str) -> None:
        world = at("five")
        words = {"rollout": "delay-0000000000.1", "revision": world.revision(ONE)}
        assert said(world, verb, **words)[:2] == ("Refused", "Stale")
        assert world.route[TWO] == ("candidate", 500)

    def test_a_rollback_that_names_the_rollout_it_saw_is_obeyed(self) -> None:
        world = at("five")
        said(world, "rollback", rollout=rollout(world).id, revision=world.revision(ONE), reason="nonsense")
        world.run(lambda: world.phase is Phase.ROLLED_BACK)
        assert told(world) == [("rollback", "ada")]


ORDERS: dict[str, Callable[[Simulation], dict[str, str]]] = {
    "abort": lambda world: {"rollout": rollout(world).id},
    "pause": lambda world: {"rollout": rollout(world).id},
    "promote": lambda world: {"rollout": rollout(world).id},
    "rollback": lambda world: {"rollout": rollout(world).id, "revision": world.revision(ONE)},
}


@pytest.mark.parametrize("verb", ORDERS)
@pytest.mark.parametrize("crash_after", [1, 2, 3])
def test_a_crash_within_a_command_leaves_it_done_once(verb: str, crash_after: int) -> None:
    world = at("quarter")
    words = ORDERS[verb](world)
    world.cluster.crash_after = crash_after
    assert said(world, verb, **words)[0] == "Accepted"
    world.run_for(timedelta(seconds=3))
    assert told(world) == [(verb, "ada")]


def test_the_history_says_who_told_the_rollout_what() -> None:
    world = at("five")
    said(world, "promote", rollout=rollout(world).id, step="five", reason="the tower agrees")
    world.run(lambda: rollout(world).step == "quarter")
    said(world, "abort", rollout=rollout(world).id, reason="nonsense")
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    words = [(item.verb, item.step, item.reason) for item in world.status.history[-1].commands]
    assert words == [("promote", "five", "the tower agrees"), ("abort", "", "nonsense")]


class TestOfNoDeployment:
    def test_commands_go_with_their_deployment(self) -> None:
        world = at("five")
        assert said(world, "abort", rollout=rollout(world).id)[0] == "Accepted"
        world.cluster.take(kinds.MODEL_DEPLOYMENT, NAMESPACE, "delay")
        world.run_for(timedelta(seconds=5))
        assert world.cluster.find(kinds.MODEL_COMMAND) == []

    def test_one_that_names_none_is_told_so_and_kept_for_whoever_looks(self) -> None:
        world = Simulation({ONE: Model(version="1.0.0")})
        result, reason, message = said(world, "promote")
        assert (result, reason) == ("Refused", "NoDeployment")
        assert "there is no ModelDeployment 'delay'" in message
        world.run_for(timedelta(minutes=5))
        assert len(world.cluster.find(kinds.MODEL_COMMAND)) == 1
        world.clock.now += timedelta(days=7)
        world.run_for(timedelta(seconds=5))
        assert world.cluster.find(kinds.MODEL_COMMAND) == []
