"""What a webhook is sent, and what its answer means. The same gate of the same attempt is always the same bytes.

So whoever is asked twice, because the operator died before it could remember the answer, can know it by the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from switchyard_contracts.base import API_VERSION
from switchyard_contracts.gates import Gate

from switchyard_operator.domain import gates
from switchyard_operator.domain.gates import Answer, State
from switchyard_operator.domain.world import Revision, World


@dataclass(frozen=True, slots=True)
class Review:
    """One question to a webhook."""

    key: str
    """Names the deployment's uid, the attempt of the revision and the gate as it is written: sent with each try."""
    body: dict[str, Any]


def review(gate: Gate, world: World, *, target: Revision, stable: Revision | None) -> Review:
    """Who wants to pass where."""
    name = f"{world.uid}/{target.name}/{target.attempt}/{gate.name}/{gates.definition(gate)}"
    key = str(uuid5(NAMESPACE_URL, name))
    body = {
        "apiVersion": API_VERSION,
        "kind": "GateReview",
        "id": key,
        "gate": gate.name,
        "before": gate.place,
        "deployment": {"namespace": world.namespace, "name": world.name, "uid": world.uid},
        "rollout": f"{target.name}.{target.attempt}",
        "candidate": _described(target),
        "stable": _described(stable) if stable else None,
    }
    return Review(key, body)


def _described(revision: Revision) -> dict[str, Any]:
    return {
        "revision": revision.name,
        "version": revision.version,
        "image": revision.spec.pod.image,
        "provenance": revision.spec.provenance.to_json() if revision.spec.provenance else {},
    }


def answered(status: int, document: Any, *, host: str) -> Answer:
    """What an answer means: 200 with `allowed` decides, 202 is "ask again", all else is no answer to the question."""
    said = document if isinstance(document, dict) else {}
    words = str(said.get("message") or "")[:1024]
    if status == 202:
        return Answer(State.WAITING, f"{host} has not decided yet{_because(words)}")
    if status == 200 and isinstance(said.get("allowed"), bool):
        if said["allowed"]:
            return Answer(State.PASSED, f"{host} allows it{_because(words)}")
        return Answer(State.FAILED, f"{host} does not allow it{_because(words)}")
    if status == 200:
        return Answer(
            State.ERROR, f'{host} answered 200 without a decision; it must answer {{"allowed": true}} or false'
        )
    return Answer(State.ERROR, f"{host} answered {status}{_because(words)}; it must answer 200 or 202")


def _because(words: str) -> str:
    return f": {words}" if words else ""
