"""An image travels once; what the registry holds already is only looked up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from switchyard_testkit.cache import Cache
from switchyard_testkit.images.registry import Publisher, Registry, RegistryError, Slot

DIGEST = "sha256:" + "a" * 64


class Server:
    """A registry of manifests, no more: what it holds is set by hand, what it was asked is kept."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.status_of_missing = 404
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                server.asked.append(self.path)
                self.send_response(200 if self.path in server.held else server.status_of_missing)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Tests print nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self._http.server_address[1]}"

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class Images:
    """A store whose pushes arrive in the server's registry."""

    def __init__(self, server: Server) -> None:
        self.pushed: list[str] = []
        self._server = server

    def identity(self, image: str) -> str:
        return f"sha256:{image}"

    def push(self, image: str, target: str, *, scratch: Path, log: Path) -> str:
        self.pushed.append(target)
        repository = target.removeprefix(f"{self._server.address}/").rpartition(":")[0]
        self._server.held.add(f"/v2/{repository}/manifests/{DIGEST}")
        return DIGEST


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


def publisher(server: Server, images: Images, folder: Path) -> Publisher:
    return Publisher(images, Registry(server.address), folder)


def test_an_image_is_pushed_once_and_named_by_its_digest(server: Server, tmp_path: Path) -> None:
    images = Images(server)
    references = [
        publisher(server, images, tmp_path).publish("one", repository="switchyard/envoy", tag="dev") for _ in range(2)
    ]
    assert references == [f"{server.address}/switchyard/envoy@{DIGEST}"] * 2
    assert images.pushed == [f"{server.address}/switchyard/envoy:dev"]


def test_a_registry_that_lost_its_images_gets_them_again(server: Server, tmp_path: Path) -> None:
    images = Images(server)
    publisher(server, images, tmp_path).publish("one", repository="switchyard/envoy", tag="dev")
    server.held.clear()
    publisher(server, images, tmp_path).publish("one", repository="switchyard/envoy", tag="dev")
    assert len(images.pushed) == 2


def test_another_image_under_the_same_name_is_pushed(server: Server, tmp_path: Path) -> None:
    images = Images(server)
    for image in ("one", "other"):
        publisher(server, images, tmp_path).publish(image, repository="switchyard/envoy", tag="dev")
    assert len(images.pushed) == 2


def test_a_registry_in_trouble_is_an_error_and_not_an_absent_image(server: Server) -> None:
    server.status_of_missing = 500
    with pytest.raises(RegistryError, match="answered 500"):
        Registry(server.address).holds("switchyard/envoy", DIGEST)


def test_a_registry_that_is_not_there_says_how_to_start_it(server: Server) -> None:
    server.stop()
    with pytest.raises(RegistryError, match="`make cluster` starts it"):
        Registry(server.address, timeout=1).holds("switchyard/envoy", DIGEST)


def test_a_slot_without_a_cluster_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"slot demo has no cluster: .*`make cluster SLOT=demo` starts it"):
        Slot.of(Cache(tmp_path), "demo").registry()


def test_the_list_of_images_keeps_those_that_were_not_pushed_now(tmp_path: Path) -> None:
    slot = Slot.of(Cache(tmp_path), "demo")
    slot.write({"switchyard/envoy": "r/e@1", "switchyard/kafka": "r/k@1"})
    slot.write({"switchyard/envoy": "r/e@2"})
    assert json.loads(slot.images.read_text()) == {"switchyard/envoy": "r/e@2", "switchyard/kafka": "r/k@1"}
