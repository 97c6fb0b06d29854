"""What panels and alerts ask of a gateway's pod: a real Prometheus scrapes control, shipper and a real Envoy."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from switchyard_testkit.cache import Cache
from switchyard_testkit.dashboards import questions
from switchyard_testkit.exposition import scrape
from switchyard_testkit.fake_api import route
from switchyard_testkit.gateway_pod import KEY, Pod, gateway_pod
from switchyard_testkit.kafka import broker
from switchyard_testkit.prometheus import RealPrometheus, real_prometheus
from switchyard_testkit.shipper import ShipperProcess
from switchyard_testkit.waiting import until

JSON = dict[str, Any]
GATEWAYS = ("control", "shipper", "envoy")


def here(question: questions.Question) -> bool:
    return question.of_gateways


@dataclass(frozen=True)
class Watched:
    """The pod, and a Prometheus that scrapes it under the labels that the PodMonitor gives."""

    prometheus: RealPrometheus
    pod: Pod
    rules: JSON
    weights: Iterator[int] = field(default_factory=lambda: itertools.cycle((500, 600)))

    def stir(self) -> None:
        """Another weight of a mirrored canary; products ask for what there is, and for what there is not."""
        mine = next(self.weights)
        candidate = route("delay-2", mine, "candidate", version="2.0.0", mirror=10_000 - mine)
        self.pod.control.wait_for(KEY, self.pod.deploy(route("delay-1", 10_000 - mine), candidate))
        for _ in range(10):
            assert self.pod.ask().status_code == 200
        self.pod.models["two"].status = self.pod.models["one"].status = 500
        assert self.pod.ask().status_code == 500
        self.pod.models["two"].status = self.pod.models["one"].status = 200
        assert self.pod.ask("/flights/delay/nothing").status_code == 404


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    rules = questions.rules(questions.rendered(tmp_path_factory.mktemp("chart")))
    folder = tmp_path_factory.mktemp("pod")
    with broker(Cache.from_env(os.environ), tmp_path_factory.mktemp("kafka")) as kafka, gateway_pod(folder) as pod:
        kafka.create("switchyard.events")
        pod.afresh()
        shipper = ShipperProcess(folder, kafka.servers, "switchyard.events")
        shipper.start()
        control = (f"127.0.0.1:{pod.control.port}",)
        targets = {"control": control, "envoy": control, "shipper": (f"127.0.0.1:{shipper.port}",)}
        jobs = questions.jobs(targets, paths={"envoy": "/metrics/envoy"})
        try:
            with real_prometheus(tmp_path_factory.mktemp("prometheus"), jobs=jobs, rules=rules) as prometheus:
                # Control's questions fail for a while, which is counted.
                pod.api.break_with("503")
                until(lambda: "api_errors_total{" in metrics(pod), "a question to the API server failed", seconds=60)
                pod.api.break_with("")
                pod.afresh()
                yield Watched(prometheus, pod, rules)
        finally:
            shipper.end(signal.SIGKILL)


def metrics(pod: Pod) -> str:
    return scrape(f"http://127.0.0.1:{pod.control.port}/metrics")


@pytest.mark.timeout(300)
def test_every_metric_that_is_asked_for_is_told_under_that_name(watched: Watched) -> None:
    asked = [each for each in [*questions.of_panels(), *questions.of_alerts(watched.rules)] if here(each)]
    questions.until_told(watched.prometheus, asked, watched.stir)


@pytest.mark.timeout(300)
def test_every_question_is_answered_with_a_number(watched: Watched) -> None:
    asked = [each for each in [*questions.of_panels(), *questions.of_alerts(watched.rules)] if here(each)]
    assert len(asked) > 40
    questions.until_answered(watched.prometheus, asked, watched.stir, deployments=(KEY,))
    assert questions.unshown(watched.prometheus, side=here) == []
    assert questions.troubled(watched.prometheus) == []
