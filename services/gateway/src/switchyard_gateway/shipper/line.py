"""A line of Envoy's record, read once: an event for Kafka, a refusal of the gateway's own, or something unreadable.

Fields are those of `line` in services/gateway/envoy/bootstrap.py, the stamp is control's. Pure: bytes in, value out.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError
from switchyard_contracts.events import Body, EventType, Inference, encode, event, key

from switchyard_gateway.shipper.redaction import Redaction, redact

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIRROR = "mirror"
JSON_TYPE_END = ("/json", "+json")

DEEPEST = 60
"""Documents nested deeper travel as text: readers of the topic stop at about 200 levels, their own included."""

FAILED = frozenset({"UF", "UC", "UT", "UR", "UH", "UPE", "LR", "URX", "UMSDR", "SI"})
"""Response flags that say the revision did not answer, or not to the end."""
OUR_REFUSAL = frozenset({"UO", "OM", "RL", "NR", "IH", "DPE"})
"""Flags of answers that Envoy gave for reasons of its own."""
CUT_SHORT = FAILED | {"DC", "DPE", "DT"}
"""Flags after which the last piece of a body may be missing."""


@dataclass(frozen=True, slots=True)
class Event:
    """An exchange with a model, ready to be sent."""

    boot: str
    answered: bool
    key: bytes
    value: bytes
    bodies_removed: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that the gateway gave without asking any model: nobody's prediction, only counted."""

    boot: str
    answered: bool
    status: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that can never be read, and what is wrong with it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """What control wrote on the request when it was routed."""

    subject: str
    revision: str
    version: str
    role: str
    traffic: str
    weight_bp: str
    assignment: str
    unit: str = ""
    """The bucket by which it was drawn; empty where none was."""

    @classmethod
    def parse(cls, text: str) -> Stamp:
        """Read `<ns>/<name>|<revision>|<version>|<role>|<traffic>|<weight>|<assignment>`, and `|<bucket>` if any."""
        parts = text.split("|")
        if len(parts) not in (7, 8):
            raise ValueError(f"stamp: {text[:200]!r} has {len(parts)} parts, it must have 7, or 8 with a bucket")
        return cls(*parts)


class Reader:
    """Reads lines; holds what is the same for all of them."""

    def __init__(self, *, node: str, redaction: Redaction, max_record_bytes: int) -> None:
        self._source = f"/switchyard/gateway/{node}"
        self._redaction = redaction
        self._limit = max_record_bytes

    def read(self, line: bytes) -> Event | Refusal | Unreadable:
        """Never raises: whatever Envoy may have written, it is one of the three."""
        try:
            fields = json.loads(line.decode())
            if not isinstance(fields, dict) or not isinstance(fields.get("boot"), str):
                return Unreadable("the line is not an object with the field boot")
            if "stamp" not in fields:
                return Refusal(fields["boot"], _answered(fields), int(fields.get("status", 0)))
            return self._event(fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            return Unreadable(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}")
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            return Unreadable(f"{type(error).__name__}: {error}"[:300])

    def _event(self, fields: Mapping[str, Any]) -> Event:
        stamp = Stamp.parse(fields["stamp"])
        flags = "" if fields.get("flags") == "-" else str(fields.get("flags", ""))
        request, response = bodies(fields, cut_short=bool(CUT_SHORT.intersection(flags.split(","))))
        paths = self._redaction.paths(stamp.subject)
        if paths:
            request, response = withheld(request, paths), withheld(response, paths)
        try:
            value = self._encode(fields, stamp, flags=flags, request=request, response=response)
        except (
            ValueError,
            RecursionError,
        ):  # numbers or letters that JSON has no words for: 1e999, half a surrogate pair
            request, response = as_text(request, fields, "q"), as_text(response, fields, "p")
            if paths:
                request, response = withheld(request, paths), withheld(response, paths)
            value = self._encode(fields, stamp, flags=flags, request=request, response=response)
        too_large = len(value) > self._limit
        if too_large:
            value = self._encode(fields, stamp, flags=flags, request=_removed(request), response=_removed(response))
        return Event(
            boot=fields["boot"],
            answered=_answered(fields),
            key=key(stamp.subject, fields["prediction"]),
            value=value,
            bodies_removed=too_large,
        )

    def _encode(self, fields: Mapping[str, Any], stamp: Stamp, *, flags: str, request: Body, response: Body) -> bytes:
        started = EPOCH + timedelta(microseconds=int(fields["start"]))
        status = int(fields.get("status", 0))
        mirrored = fields.get("listener") == MIRROR
        data = Inference(
            prediction_id=fields["prediction"],
            revision=stamp.revision,
            version=stamp.version,
            answered_by=fields.get("answered_by", ""),
            role=stamp.role,
            traffic=int(stamp.traffic),
            weight_bp=int(stamp.weight_bp),
            assignment=stamp.assignment,
            unit=int(stamp.unit) if stamp.unit else None,
            status=status,
            flags=flags,
            error=is_error(status, flags) or (mirrored and is_unanswered(flags, request)),
            latency_us=fields.get("upstream_us"),
            started_at=started,
            pod=fields.get("host", ""),
            request=request,
            response=response,
        )
        # A mirrored request keeps the ids of the one it was made from, so its event's id says for whom it was made.
        event_id = f"{fields['id']}:{MIRROR}:{stamp.revision}" if mirrored else fields["id"]
        return encode(
            event(
                EventType.INFERENCE,
                event_id=event_id,
                source=self._source,
                subject=stamp.subject,
                time=started,
                data=data,
            )
        )


def is_error(status: int, flags: str) -> bool:
    """A 5xx, reset or timeout of the revision; not a refusal of the gateway, nor a client that went away."""
    said = frozenset(flags.split(","))
    if said & OUR_REFUSAL:
        return False
    return status >= 500 or bool(said & FAILED)


def is_unanswered(flags: str, request: Body) -> bool:
    """The one who waits for a mirrored answer is this gateway, and it goes away only when the time is up.

    Unless the request itself broke off, because the product's client went away while it sent.
    """
    return "DC" in flags.split(",") and request.complete


def bodies(fields: Mapping[str, Any], *, cut_short: bool) -> tuple[Body, Body]:
    """X and Y as far as they were kept."""
    return (
        _body(fields, "request", whole="q", cut_short=cut_short),
        _body(fields, "response", whole="p", cut_short=cut_short),
    )


def _body(fields: Mapping[str, Any], side: str, *, whole: str, cut_short: bool) -> Body:
    kept, ended = _kept(fields, side, whole)
    seen = max(int(fields.get(f"{side}_bytes", 0)), len(kept))
    content_type = fields.get(f"{side}_type", "")
    # Without any piece and without an end, a body is whole only if there was none to see.
    complete = len(kept) == seen and (ended or not cut_short)
    encoding, value = _value(kept, content_type if complete else "")
    return Body(
        encoding=encoding,
        value=value,
        bytes_seen=seen,
        bytes_kept=len(kept),
        complete=complete,
        content_type=content_type,
    )


def _kept(fields: Mapping[str, Any], side: str, whole: str) -> tuple[bytes, bool]:
    """The bytes that were kept, and whether the body's end was among them."""
    taken = fields.get("body", {})
    if whole in taken:
        return taken[whole].encode(), True
    if f"{whole}64" in taken:
        return _decoded(taken[f"{whole}64"]), True
    pieces = dict(fields.get(f"{side}_chunks", {}))
    ended = bool(pieces.pop("end", False))
    in_order = sorted(pieces.items(), key=lambda piece: int(piece[0].removesuffix("b")))
    joined = b"".join(_decoded(text) if name.endswith("b") else text.encode() for name, text in in_order)
    return joined, ended


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"body: not base64: {error}") from error


def _value(kept: bytes, content_type: str) -> tuple[str, Any]:
    if not kept:
        return "none", None
    try:
        text = kept.decode()
    except UnicodeDecodeError:
        return "base64", base64.b64encode(kept).decode()
    if "\0" in text:
        return "base64", base64.b64encode(kept).decode()
    if content_type.partition(";")[0].strip().lower().endswith(JSON_TYPE_END):
        try:
            document = _DOCUMENT.decode(text)
        except (ValueError, RecursionError):
            return "text", text
        if not _too_deep(text, document):
            return "json", document
    return "text", text


def _finite(text: str) -> float:
    """A number too large for a float would be read as infinity and sent as null."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large a number")
    return value


def _no_such_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DOCUMENT = json.JSONDecoder(parse_float=_finite, parse_constant=_no_such_number)


def _too_deep(text: str, document: Any) -> bool:
    if text.count("[") + text.count("{") <= DEEPEST:
        return False
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def as_text(body: Body, fields: Mapping[str, Any], whole: str) -> Body:
    """The same body, not as a document but as the text it came as."""
    if body.encoding != "json":
        return body
    kept, _ = _kept(fields, "request" if whole == "q" else "response", whole)
    return body.model_copy(update={"encoding": "text", "value": kept.decode()})


def withheld(body: Body, paths: Any) -> Body:
    """The body without what must not leave; all of it stays here where it cannot be searched."""
    if body.encoding == "json":
        redact(body.value, paths)
        return body
    return body if body.encoding == "none" else _removed(body)


def _removed(body: Body) -> Body:
    return body.model_copy(
        update={"encoding": "none", "value": None, "bytes_kept": 0, "complete": body.bytes_seen == 0}
    )


def _answered(fields: Mapping[str, Any]) -> bool:
    """Envoy began an answer; capture.lua counted it."""
    return int(fields.get("status", 0)) > 0
