"""What the operator tells Prometheus of the rollouts, read from its cache."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client import CollectorRegistry, generate_latest
from switchyard_operator.metrics import Metrics, Rollouts
from switchyard_testkit.rollout_world import CANARY_SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"


def told(world: Simulation, *, leading: bool = True) -> list[str]:
    """The lines of /metrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Rollouts(world.cache, leading=lambda: leading))
    return generate_latest(registry).decode().splitlines()


def at_five() -> Simulation:
    """A canary at its first step."""
    world = Simulation({ONE: Model(), TWO: Model()})
    world.deploy(CANARY_SPEC, image=ONE)
    world.run_for(timedelta(minutes=1))
    world.deploy(CANARY_SPEC, image=TWO)
    while not world.weights or world.weights[-1][1] != 500:
        world.run_for(timedelta(seconds=1))
    world.run_for(timedelta(seconds=5))
    return world


def test_phases_weights_and_verdicts_of_a_canary_at_its_first_step() -> None:
    world = at_five()
    lines = told(world)
    stable, candidate = world.revision(ONE), world.revision(TWO)
    subject = "/".join(world.cache.deployments()[0])
    share = "switchyard_rollout_weight_ratio"
    assert f'{share}{{deployment="{subject}",revision="{stable}",role="stable"}} 0.95' in lines
    assert f'{share}{{deployment="{subject}",revision="{candidate}",role="candidate"}} 0.05' in lines
    assert 'switchyard_operator_rollouts{phase="Progressing"} 1.0' in lines
    assert 'switchyard_operator_rollouts{phase="RolledBack"} 0.0' in lines
    assert f'switchyard_deployment_serving{{deployment="{subject}",state="Available"}} 1.0' in lines
    verdicts = [line for line in lines if line.startswith("switchyard_rollout_verdict{")]
    assert {line.split('metric="')[1].split('"')[0] for line in verdicts} == {"errors", "outcome"}


def test_how_long_a_rollout_is_in_its_phase_can_be_told() -> None:
    world = at_five()
    lines = [line for line in told(world) if line.startswith("switchyard_rollout_phase_start_timestamp_seconds{")]
    (line,) = lines
    name, _, began = line.rpartition(" ")
    subject = "/".join(world.cache.deployments()[0])
    assert name.split("{")[1] == f'deployment="{subject}",phase="Progressing"}}'
    assert 0 < world.clock.now.timestamp() - float(began) < 60


def test_ways_for_a_pass_to_end_are_told_before_one_ended_so() -> None:
    lines = generate_latest(Metrics().registry).decode().splitlines()
    assert 'switchyard_operator_passes_total{result="failed"} 0.0' in lines


def test_a_standby_tells_nothing_of_rollouts_so_that_sums_over_replicas_are_right() -> None:
    lines = told(at_five(), leading=False)
    assert [line for line in lines if not line.startswith("#")] == []


def test_requests_to_the_api_server_are_counted_by_code_and_those_without_an_answer_too() -> None:
    metrics = Metrics()
    metrics.count_request("GET", 200, 0.01)
    metrics.count_request("POST", 403, 0.01)
    metrics.count_request("GET", None, 3.0)
    lines = generate_latest(metrics.registry).decode().splitlines()
    assert 'switchyard_operator_api_requests_total{code="403",verb="POST"} 1.0' in lines
    assert 'switchyard_operator_api_requests_total{code="<error>",verb="GET"} 1.0' in lines
