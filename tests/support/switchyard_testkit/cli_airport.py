"""Where the command line's tests begin: a model serves, another is on its way, or was taken back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from switchyard_contracts.model_deployment import Phase

from switchyard_testkit.cli_world import Shell
from switchyard_testkit.rollout_world import CANARY_SPEC, SPEC, Model, Simulation

ONE, TWO, THREE = "models/delay:1", "models/delay:2", "models/delay:3"
MODELS = {
    ONE: Model(version="1.0.0", loss=100.0),
    TWO: Model(version="2.0.0", loss=50.0),
    THREE: Model(version="3.0.0", loss=200.0),
}
BY_HAND: dict[str, Any] = SPEC | {"strategy": {"type": "BlueGreen", "blueGreen": {"autoPromote": False}}}


def airport(spec: Mapping[str, Any] = CANARY_SPEC, **models: Model) -> Shell:
    """The first model serves, and nothing is under way."""
    world = Simulation(MODELS | {{"two": TWO, "three": THREE}[key]: nature for key, nature in models.items()})
    world.deploy(spec)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return Shell(world)


def rolling(step: str = "five", spec: Mapping[str, Any] = CANARY_SPEC, *, image: str = TWO) -> Shell:
    """Another model is on its way, and has reached a step."""
    shell = airport(spec)
    shell.world.deploy(spec, image=image)
    shell.world.run(lambda: (shell.world.status.rollout and shell.world.status.rollout.step) == step)
    return shell


def taken_back() -> Shell:
    """A worse model was taken back."""
    shell = airport()
    shell.world.deploy(CANARY_SPEC, image=THREE)
    shell.world.run(lambda: shell.world.phase is Phase.ROLLED_BACK)
    return shell


def promoted(spec: Mapping[str, Any] = CANARY_SPEC) -> Shell:
    """A better model took over, and is watched."""
    shell = airport(spec)
    shell.world.deploy(spec, image=TWO)
    shell.world.run(lambda: shell.world.phase is Phase.WATCHING)
    return shell


def rollout(shell: Shell) -> str:
    """The id of the rollout under way, or of the last one."""
    assert shell.world.status.rollout
    return shell.world.status.rollout.id
