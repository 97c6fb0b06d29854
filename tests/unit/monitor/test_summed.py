"""Sums as they are read: what is short is remembered, and what is long is not, so that memory has an end."""

from __future__ import annotations

from re import Pattern

import pytest
from switchyard_monitor.adapters.summed import LONGEST, some
from switchyard_monitor.domain.sums import encode, only

SHORT = encode({"age.n": 7, "latency:3": 2})
LONG = encode({"age.n": 7, **{f"cal.f0:{place}": place for place in range(1, LONGEST // 10)}})


@pytest.mark.parametrize("names", [None, only("age.n")])
def test_only_short_sums_are_remembered(names: Pattern[str] | None) -> None:
    assert len(SHORT) <= LONGEST < len(LONG)
    assert some(SHORT, names) is some(SHORT, names)
    assert some(LONG, names) is not some(LONG, names)
    assert some(LONG, names) == some(LONG, names)
    assert some(LONG, only("age.n")) == some(SHORT, only("age.n")) == {"age.n": 7}
