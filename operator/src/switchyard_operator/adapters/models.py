"""A model's pods, asked directly: what they are, and whether they answer, before any traffic."""

from __future__ import annotations

import re

import httpx
from switchyard_contracts.model import SEMANTIC_VERSION

from switchyard_operator.errors import TryLater
from switchyard_operator.ports import Facts

PATIENCE = httpx.Timeout(10.0, connect=2.0)
PATH = re.compile(r"^/[A-Za-z0-9_][A-Za-z0-9_./-]*$")
MOST_PATHS = 32


class HttpModels:
    """BentoML's own documents over HTTP."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def facts(self, address: str, port: int) -> Facts:
        """Version and paths from `/docs.json` and `/schema.json`; what is not a Bento's says nothing."""
        docs = self._document(address, port, "/docs.json")
        schema = self._document(address, port, "/schema.json")
        info = docs.get("info")
        said = str(info.get("version", "")) if isinstance(info, dict) else ""
        version = said if re.fullmatch(SEMANTIC_VERSION, said) and len(said) <= 64 else ""
        routes = schema.get("routes")
        listed = routes if isinstance(routes, list) else []
        found = [str(item.get("route", "")) for item in listed if isinstance(item, dict)]
        return Facts(version, tuple(path for path in found if PATH.fullmatch(path))[:MOST_PATHS])

    def schema(self, address: str, port: int) -> dict[str, object]:
        """`/schema.json` as it is, empty where there is none."""
        return self._document(address, port, "/schema.json")

    def smoke(self, address: str, port: int, *, path: str, body: str | None) -> str:
        """Send one request; the empty string when it was answered with 2xx, else what was wrong."""
        url = _url(address, port, path)
        try:
            if body is None:
                answer = self._http.get(url, timeout=PATIENCE)
            else:
                headers = {"Content-Type": "application/json"}
                answer = self._http.post(url, content=body.encode(), headers=headers, timeout=PATIENCE)
        except httpx.HTTPError as error:
            return f"no answer ({type(error).__name__})"
        return "" if answer.is_success else f"answered {answer.status_code}: {answer.text[:200]}"

    def _document(self, address: str, port: int, path: str) -> dict[str, object]:
        try:
            answer = self._http.get(_url(address, port, path), timeout=PATIENCE)
            document = answer.json() if answer.is_success else {}
        except httpx.HTTPError as error:
            raise TryLater(f"pod {address} does not answer {path}: {type(error).__name__}") from error
        except ValueError:
            document = {}
        return document if isinstance(document, dict) else {}


def _url(address: str, port: int, path: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}{path}"
