"""A loss of one's own: what may be written, what it comes to, and what is refused where it is written."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.acceptance import read as accepted
from switchyard_contracts.expressions import MOST_LETTERS, Kind, parse
from switchyard_contracts.loss import read
from switchyard_contracts.model_deployment import Monitoring

NAMES = {"prediction": Kind.NUMBER, "outcome": Kind.NUMBER}
MONITORING: dict[str, Any] = {
    "prediction": {"path": "$.delay", "task": "regression"},
    "outcome": {"horizon": "7d", "judgedAfter": "12h", "affectedBy": "nothing"},
}
CLASSES = {"path": "$.said", "task": "classification", "score": "$.p"}
ABS = "abs(prediction - outcome)"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("max(0.9*(outcome-prediction), 0.1*(prediction-outcome))", 2.7, id="pinball"),
        pytest.param("(prediction - outcome)**2", 9.0, id="a square"),
        pytest.param("+sqrt(abs(prediction - outcome) + 1) - -1", 3.0, id="a root and signs"),
        pytest.param(
            "50 if prediction < 15 and outcome >= 15 else 5 if not outcome > prediction else 0", 0.0, id="ifs"
        ),
        pytest.param("1 if 0 < prediction < outcome < 20 else 2", 1.0, id="a chain"),
        pytest.param("1 if prediction > 100 or outcome == 13 else 2", 1.0, id="one or the other"),
        pytest.param(" prediction\t/ 4 + 0*outcome ", 2.5, id="blanks"),
        pytest.param("1 / (prediction - 10) + outcome", None, id="a division by zero"),
        pytest.param("sqrt(prediction - outcome)", None, id="a root of less than nothing"),
        pytest.param("1e308 * prediction * 0 + outcome", None, id="a step that is too large"),
        pytest.param("0 if prediction * 1e308 > 1 else outcome", None, id="a step that is too large, in a comparison"),
    ],
)
def test_what_it_comes_to(text: str, value: float | None) -> None:
    assert parse(text, NAMES).of({"prediction": 10.0, "outcome": 13.0}) == (
        None if value is None else pytest.approx(value, rel=1e-15)
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("__import__('os').system('true')", "is not known here; write numbers, prediction, outcome"),
        ("prediction.__class__ + outcome", "'prediction.__class__' is not known here"),
        ("(lambda: outcome)()", "is not known here"),
        ("[outcome for prediction in ()]", "is not known here"),
        ("f'{outcome}'", "is not known here"),
        ("outcome if prediction else 0", "'prediction' is a number where true or false is needed"),
        ("outcome - (prediction > 3)", "write 1 if … else 0 for a number of it"),
        ("1 if outcome == 'late' else prediction", "compares a number with a text"),
        ("1 if 'a' < 'b' else prediction", "by something else than == and !="),
        ("outcome > prediction", "where a number is needed"),
        ("outcome + actual", "'actual' is no name that is known here; write prediction, outcome"),
        ("outcome ** 0.5", "has no exponent from 1 to 4; write a whole one, or sqrt for a root"),
        ("9 ** 9 ** 9 ** outcome", "has no exponent from 1 to 4"),
        ("log(outcome)", "calls log, which is not known here; there are abs, max, min, sqrt"),
        ("abs(outcome, prediction)", "gives abs 2 numbers; it takes one"),
        ("max(outcome)", "gives max 1 numbers; it takes 2 to 8"),
        ("max(*outcome)", "names its arguments"),
        ("outcome / 0", "divides by zero"),
        ("1e999 * outcome", "is no finite number"),
        ("1j * outcome", "is neither a number nor a text"),
        ("outcome +", "is no expression (invalid syntax)"),
        ("outcome\0", "is no expression"),
        ("-" * 100 + "outcome", "nested more than 16 deep"),
        ("(" * 250 + "outcome" + ")" * 250, "is no expression"),
        ("outcome" + " + 1" * 200, f"at most {MOST_LETTERS} are read"),
    ],
)
def test_what_is_refused_says_what_helps(text: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        parse(text, NAMES)
    assert words in str(refused.value)


numbers = st.floats(allow_nan=True, allow_infinity=True)
texts = st.text("predctionu0123456789.+-*/()<>=!,maxbsqrtifeld ' _[]{}:@", max_size=60)


@given(texts)
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text, NAMES)
    except ValueError:
        return
    value = found.of({"prediction": 1.0, "outcome": 2.0})
    assert value is None or math.isfinite(value)
    assert found.names <= NAMES.keys()


@given(numbers, numbers)
def test_it_is_a_finite_number_or_none(prediction: float, outcome: float) -> None:
    found = read("(prediction - outcome)**2 / outcome", task="regression", scored=False)
    value = found.of({"prediction": prediction, "outcome": outcome})
    assert value is None or math.isfinite(value)


def test_classes_are_texts_and_scores_are_known_where_they_are_told() -> None:
    text = '20*(1 - score) if outcome == "late" and prediction != outcome else 0'
    found = read(text, task="classification", scored=True)
    assert found.of({"prediction": "early", "outcome": "late", "score": 0.25}) == 15.0
    assert found.of({"prediction": "early", "outcome": "late", "score": None}) is None
    with pytest.raises(ValueError, match="'score' is no name"):
        read(text, task="classification", scored=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": {"expression": "abs(outcome)"}}, "loss.expression: 'abs(outcome)' says nothing of prediction"),
        ({"loss": {"expression": "prediction"}}, "loss.expression: 'prediction' says nothing of outcome"),
        ({"loss": {"expression": ABS}, "prediction": CLASSES}, "is a text where a number is needed"),
        ({"loss": {"expression": ABS}, "outcome": None}, "outcome is not set; set it, or take loss out"),
        ({"alarms": [{"name": "a", "metric": "outcome.loss", "max": 3}]}, "outcome.loss needs monitoring.loss"),
    ],
)
def test_a_loss_that_cannot_be_computed_is_refused(change: dict[str, Any], words: str) -> None:
    assert Monitoring.model_validate(MONITORING | {"loss": {"expression": ABS}})
    with pytest.raises(ValidationError) as refused:
        Monitoring.model_validate(MONITORING | change)
    assert words in str(refused.value)


def test_a_metric_of_a_loss_that_nobody_says_is_refused_by_its_name() -> None:
    metric = {"name": "cost", "metric": "outcome.loss", "role": "decide", "maxIncrease": "5%"}
    spec = {"model": {"image": "registry.example/m:1.0.0"}, "monitoring": MONITORING, "analysis": {"metrics": [metric]}}
    with pytest.raises(SpecRejected, match=r"'cost' needs monitoring\.loss, which is not set"):
        accepted({**spec, "strategy": {"type": "Canary", "canary": {"steps": [{"name": "a", "weight": "5%"}]}}})


def test_where_there_is_none_a_monitor_of_before_hears_of_none() -> None:
    assert "loss" not in Monitoring.model_validate(MONITORING).model_dump(by_alias=True)
    told = Monitoring.model_validate(MONITORING | {"loss": {"expression": ABS}})
    assert Monitoring.model_validate(told.model_dump(by_alias=True)).loss == told.loss
