"""How much features explain: ε² of scipy's analysis of variance, and nothing of what is drawn by lot."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import f_oneway
from switchyard_profile import __main__ as command
from switchyard_profile import training
from switchyard_profile.importance import Importance
from switchyard_profile.reference import Reference
from switchyard_profile.training import Options

ROWS = 3_000


def table(seed: int = 1) -> dict[str, list[Any]]:
    chance = np.random.default_rng(seed)
    kind = chance.choice(["a", "b", "c"], ROWS)
    far = chance.normal(0, 1, ROWS)
    wild = chance.choice([f"n{i}" for i in range(150)], ROWS)
    delay = 10.0 * (kind == "b") + 3.0 * far + chance.normal(0, 4, ROWS)
    late = np.where(delay + chance.normal(0, 6, ROWS) > 5, "late", "early")
    gap = [None if value > 8 else 1 for value in delay]
    return {
        "kind": kind.tolist(),
        "far": far.tolist(),
        "wild": wild.tolist(),
        "gap": gap,
        "delay": delay.tolist(),
        "late": late.tolist(),
    }


def weights(made: Reference) -> dict[str, Importance | None]:
    return {feature.name: feature.importance for feature in made.features}


def of(made: Reference, name: str) -> Importance:
    found = weights(made)[name]
    assert found is not None
    return found


def epsilon(f: float, k: int) -> float:
    """From the F of an analysis of variance, as Kelley's ε² is written there: (F − 1)/(F + (n − k)/(k − 1))."""
    return (f - 1) / (f + (ROWS - k) / (k - 1))


@pytest.mark.rule("check-importance")
def test_it_is_that_of_an_analysis_of_variance_and_of_one_of_classes() -> None:
    rows = table()
    made = training.reference(rows, options=Options(prediction="delay", outcome="late"))
    kind, delay = np.array(rows["kind"]), np.array(rows["delay"])
    f = f_oneway(*(delay[kind == one] for one in "abc")).statistic
    assert of(made, "kind").prediction == pytest.approx(epsilon(f, 3), abs=2e-5)
    late = (np.array(rows["late"]) == "late").astype(float)
    f = f_oneway(*(late[kind == one] for one in "abc")).statistic
    assert of(made, "kind").outcome == pytest.approx(epsilon(f, 3), abs=2e-5), "two classes are a number of 0 and 1"
    assert weights(made)["prediction"] is None
    assert "late" not in weights(made), "what happened is no feature"
    assert of(made, "gap").prediction == pytest.approx(
        epsilon(f_oneway(delay[delay > 8], delay[delay <= 8]).statistic, 2), abs=2e-5
    ), "that a value is missing explains too"


@pytest.mark.rule("check-importance")
def test_what_is_drawn_by_lot_explains_nothing_however_many_names_it_has() -> None:
    found = [
        of(training.reference(table(seed), options=Options(prediction="delay", outcome="late")), "wild")
        for seed in range(5)
    ]
    assert all((one.prediction or 0.0) < 0.02 and (one.outcome or 0.0) < 0.02 for one in found)


def test_the_same_rows_are_the_same_bytes_in_any_order() -> None:
    rows, order = table(), list(range(ROWS))
    random.Random(4).shuffle(order)
    options = Options(prediction="delay", outcome="late", own={"far": 2.5})
    made = training.reference(rows, options=options)
    again = training.reference({name: [column[at] for at in order] for name, column in rows.items()}, options=options)
    assert made.to_bytes() == again.to_bytes()
    assert Reference.of_bytes(made.to_bytes()).digest == made.digest
    assert (of(made, "far").own, of(made, "far").weight) == (2.5, 2.5)


def test_a_profile_of_before_is_read_and_keeps_its_name() -> None:
    made = training.reference({"a": [1.0, 2.0, 3.0]})
    assert "importance" not in json.dumps(made.to_json())
    read = Reference.of_bytes(made.to_bytes())
    assert (read.digest, read.features[0].weight) == (made.digest, 0.0)


@pytest.mark.parametrize("answer", [[5.0] * 60, [None] * 59 + [1.0]])
def test_where_nothing_is_to_be_explained_nothing_is_said(answer: list[Any]) -> None:
    made = training.reference({"a": [float(n % 7) for n in range(60)], "y": answer}, options=Options(prediction="y"))
    assert set(weights(made).values()) == {None}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    lines = [f"{n % 3},{n % 5},{n % 3 * 2 + n % 2},{n % 3 > 1}" for n in range(200)]
    (tmp_path / "rows.csv").write_text("a,b,y,late\n" + "\n".join(lines).lower() + "\n")
    (tmp_path / "own.csv").write_text("feature,value\na,0.75\n")
    return tmp_path


def test_the_command_tells_it_and_takes_ones_own(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "profile.json"
    options = ["--prediction", "y", "--outcome", "late", "--importance", str(files / "own.csv"), "--out", str(out)]
    assert command.main([str(files / "rows.csv"), *options]) == 0
    said = capsys.readouterr().out
    assert "100.0% of the outcome, 0.75 as said" in said
    assert of(Reference.of_bytes(out.read_bytes()), "a").own == 0.75


@pytest.mark.parametrize(
    ("own", "options", "words"),
    [
        ("feature,value\nc,1\n", [], "--importance c: there is no such column"),
        ("feature,value\na,-1\n", [], "row 1: a, -1; write a feature and a number from 0 on"),
        ("feature,value\na,1\na,2\n", [], "row 2: a is there twice"),
        ("feature,gain\na,1\n", [], "it has the columns feature, gain; write feature and value"),
        ("feature,value\ny,1\n", [], "y is the column of --prediction, and no feature"),
        ("feature,value\na,1\n", ["--outcome", "y"], "this is --prediction already"),
        ("feature,value\na,1\n", ["--outcome", "z"], "--outcome z: there is no such column"),
    ],
)
def test_what_cannot_be_used_is_said(
    files: Path, own: str, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "own.csv").write_text(own)
    given = ["--prediction", "y", "--importance", str(files / "own.csv"), "--out", str(files / "p.json"), *options]
    assert command.main([str(files / "rows.csv"), *given]) == 1
    assert words in capsys.readouterr().err
