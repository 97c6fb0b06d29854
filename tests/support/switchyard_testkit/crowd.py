"""A crowd: thousands of users who each ask a gateway once, and models fast enough to answer them all in seconds.

Both sides speak bare HTTP/1.1 on kept connections, many requests at a time: a client that made an object of each
request would take a minute for what Envoy does in two seconds.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

AT_ONCE = 100
"""Requests on their way over one connection."""
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) .*?\r\n\r\n", re.DOTALL)
REVISION = re.compile(rb"\r\nx-model-revision: ([^\r]+)")
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)")


@dataclass(frozen=True, slots=True)
class QuickModel:
    """A model's pod that answers everything alike."""

    address: tuple[str, int]


class _Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._rest = transport, b""

    def data_received(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\r\n\r\n")
        self._transport.write(ANSWER * len(whole))


@contextmanager
def quick_models(count: int) -> Iterator[list[QuickModel]]:
    """So many of them, for requests without a body."""
    loop = asyncio.new_event_loop()

    async def begin() -> list[asyncio.Server]:
        return [await loop.create_server(_Answering, "127.0.0.1", 0) for _ in range(count)]

    servers = loop.run_until_complete(begin())
    thread = threading.Thread(target=loop.run_forever, name="quick models", daemon=True)
    thread.start()
    try:
        yield [QuickModel(server.sockets[0].getsockname()[:2]) for server in servers]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def ask_all(port: int, path: str, headers: Sequence[str]) -> list[str]:
    """One request for each header line, in order; the revisions that answered."""
    answered: list[str] = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        for start in range(0, len(headers), AT_ONCE):
            batch = headers[start : start + AT_ONCE]
            asked = (f"GET {path} HTTP/1.1\r\nhost: models\r\n{line}\r\n\r\n" for line in batch)
            connection.sendall("".join(asked).encode())
            answered += _answers(connection, len(batch))
    return answered


def _answers(connection: socket.socket, count: int) -> list[str]:
    found: list[str] = []
    buffer = b""
    while len(found) < count:
        head = HEAD.match(buffer)
        size = LENGTH.search(head[0]) if head else None
        if head is None or size is None or len(buffer) < head.end() + int(size[1]):
            more = connection.recv(1 << 20)
            if not more:
                raise ConnectionError(f"the gateway hung up after {len(found)} of {count} answers")
            buffer += more
            continue
        if head[1] != b"200":
            raise ValueError(f"the gateway answered {buffer[:500]!r}")
        revision = REVISION.search(head[0])
        found.append(revision[1].decode() if revision else "")
        buffer = buffer[head.end() + int(size[1]) :]
    return found
