"""What the verbs need from outside: a cluster, and time. The real ones are made in `__main__`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from time import sleep
from typing import Any, Protocol

from switchyard_cli.images import Image

Body = Mapping[str, Any]
"""An object as the API server sends it."""


class Cluster(Protocol):
    """The API server, in one namespace. Every method raises a `CliError` that is a sentence."""

    @property
    def namespace(self) -> str:
        """Where we look."""

    def deployment(self, name: str) -> Body | None:
        """The ModelDeployment, or None."""

    def deployments(self, *, everywhere: bool = False) -> list[Body]:
        """All of the namespace, or of the cluster."""

    def revisions(self, name: str) -> list[Body]:
        """The ModelRevisions of a deployment."""

    def config_map(self, name: str) -> Mapping[str, str] | None:
        """A ConfigMap's data, or None."""

    def rehearse(self, body: Body, *, live: Body | None) -> str:
        """Let the API server check a write without doing it: the empty string, or its objection.

        `Forbidden` where we may not even try.
        """

    def whoami(self) -> str:
        """The user name by which the API server knows us."""

    def give(self, command: Body) -> Body:
        """Create a ModelCommand."""

    def command(self, name: str) -> Body | None:
        """The ModelCommand, or None."""


class Registry(Protocol):
    """Where images are. What it cannot say is a `CliError` that is a sentence."""

    def digest(self, image: Image) -> str:
        """`sha256:…` of what the image's tag means now."""


class Monitor(Protocol):
    """The monitor's API. What it does not answer is a `CliError` that is a sentence."""

    def ledger(self, subject: str) -> Body:
        """The ledgers of events, and of the labels of `<namespace>/<name>`."""


class Time(Protocol):
    """The clock, and waiting."""

    def now(self) -> datetime:
        """The time, with its zone."""

    def pause(self, seconds: float) -> None:
        """Wait."""


class RealTime:
    """The machine's own."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def pause(self, seconds: float) -> None:
        sleep(seconds)
