"""The few questions the node itself asks its API server, without a client library to start up."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from switchyard_testkit.node.plan import API_PORT, Places


class ApiServer:
    """The API server of one node, asked as the administrator."""

    def __init__(self, places: Places) -> None:
        self._address = places.slot.node_ip
        self._pki: Path = places.pki

    def get(self, path: str) -> str:
        """The body of the answer; ConnectionError when there is none or it is not 200."""
        context = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
        context.load_cert_chain(str(self._pki / "admin.crt"), str(self._pki / "admin.key"))
        connection = http.client.HTTPSConnection(self._address, API_PORT, timeout=5, context=context)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ConnectionError(f"no answer to GET {path}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ConnectionError(f"GET {path} answered {answer.status}: {body[:300]}")
        return body

    def not_ready(self) -> str | None:
        """None when the server serves."""
        try:
            self.get("/readyz")
        except ConnectionError as error:
            return str(error)
        return None

    def node_not_ready(self, name: str) -> str | None:
        """None when the node takes pods."""
        try:
            node: dict[str, Any] = json.loads(self.get(f"/api/v1/nodes/{name}"))
        except ConnectionError as error:
            return str(error)
        for condition in node.get("status", {}).get("conditions", []):
            if condition["type"] == "Ready":
                return None if condition["status"] == "True" else str(condition.get("message", "Ready is not True"))
        return "the node has not reported yet"

    def exists(self, path: str) -> str | None:
        """None when there is such an object."""
        try:
            self.get(path)
        except ConnectionError as error:
            return str(error)
        return None
