"""The parser that knows the usual form, held to the contract's types: what it takes, they take, and as the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.alias_generators import to_snake
from switchyard_contracts.events import (
    Actor,
    Assignment,
    Body,
    Deletion,
    EventType,
    Inference,
    InputOnly,
    Label,
    Part,
    PredictionOnly,
    encode,
    event,
)
from switchyard_contracts.model_route import RouteRole
from switchyard_monitor.domain import shapes, wire
from switchyard_monitor.domain.facts import Fact, Record, read, read_by_types
from switchyard_monitor.errors import Unreadable
from switchyard_testkit.monitor_world import SUBJECT
from switchyard_testkit.played import Play

AT = datetime(2026, 3, 1, 12, 0, 3, 250_017, UTC)
X = {"distance": 12.5, "carrier": "Ünï", "stops": [1, None, {"at": "JFK"}], "late": False, "big": 2**70, "small": -0.0}
ID = "1772366400000-0b5c8a52-6a0e-4c0e-9d5f-2f6e0a7c9b11"
WHOLE: dict[EventType, Part] = {
    EventType.INFERENCE: Inference(
        prediction_id=ID,
        revision="next-2",
        version="2.0.0",
        answered_by="stable-1",
        role=RouteRole.CANDIDATE,
        traffic=7,
        weight_bp=500,
        assignment=Assignment.STICKY,
        unit=17,
        status=200,
        flags="UH",
        error=False,
        latency_us=5000,
        started_at=AT,
        pod="10.0.0.1:3000",
        request=Body(encoding="json", value=X, bytes_seen=9, bytes_kept=9, content_type="application/json"),
        response=Body(encoding="text", value="short", complete=False),
    ),
    EventType.INPUT: InputOnly(prediction_id="mine", row=3, revision="v1", version="1", at=AT, value=X),
    EventType.PREDICTION: PredictionOnly(prediction_id="mine", row=3, revision="v1", weight_bp=1, at=AT, value=[1e300]),
    EventType.DECISION: Label(
        prediction_id="mine", row=2, value={"buffer": 1}, at=AT, actor=Actor(kind="rule", id="a"), revision=4, token="t"
    ),
    EventType.OUTCOME: Label(prediction_id="mine", value=-7, at=AT),
    EventType.DELETION: Deletion(prediction_id="mine", at=AT, token="t"),
}


def written(kind: EventType) -> bytes:
    """As our producers write it."""
    return encode(event(kind, event_id="e-1", source="/tests", subject=SUBJECT, time=AT, data=WHOLE[kind]))


def as_told(fact: Fact) -> str:
    """A fact without its record, to the last bit: 1 is not 1.0, and 0.0 is not -0.0."""
    data = fact.data
    kind = next(kind for kind in type(data).__mro__ if kind.__module__ == shapes.__name__)
    return f"{fact.subject} {fact.event_id} {fact.type} {fact.at_us} {fact.prefix.hex()} {kind.__name__} {_told(data)}"


def _told(value: Any) -> Any:
    if not isinstance(value, shapes.Shape):
        return value
    kind = next(kind for kind in type(value).__mro__ if kind.__module__ == shapes.__name__)
    return {name: _told(getattr(value, name)) for name in kind.__struct_fields__}


def by_types(value: bytes) -> str:
    """What the types make of it."""
    try:
        fact = read_by_types(Record(0, 0, 0, None, value), value)
    except Unreadable as error:
        return f"unreadable: {error}"
    return "ignored" if fact is None else as_told(fact)


@pytest.mark.parametrize("kind", EventType)
def test_what_our_producers_write_is_usual_and_read_as_the_types_read_it(kind: EventType) -> None:
    value = written(kind)
    assert wire.read(value) is not None
    fact = read(Record(0, 0, 0, None, value))
    assert fact is not None
    assert as_told(fact) == by_types(value)


def test_what_benchmarks_play_is_usual() -> None:
    events = Play(30, 8, outcomes=True, apart=5).events(now=1_800_000_000.0)
    assert all(wire.read(value) is not None for _, value in events)


def test_every_field_of_the_contract_is_known() -> None:
    for kind, data in WHOLE.items():
        for name, value in data.model_dump(mode="json", by_alias=True).items():
            document = json.loads(written(kind))
            document["data"][name] = value
            assert wire.read(json.dumps(document).encode()) is not None, f"{kind}: {name}"


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield from places(item, (*path, step))


def deep(levels: int, kind: str) -> str:
    """A document as deep as that."""
    return "[" * levels + "]" * levels if kind == "[" else '{"a":' * levels + "1" + "}" * levels


TEXTS = [
    *("null", "true", "false", "0", "-0", "1", "-1", "1.0", "1.5", "-0.0", "1e2", "1E400", "1e-400", "NaN", "Infinity"),
    *(str(2**53), str(2**53 + 1), str(2**31), str(2**31 + 1), str(2**63), str(2**64), str(-(2**63) - 1), "1" * 40),
    *("253", "254", "10000", "10001", "1000000", "1000001", "01", "+1", ".5", "1.", "0x10", "''", "[1,]", '{"a":1,}'),
    *('""', '"a"', '"a b"', '"' + "r" * 253 + '"', '"' + "r" * 254 + '"', '"' + "é" * 129 + '"', r'"\u0000"', '"\x00"'),
    *(r'"\ud800"', r'"\ud83d\ude00"', r'"\\u0000"', r'"\n"', '"a\n"', r'"a\n"', '"\x7f"', '"stable"', '"shadow"'),
    *('"split"', '"json"', '"none"', '"demo/x"', '"Demo/x"', r'"demo/x\n"', '"human"', '"1.0"', '"2.0"'),
    *('"2026-03-01T12:00:03.250017Z"', '"2026-03-01T12:00:03Z"', '"2026-03-01T12:00:03.250017+00:00"'),
    *('"2026-03-01T12:00:60.000000Z"', '"2026-02-30T12:00:00.000000Z"', '"2026-03-01T24:00:00.000000Z"'),
    *('"1950-03-01T12:00:03.250017Z"', '"0000-01-01T00:00:00.000000Z"', '"2026-03-01T12:00:03.250017Z\\n"'),
    *('"2026-03-01 12:00:03.250017Z"', '"2026-03-01t12:00:03.250017z"', '"2026-03-01T12:00:03.2500179Z"'),
    *(
        '"٢٠٢٦-03-01T12:00:03.250017Z"',
        '"2026-03-01T12:60:03.250017Z"',
        "1772366403.25",
        '"9999-12-31T23:59:59.999999Z"',
    ),
    *('{"kind":"human"}', '{"kind":"human","id":null}', '{"kind":"human","more":1}', "[]", "{}", '{"a":1,"a":2}'),
    *(f'"{"r" * length}"' for length in (32, 33, 128, 129)),
    *(deep(levels, kind) for levels in (99, 102, 150, 196, 205, 400, 1200) for kind in "[{"),
    *(f'{{"a":{deep(levels, "[")},"a":1}}' for levels in (150, 205)),
]


def rendered(value: Any, swaps: dict[tuple[str | int, ...], str], path: tuple[str | int, ...] = ()) -> str:
    """A document as text, with other text in some places.

    `+` and a name is a member more, after all others; `<` one before them, `-` one less.
    """
    if path in swaps:
        return swaps[path]
    if isinstance(value, dict):
        members = [
            f"{json.dumps(name)}:{rendered(item, swaps, (*path, name))}"
            for name, item in value.items()
            if (*path, f"-{name}") not in swaps
        ]
        more = [(str(step), text) for (*stem, step), text in swaps.items() if tuple(stem) == path]
        before, after = ([f"{json.dumps(s[1:])}:{text}" for s, text in more if s[:1] == mark] for mark in "<+")
        return "{" + ",".join([*before, *members, *after]) + "}"
    if isinstance(value, list):
        return "[" + ",".join(rendered(item, swaps, (*path, step)) for step, item in enumerate(value)) + "]"
    return json.dumps(value)


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """An event of ours with a few things changed that producers, proxies and people get wrong."""
    document = json.loads(written(draw(st.sampled_from(EventType))))
    if draw(st.booleans()):
        document = dict(reversed(document.items()))
    swaps: dict[tuple[str | int, ...], str] = {}
    known = list(places(document))
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(known))
        text = draw(st.sampled_from(TEXTS) | st.floats().map(repr) | st.text(max_size=4).map(json.dumps))
        how = draw(st.sampled_from(["swap", "swap", "again", "before", "more", "less"]))
        if how == "swap":
            swaps[path] = text
        elif how in ("again", "before") and path:
            swaps[(*path[:-1], f"{'+' if how == 'again' else '<'}{path[-1]}")] = text
        elif how == "more":
            swaps[(*path, "+more")] = text
        elif how == "less" and path:
            swaps[(*path[:-1], f"-{path[-1]}")] = ""
    value = rendered(document, swaps).encode(errors="surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(value)))
        value = value[:at] + draw(st.binary(max_size=3)) + value[at + draw(st.integers(0, 2)) :]
    return value


def held_to_the_types(value: bytes) -> bool:
    """Whether it is usual; then it must be what the types say."""
    if wire.read(value) is None:
        return False
    fact = read(Record(0, 0, 0, None, value))
    assert fact is not None
    assert as_told(fact) == by_types(value), value
    return True


@settings(max_examples=300, deadline=None)
@given(mangled())
def test_whatever_is_usual_is_what_the_types_say(value: bytes) -> None:
    held_to_the_types(value)


@pytest.mark.parametrize("kind", EventType)
def test_every_odd_value_in_every_place(kind: EventType) -> None:
    document = json.loads(written(kind))
    for path, text in product(places(document), TEXTS):
        for at in (path, *((*path[:-1], f"{mark}{path[-1]}") for mark in "<+" if path)):
            held_to_the_types(rendered(document, {at: text}).encode(errors="surrogatepass"))


@pytest.mark.parametrize("kind", EventType)
def test_every_member_left_out(kind: EventType) -> None:
    document = json.loads(written(kind))
    without = [rendered(document, {(*path[:-1], f"-{path[-1]}"): ""}) for path in places(document) if path]
    usual = [held_to_the_types(text.encode()) for text in without]
    assert any(usual)


@pytest.mark.parametrize("kind", EventType)
def test_every_member_by_its_other_name(kind: EventType) -> None:
    document = json.loads(written(kind))
    for *stem, name in [path for path in places(document) if path]:
        if (other := to_snake(str(name))) != name:
            for text in ("1", '"1"', json.dumps(document["data"].get(name))):
                for less in ({}, {(*stem, f"-{name}"): ""}):
                    held_to_the_types(rendered(document, {(*stem, f"+{other}"): text, **less}).encode())
