"""What Flux makes of an object: kstatus' rules, as far as they are about kinds that it does not know by name.

Written from their description, https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md. In this
order: what is being deleted is Terminating; a generation that was not observed is InProgress; of the conditions the
first that is Reconciling (InProgress) or Stalled (Failed) decides; then Ready, which is Current when it is True and
InProgress otherwise. An object that says nothing of all this is Current, which is why ours never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Result(StrEnum):
    """A tool that waits goes on at Current and gives up at Failed."""

    IN_PROGRESS = "InProgress"
    FAILED = "Failed"
    CURRENT = "Current"
    TERMINATING = "Terminating"


ABNORMAL = {"Reconciling": Result.IN_PROGRESS, "Stalled": Result.FAILED}


@dataclass(frozen=True, slots=True)
class Standing:
    """The result, and the words that come with it."""

    result: Result
    message: str


def compute(body: Mapping[str, Any]) -> Standing:
    """The standing of an object as the API server sends it."""
    metadata, status = body["metadata"], body.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return Standing(Result.TERMINATING, "being deleted")
    generation, observed = metadata.get("generation"), status.get("observedGeneration")
    if generation is not None and observed is not None and observed != generation:
        return Standing(Result.IN_PROGRESS, f"generation {generation} was not observed, {observed} was")
    conditions = status.get("conditions") or []
    for condition in conditions:
        if condition["type"] in ABNORMAL and condition["status"] == "True":
            return Standing(ABNORMAL[condition["type"]], condition.get("message", ""))
    ready = next((condition for condition in conditions if condition["type"] == "Ready"), None)
    if ready is None or ready["status"] == "True":
        return Standing(Result.CURRENT, "")
    return Standing(Result.IN_PROGRESS, ready.get("message", ""))
