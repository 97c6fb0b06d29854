"""Every panel and every alert asks a real Prometheus that scrapes real parts, and is told something.

What only a gateway's pod tells is asked in `gateway/test_dashboards.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from switchyard_testkit import scraped
from switchyard_testkit.dashboards import questions
from switchyard_testkit.own_apiserver import ApiServer
from switchyard_testkit.prometheus import RealPrometheus, real_prometheus
from switchyard_testkit.scraped import SORTED, SUBJECT, Scraped

JSON = dict[str, Any]
OURS = ("switchyard_", "process_")


def elsewhere(question: questions.Question) -> bool:
    return not question.of_gateways


@dataclass(frozen=True)
class Watched:
    """The parts, and a Prometheus that scrapes them under the labels that the PodMonitors give."""

    prometheus: RealPrometheus
    parts: tuple[Scraped, ...]
    rules: JSON

    def stir(self) -> None:
        for part in self.parts:
            part.stir()


@pytest.fixture(scope="module")
def watched(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    rules = questions.rules(questions.rendered(tmp_path_factory.mktemp("chart")))
    with ExitStack() as stack:
        parts = {
            "operator": stack.enter_context(scraped.operators(tmp_path_factory.mktemp("operator"), api_server)),
            "monitor": stack.enter_context(scraped.monitor(tmp_path_factory.mktemp("monitor"))),
            "feedback": stack.enter_context(scraped.feedback(tmp_path_factory.mktemp("feedback"))),
        }
        kubelet = stack.enter_context(scraped.kubelet())
        jobs = questions.jobs({name: part.targets for name, part in parts.items()})
        prometheus = stack.enter_context(
            real_prometheus(
                tmp_path_factory.mktemp("prometheus"), jobs=[*jobs, scraped.jobs_of_kubelet(kubelet)], rules=rules
            )
        )
        yield Watched(prometheus, tuple(parts.values()), rules)


@pytest.mark.timeout(300)
def test_every_metric_that_is_asked_for_is_told_under_that_name(watched: Watched) -> None:
    asked = [each for each in [*questions.of_panels(), *questions.of_alerts(watched.rules)] if elsewhere(each)]
    questions.until_told(watched.prometheus, asked, watched.stir)


@pytest.mark.timeout(300)
def test_every_question_is_answered_with_a_number(watched: Watched) -> None:
    asked = [each for each in [*questions.of_panels(), *questions.of_alerts(watched.rules)] if elsewhere(each)]
    assert len(asked) > 100
    questions.until_answered(watched.prometheus, asked, watched.stir, deployments=(SUBJECT, SORTED))
    assert questions.unshown(watched.prometheus, side=elsewhere) == []
    assert questions.troubled(watched.prometheus) == []


def test_a_metric_by_another_name_would_be_found_out(watched: Watched) -> None:
    renamed = questions.Question("a panel", "sum(switchyard_operator_leaders{})")
    assert questions.unanswered(watched.prometheus, [renamed], deployments=(SUBJECT,)) != []
