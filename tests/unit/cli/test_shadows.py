"""What the command line says of shadows: how they stand, why, what a file would bring, and where their images are."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from switchyard_cli import pinning
from switchyard_contracts.model_deployment import Phase
from switchyard_testkit.cli_world import Shell, document
from switchyard_testkit.rollout_world import PAIRED_SPEC, SPEC, Model, Simulation, shadow

ONE, TWO, THREE = "models/delay:1", "models/delay:2", "models/delay:3"
BESIDE = [shadow("next", TWO, sample="10%"), shadow("broken", THREE, sample="25%", replicas=2)]
SPECS: dict[str, Any] = PAIRED_SPEC | {"shadows": BESIDE}
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture(scope="module")
def shell() -> Shell:
    """One shadow has been compared for a while, and the other does not start."""
    natures = {
        ONE: Model(version="1.0.0", loss=100.0),
        TWO: Model(version="2.0.0", loss=50.0),
        THREE: Model(version="3.0.0", starts=False),
    }
    world = Simulation(natures)
    world.deploy(SPECS)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.run(lambda: any(item.verdict == "Pass" for item in world.status.shadows))
    world.run_for(timedelta(minutes=2))
    return Shell(world, width=400)


def planned(shell: Shell, folder: Path, spec: dict[str, Any]) -> str:
    path = folder / "delay.yaml"
    path.write_text(yaml.safe_dump(document(spec)), encoding="utf-8")
    said = shell("plan", str(path), "--rate", "10")
    assert said.code == 0, said
    return said.flat


def test_the_tree_shows_each_shadow_with_its_sample_verdict_and_numbers(shell: Shell) -> None:
    said = shell("get", "delay")
    assert said.code == 0
    assert "shadow next 2.0.0 10% of stable's requests Pass" in said.flat
    assert "outcome Pass RMSE" in said.flat
    assert "shadow broken ? no copies Provisioning" in said.flat
    assert "0 of 2 pods ready; pod delay-" in said.flat


def test_why_says_beside_what_and_since_when_it_is_compared(shell: Shell) -> None:
    said = shell("why", "delay").flat
    assert "Shadow next (2.0.0): Pass, 10% of stable's requests, beside delay-" in said
    assert "Pass needs the upper bound below 0" in said
    assert "Shadow broken" in said
    assert "WaitingForPods: 0 of 2 pods ready" in said


def test_why_says_how_many_pairs_there_are(shell: Shell) -> None:
    assert re.search(r"Shadow next \(2\.0\.0\): Pass, .* ago\), [\d,]+ pairs", shell("why", "delay").flat)


def test_history_tells_of_comparisons_that_are_over_with_their_numbers_and_why() -> None:
    world = Simulation({ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=50.0)})
    world.deploy(PAIRED_SPEC | {"shadows": BESIDE[:1]})
    world.run(lambda: any(item.verdict == "Pass" for item in world.status.shadows))
    mine = Shell(world, width=400)
    assert "Shadows" not in mine("history", "delay").flat
    for spec in (PAIRED_SPEC, PAIRED_SPEC | {"shadows": BESIDE[:1]}, PAIRED_SPEC):
        world.deploy(spec)
        world.run_for(timedelta(seconds=20))
    said = mine("history", "delay", "--past", "1").flat
    rollouts, _, shadows = said.partition(" Shadows ")
    assert "Deployed: the first revision" in rollouts
    assert re.match(
        r"next 2\.0\.0 \(delay-\S+\) beside delay-\S+: NoData, [\d,]+ pairs? after \S+, 2026-01-01 12:", shadows
    )
    assert "TakenOut: spec.shadows names it no more" in shadows
    assert shadows.endswith("and 1 before these (--past)")
    assert "outcome Pass samples" in mine("history", "delay").flat


def test_the_table_and_the_status_are_the_rollouts_alone(shell: Shell) -> None:
    assert "shadow" not in shell("get").flat
    assert shell("status", "delay").code == 0


def test_plan_counts_a_shadows_pods_and_says_what_it_waits_for(tmp_path: Path) -> None:
    said = planned(Shell(Simulation({}), width=400), tmp_path, SPECS)
    assert "at its peak 5 pods (2 of its own, 1 of the shadow next, 2 of the shadow broken)" in said
    assert (
        "shadow next models/delay:2: 1 pod, 10% of stable's requests; outcome: proof by at least 200 judged pairs in 7"
        " blocks (analysis.block, here 5m); at 10 requests a second not before 35m"
    ) in said
    assert f"{TWO} is a tag: another image pushed under it is no new revision" in said


def test_plan_says_of_a_frugal_rollout_that_shadows_have_pods_of_their_own(shell: Shell, tmp_path: Path) -> None:
    frugal = SPECS | {"strategy": SPECS["strategy"] | {"capacity": "frugal"}, "model": {"image": "models/delay:4"}}
    said = planned(shell, tmp_path, frugal)
    assert "at most 6 pods in all" in said
    assert "that are there now some go first" not in said


def test_plan_says_that_nothing_would_be_judged(tmp_path: Path) -> None:
    said = planned(Shell(Simulation({}), width=400), tmp_path, SPEC | {"shadows": BESIDE})
    assert "nothing decides by pairs, so its answers are only recorded" in said


def test_a_change_of_shadows_alone_is_no_rollout(shell: Shell, tmp_path: Path) -> None:
    said = planned(shell, tmp_path, SPECS | {"shadows": [shadow("next", TWO, sample="50%"), BESIDE[1]]})
    assert "no rollout: delay-" in said
    assert "spec.shadows[0].sample: 10% → 50%" in said


def test_pin_finds_the_images_of_shadows_too() -> None:
    text = yaml.safe_dump(document(SPECS), sort_keys=False)
    found = pinning.find(text, file="x")
    assert [named.path for named in found] == [
        "spec.model.image",
        "spec.shadows[0].model.image",
        "spec.shadows[1].model.image",
    ]
    new = pinning.rewrite(text, [(named, named.image.pinned(DIGEST)) for named in found[1:]], file="x")
    pinned = yaml.safe_load(new)["spec"]
    assert pinned["model"]["image"] == ONE
    assert [each["model"]["image"] for each in pinned["shadows"]] == [f"{TWO}@{DIGEST}", f"{THREE}@{DIGEST}"]
