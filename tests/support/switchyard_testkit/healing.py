"""Git that heals itself, and somebody who sees all that comes of it.

`Healing` applies a manifest again every second, as Flux and Argo CD do; `Witness` keeps every version of a kind's
objects that the API server shows, so that a test can say what changed, how often, and what flickered in between.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from itertools import groupby, pairwise
from typing import Any, TypeVar

from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from switchyard_testkit.apiserver import api_client
from switchyard_testkit.install import InstallError, run
from switchyard_testkit.models import GROUP, Models
from switchyard_testkit.waiting import until

EVERY = 1.0
Value = TypeVar("Value")


class Healing:
    """`kubectl apply` of what Git says, every second, from a thread of its own."""

    def __init__(self, models: Models, arguments: tuple[str, ...]) -> None:
        self._models, self._arguments = models, arguments
        self._manifest = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._heal, name="healing", daemon=True)
        self.answers: list[str] = []
        """What kubectl said to each apply that went well."""
        self.failures: list[str] = []

    def __enter__(self) -> Healing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=60)
        if self._thread.is_alive():
            raise TimeoutError("kubectl apply did not end within 60 s")

    def commit(self, manifest: dict[str, Any]) -> None:
        """From now on Git says this; wait until it was applied, and once again."""
        self._manifest = json.dumps(manifest)
        self.go_on(2)

    def go_on(self, more: int) -> None:
        """Wait for so many more applies."""
        target = len(self.answers) + more

        def applied() -> bool:
            if self.failures:
                raise AssertionError(f"an apply failed: {self.failures[0]}")
            return len(self.answers) >= target

        until(applied, f"applied {more} more times", seconds=30 + 3 * more)

    def _heal(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            if self._manifest:
                self._apply(self._manifest)
            self._ended.wait(max(0.0, EVERY - (time.monotonic() - began)))

    def _apply(self, manifest: str) -> None:
        arguments = ("-n", self._models.namespace, "apply", "-f", "-", *self._arguments)
        try:
            said = run("kubectl", *arguments, kubeconfig=self._models.installation.kubeconfig, given=manifest)
        except InstallError as error:
            self.failures.append(str(error))
        else:
            self.answers.append(said.strip().rpartition(" ")[2])


class Witness:
    """Every version of the objects of one kind in a namespace, in the order in which they came."""

    def __init__(self, models: Models, plural: str) -> None:
        self._models, self._plural = models, plural
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name=f"witness of {plural}", daemon=True)
        self.versions: list[dict[str, Any]] = []
        self.failures: list[str] = []

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=30)

    def of(self, name: str) -> list[dict[str, Any]]:
        """The versions of one object."""
        return [body for body in self.versions if body["metadata"]["name"] == name]

    def _listen(self) -> None:
        listener = watch.Watch()  # type: ignore[no-untyped-call]
        since: dict[str, Any] = {}
        with api_client(self._models.installation.slot) as api:
            found = client.CustomObjectsApi(api).list_namespaced_custom_object
            while not self._ended.is_set():
                where = (*GROUP, self._models.namespace, self._plural)
                stream = listener.stream(found, *where, timeout_seconds=2, **since)  # type: ignore[no-untyped-call]
                try:
                    for event in stream:
                        if event["type"] in ("ADDED", "MODIFIED"):
                            self.versions.append(event["raw_object"])
                        else:
                            self.failures.append(f"{event['type']}: {event['raw_object']}")
                except ApiException as error:
                    # Of a kind in which nothing happens the server's cache may be behind what the server itself said.
                    if "Too large resource version" not in str(error.reason):
                        self.failures.append(str(error))
                if listener.resource_version:
                    since = {"resource_version": listener.resource_version}


def course(values: Iterable[Value]) -> list[Value]:
    """What came after what: the same again is no change."""
    return [value for value, _ in groupby(values)]


def repeated(versions: list[dict[str, Any]], same: Callable[[dict[str, Any]], Any]) -> list[str]:
    """The resourceVersions of writes that changed nothing that counts."""
    return [
        later["metadata"]["resourceVersion"] for earlier, later in pairwise(versions) if same(earlier) == same(later)
    ]
