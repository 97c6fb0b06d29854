"""A model server that misbehaves on request: the path says how. For tests of what the gateway records."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from switchyard_testkit.envoy import free_port

PREDICTION = b'{"delay": 3.5}'


@dataclass
class Upstream:
    """Answers on a port of loopback.

    /predict      a small JSON answer
    /echo         what was sent, as it was sent
    /chunked      a JSON answer in three chunks
    /stream/N     N bytes in chunks, without a content-length
    /status/N     that status, with a JSON body
    /silent       no answer, ever
    /reset        the connection is cut instead of an answer
    /half         a content-length is promised, half is sent, then the connection is cut
    /half-chunked two chunks, then the connection is cut
    /empty        204 without a body
    """

    port: int = field(default_factory=free_port)
    seen: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request, as they arrived."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                await writer.drain()
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        self.seen.append({":path": path, **headers})
        body = await read_body(reader, headers)
        kind, _, number = path.removeprefix("/").partition("/")
        match kind:
            case "echo":
                writer.write(_whole(200, body, headers.get("content-type", "application/octet-stream")))
            case "chunked":
                writer.write(_chunked_head("application/json"))
                for part in (b'{"delay"', b": ", b"3.5}"):
                    writer.write(_chunk(part))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            case "stream":
                writer.write(_chunked_head("text/plain"))
                left = int(number)
                while left:
                    part = b"s" * min(left, 10_000)
                    left -= len(part)
                    writer.write(_chunk(part))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            case "status":
                writer.write(_whole(int(number), b'{"detail": "as asked"}', "application/json"))
            case "silent":
                await asyncio.Event().wait()
            case "reset":
                return False
            case "half":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400000\r\n\r\n")
                writer.write(b"h" * 200_000)
                await writer.drain()
                return False
            case "half-chunked":
                writer.write(_chunked_head("application/json"))
                writer.write(_chunk(b'{"first": 1,') + _chunk(b'"second": 2'))
                await writer.drain()
                return False
            case "empty":
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            case _:
                writer.write(_whole(200, PREDICTION, "application/json"))
        return True


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """A request's body, with its length said before or in chunks."""
    if length := headers.get("content-length"):
        return await reader.readexactly(int(length))
    body = b""
    if "chunked" in headers.get("transfer-encoding", ""):
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    return body


def _whole(status: int, body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunked_head(content_type: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


def _chunk(part: bytes) -> bytes:
    return f"{len(part):x}\r\n".encode() + part + b"\r\n"


@contextmanager
def upstream() -> Iterator[Upstream]:
    """A server in a thread of its own."""
    server = Upstream()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def main() -> None:
        async with await asyncio.start_server(server.answer, "127.0.0.1", server.port):
            ready.set()
            await stopped.wait()

    async def make_event() -> asyncio.Event:
        return asyncio.Event()

    stopped = loop.run_until_complete(make_event())

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main())
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=run, name="upstream", daemon=True)
    thread.start()
    if not ready.wait(60):
        raise TimeoutError("the model server for the tests did not start within 60 s")
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
