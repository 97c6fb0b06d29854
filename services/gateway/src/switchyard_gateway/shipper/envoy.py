"""The Envoy beside us: its admin door, and the counts that its threads leave on the volume."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from switchyard_gateway.shipper.errors import EnvoyUnavailable

EXCHANGES = "switchyard.exchanges"
RECORDED = "switchyard.recorded"
LUA_ERRORS = ("http.product.lua.errors", "http.mirror.lua.errors")
MIRROR_OVERFLOW = ("/mirror.upstream_rq_active_overflow", "/mirror.upstream_rq_pending_overflow")
"""How the counters end that tell, for each mirrored revision's cluster, what could not be mirrored to it."""
WANTED = (
    r"^(switchyard\.|http\.(product|mirror)\.lua\.errors"
    r"|cluster\..*/mirror\.upstream_rq_(active|pending)_overflow$)"
)


@dataclass(frozen=True, slots=True)
class Counters:
    """What the running Envoy counted since its start."""

    exchanges: int = 0
    recorded: int = 0
    capture_errors: int = 0
    mirror_overflow: Mapping[str, int] = field(default_factory=dict)
    """By counter; a cluster that is removed takes its counters along."""


class EnvoyAdmin:
    """Envoy's admin door on its Unix socket."""

    def __init__(self, socket: Path) -> None:
        self._client = httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://admin", timeout=2)

    def reopen_logs(self) -> None:
        """Close the access log's file and open the one of that name."""
        self._ask("POST", "/reopen_logs")

    def counters(self) -> Counters:
        """Its counters now."""
        said: dict[str, int] = {}
        for line in self._ask("GET", "/stats", filter=WANTED).splitlines():
            name, _, value = line.rpartition(": ")
            if value.isdigit():
                said[name] = int(value)
        return Counters(
            exchanges=said.get(EXCHANGES, 0),
            recorded=said.get(RECORDED, 0),
            capture_errors=sum(said.get(name, 0) for name in LUA_ERRORS),
            mirror_overflow={name: count for name, count in said.items() if name.endswith(MIRROR_OVERFLOW)},
        )

    def close(self) -> None:
        """Let go of the socket."""
        self._client.close()

    def _ask(self, method: str, path: str, **query: str) -> str:
        try:
            response = self._client.request(method, path, params=query)
            return response.raise_for_status().text
        except httpx.HTTPError as error:
            raise EnvoyUnavailable(f"{method} {path} on Envoy's admin socket: {error}") from error


class Boots:
    """A folder for each start of Envoy, made by `start.py`, with a file for each of its threads (`capture.lua`)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "boots"
        self._folder.mkdir(parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Oldest first: they are named by the time of their start."""
        return sorted(path.name for path in self._folder.iterdir() if path.name.isdigit())

    def answers(self, name: str) -> int:
        """Answers begun in this boot."""
        if name not in self.names():
            return 0
        folder = self._folder / name
        counts = (path.read_bytes() for path in folder.iterdir())
        return sum(int(struct.unpack("<d", count)[0]) for count in counts if len(count) == 8)

    def remove(self, name: str) -> None:
        """It is settled."""
        if name in self.names():
            shutil.rmtree(self._folder / name, ignore_errors=True)
