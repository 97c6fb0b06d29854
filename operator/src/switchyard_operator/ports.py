"""What the reconciler needs of the world outside, in verbs. The adapters do it; the tests' fakes do it too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from switchyard_contracts.alarm_records import AlarmBook, AlarmRecord
from switchyard_contracts.counted import Counted
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.notifications import Notification
from switchyard_contracts.topics import ModelRecord, RolloutRecord

from switchyard_operator.domain.analysis import Question
from switchyard_operator.domain.gates import Answer
from switchyard_operator.domain.kinds import Kind
from switchyard_operator.domain.outside import Inquiry, Looks
from switchyard_operator.domain.reviews import Review
from switchyard_operator.domain.world import Body, GatewayReport


class Cluster(Protocol):
    """The API server. Every method may raise `TryLater`; those that write raise `Outdated` on a conflict."""

    def read(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """The object as it is now, or None."""

    def find(self, kind: Kind, *, namespace: str = "", labels: Mapping[str, str] | None = None) -> Sequence[Body]:
        """All objects of a kind, of every watched namespace when none is named."""

    def create(self, body: Body) -> Body:
        """Create; `AlreadyThere` when it exists."""

    def replace(self, body: Body) -> Body:
        """Replace the whole; the body carries the resourceVersion it rests on."""

    def apply(self, body: Body) -> Body:
        """Server-side apply as the one field manager, forced."""

    def patch(self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any]) -> Body:
        """JSON merge patch; with a resourceVersion in its metadata it rests on that."""

    def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """Replace the status subresource; rests on the body's resourceVersion."""

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete, and its dependents after it; gone already is fine."""


class Gateways(Protocol):
    """The gateway pods."""

    def reports(self, subject: str, generation: int) -> tuple[GatewayReport, ...]:
        """What each ready gateway says of `<namespace>/<name>`; never raises for one that is silent."""

    def counted(self, subject: str) -> tuple[Counted, ...]:
        """What the gateways' Envoys counted of its arms; without those that are silent."""


class Monitor(Protocol):
    """The evidence."""

    def evidence(self, subject: str, question: Question) -> Evidence:
        """The answer, or `EvidenceUnavailable`."""

    def heads(self) -> Mapping[str, str]:
        """The id of the newest record of alarms of each deployment that has any; `EvidenceUnavailable` else."""

    def alarms(self, subject: str) -> AlarmBook:
        """How a deployment's alarms stand, and what was said of them; `EvidenceUnavailable` else."""


class Trainers(Protocol):
    """Whom requests to retrain are told."""

    def tell(self, url: str, request: AlarmRecord, *, timeout: timedelta) -> str:
        """One try, bounded in time; empty when it has been received, else why not. It never raises."""


class Prometheus(Protocol):
    """The user's own numbers."""

    def looks(self, asked: Inquiry) -> Looks:
        """One value for each look; `EvidenceUnavailable`, or `QueryRefused` where only an edit of the query helps."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a Bento says of itself."""

    version: str
    paths: tuple[str, ...]


class Models(Protocol):
    """A model's pods, asked directly."""

    def facts(self, address: str, port: int) -> Facts:
        """Version and paths from `/docs.json` and `/schema.json`; `TryLater` when the pod does not answer."""

    def smoke(self, address: str, port: int, *, path: str, body: str | None) -> str:
        """Send one request; the empty string when it was answered with 2xx, else what was wrong."""

    def schema(self, address: str, port: int) -> Mapping[str, Any]:
        """`/schema.json` as it is, empty where there is none; `TryLater` when the pod does not answer."""


class Webhooks(Protocol):
    """Whom gates ask."""

    def ask(self, url: str, review: Review, *, timeout: timedelta) -> Answer:
        """One try; never raises for one that is silent."""


class Bus(Protocol):
    """Kafka, for others to read. It never blocks and never raises: a rollout does not wait for it."""

    def publish_model(self, record: ModelRecord) -> None:
        """The newest record of a deployment."""

    def forget_model(self, subject: str) -> None:
        """A tombstone: the deployment is gone."""

    def publish_rollout(self, record: RolloutRecord) -> None:
        """One thing that happened."""


class Messenger(Protocol):
    """Who tells receivers what they are owed. It never blocks and never raises: a rollout does not wait for it."""

    def owe(self, key: tuple[str, str], waiting: Sequence[Notification]) -> None:
        """What the status of a deployment holds now."""

    def done(self, key: tuple[str, str]) -> frozenset[tuple[str, str]]:
        """(id, receiver) of what needs to be told no more."""

    def gone(self, key: tuple[str, str]) -> None:
        """The deployment is deleted."""


class NoMessenger:
    """Nobody is to be told."""

    def owe(self, key: tuple[str, str], waiting: Sequence[Notification]) -> None:
        """Nobody hears it."""

    def done(self, _: tuple[str, str]) -> frozenset[tuple[str, str]]:
        """Nothing was told."""
        return frozenset()

    def gone(self, key: tuple[str, str]) -> None:
        """Nobody misses it."""
