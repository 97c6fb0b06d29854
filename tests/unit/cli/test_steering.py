"""Rollback, pause, resume and the full promote: which command each becomes, and what no command is written for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.model_deployment import Phase
from switchyard_testkit.cli_airport import BY_HAND, ONE, THREE, TWO, airport, promoted, rolling, rollout, taken_back
from switchyard_testkit.rollout_world import CANARY_SPEC


class TestRollback:
    def test_to_a_version_it_goes_back_by_the_revision_of_that_version(self) -> None:
        shell = promoted()
        seen = rollout(shell)
        said = shell("rollback", "delay", "--to", "1.0.0", "--reason", "the tower complains")
        assert (said.code, said.out) == (0, f"delay: Accepted (RolledBack): back to {shell.world.revision(ONE)}\n")
        assert shell.cluster.given[0]["spec"] == {
            "deployment": "delay",
            "verb": "rollback",
            "rollout": seen,
            "revision": shell.world.revision(ONE),
            "reason": "the tower complains",
            "requestedBy": "ada",
        }
        shell.world.run(lambda: shell.world.phase is Phase.ROLLED_BACK)
        assert shell.world.route[ONE] == ("stable", 10_000)

    @pytest.mark.parametrize("by_name", [True, False], ids=["its name", "what served before"])
    def test_it_goes_back_by(self, by_name: bool) -> None:
        shell = promoted()
        assert shell("rollback", *(["--to", shell.world.revision(ONE)] if by_name else [])).code == 0
        assert shell.cluster.given[0]["spec"]["revision"] == shell.world.revision(ONE)

    def test_to_stable_it_takes_back_the_rollout_under_way(self) -> None:
        shell = rolling("quarter")
        assert shell("rollback", "delay", "--to", "1.0.0").code == 0
        shell.world.run(lambda: shell.world.phase is Phase.ROLLED_BACK)
        assert shell.world.route[ONE] == ("stable", 10_000)

    @pytest.mark.parametrize(
        ("words", "says"),
        [
            pytest.param(
                ["--to", "7.0.0"], "no revision or version '7.0.0' of delay; these may serve again: 1.0.0 (", id="x"
            ),
            pytest.param(["--to", "3.0.0"], "was taken back, so it cannot be gone back to", id="what was taken back"),
            pytest.param([], "nothing served before 1.0.0 (", id="the first"),
        ],
    )
    def test_it_is_refused_before_a_command_is_written(self, words: list[str], says: str) -> None:
        shell = taken_back()
        said = shell("rollback", "delay", *words)
        assert said.code == 1
        assert says in said.err
        assert shell.cluster.given == []

    def test_what_never_served_is_refused(self) -> None:
        shell = rolling("five")
        said = shell("rollback", "--to", shell.world.revision(TWO))
        assert (said.code, "was never promoted" in said.err) == (1, True)

    def test_without_a_goal_a_rollout_under_way_is_left_to_an_abort(self) -> None:
        said = rolling("five")("rollback", "delay")
        assert (said.code, "is under way: abort it, or name by --to" in said.err) == (1, True)

    def test_a_rollout_that_moved_on_meanwhile_is_not_rolled_back(self) -> None:
        shell = promoted()
        seen = rollout(shell)

        def whoami() -> str:
            shell.world.deploy(CANARY_SPEC, image=THREE)
            shell.world.run(lambda: rollout(shell) != seen)
            return "ada"

        shell.cluster.whoami = whoami  # type: ignore[method-assign]
        said = shell("rollback", "delay")
        assert said.code == 1
        assert "Refused (Stale)" in said.out


class TestPause:
    def test_it_holds_until_a_resume(self) -> None:
        shell = rolling("five")
        assert shell("pause", "delay", "--reason", "lunch").code == 0
        shell.world.run_for(timedelta(minutes=5))
        said = shell("status")
        assert (said.code, "a person's resume" in said.out) == (3, True)
        assert "paused by ada: lunch" in shell("get", "delay").flat
        assert shell("resume").code == 0
        assert shell("status", "--wait").code == 0

    def test_both_name_the_rollout_that_was_seen(self) -> None:
        shell = rolling("five")
        shell("pause", "delay")
        shell("resume", "delay", "--reason", "back")
        named = {"deployment": "delay", "rollout": rollout(shell), "revision": shell.world.revision(TWO)}
        common = {**named, "requestedBy": "ada"}
        assert [item["spec"] for item in shell.cluster.given] == [
            {**common, "verb": "pause", "reason": ""},
            {**common, "verb": "resume", "reason": "back"},
        ]

    def test_a_resume_says_what_still_waits_for_a_person(self) -> None:
        shell = rolling("preview", BY_HAND)
        shell("pause")
        assert "step preview still waits for a promote" in shell("resume").out

    @pytest.mark.parametrize("verb", ["pause", "resume"])
    def test_after_the_end_it_is_refused(self, verb: str) -> None:
        said = promoted()(verb, "delay")
        assert said.code == 1
        assert "Refused (Over)" in said.out


BOARD: dict[str, Any] = {**CANARY_SPEC, "gates": [{"name": "board", "type": "Approval", "before": "promotion"}]}


class TestApprove:
    def test_it_passes_the_gate_that_waits_and_is_told_by_name(self) -> None:
        shell = airport()
        shell.world.deploy(BOARD, image=TWO)
        shell.world.run(lambda: bool(shell.world.status.rollout and shell.world.status.rollout.step == "five"))
        shell("promote", "--full")
        shell.world.run_for(timedelta(seconds=5))
        assert "gate board Waiting" in shell("get", "delay").flat
        said = shell("approve", "--gate", "board", "--reason", "we flew it")
        assert (said.code, f"Accepted (Approved): gate board of {rollout(shell)} is passed" in said.out) == (0, True)
        assert shell.cluster.given[-1]["spec"]["gate"] == "board"
        shell.world.run(lambda: shell.world.phase is Phase.COMPLETED)
        assert "approve of gate board by ada at" in shell("history").flat

    def test_without_a_gate_that_waits_it_is_refused(self) -> None:
        said = rolling("five")("approve")
        assert said.code == 1
        assert "Refused (NothingToApprove)" in said.out


class TestPromoteFull:
    def test_an_override_says_why_and_is_recorded(self) -> None:
        shell = rolling("five")
        shell.world.frozen_count[shell.world.revision(TWO)] = 1
        said = shell("promote", "delay", "--full", "--override", "--reason", "the tower burns")
        assert said.code == 0
        assert "one ready pod is enough" in said.out
        assert shell.cluster.given[0]["spec"]["override"] is True
        shell.world.run(lambda: shell.world.phase is Phase.WATCHING)
        assert "overridden by ada: the tower burns" in shell("why").flat

    @pytest.mark.parametrize("words", [["--full"], ["--reason", "x"], []], ids=["no reason", "one step", "neither"])
    def test_an_override_without_full_or_reason_is_no_command(self, words: list[str]) -> None:
        shell = rolling("five")
        said = shell("promote", "--override", *words)
        assert (said.code, "--override needs --full, and --reason" in said.err) == (1, True)
        assert shell.cluster.given == []


def test_what_never_had_a_rollout_has_nothing_to_steer() -> None:
    shell = airport()
    body = shell.cluster.deployment("delay")
    assert body
    shell.world.cluster.put({**body, "status": {}})
    said = shell("pause", "delay")
    assert (said.code, "has had no rollout yet, so there is nothing to pause" in said.err) == (1, True)
