"""Looking again and again: until a rollout is decided, or until the person has seen enough.

Asked once a second, by plain reads: no watch that could go quiet, and an API server that is gone for a while is waited
for, and named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from switchyard_cli import outcome
from switchyard_cli.errors import NotFound, Unreachable
from switchyard_cli.facts import Deployment, deployment
from switchyard_cli.outcome import Outcome
from switchyard_cli.ports import Cluster, Time

EVERY = 1.0
"""Seconds between two looks."""


def looks(ask: Callable[[], list[Deployment]], time: Time) -> Iterator[list[Deployment] | str]:
    """What is there, once a second; a sentence where the API server does not answer now."""
    while True:
        try:
            yield ask()
        except Unreachable as error:
            yield str(error)
        time.pause(EVERY)


def reader(cluster: Cluster, name: str, *, everywhere: bool = False) -> Callable[[], list[Deployment]]:
    """One deployment, or all of them."""

    def one() -> list[Deployment]:
        body = cluster.deployment(name)
        if body is None:
            raise NotFound(f"the ModelDeployment {name!r} in namespace {cluster.namespace!r} is gone")
        return [deployment(body)]

    def every() -> list[Deployment]:
        return [deployment(body) for body in cluster.deployments(everywhere=everywhere)]

    return one if name else every


def until_decided(
    cluster: Cluster,
    name: str,
    time: Time,
    *,
    patience: timedelta,
    watched: bool,
    tell: Callable[[str], None],
) -> Outcome:
    """Wait for the rollout's end. Each new sentence is told once."""
    until = time.now() + patience
    began = ""
    last = Outcome(None, "")
    told = ""
    for seen in looks(reader(cluster, name), time):
        if isinstance(seen, str):
            sentence = seen
        else:
            found = seen[0]
            last = outcome.of(found, began=began, watched=watched)
            if last.code is not None:
                return last
            if found.noticed and found.rollout and not began:
                began = found.rollout.id
            sentence = last.sentence
        if sentence != told:
            tell(sentence)
            told = sentence
        if time.now() >= until:
            break
    return outcome.overdue(patience, told=told)
