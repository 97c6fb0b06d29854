"""CloudEvents as Kafka carries them: structured, all of it in the record's value; or binary, its attributes in headers.

Everything behind this module reads the structured form.
"""

from __future__ import annotations

from base64 import b64encode

from pydantic_core import from_json, to_json

from switchyard_monitor.errors import Unreadable

Headers = tuple[tuple[str, bytes], ...]
PREFIX = "ce_"
STRUCTURED = b"application/cloudevents"


def structured(value: bytes, headers: Headers) -> bytes:
    """The event as one JSON document; what is no JSON in its data becomes `data_base64`."""
    if not headers or not any(name == "ce_specversion" for name, _ in headers):
        return value
    if any(name == "content-type" and media.startswith(STRUCTURED) for name, media in headers):
        return value  # its attributes may stand in headers as well, for who sorts records by them
    try:
        told = {name: text.decode() for name, text in headers if name.startswith(PREFIX) or name == "content-type"}
    except UnicodeDecodeError as error:
        raise Unreadable("a header of the event is no text in UTF-8") from error
    document: dict[str, object] = {name.removeprefix(PREFIX): text for name, text in told.items()}
    document["datacontenttype"] = document.pop("content-type", "")
    try:
        document["data"] = from_json(value)
    except ValueError:
        document["data_base64"] = b64encode(value).decode()
    return to_json(document)
