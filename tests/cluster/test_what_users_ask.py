"""What users ask for beside the rollout itself, on a real cluster; two rollouts show all of it.

In the first, users stay with the model that answered them first while its weight rises, pods follow the load and the
weight, a freeze and a person hold it, and whoever wants to know is told. In the second, a guard on a Prometheus of the
user's own takes a revision back, and what ConfigMaps said goes back with it, beside models that take long to load.

Needs the node from source: desks and Prometheus are this machine, at the other end of the node's link. It has no
metrics server, so a test does what the autoscaler's controller would do where it knew the load.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from kubernetes import client
from prometheus_client import CollectorRegistry, Gauge
from switchyard_testkit import outside
from switchyard_testkit.apiserver import api_client, own_namespace
from switchyard_testkit.canary import CANARY, FLIGHT, TRUTH, living, start
from switchyard_testkit.desk import Desk, is_signed, serving
from switchyard_testkit.faults import pod
from switchyard_testkit.install import Installation, run, slot_folder, tokens
from switchyard_testkit.load import Answer, Traffic
from switchyard_testkit.models import Models
from switchyard_testkit.prometheus import exporter, real_prometheus
from switchyard_testkit.reach import pods_of
from switchyard_testkit.topics import born, read_all
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(300)
JSON = dict[str, Any]
SERVING: JSON = {
    "paths": ["/predict"],
    "timeout": "10s",
    "port": 3000,
    # Half of what the other tests' pods ask for: there are many of them here.
    "resources": {"requests": {"cpu": "50m", "memory": "48Mi"}},
}
USERS = 400
VIENNA = ZoneInfo("Europe/Vienna")
STICKY: JSON = {
    **CANARY,
    "serving": {**SERVING, "autoscaling": {"maxReplicas": 4, "targetCPUUtilization": 70}},
    "strategy": {
        "type": "Canary",
        "canary": {
            "mirror": 0,
            "split": {"by": "header", "name": "x-user-id"},
            "steps": [
                {"name": "quarter", "weight": 25, "hold": "5s"},
                {"name": "half", "weight": 50, "hold": "3s", "pause": True},
            ],
        },
    },
}
LIMIT = 10
COMPLAINTS: JSON = {
    "name": "complaints",
    "metric": "promql",
    "role": "guard",
    "max": LIMIT,
    "promql": {
        "query": 'max(max_over_time(complaints{namespace="$namespace", revision="$candidate"}[$window]))',
        "window": "5s",
        "looks": 2,
    },
}
LOAD_SECONDS, WEIGHTS = 20, 80 * 2**20
LOADING = f"""
import time

# Python runs this before the model's own program.
with open("/dev/shm/weights", "wb") as weights:
    weights.write(bytes({WEIGHTS}))
time.sleep({LOAD_SECONDS})
"""
"""What a model does that loads for long, and shares what it has loaded: more than the 64 MiB of a plain /dev/shm."""


@contextmanager
def told(installation: Installation, namespace: str) -> Iterator[tuple[Models, Desk]]:
    """A namespace whose rollouts are told of, and the desk that hears of them."""
    address = outside.desk_address(installation.slot, namespace)
    with serving(address) as desk, api_client(installation.slot) as api, own_namespace(api, namespace) as name:
        yield Models(installation, name), desk


def news(desk: Desk, *, of: str = "delay") -> list[JSON]:
    """What the desk was told of one deployment, in order."""
    return [document for document in desk.told if document["deployment"]["name"] == of]


def headlines(desk: Desk) -> list[tuple[str, str]]:
    """The same by event and version."""
    return [(document["event"], document["version"]) for document in news(desk)]


def figures(document: JSON) -> dict[str, JSON]:
    """Its numbers by the metric's name."""
    return {figure["name"]: figure for figure in document["figures"]}


def all_told(models: Models, desk: Desk) -> None:
    """Kafka was told what the desk was, word for word; all of it was signed, and nothing is owed any more."""
    expected = {document["id"]: document for document in news(desk)}

    def on_the_bus() -> bool:
        records = read_all(
            models.installation, "switchyard.notifications", since=born(models.installation, models.subject("delay"))
        )
        return {r["value"]["id"]: r["value"] for r in records if r["key"] == models.subject("delay")} == expected

    until(on_the_bus, "Kafka was told the same", seconds=30, every=1)
    key = tokens(slot_folder(models.installation.slot))["desk"]
    assert all(is_signed(headers, body, key=key) for headers, body in desk.heard)
    models.wait("delay", lambda status: not (status.get("notifications") or {}).get("waiting"), "owes nobody anything")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def verdict(status: JSON, name: str) -> str:
    """What a metric says now; empty before it says anything."""
    found = (status.get("rollout") or {}).get("verdicts", [])
    return next((item["verdict"] for item in found if item["name"] == name), "")


def weights(models: Models) -> dict[str, int]:
    """Each role's share in the route."""
    return {entry["role"]: entry["weightBp"] for entry in models.get("delay", "modelroutes")["spec"]["routes"]}


def autoscalers(models: Models) -> dict[str, tuple[str, str, int, int]]:
    """Of each revision that has one: whom it scales, and between how many pods."""
    with api_client(models.installation.slot) as api:
        found = client.AutoscalingV2Api(api).list_namespaced_horizontal_pod_autoscaler(models.namespace).items
    return {
        one.metadata.name: (
            one.spec.scale_target_ref.kind,
            one.spec.scale_target_ref.name,
            one.spec.min_replicas,
            one.spec.max_replicas,
        )
        for one in found
    }


def scaled(revision: str, least: int) -> tuple[str, str, int, int]:
    """An autoscaler of a revision as it should be."""
    return ("Deployment", revision, least, STICKY["serving"]["autoscaling"]["maxReplicas"])


def is_taken_up(models: Models, revision: str) -> bool:
    """Whether the autoscaler's controller found what it is to scale."""
    with api_client(models.installation.slot) as api:
        found = client.AutoscalingV2Api(api).read_namespaced_horizontal_pod_autoscaler(revision, models.namespace)
    conditions = {condition.type: condition.status for condition in found.status.conditions or []}
    return conditions.get("AbleToScale") == "True"


def workload(models: Models, revision: str) -> tuple[int, int]:
    """A revision's number of pods, and how often its Deployment's spec was written: its generation."""
    with api_client(models.installation.slot) as api:
        found = client.AppsV1Api(api).read_namespaced_deployment(revision, models.namespace)
    return found.spec.replicas, found.metadata.generation


def scale(models: Models, revision: str, pods: int) -> None:
    """As the autoscaler's controller does it."""
    with api_client(models.installation.slot) as api:
        client.AppsV1Api(api).patch_namespaced_deployment_scale(
            revision, models.namespace, {"spec": {"replicas": pods}}, _content_type="application/merge-patch+json"
        )


def met(answers: Iterable[Answer]) -> dict[str, list[str]]:
    """The versions that each user met, one after the other."""
    found: dict[str, list[str]] = {}
    for answer in answers:
        versions = found.setdefault(answer.user, [])
        if versions[-1:] != [answer.version]:
            versions.append(answer.version)
    return found


def of_the_candidate(answers: Iterable[Answer], begin: str, end: str) -> tuple[set[str], float]:
    """The users whom 2.0.0 answered between two moments, and their share of those who asked.

    Without a second at either end, in which the gateway was on its way.
    """
    since, until_then = moment(begin).timestamp() + 1, moment(end).timestamp() - 1
    seen = met(answer for answer in answers if since < answer.at < until_then)
    theirs = {user for user, versions in seen.items() if "2.0.0" in versions}
    return theirs, len(theirs) / len(seen)


def test_users_stay_with_their_model_while_a_freeze_and_a_person_hold_it_and_all_is_told(
    installation: Installation,
) -> None:
    today = datetime.now(VIENNA)
    over = (today + timedelta(days=1)).replace(second=0, microsecond=0)
    freeze = {
        "from": f"{today - timedelta(days=1):%Y-%m-%dT%H:%M}",
        "to": f"{over:%Y-%m-%dT%H:%M}",
        "timeZone": VIENNA.key,
        "reason": "the holidays",
    }
    better = {"VERSION": "2.0.0", "BIAS": 1}
    with told(installation, "told") as (models, desk):
        desk.faults = ["503"]
        start(models, spec=STICKY, bias=10)
        first = models.status("delay")["stable"]["revision"]
        assert autoscalers(models) == {first: scaled(first, 1)}
        scale(models, first, 3)
        grown = workload(models, first)
        assert grown[0] == 3

        with living(models, users=USERS) as traffic:
            models.apply("delay", env=better, spec={**STICKY, "freeze": [freeze]})
            status = models.wait("delay", lambda s: s["rollout"]["reason"] == "Frozen", "is frozen")
            second = status["rollout"]["revision"]
            assert moment(status["rollout"]["frozenUntil"]) == over.astimezone(UTC)
            assert "the holidays" in status["rollout"]["message"]
            assert autoscalers(models) == {first: scaled(first, 3), second: scaled(second, 1)}
            traffic.go_on(200)
            assert weights(models).get("candidate", 0) == 0
            assert {answer.version for answer in traffic.tally.answers} == {"1.0.0"}

            models.apply("delay", env=better, spec=STICKY)
            status = models.wait("delay", lambda s: s["rollout"]["reason"] == "AwaitingPromote", "waits for a person")
            assert autoscalers(models) == {first: scaled(first, 3), second: scaled(second, 2)}
            assert workload(models, second)[0] == 2
            models.wait("delay", lambda s: verdict(s, "outcome") == "Pass", "has proven itself", seconds=60)
            until(lambda: is_taken_up(models, second), "the autoscaler has found its Deployment", seconds=40)
            assert workload(models, first) == grown, "somebody undid what the autoscaler did"
            traffic.go_on(USERS)
            held = status["rollout"]["id"]
            assert models.command("delay", "promote", rollout=held, step="half")["result"] == "Accepted"
            status = models.serving("delay", "2.0.0")
            assert workload(models, second)[0] == 3
            traffic.go_on(USERS + 100)  # everybody once more, but for those who asked before

        # Whoever is kept warm has a number of pods, and no autoscaler; the other one is at rest again.
        until(lambda: autoscalers(models) == {second: scaled(second, 1)}, "one autoscaler is left", seconds=30)
        assert workload(models, second)[0] == 3, "only its controller takes pods away"
        until(lambda: len(news(desk)) == 3, "the desk has heard of the promotion", seconds=30)
        assert headlines(desk) == [("Promoted", "1.0.0"), ("Held", "2.0.0"), ("Promoted", "2.0.0")]
        all_told(models, desk)

    assert desk.struck == ["503"], "it was told again"
    _, waits, ended = news(desk)
    assert (waits["rollout"], waits["step"], waits["weight"]) == (held, "half", "50%")
    assert waits["waitingFor"] == "a person's promote"
    errors = figures(waits)["errors"]
    assert (errors["verdict"], errors["value"], errors["against"]) == ("Pass", 0.0, 0.01)
    assert errors["samples"] >= 50
    assert (ended["rollout"], ended["reason"]) == (held, "Promoted")
    outcome = figures(ended)["outcome"]
    assert (outcome["verdict"], outcome["samples"] >= 200) == ("Pass", True)
    assert outcome["value"] < outcome["against"]

    answers = traffic.tally.answers
    turns = met(answers)
    assert len(turns) == USERS
    assert all(versions in (["1.0.0", "2.0.0"], ["2.0.0"]) for versions in turns.values()), "nobody went back"
    steps = {step["name"]: step for step in status["rollout"]["stepsDone"]}
    quarter = of_the_candidate(answers, steps["quarter"]["syncedAt"], steps["half"]["startedAt"])
    half = of_the_candidate(answers, steps["half"]["syncedAt"], steps["half"]["endedAt"])
    assert (quarter[1], half[1]) == (pytest.approx(0.25, abs=0.12), pytest.approx(0.5, abs=0.12))
    assert quarter[0] < half[0]


def config_map(models: Models, name: str, data: Mapping[str, str]) -> None:
    """Have a ConfigMap that says this, whatever it said before."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    arguments = ("-n", models.namespace, "apply", "-f", "-")
    run("kubectl", *arguments, kubeconfig=models.installation.kubeconfig, given=json.dumps(body))


def configured(version: str, **serving: Any) -> JSON:
    """A model with settings and a file from ConfigMaps, and a canary that only the user's own number may end."""
    own = {"env": [{"name": "VERSION", "value": version}], "envFrom": [{"configMap": "settings"}]}
    table = {"name": "table", "mountPath": "/etc/table", "configMap": "table"}
    quarter = {"name": "quarter", "weight": 25, "hold": "1h"}
    return {
        "model": {"config": own},
        "serving": {**SERVING, "volumes": [table], **serving},
        "strategy": {"type": "Canary", "canary": {"steps": [quarter]}},
        "analysis": {"metrics": [COMPLAINTS]},
    }


def slow(patience: str) -> JSON:
    """A model that loads for long, and may take so long."""
    shared = {"medium": "Memory", "sizeLimit": "128Mi"}
    volumes = [
        {"name": "loading", "mountPath": "/loading", "configMap": "loading"},
        {"name": "shm", "mountPath": "/dev/shm", "emptyDir": shared},
    ]
    return {"serving": {**SERVING, "startup": {"timeout": patience}, "volumes": volumes}}


def answers_of(models: Models, number: int) -> set[tuple[str, float]]:
    """Who answers, and what."""
    with httpx.Client(trust_env=False, timeout=30) as product:
        given = [product.post(models.url("delay"), json=FLIGHT).raise_for_status() for _ in range(number)]
    return {(answer.headers["x-model-version"], answer.json()["delay"]) for answer in given}


def inside(models: Models, name: str, *command: str) -> str:
    """What a command prints in a pod."""
    arguments = ("-n", models.namespace, "exec", name, "--", *command)
    return run("kubectl", *arguments, kubeconfig=models.installation.kubeconfig).strip()


def said_of(models: Models, deployment: str, reason: str) -> list[str]:
    """The kubelet's events of a deployment's pods."""
    with api_client(models.installation.slot) as api:
        found = client.CoreV1Api(api).list_namespaced_event(models.namespace, field_selector=f"reason={reason}").items
    return [event.message for event in found if event.involved_object.name.startswith(f"{deployment}-")]


def test_a_prometheus_of_the_users_takes_a_revision_back_and_its_configuration_goes_with_it(
    installation: Installation, tmp_path: Path
) -> None:
    figures_of_theirs = CollectorRegistry()
    complaints = Gauge(
        "complaints", "Calls at the desk in the last minute.", ["namespace", "revision"], registry=figures_of_theirs
    )
    host, _ = outside.desk_address(installation.slot, "taken-back")
    trusted = outside.authority(slot_folder(installation.slot))
    with (
        told(installation, "taken-back") as (models, desk),
        exporter(figures_of_theirs) as shown,
        real_prometheus(tmp_path, host=host, port=outside.PROMETHEUS_PORT, authority=trusted, scraped=[shown]),
    ):
        config_map(models, "loading", {"sitecustomize.py": LOADING})
        for name, patience in (("patient", "1m"), ("hasty", "10s")):
            models.apply(name, env={"VERSION": "1.0.0", "PYTHONPATH": "/loading"}, spec=slow(patience))

        config_map(models, "settings", {"BIAS": "1"})
        config_map(models, "table", {"rows": "of 1.0.0"})
        models.apply("delay", spec=configured("1.0.0"))
        stable = models.serving("delay", "1.0.0")["stable"]["revision"]
        with Traffic(models.url("delay"), body=FLIGHT, rate=20, prefix=models.namespace) as traffic:
            config_map(models, "settings", {"BIAS": "30"})
            config_map(models, "table", {"rows": "of 2.0.0"})
            models.apply("delay", spec=configured("2.0.0"))
            status = models.wait(
                "delay", lambda s: (s.get("candidate") or {}).get("version") == "2.0.0", "has a candidate"
            )
            number = complaints.labels(models.namespace, status["candidate"]["revision"])
            number.set(1)
            models.wait("delay", lambda s: verdict(s, "complaints") == "Pass", "is within the limit", seconds=60)
            assert answers_of(models, 80) == {("1.0.0", TRUTH + 1), ("2.0.0", TRUTH + 30)}
            number.set(99)
            status = models.phase("delay", "RolledBack", seconds=60)
            assert status["stable"] == {"revision": stable, "version": "1.0.0"}
            # Another pod of stable's: made when the ConfigMaps say something else.
            models.apply("delay", spec=configured("2.0.0", replicas=2))
            found = until(lambda: stables_pods(models, stable, 2), "stable has two pods", seconds=60)
            assert answers_of(models, 40) == {("1.0.0", TRUTH + 1)}
        assert traffic.tally.failures == []
        for name in found:
            assert inside(models, name, "printenv", "BIAS") == "1"
            assert inside(models, name, "cat", "/etc/table/rows") == "of 1.0.0"

        until(lambda: ("RolledBack", "2.0.0") in headlines(desk), "the desk has heard of it", seconds=30)
        assert headlines(desk) == [("Promoted", "1.0.0"), ("RolledBack", "2.0.0")]
        all_told(models, desk)
        assert_loads_as_long_as_it_may(models)

    ended = news(desk)[-1]
    assert ended["reason"] == "AnalysisFailed"
    figure = figures(ended)["complaints"]
    assert (figure["metric"], figure["verdict"], figure["samples"]) == ("promql", "Fail", 2)
    assert (figure["value"], figure["against"]) == (99, LIMIT)


def stables_pods(models: Models, revision: str, number: int) -> list[str]:
    """The names of its ready pods, once there are so many."""
    found = pods_of(models.installation, models.namespace, f"switchyard.dev/revision={revision}")
    return [one.name for one in found] if len(found) == number else []


def assert_loads_as_long_as_it_may(models: Models) -> None:
    """The kubelet waits for the patient one, which needs twice as long as the hasty one has, and starts that anew."""
    revision = models.serving("patient", "1.0.0")["stable"]["revision"]
    (name,) = stables_pods(models, revision, 1)
    body = pod(models.installation, name, namespace=models.namespace)
    (state,) = body["status"]["containerStatuses"]
    began = moment(state["state"]["running"]["startedAt"])
    (ready,) = (one for one in body["status"]["conditions"] if one["type"] == "Ready")
    assert state["restartCount"] == 0
    assert (moment(ready["lastTransitionTime"]) - began).total_seconds() >= LOAD_SECONDS - 1  # of whole seconds
    assert any("Startup probe failed" in text for text in said_of(models, "patient", "Unhealthy"))
    assert said_of(models, "patient", "Killing") == []
    assert int(inside(models, name, "stat", "--format=%s", "/dev/shm/weights")) == WEIGHTS

    def is_given_up() -> bool:
        return any("failed startup probe" in text for text in said_of(models, "hasty", "Killing"))

    until(is_given_up, "the kubelet gives up on the hasty one", seconds=30)
