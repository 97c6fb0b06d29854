"""What is kept of an object: all that anybody here reads, and not what most of its room went to.

Who set which field takes more room than the fields; of that the names of the managers stay, for `Reporter.reasserted`.
What a pod is made of stands in its revision.
"""

from __future__ import annotations

from sys import intern

from switchyard_operator.domain import kinds
from switchyard_operator.domain.world import Body

MANAGED = "managedFields"
NEVER_SENT = frozenset(
    kind.kind
    for kind in (kinds.DEPLOYMENT, kinds.SERVICE, kinds.DISRUPTION_BUDGET, kinds.NETWORK_POLICY, kinds.AUTOSCALER)
)
"""Kinds whose bodies are compared and never sent back, so that their managers may stand there by name alone."""


def slim(body: Body) -> Body:
    """The same body, or a copy without what is not kept; the API server takes the absence of managers for no change."""
    metadata = body["metadata"]
    managed = metadata.get(MANAGED)
    dropped = "spec" if body["kind"] == kinds.POD.kind else ""
    if managed is None and dropped not in body:
        return body
    kept = {key: value for key, value in metadata.items() if key != MANAGED}
    if managed and body["kind"] in NEVER_SENT:
        names = dict.fromkeys(intern(str(entry.get("manager", ""))) for entry in managed)
        kept[MANAGED] = [{"manager": name} for name in names]
    return {key: kept if key == "metadata" else value for key, value in body.items() if key != dropped}
