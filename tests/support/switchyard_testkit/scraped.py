"""Parts for a real Prometheus to scrape, each in states in which what it can tell is told, and with a hand to stir it.

The operator is a process beside a real API server, and some rollouts played in this process; monitor and feedback are
their own applications on sockets, over a store and a log in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from prometheus_client import CollectorRegistry, Gauge
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.own_metrics import own
from switchyard_feedback.api import create_app as feedback_app
from switchyard_feedback.metrics import Metrics as FeedbackMetrics
from switchyard_feedback.tokens import Tokens as FeedbackTokens
from switchyard_monitor.api import create_app as monitor_app
from switchyard_monitor.auth import Tokens
from switchyard_monitor.health import Health
from switchyard_monitor.metrics import MonitorCollector, commit_seconds
from switchyard_monitor.reader import Reader
from switchyard_monitor.room import Room
from switchyard_operator.metrics import Metrics, Rollouts

from switchyard_testkit.apiserver import temporary_namespace
from switchyard_testkit.feedback import NOON, MemoryLog, token_entry, write_tokens
from switchyard_testkit.monitor_world import (
    MONITORING,
    REFERENCE,
    WATCHED,
    World,
    decision,
    inference,
    mirrored,
    outcome,
)
from switchyard_testkit.operator_process import OperatorProcess
from switchyard_testkit.own_apiserver import ApiServer
from switchyard_testkit.prometheus import exporter
from switchyard_testkit.rendering import NAMESPACE
from switchyard_testkit.rollout_world import CANARY_SPEC, NAME, PAIRED_SPEC, Model, Simulation, shadow
from switchyard_testkit.rollout_world import NAMESPACE as PLACE
from switchyard_testkit.telling import Inbox, Told
from switchyard_testkit.waiting import until

JSON = dict[str, Any]

SUBJECT, SORTED = f"{PLACE}/{NAME}", f"{PLACE}/sorted"
"""A deployment that predicts numbers, as in the rollouts' world, and one that predicts classes."""
CLASSES = {**MONITORING, "prediction": {"path": "$.delay", "task": "classification"}}
ONE, TWO, THREE = (f"models/delay:{number}" for number in (1, 2, 3))
CLAIM = "data-switchyard-monitor-0"


@dataclass(frozen=True)
class Scraped:
    """Where a part is scraped, and something that happens to it."""

    targets: tuple[str, ...]
    stir: Callable[[], None] = lambda: None


@contextmanager
def operators(folder: Path, server: ApiServer) -> Iterator[Scraped]:
    """The process, whose deployments somebody else edits; rollouts of each kind; a receiver that takes nothing."""
    with ExitStack() as stack:
        place = stack.enter_context(temporary_namespace(server.api, "scraped"))
        settings = {"OPERATOR_NAMESPACE": place, "OPERATOR_WATCH_NAMESPACES": place, "OPERATOR_LEASE": place}
        process = OperatorProcess(server.kubeconfig, 8081, folder / "operator.log", settings=settings)
        stack.callback(process.end)
        process.start()
        until(lambda: process.metrics().get("switchyard_operator_leading"), "the operator leads", seconds=120)
        client.CustomObjectsApi(server.api).create_namespaced_custom_object(
            "switchyard.dev", "v1alpha1", place, "modeldeployments", model_deployment()
        )
        targets = [f"127.0.0.1:{process.port}"]
        for world in (under_way(), unjudged(), taken_back(), refused(), suspended(), beside(), left_alone()):
            targets.append(stack.enter_context(exporter(registry(world))))
        yield Scraped(tuple(targets), lambda: edited(server.api, place))


def model_deployment() -> JSON:
    """As small as can be; nobody makes its pods."""
    image = "registry.example/flight-delay@sha256:" + "0" * 64
    return {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "small"},
        "spec": {"model": {"image": image}},
    }


def edited(api: client.ApiClient, namespace: str) -> None:
    """Somebody changes what the operator has made, once it is there."""
    apps = client.AppsV1Api(api)
    for found in apps.list_namespaced_deployment(namespace).to_dict()["items"]:
        replicas = {"spec": {"replicas": (found["spec"]["replicas"] or 0) + 1}}
        try:
            apps.patch_namespaced_deployment(
                found["metadata"]["name"], namespace, replicas, field_manager="somebody-else"
            )
        except ApiException as error:
            if error.status not in (404, 409):
                raise


def registry(world: Simulation) -> CollectorRegistry:
    """What the leading operator of this world tells; its courier's tries are counted as the process does."""
    metrics = Metrics()
    metrics.registry.register(Rollouts(world.cache, leading=lambda: True))
    for receiver, result in world.results if isinstance(world, Told) else ():
        metrics.count_notification(receiver, result)
    return metrics.registry


def second(**nature: Any) -> Told:
    """The first model serves; the second comes next. Whoever is to be told is away for good."""
    models = {ONE: Model(version="1.0.0"), TWO: Model(**{"version": "2.0.0"} | nature), THREE: Model(version="3.0.0")}
    return Told(models, posts={"desk": Inbox(away="the desk is away")}, give_up=timedelta(seconds=10))


def under_way() -> Simulation:
    """A canary by pairs at its first weight."""
    world = second(loss=50.0)
    world.deploy(PAIRED_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(PAIRED_SPEC, image=TWO)
    world.run(lambda: bool(world.weights) and world.weights[-1][1] == 500)
    world.run_for(timedelta(seconds=5))
    return world


def unjudged() -> Simulation:
    """The same when the monitor falls silent, and a pod of what serves goes."""
    world = under_way()
    world.monitor.down = "the monitor does not answer"
    world.frozen_count[world.revision(ONE)] = 1
    world.run_for(timedelta(minutes=2))
    return world


def refused() -> Simulation:
    """A first model that answers its smoke request wrongly."""
    world = Told({ONE: Model(smoke="it answered 500")})
    world.deploy(CANARY_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.REFUSED)
    return world


def taken_back() -> Simulation:
    """A canary that fails half of its requests."""
    world = second(failing=0.5)
    world.deploy(CANARY_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.run_for(timedelta(minutes=2))
    return world


def suspended() -> Simulation:
    """A canary that a person holds."""
    world = under_way()
    world.deploy(PAIRED_SPEC | {"suspend": True}, image=TWO)
    world.run(lambda: world.phase is Phase.SUSPENDED)
    return world


def beside() -> Simulation:
    """A model with a shadow beside it."""
    world = second(loss=50.0)
    world.deploy(PAIRED_SPEC | {"shadows": [shadow("better", TWO, sample="50%")]}, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.run_for(timedelta(minutes=2))
    return world


def left_alone() -> Simulation:
    """The same when the shadow has no pod any more."""
    world = beside()
    world.frozen_pods.add(world.revision(TWO))
    world.run_for(timedelta(seconds=10))
    return world


@contextmanager
def monitor(folder: Path) -> Iterator[Scraped]:
    """With decisions, outcomes and pairs of numbers, and classes; each stir brings some more of all."""
    world = World(folder)
    world.teach(WATCHED, subject=SUBJECT)
    world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    world.teach(CLASSES, subject=SORTED)
    health = Health(lambda: 0.0)
    room = Room(size=world.store.upkeep.size, most=0, clock_us=lambda: world.now_us)
    figures = own(CollectorRegistry(), part="monitor", distribution="switchyard-monitor")
    figures.register(MonitorCollector(store=world.store, health=health, drifting=world.drifting()))
    reader = Reader(
        member="monitor-0",
        broker=world.broker,
        store=world.store,
        models=world.models,
        pace=world.pace,
        clock_us=lambda: world.now_us,
        on_commit=commit_seconds(figures).observe,
    )
    said = 0
    for i in range(30):  # of the day before, so that a window of the reference's is over
        world.say(inference(f"y{i}", y=10.0 + i, x=i % 5, at=i - 50_000, subject=SUBJECT), at=i - 50_000)

    def stir() -> None:
        nonlocal said
        for i in range(said, said + 10):
            world.say(inference(f"p{i}", y=10.0 + i % 7, at=i, subject=SUBJECT), at=i)
            world.say(mirrored(f"p{i}", y=11.0, at=i, subject=SUBJECT), at=i)
            world.say(outcome(f"p{i}", 12.0, at=i, subject=SUBJECT), at=i + 1)
            world.say(decision(f"p{i}", True, at=i, subject=SUBJECT), at=i + 1)
            world.say(outcome(f"nobody-{i}", 1.0, at=i, subject=SUBJECT), at=i + 1)
            world.say(inference(f"s{i}", y=i % 2, at=i, subject=SORTED), at=i)
            world.say(outcome(f"s{i}", 1, at=i, subject=SORTED), at=i + 1)
        said += 10
        world.pass_time(30)
        while done := reader.step():
            health.passed(done)
        world.judge_drift()
        health.lag = dict(reader.lag)
        room.look()
        health.sees(room)

    stir()
    app = monitor_app(
        store=world.store, models=world.models, tokens=Tokens([]), health=health, registry=figures, page=None
    )
    try:
        with served(app) as address:
            yield Scraped((address,), stir)
    finally:
        world.store.close()


@contextmanager
def feedback(folder: Path) -> Iterator[Scraped]:
    """Each stir sends an outcome that is taken, one that is refused, and one that Kafka does not confirm."""
    tokens = write_tokens(folder / "tokens.json", token_entry("till", "right", f"{PLACE}/*"))
    metrics = FeedbackMetrics()
    own(metrics.registry, part="feedback", distribution="switchyard-feedback")
    events = MemoryLog()
    app = feedback_app(
        tokens=FeedbackTokens(tokens),
        events=events,
        monitor=None,
        metrics=metrics,
        max_body=2**20,
        now=lambda: NOON,
    )
    with served(app) as address:
        headers = {"authorization": "Bearer right"}
        with httpx.Client(base_url=f"http://{address}", headers=headers, trust_env=False, timeout=30) as product:

            def stir() -> None:
                item = {"predictionId": "p-1", "value": 12.5, "at": "2026-03-02T11:00:00Z"}
                for document, status in ((item, 202), ({"predictionId": "p-1"}, 422), (item, 503)):
                    events.silent = status == 503
                    answer = product.post(f"/v1/{SUBJECT}/outcomes", json=document)
                    assert answer.status_code == status, answer.text

            stir()
            yield Scraped((address,), stir)


@contextmanager
def kubelet() -> Iterator[Scraped]:
    """A stand-in that tells of one volume, in the words of a kubelet."""
    figures = CollectorRegistry()
    for name, value in (("available", 3e9), ("capacity", 5e9)):
        gauge = Gauge(
            f"kubelet_volume_stats_{name}_bytes",
            "Of a volume.",
            ["namespace", "persistentvolumeclaim"],
            registry=figures,
        )
        gauge.labels(NAMESPACE, CLAIM).set(value)
    with exporter(figures) as address:
        yield Scraped((address,))


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """An application on a socket of the loopback; its `host:port`."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, name="served")
    thread.start()
    try:
        until(lambda: server.started, "the application is served", seconds=60, every=0.05)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


def jobs_of_kubelet(found: Scraped) -> Mapping[str, Any]:
    """How kubelets are scraped: the labels that they tell are kept."""
    return {
        "job_name": "kubelet",
        "honor_labels": True,
        "scrape_interval": "2s",
        "scrape_timeout": "2s",
        "static_configs": [{"targets": list(found.targets), "labels": {"job": "kubelet"}}],
    }
