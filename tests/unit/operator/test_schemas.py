"""Compatible with stable: what it accepted is accepted, what it answered is still answered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_operator.domain.gates import State
from switchyard_operator.domain.schemas import compatible

NUMBER, TEXT = {"type": "number"}, {"type": "string"}


def thing(*required: str, extra: Any = None, **properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties, "required": list(required)}
    return found if extra is None else found | {"additionalProperties": extra}


def document(
    request: dict[str, Any] | None = None, response: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    route = {
        "route": "/predict",
        "input": request if request is not None else thing("distance", distance=NUMBER),
        "output": response if response is not None else thing("delay", delay=NUMBER),
    }
    return {"routes": [route], **more}


ONE = document()


@pytest.mark.parametrize(
    ("stable", "candidate", "words"),
    [
        pytest.param(ONE, ONE, "", id="the same"),
        pytest.param(ONE, {"routes": [{**ONE["routes"][0], "route": "/score"}]}, "/predict is gone", id="no such path"),
        pytest.param(
            ONE,
            document(thing("distance", "hour", distance=NUMBER, hour=NUMBER)),
            "/predict request $.hour is required now",
            id="a new field that must be sent",
        ),
        pytest.param(ONE, document(thing("distance", distance=NUMBER, hour=NUMBER)), "", id="a new field that may be"),
        pytest.param(ONE, document(thing(distance=NUMBER)), "", id="a field that need not be sent any longer"),
        pytest.param(
            ONE,
            document(thing("distance", distance={"type": "integer"})),
            "$.distance was number and is integer",
            id="fewer numbers",
        ),
        pytest.param(document(thing(a={"type": "integer"})), document(thing(a=NUMBER)), "", id="more numbers"),
        pytest.param(
            document(thing(a=NUMBER)),
            document(thing(a={**NUMBER, "minimum": 0})),
            "$.a minimum is 0 and was open",
            id="a bound that was not there",
        ),
        pytest.param(
            document(thing(a={**NUMBER, "maximum": 24})),
            document(thing(a={**NUMBER, "maximum": 23})),
            "$.a maximum is 23 and was 24",
            id="a tighter bound",
        ),
        pytest.param(
            document(thing(a={**TEXT, "maxLength": 3})),
            document(thing(a={**TEXT, "maxLength": 8})),
            "",
            id="a wider one",
        ),
        pytest.param(
            document(thing(a={"anyOf": [NUMBER, {"type": "null"}]})),
            document(thing(a=NUMBER)),
            "$.a was null and is number",
            id="null is refused now",
        ),
        pytest.param(
            document(thing(a=NUMBER)), document(thing(a={"anyOf": [TEXT, NUMBER]})), "", id="another kind beside it"
        ),
        pytest.param(
            document(thing(a={"enum": ["x", "y"]})),
            document(thing(a={"enum": ["x"]})),
            "$.a 'y' is no longer allowed",
            id="a value less",
        ),
        pytest.param(document(thing(a={"enum": ["x"]})), document(thing(a=TEXT)), "", id="any text in place of some"),
        pytest.param(document(thing(a=TEXT)), document(thing(a={"enum": ["x"]})), "narrowed to 'x'", id="some for any"),
        pytest.param(
            document(thing(a={"type": "array", "items": NUMBER})),
            document(thing(a={"type": "array", "items": TEXT})),
            "$.a[*] was number and is string",
            id="what a list holds",
        ),
        pytest.param(
            document(thing(a=NUMBER)),
            document(thing(b=NUMBER, extra=False)),
            "$.a is refused now",
            id="a field taken away from a closed request",
        ),
        pytest.param(
            document(thing(a=TEXT)),
            document(thing(a={**TEXT, "pattern": "^[A-Z]+$"})),
            "$.a pattern is ^[A-Z]+$ and was open",
            id="a pattern",
        ),
        pytest.param(
            ONE, document(response=thing("minutes", minutes=NUMBER)), "response $.delay is no longer", id="renamed"
        ),
        pytest.param(ONE, document(response=thing("delay", delay=NUMBER, bound=NUMBER)), "", id="one answer more"),
        pytest.param(
            ONE,
            document(response=thing("delay", delay={"anyOf": [NUMBER, {"type": "null"}]})),
            "response $.delay is null and was number",
            id="an answer that may be null",
        ),
        pytest.param(ONE, document(response=thing("delay", delay={"type": "integer"})), "", id="whole answers only"),
        pytest.param(
            document(response=thing(a={"enum": ["x"]})),
            document(response=thing(a={"enum": ["x", "z"]})),
            "response $.a 'z' is new to stable",
            id="a class that stable did not know",
        ),
        pytest.param(
            document(thing(a={"$ref": "#/$defs/A"}), **{"$defs": {"A": NUMBER}}),
            document(thing(a={"$ref": "#/$defs/A"}), **{"$defs": {"A": TEXT}}),
            "$.a was number and is string",
            id="the same reference to another thing",
        ),
        pytest.param(
            document(thing(a={**NUMBER, "title": "A", "default": 1})),
            document(thing(a={**NUMBER, "title": "B", "description": "b"})),
            "",
            id="other words for people",
        ),
    ],
)
def test_compatible(stable: dict[str, Any], candidate: dict[str, Any], words: str) -> None:
    answer = compatible(stable, candidate, paths=["/predict"])
    assert answer.state is (State.FAILED if words else State.PASSED), answer.message
    assert words in answer.message


@pytest.mark.parametrize(
    ("stable", "candidate", "paths", "words"),
    [
        pytest.param({}, ONE, [], "stable's /schema.json names none", id="stable says nothing"),
        pytest.param(ONE, {}, [], "the candidate's /schema.json names no route", id="the candidate says nothing"),
        pytest.param(ONE, ONE, ["/score"], "names none of the paths", id="another path is served"),
    ],
)
def test_what_cannot_be_compared_is_no_failure(
    stable: dict[str, Any], candidate: dict[str, Any], paths: list[str], words: str
) -> None:
    answer = compatible(stable, candidate, paths=paths)
    assert answer.state is State.ERROR
    assert words in answer.message


def test_a_schema_that_holds_itself_comes_to_an_end() -> None:
    tree = thing("value", value=NUMBER, next={"$ref": "#/$defs/Tree"})
    other = thing("value", value=TEXT, next={"$ref": "#/$defs/Tree"})
    stable = document({"$ref": "#/$defs/Tree"}, **{"$defs": {"Tree": tree}})
    assert compatible(stable, {**stable, "$defs": {"Tree": dict(tree)}}, paths=[]).state is State.PASSED
    assert compatible(stable, {**stable, "$defs": {"Tree": other}}, paths=[]).state is State.FAILED


LEAF = st.one_of(
    st.builds(
        lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
        st.integers(-3, 3),
        st.integers(0, 3),
    ),
    st.builds(lambda values: {"enum": sorted(values)}, st.sets(st.sampled_from("abc"), min_size=1)),
    st.sampled_from([NUMBER, TEXT, {"type": "null"}, {"type": "boolean"}, {}]),
)
SCHEMA = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(
            lambda a, b, required, closed: thing(*required, a=a, b=b, extra=False if closed else None),
            inner,
            inner,
            st.sets(st.sampled_from("ab")),
            st.booleans(),
        ),
    ),
    max_leaves=4,
)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(-4, 7), st.sampled_from("abcd"), st.just(0.5))
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=3,
)


def valid(value: Any, schema: Any) -> bool:
    """The keywords that are drawn above, as JSON Schema defines them."""
    if "anyOf" in schema:
        return any(valid(value, option) for option in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kind, number = schema.get("type"), isinstance(value, int | float) and not isinstance(value, bool)
    held = {
        None: True,
        "null": value is None,
        "boolean": isinstance(value, bool),
        "string": isinstance(value, str),
        "number": number,
        "integer": number and float(value).is_integer(),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }[kind]
    if not held or (kind == "integer" and "minimum" in schema and not schema["minimum"] <= value <= schema["maximum"]):
        return False
    if kind == "array":
        return all(valid(item, schema["items"]) for item in value)
    if kind == "object":
        named = all(valid(item, schema["properties"].get(key, {})) for key, item in value.items())
        known = schema.get("additionalProperties", True) or set(value) <= set(schema["properties"])
        return named and known and set(schema["required"]) <= set(value)
    return True


@given(SCHEMA, SCHEMA, VALUE)
def test_what_stable_accepted_is_accepted_wherever_nothing_is_objected_to(old: Any, new: Any, value: Any) -> None:

    answer = compatible(document(thing("x", x=old)), document(thing("x", x=new)), paths=[])
    if answer.state is State.PASSED and valid(value, old):
        assert valid(value, new)


@given(SCHEMA)
def test_a_schema_is_compatible_with_itself(schema: Any) -> None:
    assert compatible(document(schema, schema), document(schema, schema), paths=[]).state is State.PASSED
