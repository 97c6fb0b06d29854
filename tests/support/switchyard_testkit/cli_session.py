"""The sessions in the README's section on the command line: what is typed, and what it prints at the simulated airport.

A test holds the README to them. `python -m switchyard_testkit.cli_session` prints them as they have to stand there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.quantities import format_duration

from switchyard_testkit.cli_airport import MODELS, ONE, THREE, TWO
from switchyard_testkit.cli_world import Shell
from switchyard_testkit.rollout_world import PAIRED_SPEC, WINDOW, Simulation

FOLLOWED = {ONE: 0.89, TWO: 0.955, THREE: 0.974}
"""The share of each model's predictions that people decide by."""
TRUST = {"name": "trust", "metric": "decision.agreement", "min": "80%", "role": "observe"}
SPEC: Mapping[str, Any] = PAIRED_SPEC | {
    "analysis": {**PAIRED_SPEC["analysis"], "metrics": [*PAIRED_SPEC["analysis"]["metrics"], TRUST]},
    # As long as the world's own windows are.
    "monitoring": {**PAIRED_SPEC["monitoring"], "window": format_duration(WINDOW), "decision": {"threshold": 15}},
}


def sessions() -> tuple[str, ...]:
    """A canary that copies decide: its first step begins, waits for evidence; the next version was taken back."""
    world = Simulation({image: replace(model, agreement=FOLLOWED[image]) for image, model in MODELS.items()})
    shell = Shell(world)
    world.deploy(SPEC)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.run_for(timedelta(minutes=2, seconds=2))
    world.deploy(SPEC, image=TWO)
    world.run(lambda: bool(world.status.rollout and world.status.rollout.step == "five"))
    world.run_for(timedelta(seconds=3))
    beginning = typed(shell, ["get"], ["why"])
    world.run(lambda: world.phase is Phase.AWAITING_EVIDENCE)
    world.run_for(timedelta(seconds=2))
    waiting = typed(shell, ["get", "delay"], ["status"])
    world.run(lambda: world.phase is Phase.WATCHING)
    world.run_for(timedelta(minutes=1))
    world.deploy(SPEC, image=THREE)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.run_for(timedelta(seconds=3))
    return beginning, waiting, typed(shell, ["get"], ["history"])


def typed(shell: Shell, *commands: Sequence[str]) -> str:
    """Each command, and below it what it prints."""
    lines = []
    for words in commands:
        lines += [f"$ kubectl switchyard {' '.join(words)}", *shell(*words).out.splitlines()]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def main() -> None:
    """The blocks, as they stand in Markdown."""
    print("\n\n".join(f"```text\n{session}```" for session in sessions()))


if __name__ == "__main__":
    main()
