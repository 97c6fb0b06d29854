"""Sticky splits: who is in which bucket, and what may be said of it in a resource."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from switchyard_contracts.acceptance import SpecRejected, read
from switchyard_contracts.sticky import BUCKETS, FOLDS, Sticky, bucket_of, fold_of, half_sip_hash

KEY = (0x03020100, 0x07060504)
USERS = [f"user-{number}".encode() for number in range(10_000)]


@pytest.mark.parametrize(
    ("length", "wanted"),
    [(0, 0x5B9F35A9), (1, 0xB85A4727), (2, 0x03A662FA), (3, 0x04E7FE8A), (4, 0x89466E2A), (5, 0x69B6FAC5)],
    ids=lambda value: f"{value:x}",
)
def test_the_hash_is_the_one_of_its_authors(length, wanted):
    assert half_sip_hash(bytes(range(length)), key=KEY) == wanted


@given(st.binary(max_size=200), st.text(max_size=20))
def test_everybody_has_one_bucket_and_one_fold(user, salt):
    bucket = bucket_of(user, salt=salt)
    assert bucket == bucket_of(user, salt=salt)
    assert 0 <= bucket < BUCKETS
    assert 0 <= fold_of(bucket) < FOLDS


def test_users_spread_evenly_over_buckets_and_folds():
    buckets = [bucket_of(user, salt="flights/delay-2.1") for user in USERS]
    for kinds, part in ((100, lambda bucket: bucket // 100), (FOLDS, fold_of)):
        counts = [0] * kinds
        for bucket in buckets:
            counts[part(bucket)] += 1
        expected = len(USERS) / kinds
        chi_squared = sum((count - expected) ** 2 / expected for count in counts)
        assert chi_squared < kinds - 1 + 5 * math.sqrt(2 * (kinds - 1))


@pytest.mark.parametrize(("one", "other"), [("a/b-1.1", "a/b-1.2"), ("a/b-1.1", "c/b-1.1")])
def test_another_salt_draws_everybody_anew(one, other):
    first = {user for user in USERS if bucket_of(user, salt=one) < 2_500}
    both = {user for user in first if bucket_of(user, salt=other) < 2_500}
    assert abs(len(both) - len(first) / 4) < 5 * math.sqrt(len(first) * 3 / 16)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        pytest.param({"by": "header", "name": "user_id"}, "use 'user-id', or by: cookie", id="an underscore"),
        pytest.param({"by": "header", "name": "X-Switchyard-Revision"}, "use a header of the product's", id="ours"),
        pytest.param({"by": "header", "name": "x-request-id"}, "use a header of the product's", id="taken away"),
        pytest.param({"by": "header", "name": "a b"}, "String should match pattern", id="a space"),
        pytest.param({"by": "query", "name": "user"}, "'header' or 'cookie'", id="neither"),
    ],
)
def test_what_no_gateway_could_tell_users_by_is_refused(said, complaint):
    with pytest.raises(ValidationError, match=complaint):
        Sticky.model_validate(said)


def test_a_cookie_may_have_an_underscore():
    assert Sticky(by="cookie", name="session_id").name == "session_id"


def spec(strategy):
    return {"model": {"image": "r/m:1"}, "strategy": strategy}


STEPS = [{"name": "five", "weight": 5}]
SPLIT = {"by": "header", "name": "x-user-id"}


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        pytest.param({"type": "Canary", "canary": {"steps": STEPS, "split": SPLIT}}, "x-user-id", id="a canary"),
        pytest.param(
            {"type": "Shadow", "shadow": {"thenPromote": {"steps": STEPS, "split": SPLIT}}},
            "x-user-id",
            id="the canary after a shadow",
        ),
        pytest.param({"type": "Canary", "canary": {"steps": STEPS}}, None, id="none said"),
        pytest.param({"type": "Shadow", "shadow": {}}, None, id="a shadow that ends"),
        pytest.param({"type": "BlueGreen"}, None, id="blue and green"),
    ],
)
def test_a_strategy_says_by_what_users_are_told_apart(strategy, wanted):
    sticky = read(spec(strategy)).strategy.sticky
    assert (sticky.name if sticky else None) == wanted


def test_a_strategy_that_splits_nothing_refuses_a_split():
    with pytest.raises(SpecRejected, match=r"spec\.strategy.blueGreen.split: there is no such field"):
        read(spec({"type": "BlueGreen", "blueGreen": {"split": SPLIT}}))


def test_a_fault_is_told_with_its_path():
    wrong = {"type": "Canary", "canary": {"steps": STEPS, "split": {"by": "header", "name": "user_id"}}}
    with pytest.raises(SpecRejected, match=r"spec\.strategy.canary.split: name: the gateway drops headers"):
        read(spec(wrong))
