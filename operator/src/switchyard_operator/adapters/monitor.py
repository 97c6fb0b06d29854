"""The monitor's evidence, over HTTP. What cannot be had is `EvidenceUnavailable`, which no rule takes for a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError
from switchyard_contracts.alarm_records import AlarmBook, AlarmHead
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.judgement import counted
from switchyard_contracts.quantities import format_duration

from switchyard_operator.domain.analysis import Question
from switchyard_operator.errors import EvidenceUnavailable

Answered = TypeVar("Answered")
EVIDENCE, BOOK, HEADS = TypeAdapter(Evidence), TypeAdapter(AlarmBook), TypeAdapter(list[AlarmHead])
PATIENCE = httpx.Timeout(5.0, connect=1.0)
FOR_WEEKS = httpx.Timeout(60.0, connect=1.0)
"""For the one reading of an A/B test, which adds up the sums of each group of users in each window of its weeks."""


class HttpMonitor:
    """`GET /v1/deployments/{ns}/{name}/evidence`, with a token that is read anew each time, as Secrets are renewed."""

    def __init__(self, http: httpx.Client, *, url: str, token: Callable[[], str]) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._token = token

    def evidence(self, subject: str, question: Question) -> Evidence:
        """The answer, or `EvidenceUnavailable`."""
        timeout = FOR_WEEKS if question.patient else PATIENCE
        return self._ask(EVIDENCE, f"{_place(subject)}/evidence", params=_query(question), timeout=timeout)

    def heads(self) -> Mapping[str, str]:
        """The id of the newest record of alarms of each deployment that has any."""
        return {head.deployment: head.newest for head in self._ask(HEADS, "/v1/alarms")}

    def alarms(self, subject: str) -> AlarmBook:
        """How a deployment's alarms stand, and what was said of them."""
        return self._ask(BOOK, f"{_place(subject)}/alarms")

    def _ask(
        self,
        kind: TypeAdapter[Answered],
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        timeout: httpx.Timeout = PATIENCE,
    ) -> Answered:
        if not self._url:
            raise EvidenceUnavailable("no monitor is configured (OPERATOR_MONITOR_URL is empty)")
        headers = {"Authorization": f"Bearer {token}"} if (token := self._token()) else {}
        try:
            answer = self._http.get(f"{self._url}{path}", params=params, headers=headers, timeout=timeout)
        except httpx.HTTPError as error:
            raise EvidenceUnavailable(f"the monitor does not answer: {type(error).__name__}") from error
        if answer.status_code != httpx.codes.OK:
            raise EvidenceUnavailable(f"the monitor answers {answer.status_code}: {_detail(answer)}")
        try:
            return kind.validate_json(answer.content)
        except ValidationError as error:
            faults = counted(error.error_count(), "fault")
            raise EvidenceUnavailable(f"the monitor's answer cannot be read: {faults}") from error


def _place(subject: str) -> str:
    namespace, _, name = subject.partition("/")
    return f"/v1/deployments/{quote(namespace)}/{quote(name)}"


def _query(question: Question) -> dict[str, str]:
    query = {
        "metric": question.metric.metric,
        "revision": question.revision,
        "against": question.against,
        "traffic": ",".join(str(generation) for generation in question.traffic),
    }
    if question.begun:
        query["since"] = question.begun.isoformat()
    field, threshold = question.metric.limit
    if question.metric.metric.startswith("latency"):
        query["max" if field == "max" else "margin"] = str(threshold.value)
    elif field in ("maxIncrease", "maxDecrease"):
        query["margin"] = str(threshold.value)
    if question.mirrored and question.block:
        query["block"] = format_duration(question.block)
        query["mirrored"] = ",".join(str(generation) for generation in question.mirrored)
    return query


def _detail(answer: httpx.Response) -> str:
    try:
        document = answer.json()
    except ValueError:
        return answer.text[:200]
    return str(document.get("detail", document))[:300] if isinstance(document, dict) else str(document)[:200]
