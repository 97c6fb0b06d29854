"""The gateway pods: which generation of each route every ready one runs, asked of all of them at once, seldom.

And, while the monitor is silent, what each has counted of a deployment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import httpx
from pydantic import ValidationError
from switchyard_contracts.counted import Counted

from switchyard_operator.domain.kinds import POD
from switchyard_operator.domain.pods import is_ready
from switchyard_operator.domain.world import GatewayReport
from switchyard_operator.ports import Cluster

logger = logging.getLogger(__name__)

FRESH = 0.2
"""Seconds for which one round of answers serves every deployment that asks."""
SETTLED = 5.0
"""Seconds for which a round serves who has been acknowledged by all in it already."""
PATIENCE = 2.0


@dataclass(frozen=True, slots=True)
class Round:
    """What all ready gateways said at one time."""

    at: float = -1e9
    answers: Mapping[str, Mapping[str, Any] | str] = field(default_factory=dict)
    """By pod: its routes, or why it could not be asked."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    unrecorded: Mapping[str, str] = field(default_factory=dict)
    """By pod: why it does not keep what it answers."""


class GatewayPods:
    """One round answers for all deployments: a thousand of them ask no more often than one."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        labels: Mapping[str, str],
        port: int,
        clock: Callable[[], float],
        http: httpx.Client,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._labels = dict(labels)
        self._port = port
        self._clock = clock
        self._http = http
        self._lock = Lock()
        self._last = Round()
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="gateways")

    def reports(self, subject: str, generation: int) -> tuple[GatewayReport, ...]:
        """What each ready gateway says of `<namespace>/<name>`; who finds it in the last round waits for nobody."""
        last = self._last
        if not self._serves(last, subject, generation):
            with self._lock:
                if not self._serves(self._last, subject, generation):
                    self._last = self._ask()
                last = self._last
        return tuple(_report(pod, last, subject) for pod in sorted(last.answers))

    def _serves(self, last: Round, subject: str, generation: int) -> bool:
        age = self._clock() - last.at
        return age <= FRESH or (age <= SETTLED and _all_have(last, subject, generation))

    def counted(self, subject: str) -> tuple[Counted, ...]:
        """What the gateways of the last round counted of `<namespace>/<name>`; without those that are silent."""
        with self._lock:
            if self._clock() - self._last.at > SETTLED:
                self._last = self._ask()
            addresses = self._last.addresses
        said = self._pool.map(lambda address: self._counters(address, subject), addresses.values())
        return tuple(each for each in said if each)

    def _ask(self) -> Round:
        pods = self._cluster.find(POD, namespace=self._namespace, labels=self._labels)
        ready = {
            pod["metadata"]["name"]: pod["status"]["podIP"]
            for pod in pods
            if is_ready(pod) and pod.get("status", {}).get("podIP")
        }
        said = dict(zip(ready, self._pool.map(self._routes, ready.values()), strict=True))
        answers = {pod: routes for pod, (routes, _) in said.items()}
        unrecorded = {pod: words for pod, (_, words) in said.items() if words}
        return Round(self._clock(), answers, addresses=ready, unrecorded=unrecorded)

    def _routes(self, address: str) -> tuple[Mapping[str, Any] | str, str]:
        """The routes, or why it could not be asked; and why it does not keep what it answers."""
        try:
            document = self._get(address, "/routes").json()
            routes, unrecorded = document.get("routes"), str(document.get("unrecorded") or "")
        except (httpx.HTTPError, ValueError) as error:
            return f"does not say which routes it runs: {type(error).__name__}", ""
        return (routes if isinstance(routes, dict) else "says nothing of routes"), unrecorded

    def _counters(self, address: str, subject: str) -> Counted | None:
        try:
            return Counted.model_validate_json(self._get(address, "/counters", deployment=subject).content)
        except (httpx.HTTPError, ValidationError) as error:
            logger.warning("the gateway at %s does not say what it counted: %s", address, type(error).__name__)
            return None

    def _get(self, address: str, path: str, **query: str) -> httpx.Response:
        host = f"[{address}]" if ":" in address else address
        answer = self._http.get(f"http://{host}:{self._port}{path}", params=query or None, timeout=PATIENCE)
        return answer.raise_for_status()


def _report(pod: str, last: Round, subject: str) -> GatewayReport:
    said, mute = last.answers[pod], last.unrecorded.get(pod, "")
    if isinstance(said, str):
        return GatewayReport(pod=pod, error=said)
    standing = said.get(subject)
    if standing is None:
        return GatewayReport(pod=pod, unrecorded=mute)
    refused = str(standing.get("message") or "refused") if standing.get("state") == "Rejected" else ""
    return GatewayReport(pod=pod, generation=int(standing.get("generation", 0)), rejected=refused, unrecorded=mute)


def _all_have(last: Round, subject: str, generation: int) -> bool:
    reports = [_report(pod, last, subject) for pod in last.answers]
    return bool(reports) and all((report.generation or 0) >= generation for report in reports)
