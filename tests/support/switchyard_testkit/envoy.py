"""A real Envoy on loopback, with the product's own configuration: for the contract tests and the benchmark.

The binary comes from the wheel that the image takes it from. Each process has folders and free ports of its own, so
several run beside each other.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from switchyard_testkit.cache import Cache, recipe_key
from switchyard_testkit.waiting import until

JSON = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parents[3]
DATA_PLANE = REPOSITORY / "services" / "gateway" / "envoy"
LOCK = REPOSITORY / "locks" / "envoy-binary.txt"


def binary(cache: Cache) -> Path:
    """Envoy's executable, installed into the cache once for each content of its lock."""

    def make(folder: Path) -> None:
        venv.create(folder / "installer", with_pip=True)
        python = folder / "installer" / "bin" / "python"
        arguments = ["--quiet", "--no-compile", "--require-hashes", "--target", str(folder), "--requirement", str(LOCK)]
        subprocess.run([python, "-m", "pip", "install", *arguments], check=True)

    key = recipe_key({"lock": LOCK.read_bytes(), "python": f"{sys.version_info[0]}.{sys.version_info[1]}"})
    return cache.build("envoy", key, make) / "envoy" / "_bin" / "envoy"


def data_plane(module: str) -> ModuleType:
    """A module of services/gateway/envoy, which is no package: the image runs it with nothing installed."""
    if module in sys.modules:
        return sys.modules[module]
    if module != "bootstrap":
        data_plane("bootstrap")
    spec = importlib.util.spec_from_file_location(module, DATA_PLANE / f"{module}.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{DATA_PLANE / module}.py cannot be read")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def free_port() -> int:
    """A port that nobody listens on, and that is nobody else's until this process ends.

    It is kept by a socket that is bound and never listens: a server, which takes a port with SO_REUSEADDR, is let in
    beside it, while another test that looks for a free port is not, however late the server starts, or starts again.
    It lies below those that the kernel hands to outgoing connections.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        sock = socket.socket()
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            sock.close()
            continue
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.detach()
        return port


class AdminConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("admin", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@dataclass
class EnvoyProcess:
    """One Envoy and where it keeps its things; started anew it finds what the last one left, as in a pod."""

    executable: Path
    folder: Path
    port: int = field(default_factory=free_port)
    mirror_port: int = field(default_factory=free_port)
    settings: JSON = field(default_factory=dict)
    """More fields of `bootstrap.Settings`."""
    static: StaticRoutes | None = None
    """None: routes come from whoever listens on run/xds.sock."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    @property
    def admin_socket(self) -> Path:
        return self.folder / "run" / "admin.sock"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError("Envoy was not started")
        return self.process.pid

    def start(self, *, now_ns: int, ready_within: float | None = 60) -> None:
        """Start it as the image's entry point does; `ready_within` None returns at once (nobody serves routes)."""
        start, bootstrap = data_plane("start"), data_plane("bootstrap")
        settings = bootstrap.Settings(
            **{
                "address": "127.0.0.1",
                "port": self.port,
                "mirror_port": self.mirror_port,
                "concurrency": 1,
                "run_dir": str(self.folder / "run"),
                "spool_dir": str(self.spool),
                "feedback_address": "127.0.0.1",
                **self.settings,
            }
        )
        configuration, environment = start.prepare(settings, now_ns=now_ns)
        if self.static is not None:
            content = json.loads(configuration.read_text())
            configuration.write_text(json.dumps(self.static.put_into(content), indent=1))
        with (self.folder / "envoy.log").open("ab") as log:
            self.process = subprocess.Popen(
                start.command(str(self.executable), settings, configuration),
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )
        if ready_within is not None:
            until(self.is_ready, f"Envoy is ready; it said: {self.log()[-2000:]}", seconds=ready_within, every=0.05)

    def is_ready(self) -> bool:
        """Listening, with all it needs."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"Envoy ended with {self.process.returncode}: {self.log()[-3000:]}")
        try:
            return self.admin("GET", "/ready").startswith("LIVE")
        except OSError:
            return False

    def admin(self, method: str, path: str) -> str:
        """Ask Envoy's admin door."""
        connection = AdminConnection(self.admin_socket)
        try:
            connection.request(method, path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def stat(self, name: str) -> int:
        """One counter or gauge, 0 where Envoy has not made it yet."""
        for line in self.admin("GET", f"/stats?filter=^{name.replace('.', '[.]')}$").splitlines():
            return int(line.split(": ")[1])
        return 0

    def log(self) -> str:
        """What it said on its output."""
        path = self.folder / "envoy.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal and wait for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(20)
                raise
        self.process = None


@dataclass(frozen=True)
class StaticRoutes:
    """Routes and clusters that stand in the configuration, in control's place."""

    virtual_hosts: list[JSON]
    clusters: list[JSON]
    mirror_hosts: list[JSON] = field(default_factory=list)

    def put_into(self, content: JSON) -> JSON:
        """The configuration without xDS."""
        hosts = {"product": self.virtual_hosts, "mirror": self.mirror_hosts}
        for listener in content["static_resources"]["listeners"]:
            manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
            routes = manager.pop("rds")["route_config_name"]
            manager["route_config"] = {"name": routes, "virtual_hosts": hosts[listener["name"]]}
        del content["dynamic_resources"]
        content["static_resources"]["clusters"] += self.clusters
        return content


@contextmanager
def running(envoy: EnvoyProcess, *, now_ns: int) -> Iterator[EnvoyProcess]:
    """Started, and ended whatever happens."""
    envoy.folder.mkdir(parents=True, exist_ok=True)
    try:
        envoy.start(now_ns=now_ns)
        yield envoy
    finally:
        envoy.end(signal.SIGKILL)


def model_cluster(name: str, *, port: int, revision: str, idle_timeout: str = "3s") -> JSON:
    """A revision's cluster, as control would write it, with one pod on loopback."""
    endpoint = {
        "endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}},
        "metadata": {"filter_metadata": {"switchyard": {"revision": revision}}},
    }
    options = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": idle_timeout},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    limits = {"max_connections": 1_000_000, "max_pending_requests": 1_000_000, "max_requests": 1_000_000}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def stamped_route(
    prefix: str,
    cluster: str,
    *,
    stamp: str,
    timeout: str = "5s",
    rewrite: str = "/",
    revision: str = "r",
    version: str = "1.0.0",
) -> JSON:
    """A model's route, stamped as control does."""
    return {
        "match": {"prefix": prefix},
        "route": {"cluster": cluster, "prefix_rewrite": rewrite, "timeout": timeout},
        "request_headers_to_add": [
            set_header("x-switchyard-stamp", stamp),
            set_header("x-prediction-id", "%START_TIME(%s%3f)%-%REQ(X-REQUEST-ID)%", action="ADD_IF_ABSENT"),
        ],
        "request_headers_to_remove": ["authorization", "cookie", "proxy-authorization"],
        "response_headers_to_add": [
            set_header("x-prediction-id", "%REQ(X-PREDICTION-ID)%"),
            set_header("x-model-version", version),
            set_header("x-model-revision", revision),
        ],
    }


def set_header(key: str, value: str, *, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> JSON:
    """One header to set."""
    return {"header": {"key": key, "value": value}, "append_action": action}
