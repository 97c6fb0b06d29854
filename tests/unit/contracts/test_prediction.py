"""What may be said of where Y stands."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from switchyard_contracts.model_deployment import Prediction


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"task": "regression"}, id="a number"),
        pytest.param({"task": "classification"}, id="a class, and no more"),
        pytest.param({"task": "classification", "positive": "late"}, id="one class and the rest"),
        pytest.param({"task": "classification", "score": "$.p"}, id="how sure it is of what it says"),
        pytest.param(
            {"task": "classification", "classes": ["a", "b"], "positive": "b", "score": "$.p"}, id="all of it"
        ),
    ],
)
def test_what_fits_is_taken(said: dict[str, Any]) -> None:
    assert Prediction.model_validate({"path": "$.y", **said})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param({"task": "regression", "score": "$.p"}, "score: may be set only", id="a score of a number"),
        pytest.param({"task": "regression", "positive": "a"}, "positive: may be set only", id="a class of a number"),
        pytest.param({"task": "classification", "classes": ["a", "b", "a"]}, "'a' repeats", id="twice"),
        pytest.param({"task": "classification", "classes": ["a"]}, "at least 2 items", id="one class"),
        pytest.param(
            {"task": "classification", "classes": ["a", "b"], "positive": "c"}, "'c' is none of classes", id="unknown"
        ),
        pytest.param({"task": "classification", "classes": [str(n) for n in range(33)]}, "at most 32", id="too many"),
    ],
)
def test_what_does_not_fit_is_said(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Prediction.model_validate({"path": "$.y", **said})
