"""Gates that ask nobody: provenance and the version."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.gates import Gate
from switchyard_contracts.model import Provenance
from switchyard_operator.domain.gate_checks import Precedence, provenance, version
from switchyard_operator.domain.gates import State

WHOLE = {"gitCommit": "3f2c1d9", "dataDigest": "sha256:9b2f", "trainingRun": "run-7", "pipeline": "delay"}


def origin(**changes: str | None) -> Provenance:
    return Provenance.model_validate({key: value for key, value in (WHOLE | changes).items() if value is not None})


def gate(**changes: Any) -> Gate:
    return Gate.model_validate({"name": "origin", "type": "Provenance"} | changes)


@pytest.mark.parametrize(
    ("asked", "recorded", "said", "state", "words"),
    [
        pytest.param(gate(), origin(), None, State.PASSED, "gitCommit, dataDigest", id="all four"),
        pytest.param(gate(), None, None, State.FAILED, "4 of 4 facts are missing", id="nothing at all"),
        pytest.param(
            gate(),
            origin(dataDigest=None),
            None,
            State.FAILED,
            "1 of 4 facts is missing; set spec.model.provenance.dataDigest",
            id="no data",
        ),
        pytest.param(gate(), origin(gitCommit=" "), None, State.FAILED, "provenance.gitCommit", id="a blank"),
        pytest.param(
            gate(provenance={"fields": ["gitCommit"]}),
            origin(dataDigest=None),
            None,
            State.PASSED,
            "gitCommit is said",
            id="only what is asked for",
        ),
        pytest.param(
            gate(), origin(dataDigest=None), origin(), State.PASSED, "are said", id="what was forgotten is said later"
        ),
        pytest.param(
            gate(), origin(gitCommit=""), origin(), State.FAILED, "gitCommit", id="what was said is not written over"
        ),
    ],
)
def test_provenance(
    asked: Gate, recorded: Provenance | None, said: Provenance | None, state: State, words: str
) -> None:
    answer = provenance(asked, recorded, said)
    assert answer.state is state
    assert words in answer.message


@pytest.mark.parametrize(
    ("candidate", "stable", "state", "words"),
    [
        pytest.param("2.0.0", "1.9.9", State.PASSED, "2.0.0 is above stable's 1.9.9", id="it rises"),
        pytest.param("1.10.0", "1.9.0", State.PASSED, "above", id="by number, not by letter"),
        pytest.param("2.0.0", "2.0.0", State.FAILED, "2.0.0 is not above stable's 2.0.0", id="the same"),
        pytest.param("1.0.0", "2.0.0", State.FAILED, "set a higher spec.model.version", id="it falls"),
        pytest.param("2.0.0", "2.0.0-rc.1", State.PASSED, "above", id="a release after its candidate"),
        pytest.param("2.0.0-rc.10", "2.0.0-rc.9", State.PASSED, "above", id="candidates by number"),
        pytest.param("2.0.0+b", "2.0.0+a", State.FAILED, "not above", id="build metadata does not count"),
        pytest.param("1.0.0", None, State.PASSED, "the first version", id="nothing serves yet"),
        pytest.param("1.0.0", "", State.PASSED, "(unknown)", id="stable never said its own"),
        pytest.param("", "1.0.0", State.WAITING, "spec.model.version", id="not known yet"),
        pytest.param("latest", "1.0.0", State.FAILED, "'latest' is not a semantic version", id="a tag"),
    ],
)
def test_the_version_rises(candidate: str, stable: str | None, state: State, words: str) -> None:
    answer = version(candidate, stable)
    assert answer.state is state
    assert words in answer.message


def test_versions_are_ordered_as_semver_org_writes_them() -> None:
    rising = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
    ]
    shuffled = [rising[index] for index in (3, 7, 0, 5, 2, 6, 1, 4)]
    assert sorted(shuffled, key=Precedence) == rising


NUMBER = st.integers(0, 12)
VERSION = st.builds(
    lambda core, pre: ".".join(map(str, core)) + (f"-{pre}" if pre else ""),
    st.tuples(NUMBER, NUMBER, NUMBER),
    st.sampled_from(["", "a", "b", "a.1", "a.2", "1", "2", "10"]),
)


@given(VERSION, VERSION)
def test_of_two_versions_no_more_than_one_is_above_the_other(one: str, other: str) -> None:
    above = [version(one, other).state is State.PASSED, version(other, one).state is State.PASSED]
    assert sum(above) == (0 if Precedence(one) == Precedence(other) else 1)
