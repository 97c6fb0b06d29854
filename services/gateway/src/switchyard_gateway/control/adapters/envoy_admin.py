"""Envoy's admin door, on a Unix socket: its counters per host, and the switch of capture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from switchyard_gateway.control.domain.counters import Count, HostCount
from switchyard_gateway.control.errors import AdminError

CAPTURE = "switchyard.capture"


class EnvoyAdmin:
    """One Envoy's admin interface."""

    def __init__(self, socket: Path, *, timeout: float = 5.0) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://envoy", timeout=timeout
        )

    async def close(self) -> None:
        """Let go of the socket."""
        await self._client.aclose()

    async def hosts(self) -> list[HostCount]:
        """What every host of a revision's cluster has been asked, and how it ended."""
        document = await self._ask("GET", "/clusters?format=json")
        return [
            _count(cluster["name"], host)
            for cluster in document.get("cluster_statuses", ())
            if cluster.get("added_via_api")
            for host in cluster.get("host_statuses", ())
        ]

    async def capture(self, percent: int) -> None:
        """Record this share of the exchanges: 100 as usual, 0 when the volume is full."""
        await self._ask("POST", f"/runtime_modify?{CAPTURE}={percent}")

    async def _ask(self, method: str, path: str) -> Any:
        try:
            answer = await self._client.request(method, path)
            answer.raise_for_status()
            return answer.json() if path.startswith("/clusters") else None
        except (httpx.HTTPError, ValueError) as wrong:
            raise AdminError(f"{path}: {type(wrong).__name__}: {wrong}") from wrong


def _count(cluster: str, host: Mapping[str, Any]) -> HostCount:
    address = host["address"]["socket_address"]
    stats = {each["name"]: int(each.get("value", 0)) for each in host.get("stats", ())}
    return HostCount(
        key=(cluster, address["address"], int(address["port_value"])),
        count=Count(
            requests=stats.get("rq_total", 0),
            errors=stats.get("rq_error", 0),
            timeouts=stats.get("rq_timeout", 0),
            connect_failures=stats.get("cx_connect_fail", 0),
        ),
    )
