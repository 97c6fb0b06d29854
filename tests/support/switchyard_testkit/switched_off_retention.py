"""Rules of what is kept and for how long, taken away: see `switched_off`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from switchyard_contracts.windows import DAY_US
from switchyard_monitor import pruner
from switchyard_monitor.adapters import batch, upkeep
from switchyard_monitor.adapters.upkeep import SqlTidying
from switchyard_monitor.domain import retention
from switchyard_monitor.domain.needs import NOTHING, Unjudged
from switchyard_monitor.domain.retention import Keep
from switchyard_monitor.domain.rules import Rule
from switchyard_monitor.pruner import Pruner
from switchyard_monitor.room import Room

from switchyard_testkit.switching import Switch, always, instead


def by_the_rule_that_keeps_least(rules: Iterable[Rule], keep: Keep, mark_us: int) -> dict[str, int]:
    """Of several rules of a deployment the one that lets its rows go first."""
    found: dict[str, int] = {}
    for rule in rules:
        cut_us = mark_us - keep.rows(rule)
        found[rule.subject] = max(cut_us, found.get(rule.subject, cut_us))
    return found


def drift_is_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    """What is due of drift holds nothing."""
    own = SqlTidying.unjudged

    def unjudged(self: SqlTidying, subject: str) -> Unjudged:
        return Unjudged(own(self, subject).states, {})

    patch.setattr(SqlTidying, "unjudged", unjudged)


def labels_alone_do_not_count(patch: pytest.MonkeyPatch) -> None:
    """A row goes by the age of its Y, however young its corrections are."""
    own = retention.expired

    def expired(entries: Any, *rest: Any) -> Any:
        for entry in entries.values():
            if entry.preds:
                entry.versions.clear()
        return own(entries, *rest)

    patch.setattr(pruner, "expired", expired)


SWITCHES: Mapping[str, Switch] = {
    "rows-until-they-are-judged": instead(Keep, "rows", lambda self, _: self.rows_us),
    "the-rule-that-keeps-rows-longest": instead(pruner, "cuts", by_the_rule_that_keeps_least),
    "ages-by-the-brokers": instead(Pruner, "_mark", lambda self: self._database_us()),
    "corrections-that-keep-a-row": labels_alone_do_not_count,
    "an-x-that-tells-its-y-apart": instead(upkeep, "SEEN", {"exchange": "", "input": ""}),
    "what-was-seen-being-known": instead(Keep, "seen_us", property(always(0))),
    "expired-labels-being-booked": instead(upkeep, "add_to_label_ledger", always(None)),
    "windows-that-alarms-may-look-at": instead(pruner, "needed", always(NOTHING)),
    "windows-that-drift-may-look-at": drift_is_not_asked_for,
    "windows-that-verdicts-may-ask-for": instead(pruner, "widest", always(DAY_US)),
    "sums-that-follow-their-windows": instead(batch, "settled", lambda cells, _: cells),
    "a-limit-of-size": instead(Room, "look", always(None)),
    "a-pause-that-is-said": instead(Room, "_said", always("")),
}
"""By what is taken away."""
