"""What the API server holds of one kind, kept current: listed, then watched, and listed again whenever a watch ends."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

AGAIN = 0.5  # seconds until a server that did not answer is asked anew
WATCH = 300  # seconds for which one watch lasts


Connect = Callable[[], http.client.HTTPConnection]


@dataclass(frozen=True, slots=True)
class Server:
    """Where the API server is, and the certificate by which it knows us."""

    url: str
    authority: Path
    certificate: Path
    key: Path

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(str(self.certificate), str(self.key))
        place = urlsplit(self.url)
        return http.client.HTTPSConnection(place.hostname or "", place.port, timeout=WATCH + 30, context=context)


class Watched:
    """The objects of one kind in all namespaces; None until they were listed once."""

    def __init__(self, connect: Connect, path: str, *, changed: Callable[[], None]) -> None:
        self._connect = connect
        self._path = path
        self._changed = changed
        self._held: Mapping[str, Mapping[str, Any]] | None = None
        self._lock = threading.Lock()

    @property
    def held(self) -> tuple[Mapping[str, Any], ...] | None:
        with self._lock:
            return None if self._held is None else tuple(self._held.values())

    def follow(self) -> None:
        """For ever. A server that is away leaves what was known of it as it is."""
        while True:
            try:
                self._watch(self._list())
            except (OSError, http.client.HTTPException) as error:
                print(f"{self._path}: {error!r}; asking again", flush=True)
                time.sleep(AGAIN)

    def _list(self) -> str:
        connection = self._connect()
        try:
            listed = json.loads(_asked(connection, self._path).read())
        finally:
            connection.close()
        with self._lock:
            self._held = {body["metadata"]["uid"]: body for body in listed["items"]}
        self._changed()
        return str(listed["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> None:
        connection = self._connect()
        try:
            answer = _asked(connection, f"{self._path}?watch=1&resourceVersion={version}&timeoutSeconds={WATCH}")
            while line := answer.readline():
                if not line.endswith(b"\n"):
                    return  # the server died in the middle of it
                self._take(json.loads(line))
        finally:
            connection.close()

    def _take(self, event: Mapping[str, Any]) -> None:
        body = event["object"]
        if event["type"] == "ERROR":
            raise http.client.HTTPException(f"the watch ended: {body.get('message')}")
        uid = body["metadata"]["uid"]
        with self._lock:
            kept = {key: value for key, value in (self._held or {}).items() if key != uid}
            self._held = kept if event["type"] == "DELETED" else kept | {uid: body}
        self._changed()


def _asked(connection: http.client.HTTPConnection, path: str) -> http.client.HTTPResponse:
    connection.request("GET", path)
    answer = connection.getresponse()
    if answer.status != http.client.OK:
        raise http.client.HTTPException(f"GET {path} answered {answer.status}: {answer.read(300)!r}")
    return answer
