"""Storage that fails: the spool's volume full, the monitor's database locked. Nobody waits for it who asks a model."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from switchyard_testkit.canary import FLIGHT
from switchyard_testkit.faults import container_status, pod, pod_of, scaled_away
from switchyard_testkit.install import NAMESPACE, Installation, run
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.recheck import DATABASE, ask
from switchyard_testkit.struck import (
    CANARY,
    GATEWAY,
    NAME,
    RATE,
    SHADOW,
    account,
    address,
    mirrored,
    product,
    topics,
    well,
)
from switchyard_testkit.toolchain import tool_path
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]

SMALL = 8 * 2**20
"""Bytes of a spool that is soon full."""
PADDED = {**FLIGHT, "pad": "x" * 30_000}
LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


@pytest.fixture
def model(models: Models) -> Iterator[Models]:
    """A deployment that serves, with outcomes to be judged by."""
    models.apply(NAME, env={"VERSION": "1.0.0", "BIAS": 3}, spec=CANARY)
    models.serving(NAME, "1.0.0")
    yield models
    well(models.installation)


def test_a_full_spool_stops_the_recording_and_no_answer(model: Models) -> None:
    installation = model.installation

    def off() -> int:
        """Exchanges that were not recorded on purpose."""
        return int(account(installation)["dropped"].get("capture_off", 0))

    with small_spool(installation):
        traffic = Traffic(model.url(NAME), body=PADDED, rate=50, prefix=model.namespace)
        with traffic:
            traffic.go_on(50)
            with scaled_away(installation, "statefulset", "switchyard-kafka"):
                until(off, "exchanges are no longer recorded", seconds=120, every=1)
                assert share_taken(installation) >= 0.9, "it stopped though there was room"
                before = off()
                traffic.go_on(500)
                assert off() >= before + 450, "it went on recording onto a full volume"
            until(lambda: share_taken(installation) < 0.8, "what waited was delivered, and room is made", seconds=90)
            until(lambda: records(traffic, installation), "exchanges are recorded again", seconds=60)
        tally = traffic.tally
        assert tally.failures == [], "a full spool is no reason to fail a request"
        topic = topics(model, NAME)[NAME]
        books = account(installation)
    assert books["served"] == len(tally.answers)
    assert books["delivered"] == len(topic.exchanges())
    # What did not fit onto the full volume has no line anywhere; only Envoy's counter tells of it.
    counted = sum(books["dropped"].values()) + books["unaccounted"]
    assert len(topic.missing(tally)) == counted, f"the account does not say what is missing: {books}"


def test_a_locked_database_loses_nothing_and_is_said(model: Models, tmp_path: Path) -> None:
    """With a mirrored candidate beside, so that pairs are joined across the lock too."""
    model.apply(NAME, env={"VERSION": "2.0.0", "BIAS": 1}, spec=SHADOW)
    until(lambda: mirrored(model), "all of the traffic is mirrored", seconds=90)
    installation, subject = model.installation, model.subject(NAME)
    monitor = pod_of(installation, "monitor")
    restarts = container_status(installation, monitor, "monitor")["restartCount"]

    def trouble() -> str:
        return str(ask(installation, "/readyz")["trouble"])

    def read() -> int:
        return sum(line["read"] for line in ask(installation, f"/v1/deployments/{subject}/ledger")["partitions"])

    with product(model) as (traffic, _):
        traffic.go_on(3 * RATE)
        with locked(installation):
            until(lambda: "locked" in trouble(), "the monitor says what it waits for", seconds=30)
            before = read()
            traffic.go_on(15 * RATE)
            assert read() == before, "the lock held nothing up"
        until(lambda: not trouble(), "the monitor reads on", seconds=30)
        traffic.go_on(RATE)
    assert traffic.tally.failures == []
    assert container_status(installation, monitor, "monitor")["restartCount"] == restarts, "it was restarted for it"
    topic = topics(model, NAME)[NAME]
    assert topic.missing(traffic.tally) == set()
    assert topic.outcomes() == topic.decisions() == dict.fromkeys(traffic.tally.ids, 1)
    said = topic.recomputed(CANARY["monitoring"], tmp_path)
    assert "numbers are equal" in said
    assert " 0 pairs" not in said
    assert " 0 decisions" not in said


@contextmanager
def small_spool(installation: Installation) -> Iterator[None]:
    """Give the gateway a spool that is a small file system of its own, and its volume again at the end."""

    def pod_with(volume: str, *, volumes: dict[str, Any], segments: dict[str, Any]) -> dict[str, Any]:
        mounts = [{"mountPath": "/var/spool/switchyard", "name": volume}]
        return {
            "initContainers": [
                {"name": "control", "volumeMounts": mounts},
                # Whole segments are what is given back, so they must be smaller than the volume.
                {"name": "shipper", "volumeMounts": mounts, "env": [{"name": "SHIPPER_SEGMENT_BYTES", **segments}]},
            ],
            "containers": [{"name": "envoy", "volumeMounts": mounts}],
            "volumes": [{"name": "small", **volumes}],
        }

    memory = {"emptyDir": {"medium": "Memory", "sizeLimit": str(SMALL)}}
    gone = {"$patch": "delete"}
    try:
        patch_gateway(installation, pod_with("small", volumes=memory, segments={"value": str(SMALL // 8)}))
        yield
    finally:
        patch_gateway(installation, pod_with("spool", volumes=gone, segments=gone))


def patch_gateway(installation: Installation, change: dict[str, Any]) -> None:
    """Change the gateway's pod, and wait until it is another one."""
    before = pod(installation, GATEWAY)["metadata"]["uid"]
    arguments = ("-n", NAMESPACE, "patch", "statefulset", "switchyard-gateway", "--type=strategic", "--patch")
    body = {"spec": {"template": {"spec": change}}}
    run("kubectl", *arguments, json.dumps(body), kubeconfig=installation.kubeconfig)

    def another() -> bool:
        arguments = ("-n", NAMESPACE, "get", "pod", GATEWAY, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
        return run("kubectl", *arguments, kubeconfig=installation.kubeconfig).strip() not in ("", before)

    until(another, "the gateway is another pod", seconds=180)
    well(installation)


def share_taken(installation: Installation) -> float:
    """How full the spool's volume is, as control last saw it."""
    text = httpx.get(f"http://{address(installation)}:8081/metrics", timeout=10).raise_for_status().text
    line = next(line for line in text.splitlines() if line.startswith("switchyard_control_volume_used_ratio "))
    return float(line.rpartition(" ")[2])


def records(traffic: Traffic, installation: Installation) -> bool:
    """Whether all of a second's exchanges are recorded."""
    before = account(installation)["dropped"].get("capture_off")
    traffic.go_on(50)
    return bool(account(installation)["dropped"].get("capture_off") == before)


@contextmanager
def locked(installation: Installation) -> Iterator[None]:
    """Another connection holds the monitor's database for itself alone."""
    command = [str(tool_path("kubectl")), "-n", NAMESPACE, "exec", "-i", pod_of(installation, "monitor")]
    command += ["-c", "monitor", "--", "python", "-c", LOCK, DATABASE]
    environment = {**os.environ, "KUBECONFIG": installation.kubeconfig}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "locked"
        yield
        holder.stdin.close()
        assert holder.wait(30) == 0, "the lock was lost before its time"
