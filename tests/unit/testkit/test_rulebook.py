"""The rule book's own rules: what is wrong with a row is said, with what helps."""

from __future__ import annotations

from typing import Any

import pytest
from switchyard_testkit.rulebook import Proof, Row, faults, read, tell
from switchyard_testkit.switched_off import SWITCHES


def row(**changes: Any) -> Row:
    """A row that is proven; each test says only what differs."""
    usual = {"id": "suspend", "rule": "Nothing is decided.", "without": ["suspend"]}
    return Row.model_validate(usual | changes)


def test_the_book_reads_and_names_every_switch() -> None:
    rows = read()
    assert {name for item in rows for name in item.without} == set(SWITCHES)
    assert len({item.id for item in rows}) == len(rows)


@pytest.mark.parametrize(
    ("rows", "marked", "words"),
    [
        pytest.param([row(), row()], {"suspend"}, "stands in the book twice", id="an id twice"),
        pytest.param([row()], {"suspend", "suspemd"}, "suspemd: a test is marked with it", id="a mark of no row"),
        pytest.param([row()], set(), "no test is marked with it", id="a row without a test"),
        pytest.param([row(without=["gravity"])], {"suspend"}, "gravity: no such switch", id="a switch that is not"),
        pytest.param([row(without=[])], {"suspend"}, "suspend: without: no switch", id="a row without a switch"),
        pytest.param([row(where=["tests/nowhere.py"])], {"suspend"}, "no tests/nowhere.py", id="no such test"),
    ],
)
def test_what_is_wrong_with_the_book_is_said(rows: list[Row], marked: set[str], words: str) -> None:
    found = list(faults(rows, marked=marked, switches={"suspend": lambda _: None}))
    assert any(words in sentence for sentence in found), found


def test_a_row_whose_tests_stay_green_fails_and_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    proof = Proof([row(), row(id="pause")])
    proof.proven, proof.green = {"suspend"}, {"pause": ["a-pause"]}
    assert tell(proof) == 1
    assert "1 of 2 rows are proven this way" in capsys.readouterr().out


def test_a_row_that_was_not_tried_fails_and_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(Proof([row()])) == 1
    assert "0 of 1 rows are proven this way" in capsys.readouterr().out


def test_rows_that_are_asked_for_count_alone_and_one_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    proof = Proof([row(), row(id="pause")], only=frozenset({"pause", "puase"}))
    proof.proven = {"pause"}
    assert tell(proof) == 1
    said = capsys.readouterr().out
    assert "puase: there is no such row" in said
    assert "1 of 1 rows are proven this way" in said


def test_a_book_that_is_proven_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    proof = Proof([row()])
    proof.proven = {"suspend"}
    assert tell(proof) == 0
    assert "1 of 1 rows are proven this way" in capsys.readouterr().out
