"""A sentence is told once, in the place of the metric or gate that it is of; where it is repeated, names are left."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_cli.views.echoes import Told
from switchyard_contracts.gates import GateVerdict
from switchyard_contracts.model_deployment import MetricVerdict, Phase
from switchyard_testkit.cli_airport import THREE, TWO, airport, rolling, taken_back
from switchyard_testkit.cli_world import Shell
from switchyard_testkit.rollout_world import ANALYSIS, CANARY_SPEC, PAIRED_SPEC

WIDE = 4000
"""So wide that no sentence is broken into lines."""
FEW, MANY = "3 % of 40 requests failed", "RMSE 18.1 against 40.5; 3 % of 40 requests failed"


def metric(name: str, message: str) -> MetricVerdict:
    return MetricVerdict.model_validate(
        {"name": name, "metric": "error_rate", "role": "guard", "verdict": "Fail", "reason": "R", "message": message}
    )


def gate(name: str, message: str) -> GateVerdict:
    return GateVerdict.model_validate({"name": name, "type": "Approval", "state": "Waiting", "message": message})


TOLD = Told.of(metrics=[metric("errors", FEW), metric("outcome", MANY)], gates=[gate("board", "ada is asked")])


@pytest.mark.parametrize(
    ("text", "left"),
    [
        pytest.param(f"errors: {FEW}; outcome: {MANY}", "errors; outcome", id="metrics that are waited for"),
        pytest.param(f"taken back at 5%: outcome: {MANY}", "taken back at 5%: outcome", id="a rollback"),
        pytest.param(f"errors: {FEW} (rollback.automatic is false)", "errors (rollback.automatic is false)", id="more"),
        pytest.param("gate board: ada is asked", "gate board", id="a gate"),
        pytest.param("ada is asked", "gate board", id="nothing but the sentence"),
        pytest.param(f"errors: {FEW}, and more", f"errors: {FEW}, and more", id="a longer sentence is another one"),
        pytest.param("errors: 200 more requests needed", "errors: 200 more requests needed", id="something else"),
    ],
)
def test_a_repetition_leaves_names(text: str, left: str) -> None:
    assert TOLD.shortened(text) == left


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        (f"errors: {FEW}; outcome: {MANY}", True),
        ("ada is asked", True),
        (f"errors: {FEW}; latency: 2 % of 40 requests were slower", False),
        (f"taken back at 5%: outcome: {MANY}", False),
    ],
)
def test_what_leaves_names_alone_says_nothing_new(text: str, repeats: bool) -> None:
    assert TOLD.repeats(text) is repeats


def test_two_metrics_with_the_same_to_say_say_it_once() -> None:
    told = Told.of(metrics=[metric("errors", FEW), metric("strict", FEW)])
    assert (told.own("errors", FEW), told.own("strict", FEW)) == (FEW, "the same as errors")


@given(st.lists(st.text(alphabet="a:; (x.*", max_size=12), max_size=4), st.text(alphabet="a:; (x.*m", max_size=40))
def test_nothing_is_made_up_and_where_nothing_is_told_nothing_is_left_out(sentences: list[str], text: str) -> None:
    told = Told.of(metrics=[metric(f"m{index}", sentence) for index, sentence in enumerate(sentences)])
    left = told.shortened(text)
    assert len(left) <= max(len(text), 2)
    assert Told().shortened(text) == text


LATER = [1, 12, 25, 40]


@pytest.mark.parametrize("seconds", LATER)
@pytest.mark.parametrize("spec", [CANARY_SPEC, PAIRED_SPEC], ids=["by the split", "by pairs"])
def test_get_and_why_tell_each_metrics_sentence_once(spec: Mapping[str, Any], seconds: int) -> None:
    strict = ANALYSIS["metrics"][0] | {"name": "strict", "max": "0.5%"}
    twofold = {**spec, "analysis": {**spec["analysis"], "metrics": [*spec["analysis"]["metrics"], strict]}}
    shell = rolling("five", twofold)
    shell.world.run_for(timedelta(seconds=seconds))
    once(shell)


@pytest.mark.parametrize("image", [TWO, THREE])
def test_so_they_do_of_a_rollout_that_is_over(image: str) -> None:
    shell = airport()
    shell.world.deploy(CANARY_SPEC, image=image)
    shell.world.run(lambda: shell.world.phase in (Phase.WATCHING, Phase.ROLLED_BACK))
    once(shell)


def test_so_they_do_while_the_monitor_is_away() -> None:
    shell = rolling("five")
    shell.world.monitor.down = "the monitor does not answer: ConnectError"
    shell.world.run_for(timedelta(minutes=2))
    once(shell)


def test_so_they_do_of_gates() -> None:
    board = {"name": "board", "type": "Approval", "before": "promotion", "within": "7d"}
    shell = airport()
    shell.world.deploy({**CANARY_SPEC, "gates": [board]}, image=TWO)
    shell.world.run(lambda: shell.world.phase is Phase.PAUSED)
    once(shell)


def test_a_pause_is_told_once() -> None:
    shell = rolling("five")
    shell("pause", "--reason", "lunch")
    shell.world.run(lambda: shell.world.phase is Phase.PAUSED)
    assert shell.world.status.rollout
    shell.width = WIDE
    assert shell("why", "delay").out.count(shell.world.status.rollout.paused) == 1


def test_what_a_condition_alone_says_is_told_all_the_same() -> None:
    said = taken_back()("why", "delay").flat
    assert "it stays back until a retry command names it" in said
    assert said.count("AnalysisFailed: taken back at") == 1


def once(shell: Shell) -> None:
    """No sentence of a metric or a gate stands twice in a view, and each stands there."""
    rollout = shell.world.status.rollout
    assert rollout
    shell.width = WIDE
    views = {
        "get": (shell("get", "delay").out, [*rollout.verdicts, *rollout.gates]),
        "why": (shell("why", "delay", "--past", "0").out, rollout.verdicts),
    }
    for name, (shown, told) in views.items():
        sentences = {item.message for item in told if item.message}
        # One that another begins or ends with is counted with it.
        alone = {each for each in sentences if not any(each in other for other in sentences - {each})}
        assert {each: shown.count(each) for each in alone} == dict.fromkeys(alone, 1), f"{name}\n{shown}"
