"""/metrics of control and shipper, as the processes that the image runs, and the excerpt of a real Envoy's own."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from switchyard_testkit.exposition import breaches, documented, families, ours, scrape
from switchyard_testkit.gateway_pod import Pod, gateway_pod
from switchyard_testkit.shipper import ShipperProcess
from switchyard_testkit.waiting import until

MOST_SERIES = 400
"""Of the excerpt with two revisions; all of Envoy's own would be some thousands."""


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    with gateway_pod(tmp_path_factory.mktemp("pod")) as pod:
        pod.afresh()
        yield pod


def test_control_keeps_the_conventions_and_tells_what_the_readme_lists(pod: Pod) -> None:
    text = scrape(f"http://127.0.0.1:{pod.control.port}/metrics")
    assert breaches(text) == []
    assert ours(text) == documented("control")
    assert {"process_cpu_seconds_total", "python_info"} <= families(text).keys()
    assert "switchyard_control_envoy_connected 1.0" in text
    assert 'switchyard_control_resources{kind="routes"} 1.0' in text


def test_control_says_when_the_snapshot_was_written(pod: Pod) -> None:
    def written() -> bool:
        text = scrape(f"http://127.0.0.1:{pod.control.port}/metrics")
        name = "switchyard_control_snapshot_timestamp_seconds "
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name)) > 1.7e9

    until(written, "the snapshot's time is told", seconds=30)


def test_control_hands_on_an_excerpt_of_envoys_own_figures(pod: Pod) -> None:
    assert pod.ask().status_code == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{pod.control.port}/metrics/envoy", timeout=10) as answer:
        text = answer.read().decode()
    assert breaches(text, prefix="envoy_") == []
    found = families(text)
    assert {
        "envoy_http_downstream_rq_xx_total",
        "envoy_http_downstream_rq_time",
        "envoy_cluster_upstream_rq_xx_total",
        "envoy_cluster_membership_healthy",
        "envoy_server_live",
    } <= found.keys() | {f"{name}_total" for name in found}
    assert 'envoy_cluster_name="flights/delay-1"' in text
    assert len([line for line in text.splitlines() if not line.startswith("#")]) < MOST_SERIES


def test_the_shipper_keeps_the_conventions_and_tells_what_the_readme_lists(tmp_path: Path) -> None:
    """Without Kafka and without Envoy, which is when one looks."""
    (tmp_path / "spool").mkdir()
    shipper = ShipperProcess(tmp_path, "127.0.0.1:1", "switchyard.events")
    shipper.start()
    try:
        text = scrape(f"http://127.0.0.1:{shipper.port}/metrics")
        assert breaches(text) == []
        assert ours(text) == documented("shipper")
        assert {"process_cpu_seconds_total", "python_info"} <= families(text).keys()
    finally:
        assert shipper.process is not None
        os.kill(shipper.process.pid, signal.SIGKILL)
        shipper.process.wait(20)
