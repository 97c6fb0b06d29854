"""Errors as RFC 9457 writes them; each fault names its field, what was there, and the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fastapi.responses import JSONResponse

from switchyard_feedback.errors import Fault

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    faults: Sequence[Fault] = (),
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """One answer that says what went wrong."""
    body = {"type": "about:blank", "status": status, "title": title, "detail": detail, **more}
    if faults:
        body["errors"] = [asdict(fault) for fault in faults]
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))
