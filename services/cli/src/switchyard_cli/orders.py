"""A person's word to a rollout: which ModelCommand it becomes, and which cannot be written at all.

Each names the rollout, the step and the revision that were seen, so that a word that comes late moves nothing. Whether
it fits the rollout is the operator's to say; here only what leaves nothing to name is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from switchyard_contracts.base import API_VERSION
from switchyard_contracts.model_command import ModelCommandSpec, ModelCommandStatus, Verb
from switchyard_contracts.model_deployment import RolloutStatus

from switchyard_cli import wayback
from switchyard_cli.errors import NotAnswered, NotFound, Unfit, Unreachable
from switchyard_cli.facts import BACK, Deployment, Revision, deployment, revisions
from switchyard_cli.ports import Body, Cluster, Time

POLL = 0.5
"""Seconds between two looks at a command's result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for on the command line."""

    verb: Verb
    rollout: str = ""
    """Which rollout it is meant for, where the caller wants to be sure."""
    step: str = ""
    full: bool = False
    override: bool = False
    gate: str = ""
    revision: str = ""
    """For a rollback also a version."""
    reason: str = ""


def pick(name: str, cluster: Cluster) -> Deployment:
    """The deployment of that name; without one, the only one, or the only one with a rollout under way."""
    if name:
        body = cluster.deployment(name)
        if body is None:
            known = ", ".join(sorted(item["metadata"]["name"] for item in cluster.deployments())) or "none"
            raise NotFound(
                f"there is no ModelDeployment {name!r} in namespace {cluster.namespace!r}; there: {known}"
                " (another namespace: -n)"
            )
        return deployment(body)
    found = [deployment(body) for body in cluster.deployments()]
    if not found:
        raise NotFound(f"there is no ModelDeployment in namespace {cluster.namespace!r} (another namespace: -n)")
    moving = [item for item in found if item.live] if len(found) > 1 else found
    if len(moving) != 1:
        names = ", ".join(sorted(item.name for item in (moving or found)))
        what = f"{len(moving)} rollouts are under way" if moving else f"there are {len(found)} ModelDeployments"
        raise Unfit(f"{what} in namespace {cluster.namespace!r}; name one: {names}")
    return moving[0]


def known(wish: Wish, seen: Deployment, cluster: Cluster) -> list[Revision]:
    """The revisions, where the wish is about one that is not the rollout's own."""
    return revisions(cluster.revisions(seen.name)) if wish.verb is Verb.ROLLBACK else []


def compose(wish: Wish, seen: Deployment, *, known: Sequence[Revision] = (), requested_by: str) -> ModelCommandSpec:
    """The command's spec, guarded by what was seen."""
    rollout = seen.rollout
    if rollout is None:
        raise Unfit(f"{seen.name} has had no rollout yet, so there is nothing to {wish.verb.value}")
    if wish.rollout and wish.rollout != rollout.id:
        raise Unfit(f"the rollout of {seen.name} is {rollout.id}, not {wish.rollout}; look again by `get {seen.name}`")
    if wish.verb is Verb.RETRY:
        revision = wish.revision or _taken_back(seen, rollout)
        return _spec(
            wish,
            seen,
            rollout=rollout.id if revision == rollout.revision else None,
            revision=revision,
            requested_by=requested_by,
        )
    if wish.verb is Verb.ROLLBACK:
        if seen.live and not wish.revision:
            raise Unfit(f"{rollout.id} is under way: abort it, or name by --to what is to serve instead of it")
        goal = wayback.goal(wish.revision, known, name=seen.name)
        return _spec(wish, seen, rollout=rollout.id, revision=goal.name, requested_by=requested_by)
    if wish.override and not (wish.full and wish.reason):
        raise Unfit("--override needs --full, and --reason to say why; both are recorded")
    if wish.step and wish.full:
        raise Unfit("--step and --full exclude each other: --full lets every step pass")
    step = None
    if wish.verb is Verb.PROMOTE and not wish.full:
        step = wish.step or rollout.step
        if not step:
            raise Unfit(
                f"{rollout.id} is {rollout.phase.value} and has not entered a step yet; wait for its first step, or let"
                " every step pass by --full"
            )
    return _spec(
        wish,
        seen,
        rollout=rollout.id,
        revision=rollout.revision,
        step=step,
        override=wish.override or None,
        gate=wish.gate or None,
        requested_by=requested_by,
    )


def _taken_back(seen: Deployment, rollout: RolloutStatus) -> str:
    if rollout.phase in BACK:
        return rollout.revision
    raise Unfit(
        f"the rollout of {seen.name}, {rollout.id}, is {rollout.phase.value} and was not taken back; name the revision"
        " that may try again by --revision (`kubectl get modelrevisions` lists them)"
    )


def _spec(wish: Wish, seen: Deployment, *, requested_by: str, **fields: Any) -> ModelCommandSpec:
    return ModelCommandSpec(
        deployment=seen.name, verb=wish.verb, reason=wish.reason, requested_by=requested_by, **fields
    )


def body(spec: ModelCommandSpec) -> Body:
    """The object to create."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelCommand",
        "metadata": {"generateName": f"{spec.deployment}-{spec.verb.value}-"},
        "spec": spec.to_json(),
    }


def give(spec: ModelCommandSpec, cluster: Cluster, time: Time, *, patience: float) -> ModelCommandStatus:
    """Write it, and wait for what the operator says of it."""
    made = cluster.give(body(spec))
    name = made["metadata"]["name"]
    until = time.now().timestamp() + patience
    while True:
        status = _answer(name, spec, cluster)
        if status.result:
            return status
        if time.now().timestamp() >= until:
            raise NotAnswered(
                f"the command {name} is written, but the operator has not answered within {patience:g} s; it counts for"
                f" an hour: `kubectl -n {cluster.namespace} get modelcommand {name}` shows its result, and deleting it"
                " takes it back"
            )
        time.pause(POLL)


def _answer(name: str, spec: ModelCommandSpec, cluster: Cluster) -> ModelCommandStatus:
    """What the operator has said so far; an API server that is away has said nothing."""
    try:
        found = cluster.command(name)
    except Unreachable:
        return ModelCommandStatus()
    if found is None:
        raise NotFound(f"the command {name} was deleted before it was answered; look by `status {spec.deployment}`")
    return ModelCommandStatus.model_validate(found.get("status") or {})
