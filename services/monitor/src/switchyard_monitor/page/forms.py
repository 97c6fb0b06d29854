"""What browsers send: forms, where they come from, and addresses to go to afterwards. None of it is believed."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from switchyard_contracts.events import SUBJECT_PATTERN

MOST_FORM_BYTES = 8192
SUBJECT = re.compile(SUBJECT_PATTERN)
QUERY = re.compile(r"[A-Za-z0-9%+=&._~/-]{0,4000}")
"""A feature's name has 256 characters at most, and each as many as twelve in an address."""
PARTS = ("/features", "/feature")
"""What may stand behind a deployment's address."""


def root(request: Request) -> str:
    """Where the page is mounted, as the browser sees it."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def kept(request: Request) -> dict[str, Any]:
    """How the cookie is kept. A proxy that took the TLS off says so; believing it can only make the cookie stricter."""
    encrypted = request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "") == "https"
    return {"path": root(request) or "/", "httponly": True, "samesite": "strict", "secure": encrypted}


def must_be_ours(request: Request) -> None:
    """A form of another site is refused, whatever cookies it brings."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        ours = site == "same-origin"
    else:
        # Browsers leave the first header out where the page came unencrypted; all of them name the origin of a form.
        host = request.headers.get("host", "")
        ours = origin in (f"http://{host}", f"https://{host}")
    if not ours:
        raise HTTPException(403, "This form came from another site. Open the page itself and try again.")


def from_elsewhere(request: Request) -> bool:
    """Whether somebody followed a link to us from another site."""
    return request.headers.get("sec-fetch-site") in ("cross-site", "same-site")


async def fields(request: Request) -> dict[str, str]:
    """The fields of a small form."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_FORM_BYTES:
            raise HTTPException(413, f"The form is larger than {MOST_FORM_BYTES} bytes.")
    try:
        found = parse_qs(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=8)
    except ValueError as error:
        raise HTTPException(413, "The form has more fields than any of ours.") from error
    return {name: values[0] for name, values in found.items()}


def inside(wanted: str) -> str:
    """An address within the page, without its root; anything else is the overview."""
    path, _, query = wanted.partition("?")
    of = next((path.removesuffix(part) for part in PARTS if path.endswith(part) and path.count("/") == 3), path)
    if path and not (of.startswith("deployments/") and SUBJECT.fullmatch(of.removeprefix("deployments/"))):
        return ""
    return wanted if QUERY.fullmatch(query) else path
