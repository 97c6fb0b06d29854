"""The operator's composition: settings → adapters → reconciler → Kopf. The one place that knows every class."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any, cast

import httpx
import kopf
from pydantic import ValidationError
from switchyard_contracts import logs
from switchyard_contracts.kafka_trouble import Complaints
from switchyard_contracts.own_metrics import own

from switchyard_operator import handlers, health, retries
from switchyard_operator.adapters.bus import KafkaBus, NoBus
from switchyard_operator.adapters.cluster import ApiCluster, connect
from switchyard_operator.adapters.gateway import GatewayPods
from switchyard_operator.adapters.models import HttpModels
from switchyard_operator.adapters.monitor import HttpMonitor
from switchyard_operator.adapters.notes import ClusterNotes
from switchyard_operator.adapters.posts import KafkaPost, WebhookPost
from switchyard_operator.adapters.prometheus import HttpPrometheus
from switchyard_operator.adapters.topics import TopicSettings
from switchyard_operator.adapters.webhooks import HttpTrainers, HttpWebhooks
from switchyard_operator.cache import Cache, Key
from switchyard_operator.courier import Courier, Post
from switchyard_operator.domain import kinds
from switchyard_operator.domain.kinds import Kind
from switchyard_operator.domain.tidings import Audience
from switchyard_operator.errors import NotLeading, TryLater
from switchyard_operator.fence import FencedCluster
from switchyard_operator.handlers import Door, Pulse
from switchyard_operator.leader import RENEW_EVERY, Leadership
from switchyard_operator.lookout import Lookout
from switchyard_operator.metrics import Metrics, Rollouts
from switchyard_operator.ports import Cluster
from switchyard_operator.reconciler import Reconciler
from switchyard_operator.reporter import Reporter
from switchyard_operator.resync import settle, survey, unheard
from switchyard_operator.settings import Settings
from switchyard_operator.watchman import Watchman
from switchyard_operator.workqueue import WorkQueue

logger = logging.getLogger("switchyard_operator")

HEARING = 10.0
"""Seconds that a watch has to deliver what a listing has shown."""
FIRST_RESYNC = 30.0
"""The second listing comes soon, so that watches that never began are noticed soon."""
STUCK_AFTER = 300.0
QUIET = {
    "httpx": logging.WARNING,
    "kopf.objects": logging.WARNING,
    "kopf.activities": logging.WARNING,
    "kafka": logging.ERROR,
}
"""What libraries say below this is no news: our own lines say it once, with its meaning."""
BACKOFF = (1.0, 60.0)


def now() -> datetime:
    """The clock of the whole operator."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Crew:
    """The threads that work, and what they share."""

    reconciler: Reconciler
    queue: WorkQueue[Key]
    leadership: Leadership
    reading: Cluster
    cache: Cache
    metrics: Metrics
    stop: Event
    resync_every: float
    tell_existing: Callable[[set[str]], None]
    also: tuple[Kind, ...]
    synced: bool = False
    missed: str = ""
    """What the watches did not deliver; wants a restart."""
    last_pass: float = 0.0

    def lead(self) -> None:
        """Hold or await the lease; whoever gets it looks at everything once."""
        led = False
        while not self.stop.is_set():
            leading = self.guard(self.leadership.tick) or False
            if leading and not led:
                logger.info("leading")
                self.guard(self.enqueue_all)
            elif led and not leading:
                logger.warning("no longer leading")
            led = leading
            self.metrics.leading.set(int(leading))
            self.stop.wait(RENEW_EVERY)

    def list_anew(self) -> None:
        """The first listing before any pass, one soon after, then the slow resync."""
        times = 0
        while not self.stop.is_set():
            done = self.guard(self.relist)
            times += 1 if done else 0
            self.stop.wait(2.0 if not done else FIRST_RESYNC if times == 1 else self.resync_every)

    def wait_until(self, so: Callable[[], bool]) -> None:
        """Until something is so, or the end."""
        while not self.stop.is_set() and not so():
            self.stop.wait(0.5)

    def enqueue_all(self) -> bool:
        """Look at every deployment once."""
        for key in self.cache.deployments():
            self.queue.add(key)
        return True

    def relist(self) -> bool:
        """Replace the cache, and queue every deployment; once synced, notice whether the watches deliver."""
        found = survey(self.reading, self.cache, also=self.also)
        if self.synced and unheard(found, self.cache):
            self.stop.wait(HEARING)
            late = unheard(found, self.cache)
            self.missed = ", ".join(late[:5])
            if late:
                logger.error("the watches did not deliver %s", self.missed)
        keys = settle(found, self.cache)
        self.synced = True
        self.tell_existing({"/".join(key) for key in self.cache.deployments()})
        for key in keys:
            self.queue.add(key)
        return True

    def work(self) -> None:
        """One worker."""
        failures: dict[Key, int] = {}
        while not self.stop.is_set():
            self.last_pass = time.monotonic()
            if not (self.synced and self.leadership.leading):
                self.stop.wait(0.2)
                continue
            key = self.queue.get(timeout=1.0)
            if key is None:
                continue
            delay = self.run_pass(key, failures)
            self.queue.done(key)
            if delay is not None:
                self.queue.add_after(key, delay)

    def run_pass(self, key: Key, failures: dict[Key, int]) -> float | None:
        """One pass, and when to come again."""
        with self.metrics.seconds.time():
            try:
                again = self.reconciler.reconcile(key)
            except NotLeading:
                self.metrics.passes.labels("not-leading").inc()
                return 1.0
            except TryLater as error:
                logger.info("%s: %s", "/".join(key), error, extra={"deployment": "/".join(key)})
                self.metrics.passes.labels("later").inc()
                failures[key] = failures.get(key, 0) + 1
                return retries.delay(error.delay, times=failures[key])
            except Exception:
                # Whatever is wrong with one deployment must not end the worker of the others.
                failures[key] = failures.get(key, 0) + 1
                self.metrics.passes.labels("failed").inc()
                logger.exception("the pass for %s failed", "/".join(key), extra={"deployment": "/".join(key)})
                return float(min(BACKOFF[1], BACKOFF[0] * 2.0 ** failures[key]))
        failures.pop(key, None)
        self.metrics.passes.labels("done").inc()
        return again.total_seconds() if again is not None else None

    def guard(self, action: Callable[[], bool]) -> bool | None:
        """A thread that must not die."""
        try:
            return action()
        except TryLater as error:
            logger.warning("%s", error)
        except Exception:
            logger.exception("unexpected")
        return None


def token_reader(path: str) -> Callable[[], str]:
    """A token or key, read anew each time: a Secret's file changes when it is renewed."""
    return lambda: Path(path).read_text(encoding="utf-8").strip() if path and Path(path).exists() else ""


def posts(settings: Settings, http: httpx.Client, *, identity: str, topics: TopicSettings | None) -> dict[str, Post]:
    """The way to each receiver of notifications."""
    found: dict[str, Post] = {}
    for receiver in settings.receivers:
        folder = Path(settings.notifications_folder) / receiver.name
        if receiver.webhook:
            url, key = token_reader(str(folder / "url")), token_reader(str(folder / "key"))
            found[receiver.name] = WebhookPost(http, receiver.webhook, url=url, key=key, clock=now)
        elif receiver.kafka:
            found[receiver.name] = KafkaPost(
                receiver.kafka.topic,
                lambda: settings.connection(f"switchyard-operator-{identity}"),
                topics=topics,
                explain=Complaints.hear(settings).explain,
            )
    return found


def outlook(settings: Settings) -> Lookout | None:
    """The way to the user's Prometheus, if there is one; its threads ask, and nobody waits for them."""
    if not settings.prometheus_url:
        return None
    prometheus = HttpPrometheus(
        url=settings.prometheus_url,
        folder=settings.prometheus_folder,
        ca_file=settings.prometheus_ca_file,
        timeout=settings.prometheus_timeout,
        clock=now,
    )
    return Lookout(prometheus, ThreadPoolExecutor(max_workers=4, thread_name_prefix="prometheus"))


async def run(settings: Settings, *, kubeconfig: str | None) -> None:
    """Everything, until a signal."""
    metrics = Metrics()
    own(metrics.registry, part="operator", distribution="switchyard-operator")
    api = connect(kubeconfig)
    cluster = ApiCluster(api, namespaces=settings.namespaces, counted=metrics.count_write, asked=metrics.count_request)
    identity = settings.identity or socket.gethostname()
    leadership = Leadership(
        cluster,
        namespace=settings.namespace,
        name=settings.lease,
        identity=identity,
        monotonic=time.monotonic,
        clock=now,
    )
    fenced = FencedCluster(cluster, leading=lambda: leadership.leading)
    http = httpx.Client(trust_env=False, limits=httpx.Limits(max_connections=64))
    topics = (
        TopicSettings(settings.topic_partitions, settings.topic_replication, settings.topic_retention)
        if settings.topics_create
        else None
    )
    bus = (
        KafkaBus(
            lambda: settings.connection(f"switchyard-operator-{identity}"),
            topics=topics,
            dropped=metrics.dropped.inc,
            explain=Complaints.hear(settings).explain,
            names=settings.topic_names,
        )
        if settings.kafka_servers
        else None
    )
    also = settings.optional_kinds
    cache, queue = Cache(), WorkQueue[Key](time.monotonic)
    ways = posts(settings, http, identity=identity, topics=topics)
    courier = Courier(
        ways,
        give_up=settings.notifications_give_up_after,
        clock=now,
        monotonic=time.monotonic,
        wake=queue.add,
        counted=metrics.count_notification,
    )
    metrics.registry.register(Rollouts(cache, leading=lambda: leadership.leading))
    monitor = HttpMonitor(http, url=settings.monitor_url, token=token_reader(settings.monitor_token_file))
    signing = token_reader(settings.webhook_key_file)
    watchman = Watchman(
        monitor=monitor,
        cluster=fenced,
        trainers=HttpTrainers(http, key=signing, clock=now),
        submit=ThreadPoolExecutor(max_workers=4, thread_name_prefix="trainers").submit,
        wake=queue.add,
    )
    door = Door(cache=cache, queue=queue, monotonic=time.monotonic, pulse=Pulse(time.monotonic()))
    reconciler = Reconciler(
        cluster=fenced,
        cache=cache,
        gateways=GatewayPods(
            cluster,
            namespace=settings.namespace,
            labels=settings.gateway_labels,
            port=settings.gateway_port,
            clock=time.monotonic,
            http=http,
        ),
        monitor=monitor,
        models=HttpModels(http),
        webhooks=HttpWebhooks(http, key=signing, clock=now),
        reporter=Reporter(
            bus=bus or NoBus(),
            notes=ClusterNotes(fenced),
            reasserted=lambda kind: metrics.reasserted.labels(kind).inc(),
        ),
        clock=now,
        status_interval=settings.status_interval,
        also=also,
        messenger=courier,
        audience=Audience(settings.receivers, settings.notifications_held_after),
        freezes=settings.frozen,
        lookout=outlook(settings),
        resolvers=settings.resolvers,
        watchman=watchman,
    )
    stop = Event()
    crew = Crew(
        reconciler=reconciler,
        queue=queue,
        leadership=leadership,
        reading=cluster,
        cache=cache,
        metrics=metrics,
        stop=stop,
        resync_every=settings.resync.total_seconds(),
        tell_existing=bus.these_exist if bus else lambda _: None,
        also=also,
        last_pass=time.monotonic(),
    )

    def refresh() -> None:
        metrics.waiting.set(len(queue))
        metrics.heard.set(time.monotonic() - door.pulse.at)

    def healthy() -> str:
        stuck = time.monotonic() - crew.last_pass
        if crew.missed:
            return f"the watches did not deliver {crew.missed}"
        return f"no worker has moved for {stuck:.0f} s" if stuck > STUCK_AFTER else ""

    def ready() -> str:
        return "" if crew.synced else "the first listing is not done"

    server = health.serve(settings.port, healthy=healthy, ready=ready, metrics=metrics, refresh=refresh)
    threads = [
        Thread(target=target, name=name, daemon=True)
        for target, name in ((crew.lead, "lease"), (crew.list_anew, "resync"))
    ]
    threads += [Thread(target=crew.work, name=f"worker-{n}", daemon=True) for n in range(settings.workers)]
    threads += [
        Thread(target=_tell, args=(courier, receiver.name, stop, leadership), name=f"to-{receiver.name}", daemon=True)
        for receiver in settings.receivers
    ]
    if settings.monitor_url:
        threads.append(
            Thread(target=lambda: watchman.run(stop, leading=lambda: leadership.leading), name="watchman", daemon=True)
        )
    if bus:
        threads.append(
            Thread(target=lambda: bus.run(stop, leading=lambda: leadership.leading), name="bus", daemon=True)
        )
    for thread in threads:
        thread.start()
    try:
        # Kopf looks once at which kinds there are, so it must not look before they are served.
        await asyncio.to_thread(crew.wait_until, lambda: crew.synced and cluster.serves(kinds.MODEL_DEPLOYMENT))
        await watch(settings, door, identity=identity)
    finally:
        stop.set()
        queue.close()
        await asyncio.to_thread(_join, threads)
        for way in ways.values():
            way.close()
        leadership.release()
        server.shutdown()


async def watch(settings: Settings, door: Door, *, identity: str) -> None:
    """Kopf, until a signal; it holds no peering and posts no events of its own.

    It is told who it is: by itself it would ask for the user's name, and uid 1034 has none.
    """
    registry = kopf.OperatorRegistry()
    also = settings.optional_kinds
    handlers.register(registry, also=also)
    stop_flag = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_flag.set)
    await kopf.operator(
        registry=registry,
        settings=handlers.options(also=also),
        memo=door,
        identity=cast(Any, identity),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        stop_flag=stop_flag,
    )


def _tell(courier: Courier, receiver: str, stop: Event, leadership: Leadership) -> None:
    courier.run(receiver, stop, leading=lambda: leadership.leading)


def _join(threads: list[Thread]) -> None:
    for thread in threads:
        thread.join(timeout=15.0)


def main() -> None:
    """The process."""
    logs.configure(os.environ.get("OPERATOR_LOG_FORMAT", ""), quiet=QUIET)
    try:
        settings = Settings.from_env(os.environ)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            names = "_".join(str(part) for part in problem["loc"]).upper()
            logger.critical("OPERATOR_%s: %s", names, problem["msg"])
        sys.exit(2)
    asyncio.run(run(settings, kubeconfig=os.environ.get("KUBECONFIG")))


if __name__ == "__main__":
    main()
