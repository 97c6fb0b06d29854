"""Whether two models speak the same language, by the JSON Schemas that their Bentos publish in `/schema.json`.

What stable accepted the candidate must accept, and what the candidate answers must be such as stable answered. A
property that a request's schema never named is nobody's promise, so a new optional one may come. Where a keyword cannot
be compared and differs, that is an objection: a person may look, and take the gate away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from switchyard_operator.domain.gates import Answer, State

Schema = Mapping[str, Any]

SAID_FOR_PEOPLE = frozenset(
    [
        "title",
        "description",
        "examples",
        "example",
        "default",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$schema",
        "$id",
        "$comment",
        "$defs",
        "definitions",
    ]
)
COMPARED = frozenset(
    [
        "type",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "nullable",
        "properties",
        "required",
        "additionalProperties",
        "items",
    ]
)
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
KINDS: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
}
DEEPEST = 32
MOST = 8
"""Objections that are said; one is enough to mend."""


def compatible(stable: Schema, candidate: Schema, *, paths: Sequence[str]) -> Answer:
    """Compare the routes that users can reach."""
    old, new = _routes(stable), _routes(candidate)
    known = [path for path in paths if path in old] if paths else sorted(old)
    if not known:
        return Answer(State.ERROR, "stable's /schema.json names none of the paths that are served")
    if not new:
        return Answer(State.ERROR, "the candidate's /schema.json names no route")
    objections: list[str] = []
    for path in known:
        if path not in new:
            objections.append(f"{path} is gone")
            continue
        for part, narrow, wide in (
            ("request", (old[path], stable), (new[path], candidate)),
            ("response", (new[path], candidate), (old[path], stable)),
        ):
            key = "input" if part == "request" else "output"
            pair = Pair(_part(narrow[0], key), _part(wide[0], key), roots=(narrow[1], wide[1]), answer=key == "output")
            objections += [f"{path} {part} {text}" for text in fits(pair)]
    if objections:
        more = f"; and {len(objections) - MOST} more" if len(objections) > MOST else ""
        text = "; ".join(objections[:MOST])
        return Answer(State.FAILED, f"not compatible with stable: {text}{more}; keep what users rely on")
    return Answer(State.PASSED, f"{', '.join(known)}: requests and responses are compatible with stable's")


def _routes(document: Schema) -> dict[str, Schema]:
    listed = document.get("routes")
    found = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return {str(item.get("route")): item for item in found if item.get("route")}


def _part(route: Schema, key: str) -> Schema:
    found = route.get(key)
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two schemas: whatever the first allows, the second should."""

    narrow: Any
    wide: Any
    roots: tuple[Schema, Schema] = ({}, {})
    """The documents that references lead into."""
    answer: bool = False
    """Whether the narrow one is the candidate's answer, and not stable's request."""
    where: str = "$"
    depth: int = 0

    def at(self, step: str, narrow: Any, wide: Any) -> Pair:
        """One level further in."""
        return replace(self, narrow=narrow, wide=wide, where=f"{self.where}{step}", depth=self.depth + 1)


def fits(pair: Pair) -> Iterator[str]:
    """Each reason why something that the narrow schema allows is not allowed by the wide one."""
    narrow, wide = _resolve(pair.narrow, pair.roots[0]), _resolve(pair.wide, pair.roots[1])
    if wide in ({}, True) or narrow is False or (narrow == wide and pair.roots[0] is pair.roots[1]):
        return
    if pair.depth > DEEPEST:
        # A schema that holds itself: what could differ has been compared on the way down.
        return
    if wide is False:
        yield f"{pair.where} is no longer allowed"
        return
    narrow = {} if narrow is True else narrow
    options = _options(narrow)
    if len(options) > 1:
        for option in options:
            yield from fits(replace(pair, narrow=option))
        return
    ways = _options(wide)
    if len(ways) > 1:
        found = [list(fits(replace(pair, narrow=options[0], wide=way))) for way in ways]
        if all(found):
            yield min(found, key=len)[0] if len(found) == 1 else f"{pair.where} fits none of the kinds that are allowed"
        return
    yield from _one(replace(pair, narrow=options[0], wide=ways[0]))


def _resolve(schema: Any, root: Schema) -> Any:
    for _ in range(DEEPEST):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        found: Any = root
        for part in reference[2:].split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**found, **beside} if isinstance(found, dict) else beside
    return schema


def _options(schema: Any) -> list[Any]:
    """The kinds of value that a schema names one by one."""
    if not isinstance(schema, dict):
        return [schema]
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            rest = {name: value for name, value in schema.items() if name != key}
            return [option for each in schema[key] for option in _options(_both(rest, each))]
    if isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
        rest = {name: value for name, value in schema.items() if name != "allOf"}
        return _options(_both(rest, schema["allOf"][0]))
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return [{**schema, "type": kind} for kind in kinds]
    if schema.get("nullable") is True:
        rest = {name: value for name, value in schema.items() if name != "nullable"}
        return [rest, {"type": "null"}]
    return [schema]


def _both(rest: Schema, option: Any) -> Any:
    return {**rest, **option} if isinstance(option, dict) else option


def _one(pair: Pair) -> Iterator[str]:
    narrow, wide = pair.narrow, pair.wide
    if not (isinstance(narrow, dict) and isinstance(wide, dict)):
        yield f"{pair.where} cannot be compared"
        return
    allowed = _values(wide)
    given = _values(narrow)
    if given is not None:
        yield from _listed(pair, given, allowed)
        return
    if allowed is not None:
        yield f"{pair.where} is narrowed to {_words(allowed)}"
        return
    one, other = narrow.get("type"), wide.get("type")
    if other is not None and one != other and not (one == "integer" and other == "number"):
        yield (
            f"{pair.where} was {one or 'anything'} and is {other}"
            if not pair.answer
            else (f"{pair.where} is {one or 'anything'} and was {other}")
        )
        return
    yield from _bounds(pair)
    yield from _object(pair)
    if isinstance(wide.get("items"), dict | bool):
        yield from fits(pair.at("[*]", narrow.get("items", True), wide["items"]))
    for key in sorted((narrow.keys() | wide.keys()) - SAID_FOR_PEOPLE - COMPARED - set(LOWER) - set(UPPER)):
        if key in wide and narrow.get(key) != wide[key]:
            yield f"{pair.where} {key} is {_changed(pair, narrow.get(key), wide[key])}"


def _values(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return list(schema["enum"]) if isinstance(schema.get("enum"), list) else None


def _listed(pair: Pair, given: list[Any], allowed: list[Any] | None) -> Iterator[str]:
    if allowed is not None:
        lost = [value for value in given if value not in allowed]
    else:
        kind = pair.wide.get("type")
        expected = KINDS.get(str(kind)) if kind is not None else object
        lost = [
            value
            for value in given
            if expected is None or not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean")
        ]
        if kind is None:
            lost = []
    if lost:
        yield f"{pair.where} {_words(lost)} is {'new to stable' if pair.answer else 'no longer allowed'}"


def _bounds(pair: Pair) -> Iterator[str]:
    for key in (*LOWER, *UPPER):
        limit, had = pair.wide.get(key), pair.narrow.get(key)
        if not isinstance(limit, int | float) or (limit == 0 and key in LOWER[2:]):
            continue
        if not isinstance(had, int | float) or (had < limit if key in LOWER else had > limit):
            yield f"{pair.where} {key} is {_changed(pair, had, limit)}"


def _changed(pair: Pair, narrow: Any, wide: Any) -> str:
    was, now = (wide, narrow) if pair.answer else (narrow, wide)
    return f"{'open' if now is None else now} and was {'open' if was is None else was}"


def _object(pair: Pair) -> Iterator[str]:
    narrow, wide = pair.narrow, pair.wide
    inner, outer = _mapping(narrow.get("properties")), _mapping(wide.get("properties"))
    always = set(narrow.get("required") or ())
    for name in wide.get("required") or ():
        if name not in always:
            said = "is no longer always answered" if pair.answer else "is required now"
            yield f"{pair.where}.{name} {said}"
    for name, other in outer.items():
        if name in inner:
            yield from fits(pair.at(f".{name}", inner[name], other))
    rest = wide.get("additionalProperties", True)
    if rest is True or rest == {}:
        return
    for name in inner.keys() - outer.keys():
        if rest is False:
            yield f"{pair.where}.{name} {'is new, and stable named every field' if pair.answer else 'is refused now'}"
        else:
            yield from fits(pair.at(f".{name}", inner[name], rest))
    others = narrow.get("additionalProperties", True)
    if wide.get("type", "object") == "object" and others is not False:
        if rest is False:
            yield f"{pair.where} fields that no schema names are {'new' if pair.answer else 'refused now'}"
        else:
            yield from fits(pair.at(".*", others, rest))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(values: Sequence[Any]) -> str:
    return ", ".join(repr(value) for value in values[:5])
