"""What our parts asked of the API server, by its audit log, and what their roles let them ask."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client

from switchyard_testkit import cluster
from switchyard_testkit.cache import Cache
from switchyard_testkit.errors import TestkitError
from switchyard_testkit.node.plan import Places, slot_named

DECISION = "authorization.k8s.io/decision"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one kind of object, as a role grants it."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    account: str
    right: Right
    where: str
    forbidden: bool
    created: bool
    code: int = 0
    """What it was answered; 0 where the log does not say."""
    user: str = ""
    """The account's whole name, as roles are bound to it."""
    namespace: str = ""
    """Empty where it was asked of all of them, or of what is in none."""


def requests(lines: Iterable[str]) -> Iterator[Asked]:
    """The requests about objects; what everybody may ask (which kinds there are) is left out unless it was refused.

    A server that is killed may leave half a line.
    """
    for line in lines:
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        about = event.get("objectRef") or {}
        resource = "/".join(part for part in (about.get("resource"), about.get("subresource")) if part)
        # A namespace that is on its way out, a quota and an admission policy answer 403 as well: this is about rights.
        forbidden = (event.get("annotations") or {}).get(DECISION) == "forbid"
        if resource or forbidden:
            yield Asked(
                account=event["user"]["username"].rpartition(":")[2],
                right=Right(about.get("apiGroup", ""), resource or event["requestURI"], event["verb"]),
                where=event["requestURI"],
                forbidden=forbidden,
                created=(event.get("responseStatus") or {}).get("code") == 201,
                code=int((event.get("responseStatus") or {}).get("code") or 0),
                user=event["user"]["username"],
                namespace=about.get("namespace", ""),
            )


def has_right(api: client.ApiClient, asked: Asked) -> bool:
    """Whether the API server, asked now, says that the account may do this.

    A server that has just started refuses everybody, until it has read the roles; that is no want of a right.
    """
    resource, _, subresource = asked.right.resource.partition("/")
    access = client.V1ResourceAttributes(
        group=asked.right.group,
        resource=resource,
        subresource=subresource,
        verb=asked.right.verb,
        namespace=asked.namespace,
    )
    spec = client.V1SubjectAccessReviewSpec(user=asked.user, resource_attributes=access)
    review = client.AuthorizationV1Api(api).create_subject_access_review(client.V1SubjectAccessReview(spec=spec))
    return bool(review.status and review.status.allowed)


def used(asked: Iterable[Asked]) -> set[Right]:
    """The rights that were made use of. To apply an object that is not there takes the right to create it as well."""
    found: set[Right] = set()
    for one in asked:
        found.add(one.right)
        if one.right.verb == "patch" and one.created:
            found.add(Right(one.right.group, one.right.resource, "create"))
    return found


def granted(rules: Iterable[Mapping[str, Any]]) -> set[Right]:
    """What a role's rules allow; a wildcard is no answer to what is needed."""
    found = {
        Right(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    if wild := sorted(str(right) for right in found if "*" in (right.group, right.resource, right.verb)):
        raise ValueError(f"a role grants everything of something ({', '.join(wild)}); name what is needed")
    return found


def node_log(slot: str, environ: Mapping[str, str]) -> Path:
    """The audit log of the slot's node. Another cluster is an error: nothing there says what was asked."""
    places = Places(Cache.from_env(environ).root, slot_named(slot))
    described = cluster.read(places)
    if described is None or described.kind != "node":
        raise TestkitError("the audit of rights needs the node from source (CLUSTER=node), which keeps an audit log")
    return places.audit_log


def log_lines(log: Path, *, skip: int = 0) -> list[str]:
    """All lines of the log, after the first so many."""
    with log.open(encoding="utf-8", errors="replace") as file:
        return file.readlines()[skip:]
