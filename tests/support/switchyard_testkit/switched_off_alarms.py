"""Rules of alarms and of retraining, taken away: see `switched_off`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from switchyard_contracts.alarm_records import Standing
from switchyard_monitor.adapters.alarms import SqlAlarms
from switchyard_monitor.domain import alarms, roster
from switchyard_monitor.domain.alarms import Look, Reading, Terms
from switchyard_monitor.domain.roster import Roster
from switchyard_operator.domain import retraining

from switchyard_testkit.switching import Switch, always, instead


def the_newest_look_decides(terms: Terms, last: Sequence[Look]) -> bool:
    """One window beyond the limit fires."""
    return last[-1].standing is Standing.BREACH


def the_limit_itself_clears(patch: pytest.MonkeyPatch) -> None:
    """Whatever is no breach is clear."""
    own = Terms.stand

    def stand(self: Terms, reading: Reading) -> Standing:
        found = own(self, reading)
        return Standing.CLEAR if found is Standing.BETWEEN else found

    patch.setattr(Terms, "stand", stand)


def silence_is_a_breach(patch: pytest.MonkeyPatch) -> None:
    """What nothing can be said of is taken for broken."""
    own = Terms.stand

    def stand(self: Terms, reading: Reading) -> Standing:
        found = own(self, reading)
        return Standing.BREACH if found is Standing.NO_DATA else found

    patch.setattr(Terms, "stand", stand)


def whoever_comes_evaluates(patch: pytest.MonkeyPatch) -> None:
    """A turn is nobody's own: it can be taken while another has it."""
    own = SqlAlarms.take

    def take(self: SqlAlarms, subject: str, member: str, *, now_us: int, ttl_us: int) -> Any:
        return own(self, subject, "anybody", now_us=now_us, ttl_us=ttl_us)

    patch.setattr(SqlAlarms, "take", take)


def _any_name(*_: object) -> str:
    return uuid.uuid4().hex


SWITCHES: Mapping[str, Switch] = {
    "windows-that-are-old-enough": instead(Terms, "at", lambda _, start_us: start_us),
    "enough-of-the-last-windows": instead(alarms, "broken", the_newest_look_decides),
    "what-clears-an-alarm": the_limit_itself_clears,
    "silence-that-says-nothing": silence_is_a_breach,
    "cool-downs-of-alarms": instead(alarms, "cooled", always(True)),
    "one-id-for-one-happening": instead(roster, "identity", _any_name),
    "a-turn-that-is-one-members": whoever_comes_evaluates,
    "requests-that-wait-for-each-other": instead(
        Roster, "_wants_retraining", lambda _, __, step, ___: step.state.firing
    ),
    "one-training-in-a-cool-down": instead(retraining, "BEGUN", frozenset()),
    "jobs-named-by-their-request": instead(retraining, "name", lambda deployment, _: f"{deployment}-{_any_name()[:8]}"),
    "requests-that-grow-old": instead(retraining, "OLD", timedelta(days=9999)),
    "candidates-that-name-their-cause": instead(retraining, "cause", always("")),
}
"""By what is taken away."""
