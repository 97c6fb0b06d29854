"""What may be said of segments."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from switchyard_contracts.model_deployment import Monitoring
from switchyard_contracts.segments import Segment


@pytest.mark.parametrize("said", [{"values": ["AA", "UA"]}, {"values": ["AA"]}, {"edges": [-1, 0.5, 7]}])
def test_what_fits_is_taken(said: dict[str, Any]) -> None:
    assert Segment.model_validate({"name": "carrier", "path": "$.carrier", **said})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param({}, "exactly one of values and edges", id="neither"),
        pytest.param({"values": ["a"], "edges": [1]}, "exactly one of values and edges", id="both"),
        pytest.param({"values": ["a", "a"]}, r"values\[1\]: 'a' is there already", id="a value twice"),
        pytest.param({"edges": [1, 1]}, r"edges\[1\]: 1 does not lie above 1", id="edges that stand still"),
        pytest.param({"edges": [float("nan")]}, "finite", id="an edge that is no number"),
        pytest.param({"values": [str(n) for n in range(61)]}, "at most 60", id="too many values"),
        pytest.param({"values": ["a"], "name": "a b"}, "name", id="a name with a space"),
    ],
)
def test_what_does_not_fit_is_said(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Segment.model_validate({"name": "carrier", "path": "$.carrier", **said})


def test_names_of_segments_differ() -> None:
    twice = [{"name": "a", "path": "$.a", "values": ["a"]}] * 2
    with pytest.raises(ValidationError, match=r"segments\[1\].name: 'a' is taken; the names of segments must differ"):
        Monitoring.model_validate({"prediction": {"path": "$.y", "task": "regression"}, "segments": twice})


def test_who_has_none_is_told_of_in_words_that_a_monitor_of_before_can_read() -> None:
    plain = Monitoring.model_validate({"prediction": {"path": "$.y", "task": "classification"}}).to_json()
    assert "segments" not in plain
    assert {"classes", "positive", "score"}.isdisjoint(plain["prediction"])
