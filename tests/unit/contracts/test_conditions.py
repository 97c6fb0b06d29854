"""Conditions: a clock that moves only with the status, and Ready, said by the worst part."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.conditions import ACCEPTED, AVAILABLE, JUDGED, READY, Condition, drop, put, summary

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def condition(kind: str = AVAILABLE, status: str = "True", reason: str = "Serving", at: datetime = NOON) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=f"because {reason}",
        observed_generation=1,
        last_transition_time=at,
    )


def test_the_same_status_keeps_its_time_even_when_the_reason_changes():
    (held,) = put([condition()], condition(reason="Impaired", at=LATER))
    assert (held.last_transition_time, held.reason) == (NOON, "Impaired")


def test_another_status_has_a_time_of_its_own():
    (held,) = put([condition()], condition(status="False", at=LATER))
    assert held.last_transition_time == LATER


def test_a_new_type_is_added_and_ready_stands_first():
    held = put([condition(AVAILABLE), condition(READY)], condition(ACCEPTED))
    assert [one.type for one in held] == [READY, ACCEPTED, AVAILABLE]


@given(st.lists(st.sampled_from([ACCEPTED, AVAILABLE, JUDGED, READY]), max_size=12))
def test_whatever_is_put_there_is_one_of_each_type(kinds):
    held: list[Condition] = []
    for kind in kinds:
        held = put(held, condition(kind))
    assert len(held) == len(set(kinds))
    assert put(held, held[0]) == held if held else True


def test_what_stands_only_while_true_can_go():
    assert [one.type for one in drop([condition("Stalled"), condition()], "Stalled")] == [AVAILABLE]


@pytest.mark.parametrize(
    ("statuses", "status", "reason"),
    [
        pytest.param(("True", "True"), "True", "Ready", id="all is well"),
        pytest.param(("True", "Unknown"), "Unknown", "R1", id="not known beats well"),
        pytest.param(("Unknown", "False"), "False", "R1", id="bad beats not known"),
        pytest.param(("False", "False"), "False", "R0", id="of two bad ones the first speaks"),
    ],
)
def test_ready_is_said_by_the_worst(statuses, status, reason):
    parts = [condition(f"T{i}", one, f"R{i}") for i, one in enumerate(statuses)]
    ready = summary(parts, generation=7, now=LATER)
    assert (ready.type, ready.status, ready.reason) == (READY, status, reason)
    assert ready.message == ("" if status == "True" else f"because {reason}")
    assert (ready.observed_generation, ready.last_transition_time) == (7, LATER)
