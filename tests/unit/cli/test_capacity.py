"""What `plan` says a rollout asks of the cluster is what the operator then makes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from switchyard_cli.capacity import amount, written
from switchyard_contracts.judgement import noun
from switchyard_testkit.cli_airport import THREE, TWO, airport, promoted, rolling
from switchyard_testkit.cli_world import Shell, document
from switchyard_testkit.rollout_world import CANARY_SPEC, SPEC

SIZED: dict[str, Any] = {
    **CANARY_SPEC,
    "serving": {
        **CANARY_SPEC["serving"],
        "resources": {
            "requests": {"cpu": "250m", "memory": "512Mi"},
            "limits": {"memory": "1Gi", "gpu.example/a": "1"},
        },
    },
}


def plan(shell: Shell, folder: Path, spec: dict[str, Any], *, image: str) -> str:
    path = folder / "delay.yaml"
    body = document({**spec, "model": {**spec["model"], "image": image}})
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    said = shell("plan", str(path), "--rate", "100")
    assert said.code == 0, said
    return said.flat


STARTS: dict[str, tuple[Callable[[], Shell], str, str]] = {
    "beside stable": (airport, TWO, "at its peak 4 pods (2 of its own, 2 of stable)"),
    "beside a warm one": (
        promoted,
        THREE,
        "at its peak 5 pods (2 of its own, 2 of stable, 1 of the warm one before it)",
    ),
    "in place of another": (
        lambda: rolling("quarter"),
        THREE,
        "at its peak 6 pods (2 of its own, 2 of stable, 2 of the replaced one until it has left)",
    ),
}


@pytest.mark.parametrize("start", STARTS)
def test_the_pods_at_the_peak_are_those_that_the_operator_makes(start: str, tmp_path: Path) -> None:
    begin, image, says = STARTS[start]
    shell = begin()
    said = plan(shell, tmp_path, CANARY_SPEC, image=image)
    assert says in said
    most, one_pass = 0, shell.world.one_pass

    def counted() -> bool:
        nonlocal most
        again = one_pass()
        most = max(most, sum(shell.world.replicas.values()))
        return again

    shell.world.one_pass = counted  # type: ignore[method-assign]
    shell.world.deploy(CANARY_SPEC, image=image)
    shell.world.gateways.silent.add("gateway-1")  # a gateway that takes its time: who leaves keeps its pods so long
    shell.world.run_for(timedelta(seconds=5))
    shell.world.gateways.silent.clear()
    shell.world.run_for(timedelta(minutes=3))
    assert f"at its peak {most} {noun(most, 'pod')} (" in said


@pytest.mark.parametrize("start", STARTS)
def test_a_frugal_rollout_takes_one_pod_more_than_serve_and_plan_says_so(start: str, tmp_path: Path) -> None:
    begin, image, _ = STARTS[start]
    shell = begin()
    there = sum(shell.world.replicas.values())
    frugal = CANARY_SPEC | {"strategy": {**CANARY_SPEC["strategy"], "capacity": "frugal"}}
    said = plan(shell, tmp_path, frugal, image=image)
    assert "at most 3 pods in all" in said
    assert "1 pod of its own, ready within 10m" in said
    assert "weights move a pod at a time, and so does the way back; an abort goes at once, short of pods" in said
    assert (f"of the {there} that are there now some go first" in said) is (there > 3)
    shell.world.deploy(frugal, image=image)
    shell.world.run_for(timedelta(seconds=15))  # who came before it, and was not frugal, leaves first
    most = 0
    for _ in range(200):
        shell.world.tick()
        most = max(most, sum(shell.world.replicas.values()))
    assert most == 3


def test_what_a_frugal_rollout_requests_is_of_one_pod_more(tmp_path: Path) -> None:
    frugal = SIZED | {"strategy": {**SIZED["strategy"], "capacity": "frugal"}}
    said = plan(airport(SIZED), tmp_path, frugal, image=TWO)
    assert "at most 3 pods in all, requesting cpu 0.75, gpu.example/a 3, memory 1.5Gi; capacity frugal" in said


def test_plan_says_what_waits_its_turn_and_for_what(tmp_path: Path) -> None:
    shell = rolling("quarter")
    said = plan(shell, tmp_path, CANARY_SPEC | {"onSpecChange": "Queue"}, image=THREE)
    assert "waits its turn (spec.onSpecChange is Queue) until delay-" in said
    assert "at step quarter, which waits for" in said
    assert "at its peak 4 pods (2 of its own, 2 of stable)" in said


def test_plan_says_that_a_newer_model_would_be_refused(tmp_path: Path) -> None:
    path = tmp_path / "delay.yaml"
    spec = CANARY_SPEC | {"onSpecChange": "Reject", "model": {**CANARY_SPEC["model"], "image": THREE}}
    path.write_text(yaml.safe_dump(document(spec)), encoding="utf-8")
    said = rolling("quarter")("plan", str(path))
    assert "is under way, and spec.onSpecChange is Reject" in said.flat


def test_what_the_pods_request_is_summed_and_a_limit_alone_counts(tmp_path: Path) -> None:
    shell = airport(SIZED)
    said = plan(shell, tmp_path, SIZED, image=TWO)
    assert "requesting cpu 1, gpu.example/a 4, memory 2Gi" in said
    assert "request nothing" not in said


def test_pods_that_request_nothing_are_pointed_out(tmp_path: Path) -> None:
    said = plan(airport(), tmp_path, SIZED, image=TWO)
    assert (
        "requesting cpu 0.5, gpu.example/a 2, memory 1Gi; 2 of them request nothing, so nodes may be overfilled" in said
    )


def test_each_need_says_how_long_its_samples_take_at_the_rate(tmp_path: Path) -> None:
    said = plan(airport(), tmp_path, CANARY_SPEC, image=TWO)
    assert "200 of its requests, about 4,000 in all; 40s of this step at 100 requests a second" in said
    assert "200 of its requests, about 800 in all; 8s of this step at 100 requests a second" in said


def test_what_makes_no_rollout_asks_for_nothing(tmp_path: Path) -> None:
    assert "at its peak" not in plan(airport(SPEC), tmp_path, SPEC, image="models/delay:1")


@given(st.integers(1, 10**6), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti"]))
def test_memory_is_written_as_an_amount_that_reads_back(number: int, unit: str) -> None:
    value = amount(f"{number}{unit}")
    assert amount(written("memory", value)) == value if value == round(value) else True


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("cpu", "1.5", "1.5"), ("memory", "1610612736", "1.5Gi"), ("memory", "1000", "1000"), ("cpu", "100", "100")],
)
def test_amounts_are_written_as_people_do(name: str, value: str, text: str) -> None:
    assert written(name, Decimal(value)) == text
