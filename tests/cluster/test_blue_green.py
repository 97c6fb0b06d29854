"""Blue/green: preview by header, a switch that is one route write, the old revision warm, and the way back."""

from __future__ import annotations

import httpx
import pytest
from switchyard_testkit.load import Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.topics import inferences
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(240)
FLIGHT = {"flight": {"distance": 500}}
BY_HAND = {"strategy": {"type": "BlueGreen", "blueGreen": {"autoPromote": False}}}
SERVING = {"serving": {"paths": ["/predict"], "timeout": "10s", "port": 3000}}


def test_preview_switch_and_rollback_by_route_writes(models: Models) -> None:
    models.apply("delay", env={"VERSION": "1.0.0"}, spec={**SERVING, **BY_HAND})
    blue = models.serving("delay", "1.0.0")["stable"]["revision"]
    with Traffic(models.url("delay"), body=FLIGHT, rate=20, prefix=models.namespace) as traffic:
        models.apply("delay", env={"VERSION": "2.0.0"}, spec={**SERVING, **BY_HAND})
        status = models.phase("delay", "Paused", "AwaitingEvidence", "Gating")
        status = models.wait(
            "delay", lambda s: "promote" in (s.get("rollout") or {}).get("waitingFor", ""), "waits for a person"
        )
        green = status["rollout"]["revision"]

        preview = httpx.post(models.url("delay"), json=FLIGHT, headers={"x-switchyard-revision": green}, timeout=30)
        assert preview.status_code == 200
        assert preview.headers["x-model-version"] == "2.0.0"
        assert traffic.tally.failures == []
        assert {answer.version for answer in traffic.tally.answers} == {"1.0.0"}

        before = models.get("delay", "modelroutes")["metadata"]["generation"]
        result = models.command("delay", "promote", rollout=status["rollout"]["id"])
        assert result["result"] == "Accepted"
        models.serving("delay", "2.0.0")
        route = models.get("delay", "modelroutes")
        weights = {one["revision"]: one["weightBp"] for one in route["spec"]["routes"]}
        assert weights[green] == 10_000
        assert route["metadata"]["generation"] <= before + 2

        warm = models.status("delay")["warm"]
        assert warm["revision"] == blue
        assert _ready(models, blue) >= 1

        # The way back: the old file again, to pods that are still warm.
        models.apply("delay", env={"VERSION": "1.0.0"}, spec={"serving": SERVING["serving"]})
        models.serving("delay", "1.0.0", seconds=30)
    assert traffic.tally.failures == []
    roles = {
        (event["data"]["role"], event["data"]["assignment"])
        for event in inferences(models.installation, models.subject("delay"))
        if event["data"]["predictionId"] == preview.headers["x-prediction-id"]
    }
    assert roles == {("preview", "pinned")}


def _ready(models: Models, revision: str) -> int:
    return int(models.get(revision, "modelrevisions")["status"].get("readyReplicas", 0))


def test_a_rollback_command_goes_back_to_the_warm_revision_and_the_new_one_stays_out(models: Models) -> None:
    models.apply("delay", env={"VERSION": "1.0.0"}, spec=SERVING)
    blue = models.serving("delay", "1.0.0")["stable"]["revision"]
    models.apply("delay", env={"VERSION": "2.0.0"}, spec=SERVING)
    models.serving("delay", "2.0.0")
    result = models.command("delay", "rollback", revision=blue, reason="it answers nonsense")
    assert result["result"] == "Accepted"
    status = models.serving("delay", "1.0.0", seconds=30)
    assert status["desiredVersion"] == "2.0.0"
    until(
        lambda: models.condition("delay", "Ready").get("status") == "False",
        "Ready says that Git and cluster differ",
        seconds=30,
    )
    until(lambda: models.condition("delay", "Stalled").get("status") == "True", "it is said to be stalled", seconds=30)
