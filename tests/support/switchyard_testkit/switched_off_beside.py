"""Rules that the gateway's control and the command line carry, taken away: see `switched_off`.

Of control, it is the domain that is switched: it needs nothing of the environment that Envoy's own types live in.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from switchyard_cli import outcome
from switchyard_cli.exits import Exit
from switchyard_cli.outcome import Outcome
from switchyard_gateway.control.domain import translation
from switchyard_gateway.control.domain.delivery import Delivery
from switchyard_gateway.control.domain.trial import Group, Trial

from switchyard_testkit.switching import Switch, always, instead


def clusters_go_when_nobody_wants_them(patch: pytest.MonkeyPatch) -> None:
    """What Envoy routes to at present counts for nothing, once a newer route does without it."""

    def wanted(self: Delivery) -> set[str]:
        fragments = (self.ledger.effective(target) for target in (self.targets or {}).values())
        return {cluster.name for fragment in fragments if fragment for cluster in fragment.clusters}

    patch.setattr(Delivery, "_used", wanted)


def _the_first_is_blamed(_: Trial, group: Group, message: str) -> str | None:
    return group[0] if group else None


def _failed(patience: timedelta, *, told: str) -> Outcome:
    return Outcome(Exit.FAILED, f"{told}, after {patience}")


SWITCHES: Mapping[str, Switch] = {
    "endpoints-before-weight": instead(Delivery, "_ready", always(True)),
    "clusters-that-stay-while-they-are-routed-to": clusters_go_when_nobody_wants_them,
    "the-search-for-who-is-refused": instead(Trial, "refused", _the_first_is_blamed),
    "stable-as-a-stand-in": instead(translation, "_stand_ins", always(())),
    "an-end-of-the-promoted": instead(outcome, "PROMOTED", frozenset()),
    "an-end-of-those-taken-back": instead(outcome, "BACK", frozenset()),
    "an-end-where-a-person-is-waited-for": instead(outcome, "WAITS_FOR_A_PERSON", frozenset()),
    "an-end-when-time-is-up": instead(outcome, "overdue", _failed),
}
"""By what is taken away."""
