"""How a rule is taken away: a switch replaces one thing for the time of one test."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Switch = Callable[[pytest.MonkeyPatch], None]


def instead(owner: object, name: str, value: object) -> Switch:
    """Something else under a name."""

    def switch(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(owner, name, value)

    return switch


def always(value: object) -> Callable[..., object]:
    """The same answer to everything."""
    return lambda *_, **__: value
