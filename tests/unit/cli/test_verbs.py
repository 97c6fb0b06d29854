"""The verbs against a simulated airport: what they print, what they write, and their exit codes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from switchyard_cli.errors import Forbidden, NotFound, Unreachable
from switchyard_contracts.model_deployment import Phase
from switchyard_operator.domain import kinds
from switchyard_testkit.cli_airport import BY_HAND, MODELS, ONE, THREE, TWO, airport, rolling, rollout, taken_back
from switchyard_testkit.cli_world import Shell, document
from switchyard_testkit.rollout_world import (
    AB_SPEC,
    BANDIT_SPEC,
    CANARY,
    CANARY_SPEC,
    NAMESPACE,
    PAIRED_SPEC,
    SHADOW_SPEC,
    Simulation,
)

STEERING = ("promote", "approve", "abort", "retry", "rollback", "pause", "resume")


def another(shell: Shell, name: str, like: str = "delay") -> None:
    """A second deployment, in the same state."""
    body = shell.world.cluster.read(kinds.MODEL_DEPLOYMENT, NAMESPACE, like)
    assert body
    twin = {**body, "metadata": {"name": name, "namespace": NAMESPACE}}
    shell.world.cluster.put(twin)
    shell.world.cluster.put(twin)  # a status is taken only by an object that is there


class TestGet:
    def test_the_table_has_phase_step_weight_versions_verdict_and_what_is_waited_for(self) -> None:
        shell = rolling("quarter")
        shell.world.run_for(timedelta(seconds=12))
        said = shell("get")
        header, row = said.out.splitlines()
        assert header.split()[:8] == ["NAME", "SERVING", "VERSION", "DESIRED", "PHASE", "STEP", "WEIGHT", "VERDICT"]
        words = row.split()
        assert words[:5] == ["delay", "Available", "1.0.0", "2.0.0", "Progressing"]
        assert words[5:8] == ["quarter", "2/4", "25%"]
        assert "18s more of step quarter" in row, "a hold is counted down, whatever the status last said"

    def test_no_deployment_is_said_and_is_no_error(self) -> None:
        said = Shell(Simulation(MODELS))("get")
        assert (said.code, said.out) == (0, "no ModelDeployments found\n")

    def test_a_tree_shows_the_steps_done_under_way_and_to_come(self) -> None:
        shell = rolling("quarter")
        shell.world.run_for(timedelta(seconds=5))
        said = shell("get", "delay")
        marks = {name: mark for mark, name in re.findall(r"([✓●○]) (\w+)", said.out)}
        assert marks == {"five": "✓", "quarter": "●", "half": "○", "full": "○"}
        assert "held 5s of 30s" in said.out
        assert "stable    1.0.0" in said.out
        assert "candidate 2.0.0" in said.out

    def test_watch_prints_each_state_once_into_a_pipe_and_ends_with_ctrl_c(self) -> None:
        shell = rolling("five")

        def interrupt(pause: int) -> None:
            if pause == 80:
                raise KeyboardInterrupt

        shell.time.before_pause = interrupt
        said = shell("get", "delay", "--watch")
        assert said.code == 0
        shown = said.out.count("airport/delay")
        assert 2 <= shown < 40, "far fewer than one a second"
        assert "half" in said.out

    def test_watch_outlives_an_api_server_that_is_away(self) -> None:
        shell = rolling("five")

        def away(pause: int) -> None:
            if pause == 2:
                shell.cluster.faults.append(Unreachable("the API server does not answer"))
            if pause == 4:
                raise KeyboardInterrupt

        shell.time.before_pause = away
        said = shell("get", "-w", "delay")
        assert said.code == 0
        assert "does not answer" in said.err

    def test_watch_in_a_terminal_counts_a_hold_down_each_second(self) -> None:
        shell = rolling("five")
        shell.terminal = True

        def away_then_interrupt(pause: int) -> None:
            if pause == 3:
                shell.cluster.faults.append(Unreachable("the API server does not answer"))
            if pause == 6:
                raise KeyboardInterrupt

        shell.time.before_pause = away_then_interrupt
        said = shell("get", "delay", "-w")
        assert said.code == 0
        shown = [second for second in range(31) if f"{second}s more of step five" in said.out]
        assert len(shown) >= 5
        assert "the API server does not answer" in said.out, "the last view stays, with the reason below it"

    def test_an_unknown_name_lists_the_known(self) -> None:
        said = airport()("get", "dealy")
        assert said.code == 1
        assert "no ModelDeployment 'dealy' in namespace 'airport'; there: delay" in said.err

    def test_a_spec_of_a_newer_release_is_shown_by_its_status(self) -> None:
        shell = rolling("quarter")
        shell.world.deploy({**CANARY_SPEC, "strategy": {**CANARY, "wind": 3}}, image=TWO)
        said = shell("get", "delay")
        assert said.code == 0
        assert "quarter" in said.out


class TestStatus:
    def test_one_look_at_a_rollout_under_way_is_not_decided(self) -> None:
        said = rolling("quarter")("status", "delay")
        assert said.code == 4
        assert "2.0.0 is Progressing at step quarter (25%); it waits for" in said.out

    @pytest.mark.rule("exit-codes")
    def test_waiting_for_a_better_model_ends_with_0(self) -> None:
        shell = rolling("five")
        said = shell("status", "delay", "--wait")
        assert said.code == 0
        assert "2.0.0 is promoted" in said.out
        assert shell.world.phase is Phase.WATCHING
        assert "at step quarter (25%)" in said.err, "the way there is told beside the result"

    def test_watched_waits_for_the_end_of_the_watch(self) -> None:
        shell = rolling("five")
        assert shell("status", "--wait", "--watched").code == 0
        assert shell.world.phase is Phase.COMPLETED

    @pytest.mark.rule("exit-codes")
    def test_waiting_for_a_worse_model_ends_with_2_and_the_numbers(self) -> None:
        said = rolling("five", image=THREE)("status", "delay", "--wait", "--timeout", "30m")
        assert said.code == 2
        assert "RolledBack (AnalysisFailed)" in said.out
        assert "RMSE" in said.out

    @pytest.mark.rule("exit-codes")
    def test_a_preview_that_waits_for_a_person_ends_with_3(self) -> None:
        shell = airport(BY_HAND)
        shell.world.deploy(BY_HAND, image=TWO)
        said = shell("status", "delay", "--wait")
        assert said.code == 3
        assert "a person's promote" in said.out

    @pytest.mark.rule("exit-codes")
    def test_no_end_in_time_is_4(self) -> None:
        shell = rolling("five")
        before = shell.world.clock.now
        said = shell("status", "delay", "--wait", "--timeout", "20s")
        assert said.code == 4
        assert shell.world.clock.now - before == timedelta(seconds=20)
        assert said.out.startswith("not decided within 20s: 2.0.0 is")

    def test_an_old_status_is_not_mistaken_for_the_answer_to_a_new_spec(self) -> None:
        shell = airport()
        assert shell("status", "delay").code == 0
        shell.world.deploy(CANARY_SPEC, image=TWO)
        said = shell("status", "delay")
        assert (said.code, "not taken note" in said.out) == (4, True)
        assert shell("status", "delay", "--wait").code == 0
        assert rollout(shell).startswith(shell.world.revision(TWO))

    def test_a_shadow_that_was_only_compared_ends_with_0_and_what_it_came_to(self) -> None:
        shell = rolling("shadow", SHADOW_SPEC)
        assert "shadow 0% mirrored 100%" in shell("get", "delay").flat
        said = shell("status", "delay", "--wait")
        assert said.code == 0
        assert "2.0.0 was compared, as asked" in said.flat
        assert "outcome: Pass: RMSE" in said.flat

    def test_a_spec_that_is_not_accepted_ends_with_2(self) -> None:
        shell = airport()
        shell.world.deploy({**CANARY_SPEC, "strategy": {"type": "Bandit"}}, image=TWO)
        said = shell("status", "delay", "--wait")
        assert said.code == 2
        assert "must be set when type is Bandit" in said.out

    def test_a_rollout_that_another_replaces_ends_with_2(self) -> None:
        shell = rolling("five")
        first = rollout(shell)

        def deploy_another(pause: int) -> None:
            if pause == 3:
                shell.world.deploy(CANARY_SPEC, image=THREE)

        shell.time.before_pause = deploy_another
        said = shell("status", "delay", "--wait")
        assert said.code == 2
        assert f"{first} was replaced by" in said.out

    def test_an_api_server_that_is_away_is_waited_for(self) -> None:
        shell = rolling("five")

        def away(pause: int) -> None:
            if pause == 5:
                shell.cluster.faults.extend([Unreachable("no answer")] * 3)

        shell.time.before_pause = away
        said = shell("status", "delay", "--wait")
        assert said.code == 0
        assert said.err.count("no answer") == 1

    def test_a_duration_that_is_none_is_named(self) -> None:
        said = airport()("status", "delay", "--timeout", "ten")
        assert said.code == 1
        assert "--timeout: 'ten' is not a duration" in said.err


class TestOrders:
    def test_promote_names_rollout_step_and_revision_and_the_caller(self) -> None:
        shell = rolling("five")
        said = shell("promote", "delay", "--reason", "the tower agrees")
        assert said.code == 0
        assert said.out.startswith("delay: Accepted (Promoted)")
        assert shell.cluster.given[0]["spec"] == {
            "deployment": "delay",
            "verb": "promote",
            "rollout": rollout(shell),
            "step": "five",
            "revision": rollout(shell).rpartition(".")[0],
            "reason": "the tower agrees",
            "requestedBy": "ada",
        }
        before = shell.world.clock.now
        shell.world.run(lambda: (shell.world.status.rollout and shell.world.status.rollout.step) == "quarter")
        assert shell.world.clock.now - before < timedelta(seconds=10)

    def test_promote_full_lets_every_step_pass(self) -> None:
        shell = rolling("five", image=THREE)
        assert shell("promote", "--full").code == 0
        assert "step" not in shell.cluster.given[0]["spec"]

    def test_a_promote_that_comes_too_late_is_refused_by_the_operator(self) -> None:
        shell = rolling("quarter")
        said = shell("promote", "delay", "--step", "five")
        assert said.code == 1
        assert "Refused (StepOver)" in said.out
        assert "quarter" in said.out

    def test_a_rollout_that_is_not_the_one_meant_is_not_even_asked(self) -> None:
        shell = rolling("five")
        said = shell("abort", "delay", "--rollout", "delay-0000000000.1")
        assert said.code == 1
        assert f"is {rollout(shell)}, not delay-0000000000.1" in said.err
        assert shell.cluster.given == []

    def test_abort_takes_the_traffic_back(self) -> None:
        shell = rolling("quarter")
        said = shell("abort", "delay", "--reason", "nonsense")
        assert said.code == 0
        assert "is taken back" in said.out
        shell.world.run(lambda: shell.world.phase is Phase.ROLLED_BACK)
        assert shell.world.route[ONE] == ("stable", 10_000)
        assert "aborted by ada: nonsense" in shell("why", "delay").flat

    def test_an_abort_after_the_end_is_refused(self) -> None:
        said = taken_back()("abort", "delay")
        assert said.code == 1
        assert "Refused (Over)" in said.out

    def test_retry_lets_the_revision_that_was_taken_back_try_again(self) -> None:
        shell = taken_back()
        gone = rollout(shell)
        said = shell("retry")
        assert said.code == 0
        assert "attempt 2" in said.out
        shell.world.run(lambda: rollout(shell) != gone)
        assert rollout(shell) == gone.removesuffix(".1") + ".2"

    def test_retry_of_what_was_not_taken_back_names_the_way_out(self) -> None:
        shell = rolling("five")
        said = shell("retry", "delay")
        assert said.code == 1
        assert "was not taken back; name the revision" in said.err
        assert shell.cluster.given == []

    def test_without_a_name_the_only_rollout_under_way_is_meant(self) -> None:
        shell = rolling("five")
        another(shell, "arrival")
        body = shell.world.cluster.read(kinds.MODEL_DEPLOYMENT, NAMESPACE, "arrival")
        assert body
        shell.world.cluster.put({**body, "status": {}})
        assert shell("abort").code == 0
        assert shell.cluster.given[0]["spec"]["deployment"] == "delay"

    def test_without_a_name_two_rollouts_under_way_are_an_error_that_names_both(self) -> None:
        shell = rolling("five")
        another(shell, "arrival")
        said = shell("promote")
        assert said.code == 1
        assert "2 rollouts are under way in namespace 'airport'; name one: arrival, delay" in said.err
        assert shell.cluster.given == []

    def test_an_operator_that_does_not_answer_is_4_and_names_the_command(self) -> None:
        shell = rolling("five")
        shell.world.one_pass = lambda: False  # type: ignore[method-assign]
        said = shell("abort", "delay", "--timeout", "5s")
        assert said.code == 4
        assert "delay-abort-1 is written, but the operator has not answered within 5 s" in said.err

    def test_an_api_server_that_goes_away_after_the_command_is_waited_for(self) -> None:
        shell = rolling("five")

        def whoami() -> str:
            shell.cluster.faults.extend([Unreachable("no answer")] * 3)
            return "ada"

        shell.cluster.whoami = whoami  # type: ignore[method-assign]
        said = shell("abort", "delay")
        assert said.code == 0
        assert len(shell.cluster.given) == 1, "given once, asked after again and again"

    def test_a_command_that_is_deleted_before_its_answer_is_named(self) -> None:
        shell = rolling("five")
        shell.world.one_pass = lambda: False  # type: ignore[method-assign]

        def delete(pause: int) -> None:
            shell.world.cluster.take(kinds.MODEL_COMMAND, NAMESPACE, "delay-abort-1")

        shell.time.before_pause = delete
        said = shell("abort", "delay")
        assert said.code == NotFound.code
        assert "was deleted before it was answered" in said.err


class TestWhy:
    def test_it_explains_a_rollback_by_its_numbers(self) -> None:
        said = taken_back()("why", "delay")
        assert said.code == 0
        assert "delay is Available: 1.0.0" in said.flat
        assert "although the spec asks for 3.0.0" in said.flat
        assert "AnalysisFailed: taken back at" in said.flat
        assert "outcome (decide on outcome.rmse): Fail, WorseThanAllowed" in said.flat
        for word in ("samples", "value", "against", "bound", "Fail the lower bound above it"):
            assert word in said.flat
        assert "It waits for: a new revision, or a retry by a ModelCommand" in said.flat

    def test_it_says_at_which_evidence_a_guard_takes_back(self) -> None:
        shell = rolling("quarter")
        shell.world.run_for(timedelta(seconds=25))
        # 5 % risk, half for the first attempt, spread over a guard in each of 4 steps and 1 decide metric
        assert "e-value" in shell("why").flat
        assert "taken back at an e-value of 200" in shell("why").flat

    def test_where_copies_are_mirrored_their_answers_have_a_share_of_the_risk_too(self) -> None:
        shell = rolling("quarter", PAIRED_SPEC)
        shell.world.run_for(timedelta(seconds=25))
        assert "taken back at an e-value of 240" in shell("why").flat

    def test_it_tells_the_past_newest_first_as_far_as_asked(self) -> None:
        shell = taken_back()
        shell.world.deploy(CANARY_SPEC, image=TWO)
        shell.world.run(lambda: shell.world.phase is Phase.WATCHING)
        whole = shell("why", "delay", "--past", "5").flat
        past = whole.partition("Before")[2]
        assert past.index("3.0.0") < past.index("1.0.0")
        assert "Before" not in shell("why", "delay", "--past", "0").flat

    def test_it_names_what_stands_in_the_way(self) -> None:
        shell = rolling("five")
        shell.world.gateways.silent.add("gateway-1")
        shell.world.run(
            lambda: bool(shell.world.status.rollout and shell.world.status.rollout.reason == "GatewaySilent")
        )
        assert "gateway-1" in shell("why", "delay").flat


class TestPlan:
    def file(self, tmp_path: Path, spec: Mapping[str, Any], *, image: str = "", **metadata: str) -> str:
        wanted = {**spec, "model": {**spec["model"], "image": image}} if image else spec
        path = tmp_path / "delay.yaml"
        path.write_text(yaml.safe_dump(document(wanted, **metadata)), encoding="utf-8")
        return str(path)

    def test_a_new_model_shows_its_revision_its_steps_and_what_they_wait_for(self, tmp_path: Path) -> None:
        shell = airport()
        said = shell("plan", self.file(tmp_path, CANARY_SPEC, image=TWO), "--rate", "100")
        assert said.code == 0
        stable = shell.world.revision(ONE)
        shell.world.deploy(CANARY_SPEC, image=TWO)
        shell.world.run(lambda: (shell.world.status.rollout and shell.world.status.rollout.step) == "five")
        assert f"a new revision {shell.world.revision(TWO)} rolls out against {stable} (1.0.0)" in said.flat
        assert "spec.model.image: models/delay:1 → models/delay:2" in said.flat
        assert "five 5%, held for 30s" in said.flat
        assert "errors (error_rate): 200 of its requests, about 4,000 in all" in said.flat
        assert "outcome (outcome.rmse): proof by at least 200 judged outcomes" in said.flat
        assert "evidence against it is 200 to 1" in said.flat
        # 200 requests of 5 a second: 40 s, then two holds of 30 s.
        assert "at 100 requests a second: 1m40s from ready pods" in said.flat
        assert "what is measured counts every 5m (monitoring.window)" in said.flat

    def test_a_shadow_shows_what_is_mirrored_and_that_it_ends(self, tmp_path: Path) -> None:
        said = airport()("plan", self.file(tmp_path, SHADOW_SPEC, image=TWO), "--rate", "100")
        assert "shadow 0%, 100% mirrored, held for 30s" in said.flat
        assert "outcome (outcome.rmse): proof by at least 200 judged pairs in 7 blocks" in said.flat
        assert "then it ends: stable keeps all of the traffic" in said.flat
        # Seven blocks, which are no shorter than a window of 5 min, and 10 s until the last is judged.
        assert "at 100 requests a second: 35m10s from ready pods to its end" in said.flat

    def test_a_shadow_that_was_compared_is_not_compared_again_without_a_retry(self, tmp_path: Path) -> None:
        shell = rolling("shadow", SHADOW_SPEC)
        shell.world.run(lambda: shell.world.phase is Phase.COMPLETED)
        said = shell("plan", self.file(tmp_path, CANARY_SPEC, image=TWO))
        assert "was compared before, as asked; `kubectl switchyard retry delay" in said.flat

    def test_an_ab_test_says_how_many_it_takes_and_whether_there_will_be_as_many(self, tmp_path: Path) -> None:
        shell = airport()
        shell.width = 300
        many, few = (shell("plan", self.file(tmp_path, AB_SPEC, image=TWO), "--rate", rate) for rate in ("100", "10"))
        assert "test 50% of the users, for 70s" in many.flat
        assert "outcome (outcome.rmse): read once, after 70s; 979 judged outcomes" in many.flat
        assert "at 100 requests a second it has 3,500 by then" in many.flat
        assert "too few" not in many.flat
        assert "it has 350 by then, which is too few: take more weeks, or look for a larger effect" in few.flat
        # Two weeks of 35 s, and 10 s until the last prediction is judged.
        assert "at 100 requests a second: 1m20s from ready pods" in many.flat

    def test_a_bandit_says_between_what_its_weight_moves(self, tmp_path: Path) -> None:
        said = airport()("plan", self.file(tmp_path, BANDIT_SPEC, image=TWO))
        assert "bandit 10% first, then from 5% to 90% as its rewards ask, at most once in 20s" in said.flat
        assert "proof by at least 20,000 judged outcomes" in said.flat

    def test_a_strategy_that_is_tried_on_users_is_shown_as_it_stands(self) -> None:
        shell = rolling("test", AB_SPEC)
        shell.width = 300
        test = shell("get", "delay").flat
        assert "test from 2026-01-01" in test
        assert "read once, on 2026-01-01" in test
        assert "979 judged predictions of the candidate find an improvement of 5% with a power of 80%" in test
        moved = rolling("bandit", BANDIT_SPEC)
        moved.world.monitor.cap = 15.0
        moved.world.run(lambda: moved.world.route[TWO][1] == 9000)
        assert "bandit 90%" in moved("get", "delay").flat

    def test_what_was_tried_and_takes_nothing_over_ends_with_0(self) -> None:
        block = AB_SPEC["strategy"]["abTest"] | {"whenWon": "stop"}
        shell = rolling("test", AB_SPEC | {"strategy": {"type": "ABTest", "abTest": block}})
        said = shell("status", "delay", "--wait")
        assert said.code == 0
        assert "tried on users, and stable keeps the traffic: outcome: Pass: RMSE" in said.flat

    def test_what_serves_already_is_no_rollout(self, tmp_path: Path) -> None:
        said = airport()("plan", self.file(tmp_path, CANARY_SPEC))
        assert said.code == 0
        assert "nothing: delay-" in said.flat

    def test_a_change_that_makes_no_pods_applies_in_place(self, tmp_path: Path) -> None:
        spec = {**CANARY_SPEC, "serving": {**CANARY_SPEC["serving"], "replicas": 3}}
        said = airport()("plan", self.file(tmp_path, spec))
        assert "no rollout" in said.flat
        assert "spec.serving.replicas: 2 → 3" in said.flat

    def test_the_gates_are_named_with_their_places(self, tmp_path: Path) -> None:
        gates = [
            {"name": "board", "type": "Approval", "before": "promotion"},
            {"name": "origin", "type": "Provenance", "before": "provisioning", "required": False},
        ]
        said = airport()("plan", self.file(tmp_path, {**CANARY_SPEC, "gates": gates}, image=TWO))
        assert "gate board (Approval) before promotion, within 7d; a person's word: `kubectl switchyard" in said.flat
        assert "gate origin (Provenance) before provisioning, within 10m, not required" in said.flat

    def test_what_was_taken_back_is_refused_with_the_way_out(self, tmp_path: Path) -> None:
        shell = taken_back()
        said = shell("plan", self.file(tmp_path, CANARY_SPEC, image=THREE))
        assert said.code == 1
        assert f"retry delay --revision {shell.world.revision(THREE)}" in said.flat

    def test_a_third_model_replaces_the_rollout_under_way(self, tmp_path: Path) -> None:
        shell = rolling("quarter")
        said = shell("plan", self.file(tmp_path, CANARY_SPEC, image=THREE))
        assert f"{rollout(shell)} is replaced" in said.flat

    def test_going_back_to_stable_cancels_the_rollout(self, tmp_path: Path) -> None:
        shell = rolling("quarter")
        said = shell("plan", self.file(tmp_path, CANARY_SPEC))
        assert f"{rollout(shell)} is cancelled" in said.flat

    def test_the_same_model_again_goes_on_where_it_is(self, tmp_path: Path) -> None:
        shell = rolling("quarter")
        said = shell("plan", self.file(tmp_path, CANARY_SPEC, image=TWO))
        assert f"{rollout(shell)} goes on" in said.flat
        assert "✓ five" in said.flat
        assert "○ quarter" in said.flat

    def test_a_spec_that_was_not_accepted_is_not_said_to_be_the_same(self, tmp_path: Path) -> None:
        shell = airport()
        shell.world.deploy({**CANARY_SPEC, "strategy": {"type": "Bandit"}})
        said = shell("plan", self.file(tmp_path, CANARY_SPEC))
        assert said.code == 0
        assert "no rollout: delay-" in said.flat
        assert "what would change of it is not listed" in said.flat

    def test_the_first_deployment_takes_no_steps(self, tmp_path: Path) -> None:
        said = Shell(Simulation(MODELS))("plan", self.file(tmp_path, CANARY_SPEC))
        assert "the first revision" in said.flat
        assert "five" not in said.out

    def test_what_the_api_server_would_refuse_is_refused_in_its_words(self, tmp_path: Path) -> None:
        shell = airport()
        shell.cluster.objection = "spec: only on Tuesdays"
        said = shell("plan", self.file(tmp_path, CANARY_SPEC, image=TWO))
        assert said.code == 1
        assert "the API server would refuse it: spec: only on Tuesdays" in said.flat

    def test_who_may_not_write_gets_a_plan_that_says_what_was_not_checked(self, tmp_path: Path) -> None:
        shell = airport()
        path = self.file(tmp_path, CANARY_SPEC, image=TWO)

        def rehearse(body: Any, *, live: Any) -> str:
            raise Forbidden("bob may not update modeldeployments")

        shell.cluster.rehearse = rehearse  # type: ignore[method-assign]
        said = shell("plan", path)
        assert said.code == 0
        assert "the API server has not checked it: bob may not" in said.err

    def test_a_config_map_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        model = {**CANARY_SPEC["model"], "config": {"envFrom": [{"configMap": "thresholds"}]}}
        said = airport()("plan", self.file(tmp_path, {**CANARY_SPEC, "model": model}))
        assert said.code == 1
        assert "no ConfigMap 'thresholds'" in said.flat

    def test_a_faulty_file_is_not_even_asked_about(self, tmp_path: Path) -> None:
        shell = airport()
        said = shell("plan", self.file(tmp_path, {**CANARY_SPEC, "replicas": 3}))
        assert said.code == 1
        assert "spec.replicas: there is no such field" in said.out
        assert shell.cluster.rehearsed == []

    def test_two_namespaces_are_an_error(self, tmp_path: Path) -> None:
        said = airport()("plan", self.file(tmp_path, CANARY_SPEC, namespace="harbour"), "-n", "airport")
        assert said.code == 1
        assert "says namespace 'harbour', -n says 'airport'" in said.err

    def test_nothing_is_written(self, tmp_path: Path) -> None:
        shell = airport()
        before = dict(shell.world.cluster.objects)
        shell("plan", self.file(tmp_path, CANARY_SPEC, image=TWO))
        assert shell.world.cluster.objects == before


@pytest.mark.parametrize("verb", ["get", "status", "why", "history", *STEERING])
def test_no_kubeconfig_is_a_sentence(verb: str) -> None:
    shell = Shell(Simulation(MODELS), no_cluster="there is no kubeconfig at /nowhere; set KUBECONFIG")
    said = shell(verb)
    assert said.code == 1
    assert said.err == "error: there is no kubeconfig at /nowhere; set KUBECONFIG\n"


@pytest.mark.parametrize("verb", ["status", "why", "history", *STEERING])
def test_an_empty_namespace_is_a_sentence(verb: str) -> None:
    said = Shell(Simulation(MODELS))(verb)
    assert said.code == 1
    assert "there is no ModelDeployment in namespace 'airport'" in said.err


@pytest.mark.parametrize("words", [["explode"], ["get", "--colour"], ["plan"], ["why", "--past", "-1"]])
def test_a_wrong_word_never_ends_with_the_code_of_a_rollback(words: list[str]) -> None:
    assert airport()(*words).code == 1
