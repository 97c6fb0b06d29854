"""How numbers stand in sentences: a count with its noun, and the sentences in which a count may be 1."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts import verdicts
from switchyard_contracts.evidence import ArmSums, Coverage, Evidence, PairBlock, Paired, WindowSums
from switchyard_contracts.judgement import Budget, Judgement, Verdict, counted, noun
from switchyard_contracts.model_deployment import Metric

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONE_OF_MANY = re.compile(
    r"(?<![\d.,])1 (?:[a-z]+ )?(?:requests|pairs|blocks|predictions|copies|failures|groups|are|were)\b"
)
"""A single thing by the word for many."""


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        pytest.param(1, ("block",), "1 block", id="one"),
        pytest.param(0, ("block",), "0 blocks", id="none"),
        pytest.param(1_240, ("judged pair",), "1,240 judged pairs", id="many, their thousands apart"),
        pytest.param(1, ("copy", "copies"), "1 copy", id="one of what has a plural of its own"),
        pytest.param(2, ("copy", "copies"), "2 copies", id="many of them"),
    ],
)
def test_a_count_stands_with_its_noun(number: int, words: tuple[str, ...], text: str) -> None:
    assert counted(number, *words) == text


@given(st.integers(0, 10**9))
def test_a_verb_goes_with_its_count(number: int) -> None:
    assert noun(number, "is", "are") == ("is" if number == 1 else "are")


def metric(**said: object) -> Metric:
    return Metric.model_validate(
        {"name": "it", "metric": "error_rate", "max": "1%", "role": "guard", "minSamples": 1} | said
    )


DECIDES = metric(metric="outcome.rmse", max=None, maxIncrease="5%", role="decide")


def evidence(**said: object) -> Evidence:
    facts = {
        "deployment": "a/b",
        "metric": "outcome.rmse",
        "revision": "b-2",
        "against": "b-1",
        "traffic": [1],
        "cap": 9.0,
    }
    return Evidence.model_validate(facts | said)


def window(n: int, failures: int = 0) -> WindowSums:
    arm = ArmSums(n=n, predictions=n, failures=failures, loss=float(n), loss_squares=float(n))
    return WindowSums(start=NOON, traffic=1, probability=0.5, candidate=arm, stable=arm)


def pairs(n: int, **said: object) -> Paired:
    arm = ArmSums(n=n, loss=float(n), loss_squares=float(n))
    block = PairBlock(start=NOON, traffic=1, pairs=n, candidate=arm, stable=arm)
    facts = {"block_seconds": 60, "blocks": [block], "seen": n, "judged": n, "expected": float(n)}
    return Paired.model_validate(facts | said)


def by_pairs(n: int) -> Judgement:
    return judge(DECIDES, evidence(paired=pairs(n)))


def by_split(n: int) -> Judgement:
    whole = Coverage(predictions=n, judged=n)
    return judge(DECIDES, evidence(windows=[window(n)], candidate_coverage=whole, stable_coverage=whole))


def uncovered(n: int) -> Judgement:
    nobody = Coverage(predictions=n, judged=0)
    return judge(DECIDES, evidence(candidate_coverage=nobody, stable_coverage=nobody))


def unlabelled(n: int) -> Judgement:
    return judge(DECIDES, evidence(paired=pairs(n, judged=0, blocks=[])))


def unanswered(n: int) -> Judgement:
    return judge(DECIDES, evidence(paired=pairs(0, unanswered=n)), alpha=0.5)


def guarded(n: int) -> Judgement:
    return judge(metric(minSamples=max(1, n)), evidence(metric="error_rate", windows=[window(n, failures=n)]))


def compared(n: int) -> Judgement:
    said = metric(max=None, maxIncrease="5%")
    return judge(said, evidence(metric="error_rate", windows=[window(n, failures=n)]))


def judge(said: Metric, found: Evidence, *, alpha: float = 0.0125) -> Judgement:
    spend = Budget(alpha_promote=0.05, alpha_guard=alpha, alpha_rollback=alpha)
    return verdicts.judge(said, found, budget=spend, min_coverage=0.8)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("told", [by_pairs, by_split, uncovered, unlabelled, unanswered, guarded, compared])
def test_no_sentence_has_one_of_many(told: Callable[[int], Judgement], number: int) -> None:
    found = told(number)
    assert re.search(rf"(?<![\d.,]){number}\b", found.message), found.message
    assert not ONE_OF_MANY.search(found.message), found.message


def test_the_judge_of_sentences_finds_one_of_many() -> None:
    assert ONE_OF_MANY.search("over 40 judged pairs in 1 blocks of 5 s")
    assert not ONE_OF_MANY.search("over 41 judged pairs in 2.1 blocks")


def test_one_more_is_waited_for() -> None:
    found = Judgement(Verdict.INCONCLUSIVE, "TooFewSamples", "", needed=1)
    assert verdicts.waiting_for(found, evidence()) == "1 more outcome needed"
