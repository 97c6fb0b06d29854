"""Envoy's admin door, on a Unix socket: its counters per host, and the switch of capture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from switchyard_gateway.control.domain.counters import Count, HostCount, HostKey, Look, of_cluster
from switchyard_gateway.control.domain.fragment import MIRROR_DOOR
from switchyard_gateway.control.errors import AdminError

JSON = Mapping[str, Any]

CAPTURE = "switchyard.capture"
WORTH_A_LOOK = (
    r"^(http\.(product|mirror)\.(downstream_rq_(total|[1-5]xx|active|time)|downstream_cx_active|lua\.errors)"
    r"|cluster\..+\.(upstream_rq_(total|[2345]xx|timeout|pending_overflow|active_overflow)|upstream_cx_connect_fail"
    r"|membership_(healthy|total)|outlier_detection\.ejections_active)"
    r"|switchyard\.(exchanges|recorded)"
    r"|server\.(live|uptime|memory_allocated|memory_heap_size))$"
)
"""What of Envoy's statistics Prometheus is given: a fraction of them, for each costs a series for each revision."""
OVERFLOWS = rf"^cluster\..*{MIRROR_DOOR}\.upstream_rq_(pending|active)_overflow$"
RETRIES = r"^cluster\..*\.upstream_rq_retry$"


class EnvoyAdmin:
    """One Envoy's admin interface."""

    def __init__(self, socket: Path, *, timeout: float = 5.0) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://envoy", timeout=timeout
        )

    async def close(self) -> None:
        """Let go of the socket."""
        await self._client.aclose()

    async def look(self) -> Look:
        """What every host of a revision's cluster has been asked, and how it ended; and who counted it."""
        boot = await self._boot()
        clusters = await self._clusters()
        overflows = _by_cluster(await self._ask("GET", "/stats", filter=OVERFLOWS))
        retries = _by_cluster(await self._ask("GET", "/stats", filter=RETRIES))
        hosts = [
            _mirrored(name, host, overflows.get(name, 0)) if name.endswith(MIRROR_DOOR) else _count(name, host)
            for name, hosts in clusters
            for host in hosts
        ]
        wholes = [HostCount(of_cluster(name), Count(retries=number)) for name, number in retries.items() if number]
        return Look((*hosts, *wholes), boot)

    async def prometheus(self) -> str:
        """The figures that are worth a look, in Prometheus' format."""
        return await self._ask("GET", "/stats/prometheus", filter=WORTH_A_LOOK)

    async def capture(self, *, on: bool) -> None:
        """Record no exchange, or as many as Envoy's own configuration says; said twice, it is as said once."""
        await self._ask("POST", "/runtime_modify", **{CAPTURE: "" if on else "0"})

    async def _boot(self) -> str:
        """The start of Envoy, as `start.py` has named it."""
        try:
            node = json.loads(await self._ask("GET", "/server_info")).get("node") or {}
            return str((node.get("metadata") or {}).get("boot", ""))
        except (ValueError, AttributeError) as wrong:
            raise AdminError(f"/server_info: {type(wrong).__name__}: {wrong}") from wrong

    async def _clusters(self) -> list[tuple[str, list[JSON]]]:
        text = await self._ask("GET", "/clusters", format="json")
        try:
            found = json.loads(text).get("cluster_statuses", ())
            return [(each["name"], each.get("host_statuses", [])) for each in found if each.get("added_via_api")]
        except (ValueError, KeyError, AttributeError) as wrong:
            raise AdminError(f"/clusters: {type(wrong).__name__}: {wrong}") from wrong

    async def _ask(self, method: str, path: str, **query: str) -> str:
        try:
            answer = await self._client.request(method, path, params=query)
            return answer.raise_for_status().text
        except httpx.HTTPError as wrong:
            raise AdminError(f"{path}: {type(wrong).__name__}: {wrong}") from wrong


def _count(cluster: str, host: JSON) -> HostCount:
    stats = _stats(host)
    count = Count(
        requests=stats.get("rq_total", 0),
        errors=stats.get("rq_error", 0),
        timeouts=stats.get("rq_timeout", 0),
        connect_failures=stats.get("cx_connect_fail", 0),
    )
    return HostCount(_key(cluster, host), count)


def _mirrored(door: str, host: JSON, overflow: int) -> HostCount:
    """What went through a mirror's door. What came of it is counted at the host that answered, as every request is."""
    return HostCount(_key(door, host), Count(mirrored=_stats(host).get("rq_total", 0), mirror_overflow=overflow))


def _key(cluster: str, host: JSON) -> HostKey:
    address = host["address"]["socket_address"]
    return (cluster, address["address"], int(address["port_value"]))


def _stats(host: JSON) -> dict[str, int]:
    return {each["name"]: int(each.get("value", 0)) for each in host.get("stats", ())}


def _by_cluster(text: str) -> dict[str, int]:
    """Lines such as `cluster.ns/a-2/mirror.upstream_rq_active_overflow: 7`, summed by the cluster's name."""
    found: Counter[str] = Counter()
    for line in text.splitlines():
        name, _, value = line.rpartition(": ")
        found[name.removeprefix("cluster.").rpartition(".")[0]] += int(value) if value.isdigit() else 0
    return found
