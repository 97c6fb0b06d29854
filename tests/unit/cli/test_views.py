"""What is printed: at any width, of any state, without losing what matters."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import RenderableType
from switchyard_cli import facts, outcome
from switchyard_cli.desk import console
from switchyard_cli.exits import Exit
from switchyard_cli.facts import Deployment
from switchyard_cli.views import board, reasons
from switchyard_cli.waiting import waits
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.spans import span
from switchyard_testkit.cli_world import document
from switchyard_testkit.rollout_world import CANARY_SPEC, NOON

WIDTHS = st.integers(60, 240)
STAMP = "2026-01-01T12:00:00Z"


def printed(what: RenderableType, *, width: int = 160) -> str:
    out = io.StringIO()
    console(out, width=width).print(what)
    return out.getvalue()


def deployment(name: str = "delay", **changes: Any) -> Deployment:
    """One at its first step; a test says what differs of its rollout."""
    rollout = {
        "id": f"{name}-9159daa08f.1",
        "revision": f"{name}-9159daa08f",
        "version": "2.0.0",
        "way": "new",
        "phase": "Progressing",
        "step": "five",
        "stepIndex": 1,
        "steps": 4,
        "weightBp": 500,
        "weight": "5%",
        "verdict": "NoData",
        "reason": "AwaitingEvidence",
        "message": "errors: no request of the candidate has been counted yet",
        "waitingFor": "errors: 200 more requests needed, about 40 s at this rate",
        "phaseSince": STAMP,
        "stepsDone": [{"name": "five", "weightBp": 500, "startedAt": STAMP, "syncedAt": STAMP}],
        **changes,
    }
    body = document(CANARY_SPEC, name=name, namespace="airport", creationTimestamp=STAMP) | {
        "status": {
            "observedGeneration": 1,
            "serving": "Available",
            "desiredVersion": "2.0.0",
            "stable": {"revision": f"{name}-bc6de19526", "version": "1.0.0"},
            "candidate": {"revision": f"{name}-9159daa08f", "version": "2.0.0"},
            "rollout": rollout,
        }
    }
    return facts.deployment(body)


@given(st.lists(st.sampled_from(["delay", "arrival", "d" * 45]), min_size=1, max_size=3, unique=True), WIDTHS)
def test_a_table_of_any_width_shows_name_version_phase_step_weight_verdict_and_wait(
    names: list[str], width: int
) -> None:
    found = [deployment(name) for name in names]
    text = printed(board.table(found, now=NOON, width=width), width=max(width, 120))
    flat = " ".join(text.split())
    for name in names:
        assert name in flat
    for column in ("NAME", "VERSION", "PHASE", "STEP", "WEIGHT", "VERDICT"):
        assert column in flat
    assert flat.count("Progressing") == len(names)
    assert flat.count("five 1/4") == len(names)
    assert flat.count("200 more requests needed") == len(names) or width < 130


def test_a_narrow_terminal_keeps_whole_words_and_gives_the_wait_a_line() -> None:
    lines = printed(board.table([deployment()], now=NOON, width=64), width=64).splitlines()
    assert lines[0].split() == ["NAME", "VERSION", "DESIRED", "PHASE", "STEP", "WEIGHT", "VERDICT"]
    assert lines[1].split() == ["delay", "1.0.0", "2.0.0", "Progressing", "five", "1/4", "5%", "NoData"]
    assert (
        " ".join(" ".join(lines[2:]).split())
        == "delay waits for errors: 200 more requests needed, about 40 s at this rate"
    )


def test_all_namespaces_have_a_column() -> None:
    text = printed(board.table([deployment()], now=NOON, width=200, everywhere=True), width=200)
    assert text.split()[0] == "NAMESPACE"
    assert "airport" in text


@given(st.text(alphabet="[]/:a#@ \\*", max_size=30), WIDTHS)
def test_no_message_is_read_as_markup(message: str, width: int) -> None:
    """A pod's own words end up here; they may look like anything."""
    item = deployment(message=f"x{message}x", waitingFor=f"x{message}x", reason="WaitingForPods")
    for view in (board.tree(item, now=NOON), reasons.explain(item, now=NOON, past=1)):
        text = "".join(printed(view, width=240).split())
        assert f"x{''.join(message.split())}x" in text


@pytest.mark.parametrize(
    ("passed", "wait"),
    [
        pytest.param(0.0, "30s more of step five", id="just begun"),
        pytest.param(29.6, "1s more of step five", id="a part of a second is left"),
        pytest.param(30.0, "the operator's next pass, as step five has had its 30s", id="over"),
        pytest.param(45.0, "the operator's next pass, as step five has had its 30s", id="long over"),
    ],
)
def test_a_hold_is_counted_down_and_never_to_nothing(passed: float, wait: str) -> None:
    item = deployment(reason="Holding", waitingFor="30s more of step five")
    assert waits(item, now=NOON + timedelta(seconds=passed)) == wait


def test_steps_that_the_spec_does_not_name_any_more_are_shown_with_the_rest() -> None:
    done = {"name": "ten", "weightBp": 1000, "startedAt": STAMP, "endedAt": STAMP, "reason": "Passed"}
    text = printed(board.tree(deployment(stepsDone=[done]), now=NOON))
    assert "✓ ten" in text


def test_a_step_that_the_gateways_have_not_taken_yet_says_so() -> None:
    text = printed(board.tree(deployment(stepsDone=[{"name": "five", "weightBp": 500, "startedAt": STAMP}]), now=NOON))
    assert "● five             5%  waits for the gateways" in text


def test_a_deployment_that_nothing_is_known_of_can_be_shown() -> None:
    item = facts.deployment(document(CANARY_SPEC))
    assert "nothing serves yet" in printed(board.tree(item, now=NOON))
    assert "nothing serves yet" in printed(reasons.explain(item, now=NOON, past=3))
    assert "delay" in printed(board.table([item], now=NOON, width=100))


DECIDED = {
    Phase.WATCHING: Exit.DONE,
    Phase.COMPLETED: Exit.DONE,
    Phase.ROLLED_BACK: Exit.ROLLED_BACK,
    Phase.REFUSED: Exit.ROLLED_BACK,
    Phase.PAUSED: Exit.PAUSED,
    Phase.SUSPENDED: Exit.PAUSED,
}


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_has_its_exit_code_or_goes_on(phase: Phase) -> None:
    found = outcome.of(deployment(phase=phase.value))
    assert found.code == DECIDED.get(phase)
    assert "2.0.0" in found.sentence


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_a_longer_span_never_reads_as_a_shorter_one(one: int, two: int) -> None:
    shorter, longer = sorted((one, two))
    assert seconds(span(timedelta(seconds=shorter))) <= seconds(span(timedelta(seconds=longer)))


@given(st.integers(0, 10**8))
def test_a_span_is_cut_off_below_by_less_than_its_smaller_unit(value: int) -> None:
    read = seconds(span(timedelta(seconds=value)))
    assert 0 <= value - read < (3600 if value >= 86_400 else 60 if value >= 3600 else 1)


def seconds(text: str) -> int:
    """Read a span back."""
    total, number = 0, ""
    for letter in text:
        if letter.isdigit():
            number += letter
        else:
            total += int(number) * {"d": 86_400, "h": 3_600, "m": 60, "s": 1}[letter]
            number = ""
    return total
