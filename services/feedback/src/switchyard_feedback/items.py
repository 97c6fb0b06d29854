"""What a product sends: one item, or up to 1,000 of them. All of a request's items are right, or none is taken."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any, NoReturn

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from switchyard_contracts.events import Actor, PredictionId

from switchyard_feedback.errors import Fault, Refused

MOST_ITEMS = 1000
MOST_VALUE = 64 * 1024
"""Bytes of one value; a label is a number, a class or a small record, and a record of Kafka holds 1 MiB."""
MOST_FAULTS = 20
"""Of a request's faults so many are told; the rest are counted."""
DEEPEST = 32
"""Levels of a value: what reads it later may not go as deep as what wrote it."""

REMEDIES = {
    "predictionId": "use the x-prediction-id of the answer: 1 to 128 of the characters A-Z a-z 0-9 . _ : -",
    "row": "write a whole number from 0 to 1000000; 0 when a request carries one row",
    "value": f"write any JSON but null, at most {MOST_VALUE // 1024} KiB and {DEEPEST} levels deep",
    "at": "write a time with its zone, such as 2026-03-02T12:00:00Z",
    "actor": 'write an object such as {"kind": "human", "id": "dispatcher-7"}; kind: a-z 0-9 _ -, at most 32',
    "revision": "write a whole number from 0 to 2147483648; of two labels the one with the higher number holds",
}
KNOWN = ", ".join(REMEDIES)


def _whole(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("not a whole number")
    return value


def _written_time(value: object) -> object:
    """A number would be read as seconds since 1970, or as milliseconds if it is large: a guess too many."""
    if not isinstance(value, str) or not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]", value):
        raise ValueError("not a date and time")
    return value


def _storable(value: datetime) -> datetime:
    if not 1970 < value.year < 9000:
        raise ValueError("beyond what a time zone can be applied to")
    return value


def _sayable(value: Any) -> Any:
    if value is None:
        raise ValueError("null says nothing")
    if _depth(value) > DEEPEST:
        raise ValueError("too deep")
    # 1e999 reads as infinity, and a lone surrogate cannot be written as UTF-8: both raise a ValueError here
    if len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode()) > MOST_VALUE:
        raise ValueError("too large")
    return value


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
    return deepest


class StrictActor(Actor):
    """Who decided; a misspelt field is an error here."""

    model_config = ConfigDict(extra="forbid")


class Item(BaseModel):
    """Y′ or X′ of one row of a prediction, as a product says it."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    prediction_id: PredictionId
    row: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=1_000_000)] = 0
    value: Annotated[Any, AfterValidator(_sayable)]
    at: Annotated[AwareDatetime, BeforeValidator(_written_time), AfterValidator(_storable)]
    actor: StrictActor | None = None
    revision: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=2**31)] = 0


def read(body: bytes) -> list[Item]:
    """The items of a request's body, or `Refused` with every fault's field, value and remedy."""
    document = _parse(body)
    many = isinstance(document, dict) and "items" in document
    if many and set(document) != {"items"}:
        extra = sorted(set(document) - {"items"})[0]
        raise _faulty([Fault(extra, _short(document[extra]), 'remove it; beside "items" nothing else may stand')])
    raw = document["items"] if many else [document]
    if not isinstance(raw, list) or not raw:
        raise _faulty([Fault("items", _short(raw), f"write a list of 1 to {MOST_ITEMS} items")])
    if len(raw) > MOST_ITEMS:
        raise _faulty(
            [Fault("items", f"{len(raw)} items", f"send at most {MOST_ITEMS} in a request")],
            status=413,
            title="Too many items",
        )
    items: list[Item] = []
    faults: list[Fault] = []
    for index, entry in enumerate(raw):
        prefix = f"items[{index}]" if many else ""
        try:
            items.append(Item.model_validate(entry))
        except ValidationError as error:
            faults.extend(_faults(error, prefix))
    if faults:
        raise _faulty(faults)
    return items


def _parse(body: bytes) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise Refused(
            400,
            "Not JSON",
            f'the body is not JSON in UTF-8 ({reason}); send one item or {{"items": [...]}}',
        ) from None


def _faults(error: ValidationError, prefix: str) -> list[Fault]:
    found = []
    for each in error.errors(include_url=False, include_context=False):
        path = [_short(part) for part in each["loc"]]
        field = ".".join(([prefix] if prefix else []) + path) or "the body"
        if not path:
            remedy = f"write an object with {KNOWN}"
        elif each["type"] == "extra_forbidden":
            remedy = f"remove it; an item has {KNOWN}" if len(path) == 1 else "remove it; an actor has kind, id"
        else:
            remedy = REMEDIES[path[0]]
        value = "missing" if each["type"] == "missing" else _short(each["input"])
        found.append(Fault(field, value, remedy))
    return found


def _faulty(faults: list[Fault], *, status: int = 422, title: str = "Not a valid item") -> Refused:
    first, rest = faults[0], len(faults) - 1
    more = "" if not rest else f", and {rest} more fault{'s' if rest > 1 else ''}"
    detail = f"{first.field}: {first.value!r}; {first.remedy}{more}. Nothing of the request was taken."
    return Refused(status, title, detail, tuple(faults[:MOST_FAULTS]))


def _short(value: Any) -> str:
    """A value as an answer repeats it: whole if it is small."""
    if _depth(value) > DEEPEST:
        return "a value nested too deep"
    text = value if isinstance(value, str) else json.dumps(value)
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= 80 else f"{text[:80]}…"
