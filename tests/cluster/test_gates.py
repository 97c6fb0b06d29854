"""Gates on a real cluster: a Job that compares on a fixed set, requests to the candidate's own pods, and a person."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client
from switchyard_testkit.apiserver import api_client
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import SHARE, Models, image

pytestmark = pytest.mark.timeout(300)
FLIGHT = {"flight": {"distance": 500}}
SERVING = {"serving": {"paths": ["/predict"], "timeout": "10s", "port": 3000}}
FIXED_SET = [[{"distance": distance}, distance / 25] for distance in (250, 500, 1400)]
EVALUATION = """
import json, os, sys, urllib.request

with open("/data/flights.json") as file:
    flights = json.load(file)

def error(side):
    total = 0
    for flight, delay in flights:
        body = json.dumps({"flight": flight}).encode()
        request = urllib.request.Request(os.environ[side] + "/predict", body, {"Content-Type": "application/json"})
        total += abs(json.load(urllib.request.urlopen(request, timeout=10))["delay"] - delay)
    return total / len(flights)

candidate, stable = error("SWITCHYARD_CANDIDATE_URL"), error("SWITCHYARD_STABLE_URL")
with open("/dev/termination-log", "w") as log:
    log.write(f"off by {candidate:g} min, stable by {stable:g}")
sys.exit(candidate > stable + 1)
"""


def gated(models: Models) -> dict[str, Any]:
    """A spec whose revisions take no traffic before the Job agrees, and are not promoted before a person does."""
    offline = {
        "image": image(models.installation.slot, "test/fault-model"),
        "command": ["python", "-c", EVALUATION],
        "data": {"configMap": "flights"},
        "resources": SHARE,
    }
    return {
        **SERVING,
        "gates": [
            {"name": "offline", "type": "OfflineEvaluation", "within": "2m", "offlineEvaluation": offline},
            {
                "name": "answers",
                "type": "Smoke",
                "smoke": {"requests": [{"path": "/predict", "body": json.dumps(FLIGHT)}]},
            },
            {"name": "board", "type": "Approval", "before": "promotion", "approval": {}},
        ],
    }


def verdicts(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = (status.get("rollout") or {}).get("gates") or []
    return {gate["name"]: gate for gate in found}


def stable(models: Models) -> None:
    """The fixed set, and a version that serves."""
    data = client.V1ConfigMap(
        metadata=client.V1ObjectMeta(name="flights"), data={"flights.json": json.dumps(FIXED_SET)}
    )
    with api_client(models.installation.slot) as api:
        client.CoreV1Api(api).create_namespaced_config_map(models.namespace, data)
    models.apply("delay", env={"VERSION": "1.0.0", "BIAS": 2}, spec=SERVING)
    models.serving("delay", "1.0.0")


def test_a_job_and_a_person_let_a_revision_through(models: Models) -> None:
    stable(models)
    with Traffic(models.url("delay"), body=FLIGHT, rate=20, prefix=models.namespace) as traffic:
        models.apply("delay", env={"VERSION": "2.0.0"}, spec=gated(models))
        status = models.wait(
            "delay", lambda now: verdicts(now).get("board", {}).get("state") == "Waiting", "waits for the board",
            seconds=150,
        )  # fmt: skip
        passed = verdicts(status)
        assert passed["offline"]["state"] == passed["answers"]["state"] == "Passed"
        assert "off by 0 min, stable by 2" in passed["offline"]["message"]
        assert {answer.version for answer in traffic.tally.answers} == {"1.0.0"}

        given = models.command("delay", "approve", rollout=status["rollout"]["id"], gate="board")
        assert given["result"] == "Accepted"
        models.serving("delay", "2.0.0")
    assert traffic.tally.failures == []


def test_a_revision_that_the_job_finds_worse_gets_no_request(models: Models) -> None:
    stable(models)
    with Traffic(models.url("delay"), body=FLIGHT, rate=20, prefix=models.namespace) as traffic:
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 40}, spec=gated(models))
        status = models.phase("delay", "RolledBack", "Refused", seconds=150)
    failed = verdicts(status)["offline"]
    assert failed["state"] == "Failed"
    assert "off by 40 min, stable by 2" in failed["message"]
    assert "board" not in verdicts(status)
    assert {answer.version for answer in traffic.tally.answers} == {"1.0.0"}
    assert traffic.tally.failures == []
