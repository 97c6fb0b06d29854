"""Control as a process of its own beside a real Envoy, and small models for it to route to: for the contract tests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from switchyard_testkit.envoy import free_port
from switchyard_testkit.upstream import read_body
from switchyard_testkit.waiting import until

JSON = dict[str, Any]


@dataclass
class ControlProcess:
    """`python -m switchyard_gateway.control`, as the pod runs it."""

    folder: Path
    kubeconfig: Path
    port: int = field(default_factory=free_port)
    address: str = "127.0.0.1"
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it shares its folder with Envoy, as containers of one pod do."""
        (self.folder / "spool").mkdir(parents=True, exist_ok=True)
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith("CONTROL_") and not key.lower().endswith("_proxy")
        }
        environment |= {
            "CONTROL_NODE": "gateway-0",
            "CONTROL_ADDRESS": self.address,
            "CONTROL_PORT": str(self.port),
            "CONTROL_XDS_SOCKET": str(self.folder / "run" / "xds.sock"),
            "CONTROL_ADMIN_SOCKET": str(self.folder / "run" / "admin.sock"),
            "CONTROL_SPOOL": str(self.folder / "spool"),
            "CONTROL_KUBECONFIG": str(self.kubeconfig),
            "CONTROL_STALE_AFTER": "1s",
            "CONTROL_LINGER": "2s",
            "CONTROL_DOMAIN": "models.test",
            **self.settings,
        }
        with (self.folder / "control.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "switchyard_gateway.control"], env=environment, stdout=log, stderr=log
            )
        until(self._answers, f"control answers; it said: {self.log()[-2000:]}", seconds=90, every=0.05)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the end."""
        if self.process is None:
            raise RuntimeError("control was not started")
        self.process.send_signal(how)
        code = self.process.wait(60)
        self.process = None
        return code

    def ask(self, path: str) -> tuple[int, Any]:
        """Its HTTP door."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.port}{path}", timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read())

    def standing(self, key: str) -> JSON:
        """How one deployment stands, empty where control does not know it."""
        found: JSON = self.ask("/routes")[1]["routes"].get(key, {})
        return found

    def wait_for(self, key: str, generation: int, *, state: str = "Synced", seconds: float = 60) -> JSON:
        """Wait until Envoy runs this generation."""
        last: list[JSON] = [{}]

        def there() -> bool:
            last[0] = self.standing(key)
            return (last[0].get("generation"), last[0].get("state")) == (generation, state)

        try:
            until(there, f"{key} is {state} at {generation}", seconds=seconds, every=0.02)
        except TimeoutError as late:
            raise TimeoutError(f"{late}; it is {last[0]}; control said: {self.log()[-2000:]}") from late
        return last[0]

    def log(self) -> str:
        """What it said."""
        path = self.folder / "control.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _answers(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise RuntimeError(f"control ended: {self.log()[-3000:]}")
        try:
            return self.ask("/healthz")[0] == 200
        except OSError:
            return False


@dataclass
class Model:
    """A model's pod: answers every request with its own name and what it was asked, over kept-alive connections."""

    name: str
    host: str = "127.0.0.1"
    port: int = 0
    status: int = 200
    silent: bool = False
    """Take requests and never answer."""
    requests: list[JSON] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None
    _server: asyncio.Server | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        ready = threading.Event()

        def serve() -> None:
            loop = asyncio.new_event_loop()
            self._loop = loop

            async def begin() -> None:
                self._server = await asyncio.start_server(self._converse, self.host, self.port)
                self.port = self._server.sockets[0].getsockname()[1]
                ready.set()

            loop.run_until_complete(begin())
            loop.run_forever()
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

        self._thread = threading.Thread(target=serve, name=f"model {self.name}", daemon=True)
        self._thread.start()
        if not ready.wait(60):
            raise TimeoutError(f"the model {self.name} does not listen")

    def stop(self) -> None:
        """Refuse connections from now on, and cut those there are: none of them is left when this returns."""
        loop, server, thread = self._loop, self._server, self._thread
        if loop and server and thread:

            def close() -> None:
                server.close()
                loop.stop()

            loop.call_soon_threadsafe(close)
            thread.join(60)
            if thread.is_alive():
                raise TimeoutError(f"the model {self.name} goes on")
            self._loop = self._server = self._thread = None

    @property
    def listening(self) -> bool:
        """Whether it answers."""
        return self._server is not None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return (self.host, self.port)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
                await read_body(reader, headers)
                self.requests.append({"line": first, "headers": headers})
                if self.silent:
                    await asyncio.Event().wait()
                body = json.dumps({"model": self.name, "path": first.split(" ")[1], "delay": 1.5}).encode()
                writer.write(
                    f"HTTP/1.1 {self.status} OK\r\ncontent-type: application/json\r\n"
                    f"content-length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()


@contextmanager
def model(name: str) -> Iterator[Model]:
    """A model that answers until the test ends."""
    made = Model(name)
    made.start()
    try:
        yield made
    finally:
        made.stop()
