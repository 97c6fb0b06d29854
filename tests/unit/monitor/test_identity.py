"""Identity: the hashes that databases hold. Another one for the same thing, and no replay would know it again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from switchyard_monitor.domain import identity
from switchyard_testkit.monitor_world import SUBJECT

MINTED = "1772366400000-0b5c8a52-6a0e-4c0e-9d5f-2f6e0a7c9b11"


@pytest.mark.parametrize(
    ("value", "hashed"),
    [
        ("null", 8320033950756688494),
        ("true", -762949159951731137),
        ("0", -8922900122303602827),
        ("-0.0", -6681320505153106438),
        ("1", -649571662916077706),
        ("1.0", -4699048345692771518),
        ("1e300", 6546418148513981877),
        (str(2**70), 8038594043786494433),
        (r'"Ünï\u2028\"\\\n"', 4758523825284046456),
        ("[]", 8180073448483349959),
        ("{}", 137279666008780115),
        ('{"b":[1,{"d":null,"c":0.1}],"a":"x"}', -4334001451000645095),
        ('{"a":"x","b":[1,{"c":0.1,"d":null}]}', -4334001451000645095),
        ('[[{"z":1,"é":2,"Z":3,"😀":4,"\uffff":5}]]', -4223678435345942574),
        ('[[{"😀":4,"\uffff":5,"Z":3,"é":2,"z":1}]]', -4223678435345942574),
    ],
)
def test_an_x_has_the_hash_that_it_always_had(value: str, hashed: int) -> None:
    document: Any = json.loads(value)
    written = json.dumps(document)
    assert identity.content(document) == hashed
    assert json.dumps(document) == written  # and keeps the order of its keys


def test_keys_and_events_are_what_they_always_were() -> None:
    assert identity.prefix(SUBJECT, MINTED).hex() == "019ca9450a001503080954cffa"
    assert identity.key(SUBJECT, "mine", 7).hex() == "3a6624bcc29cd142b9d5fe196a000007"
    assert identity.short("e-1") == 3563339379545017759
