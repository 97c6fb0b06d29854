"""A whole cluster in one process, for rollouts.

A clock that only moves when told, pods that become ready or do not, gateways that acknowledge or do not, and a monitor
that counts the traffic that the route would have split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from switchyard_contracts.alarm_records import AlarmBook, AlarmRecord
from switchyard_contracts.base import API_VERSION, LABEL_DEPLOYMENT, LABEL_REVISION
from switchyard_contracts.counted import Counted
from switchyard_contracts.evidence import ArmFolds, ArmSums, Coverage, Evidence, Folds, PairBlock, Paired, WindowSums
from switchyard_contracts.freezes import Freeze
from switchyard_contracts.model_deployment import ModelDeploymentStatus, Phase
from switchyard_contracts.model_route import ModelRouteSpec
from switchyard_contracts.sticky import FOLDS
from switchyard_contracts.topics import ModelRecord, RolloutRecord
from switchyard_operator.cache import Cache
from switchyard_operator.domain import kinds
from switchyard_operator.domain.analysis import Question
from switchyard_operator.domain.gates import Answer, State
from switchyard_operator.domain.reviews import Review
from switchyard_operator.domain.tidings import NOBODY, Audience
from switchyard_operator.domain.world import Body, GatewayReport
from switchyard_operator.errors import EvidenceUnavailable, TryLater
from switchyard_operator.lookout import Lookout
from switchyard_operator.ports import Cluster, Facts, Messenger, NoMessenger
from switchyard_operator.reconciler import AFTERWARDS, Reconciler
from switchyard_operator.reporter import Reporter
from switchyard_operator.resync import resync
from switchyard_operator.watchman import Watchman

from switchyard_testkit.fake_cluster import Crash, FakeCluster
from switchyard_testkit.fake_counters import FakeCounters

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAMESPACE = "airport"
NAME = "delay"
KEY = (NAMESPACE, NAME)
WINDOW = timedelta(seconds=5)
AGE = timedelta(seconds=10)
"""When a prediction is judged."""
OF_A_REVISION = {LABEL_REVISION: ""}
SETTLING = 3
"""Seconds of a generation that gateways do not count."""


class Stage(Cluster, Protocol):
    """A cluster to play on: what the operator may do, what others do in it, and a crash after a write."""

    writes: list[str]
    crash_after: int | None

    def put(self, body: Mapping[str, Any]) -> Body:
        """What others write: people, kubelets, controllers."""

    def take(self, kind: kinds.Kind, namespace: str, name: str) -> None:
        """What others delete."""


@dataclass
class Clock:
    """Time, moved by hand."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, kw_only=True)
class Model:
    """How an image behaves."""

    version: str = "1.0.0"
    starts: bool = True
    smoke: str = ""
    failing: float = 0.0
    """Share of requests that fail."""
    loss: float = 100.0
    """Mean squared error."""
    agreement: float | None = None
    """Share of its predictions that people follow; None where nobody says what was decided."""
    hangs: bool = False
    """It takes mirrored requests and answers none, so the mirror lets most of them fall."""
    pod_reason: str = "CrashLoopBackOff"
    schema: Mapping[str, Any] = field(default_factory=dict)
    """What it publishes as `/schema.json`."""


@dataclass
class Gateways:
    """Pods that run whatever the route says, unless told to be silent."""

    cluster: Cluster
    names: list[str] = field(default_factory=lambda: ["gateway-0", "gateway-1"])
    silent: set[str] = field(default_factory=set)
    refusing: str = ""
    unrecorded: dict[str, str] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    acknowledged: ModelRouteSpec | None = None
    generation: int = 0
    uncounted: bool = False
    """They do not say what they counted."""
    asked: int = 0
    """How often they were asked what they counted."""
    counters: dict[str, FakeCounters] = field(default_factory=dict)
    _seconds: dict[int, float] = field(default_factory=dict)
    _owed: dict[tuple[str, str], float] = field(default_factory=dict)
    key: tuple[str, str] = KEY
    """The deployment whose route they run."""

    def serve(self, passed: timedelta, *, rate: float, natures: Callable[[str], Model], now: datetime) -> None:
        """So much time of traffic, as Envoy counts it: the first seconds of each generation are nobody's."""
        seconds = passed.total_seconds()
        route, self._seconds[self.generation] = self.acknowledged, self._seconds.get(self.generation, 0.0) + seconds
        if route is None or self._seconds[self.generation] <= SETTLING:
            return
        weights = {entry.revision: entry.weight_bp for entry in route.routes if entry.weight_bp}
        for name in self.names:
            held = self.counters.setdefault(name, FakeCounters(name))
            for revision, weight in weights.items():
                requests = self._due(f"{name} requests", revision, seconds * rate / len(self.names) * weight / 10_000)
                failing = self._due(f"{name} failures", revision, requests * natures(revision).failing)
                held.serve(revision, requests, weights=weights, traffic=self.generation, at=now, failing=failing)

    def _due(self, what: str, revision: str, more: float) -> int:
        """Whole requests of a stream that comes in fractions."""
        owed = self._owed.get((what, revision), 0.0) + more
        self._owed[what, revision] = owed - int(owed)
        return int(owed)

    def counted(self, subject: str) -> tuple[Counted, ...]:
        """The port."""
        self.asked += 1
        if self.uncounted:
            return ()
        return tuple(held.counted() for name, held in sorted(self.counters.items()) if name not in self.silent)

    def tick(self) -> None:
        """Every gateway that works takes the newest route."""
        route = self.cluster.read(kinds.MODEL_ROUTE, *self.key)
        if route is None:
            self.acknowledged, self.generation = None, 0
            return
        for name in self.names:
            if name not in self.silent and not self.refusing:
                self.running[name] = route["metadata"]["generation"]
        if not self.refusing:
            self.acknowledged = ModelRouteSpec.model_validate(route["spec"])
            self.generation = route["metadata"]["generation"]

    def reports(self, subject: str, generation: int) -> tuple[GatewayReport, ...]:
        """The port."""
        return tuple(
            GatewayReport(
                pod=name,
                generation=self.running.get(name),
                rejected=self.refusing,
                unrecorded=self.unrecorded.get(name, ""),
            )
            for name in self.names
        )


@dataclass
class Served:
    """One window of one generation, by revision: requests, and when they were served."""

    start: datetime
    traffic: int
    weights: Mapping[str, int]
    served: dict[str, float] = field(default_factory=dict)
    mirrors: Mapping[str, float] = field(default_factory=dict)
    by_user: bool = False
    """Whether users stayed with their arm."""
    sums: dict[tuple[str, str], WindowSums] = field(default_factory=dict)


@dataclass
class Monitor:
    """Sums that follow from the traffic and each model's nature; no chance in it, so every run is the same."""

    clock: Clock
    natures: Callable[[str], Model]
    rate: float = 100.0
    cap: float = 1000.0
    """The largest |error| that counts."""
    down: str = ""
    read_to: datetime | None = None
    """Where it stopped to read, as Kafka fell silent."""
    windows: list[Served] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)
    book: AlarmBook = field(default_factory=lambda: AlarmBook(deployment="/".join(KEY)))
    """What it says of alarms."""
    books_read: int = 0

    def tick(self, passed: timedelta, route: ModelRouteSpec | None, generation: int) -> None:
        """Serve so much time of traffic."""
        if route is None:
            return
        seconds = int(self.clock.now.timestamp() // WINDOW.total_seconds() * WINDOW.total_seconds())
        start = datetime.fromtimestamp(seconds, UTC)
        if not self.windows or (self.windows[-1].start, self.windows[-1].traffic) != (start, generation):
            weights = {entry.revision: entry.weight_bp for entry in route.routes}
            mirrors: dict[str, float] = {entry.revision: entry.mirror_bp for entry in route.mirrored}
            mirrors |= {
                entry.revision: (entry.sample_bp or 0) * route.stable.weight_bp / 10_000 for entry in route.sampled
            }
            by_user = route.split is not None
            self.windows.append(Served(start, generation, weights, mirrors=mirrors, by_user=by_user))
        window = self.windows[-1]
        for entry in route.routes:
            served = self.rate * passed.total_seconds() * entry.weight_bp / 10_000
            window.served[entry.revision] = window.served.get(entry.revision, 0.0) + served

    def heads(self) -> Mapping[str, str]:
        """The port."""
        if self.down:
            raise EvidenceUnavailable(self.down)
        return {self.book.deployment: self.book.records[0].id} if self.book.records else {}

    def alarms(self, subject: str) -> AlarmBook:
        """The port."""
        self.books_read += 1
        if self.down:
            raise EvidenceUnavailable(self.down)
        return self.book

    def evidence(self, subject: str, question: Question) -> Evidence:
        """The port."""
        self.asked.append(question)
        if self.down:
            raise EvidenceUnavailable(self.down)
        outcome = question.metric.metric.startswith("outcome.")
        watermark = min(self.clock.now, self.read_to or self.clock.now)
        ripe = watermark - WINDOW - (AGE if outcome else timedelta(0))
        found = [item for item in self.windows if item.traffic in question.traffic and item.start <= ripe]
        sums = [self._sums(item, question) for item in found]
        mine, other = sum(item.candidate.n for item in sums), sum(item.stable.n for item in sums)
        return Evidence(
            deployment=subject,
            metric=question.metric.metric,
            revision=question.revision,
            against=question.against,
            traffic=list(question.traffic),
            watermark=watermark,
            windows=sums,
            candidate=ArmSums(n=mine),
            stable=ArmSums(n=other),
            candidate_coverage=Coverage(predictions=mine, judged=mine),
            stable_coverage=Coverage(predictions=other, judged=other),
            cap=self.cap,
            value=self._agreement(question, question.revision) if mine else None,
            against_value=self._agreement(question, question.against) if other else None,
            rate_per_second=self.rate * sums[-1].probability if sums else None,
            paired=self._paired(question) if outcome else None,
        )

    def _agreement(self, question: Question, revision: str) -> float | None:
        return self.natures(revision).agreement if question.metric.metric == "decision.agreement" else None

    def _sums(self, window: Served, question: Question) -> WindowSums:
        """A window that is over stays as it is; an hour of them is asked for in each pass."""
        arms = (question.revision, question.against)
        if arms in window.sums:
            return window.sums[arms]
        sums = WindowSums(
            start=window.start,
            traffic=window.traffic,
            probability=window.weights.get(question.revision, 0) / 10_000,
            candidate=self._arm(window, question.revision),
            stable=self._arm(window, question.against),
        )
        if window.by_user:
            folds = Folds(candidate=_by_user(sums.candidate, 7), stable=_by_user(sums.stable, 3))
            sums = sums.model_copy(update={"folds": folds})
        if window is not self.windows[-1]:
            window.sums[arms] = sums
        return sums

    def _paired(self, question: Question) -> Paired | None:
        """Pairs of complete blocks; days differ, so both models err more in one block than in another."""
        copied = [
            window
            for window in self.windows
            if window.traffic in question.traffic and question.revision in window.mirrors
        ]
        if not copied and not question.mirrored:
            return None
        block = question.block or timedelta(days=1)
        ripe = self.clock.now - WINDOW - AGE - block
        blocks: list[PairBlock] = []
        expected = seen = pending = 0
        for window in copied:
            start = _start(window.start, block)
            n = int(self._copies(window, question))
            answered = self._answered(question.revision, n)
            if start > ripe:
                pending += answered
                continue
            expected, seen = expected + n, seen + answered
            day = 1.0 + 0.2 * (int(start.timestamp() // block.total_seconds()) % 3 - 1)
            blocks.append(
                PairBlock(
                    start=start,
                    traffic=window.traffic,
                    pairs=answered,
                    candidate=self._losses(question.revision, answered, day),
                    stable=self._losses(question.against, answered, day),
                )
            )
        return Paired(
            block_seconds=block.total_seconds(),
            blocks=[item for item in blocks if item.pairs],
            seen=seen,
            judged=seen,
            expected=float(expected),
            pending=pending,
            unanswered=0 if self.natures(question.revision).hangs else expected - seen,
            rate_per_second=self.rate if seen else None,
        )

    def _copies(self, window: Served, question: Question) -> float:
        whole = window.weights[question.against]
        share = window.mirrors[question.revision] / whole if whole else 0.0
        return window.served.get(question.against, 0.0) * share

    def _answered(self, revision: str, copies: int) -> int:
        nature = self.natures(revision)
        return 0 if nature.hangs else copies - round(copies * nature.failing)

    def _losses(self, revision: str, n: int, day: float) -> ArmSums:
        loss = self.natures(revision).loss * day
        return ArmSums(n=n, loss=n * loss, loss_squares=n * loss**2 * 1.5)

    def _arm(self, window: Served, revision: str) -> ArmSums:
        n = int(window.served.get(revision, 0.0))
        nature = self.natures(revision)
        squares = nature.loss**2 * 1.5
        failures = round(n * nature.failing)
        return ArmSums(n=n, predictions=n, failures=failures, loss=n * nature.loss, loss_squares=n * squares)


def _by_user(arm: ArmSums, stride: int) -> ArmFolds:
    """An arm by groups of users, some of whom meet larger losses than others."""
    n, failures = (
        [whole // FOLDS + (fold < whole % FOLDS) for fold in range(FOLDS)] for whole in (arm.n, arm.failures)
    )
    mean = arm.loss / arm.n if arm.n else 0.0
    loss = [each * mean * (1.0 + 0.1 * (fold * stride % 5 - 2)) for fold, each in enumerate(n)]
    return ArmFolds(n=n, failures=failures, loss=loss)


def _start(moment: datetime, block: timedelta) -> datetime:
    size = block.total_seconds()
    return datetime.fromtimestamp(moment.timestamp() // size * size, UTC)


@dataclass
class Models:
    """The pods' own answers."""

    cluster: Cluster
    natures: Callable[[str], Model]
    asked: int = 0

    def _nature(self, address: str) -> Model:
        for pod in self.cluster.find(kinds.POD, labels=OF_A_REVISION):
            if pod["status"].get("podIP") == address:
                return self.natures(pod["metadata"]["labels"][LABEL_REVISION])
        raise TryLater(f"no pod has the address {address}")

    def facts(self, address: str, port: int) -> Facts:
        """The port."""
        return Facts(self._nature(address).version, ("/predict",))

    def smoke(self, address: str, port: int, *, path: str, body: str | None) -> str:
        """The port."""
        self.asked += 1
        return self._nature(address).smoke

    def schema(self, address: str, port: int) -> Mapping[str, Any]:
        """The port."""
        return self._nature(address).schema


@dataclass
class Webhooks:
    """Whoever gates ask: what it answers, and what it was asked."""

    answer: Answer = field(default_factory=lambda: Answer(State.PASSED, "it allows it"))
    asked: list[Review] = field(default_factory=list)

    def ask(self, url: str, review: Review, *, timeout: timedelta) -> Answer:
        """The port."""
        self.asked.append(review)
        return self.answer


@dataclass
class Trainers:
    """Whom requests to retrain are told: what they answer, and what they were told. They answer when asked to."""

    answer: str = ""
    told: list[tuple[str, AlarmRecord]] = field(default_factory=list)
    slow: bool = False
    """They do not answer yet."""
    _waiting: list[tuple[Future[str], Callable[[], str]]] = field(default_factory=list)

    def tell(self, url: str, request: AlarmRecord, *, timeout: timedelta) -> str:
        """The port."""
        self.told.append((url, request))
        return self.answer

    def submit(self, work: Callable[[], str]) -> Future[str]:
        """Another thread, which is at once done with it unless it is slow."""
        future: Future[str] = Future()
        self._waiting.append((future, work))
        if not self.slow:
            self.come_round()
        return future

    def come_round(self) -> None:
        """Those who were slow answer."""
        waiting, self._waiting = self._waiting, []
        for future, work in waiting:
            future.set_result(work())


@dataclass
class Bus:
    """What was published."""

    models: list[ModelRecord] = field(default_factory=list)
    rollouts: list[RolloutRecord] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def publish_model(self, record: ModelRecord) -> None:
        """The port; the same twice is once."""
        if not self.models or self.models[-1] != record:
            self.models.append(record)

    def forget_model(self, subject: str) -> None:
        """The port."""
        self.forgotten.append(subject)

    def publish_rollout(self, record: RolloutRecord) -> None:
        """The port."""
        self.rollouts.append(record)


@dataclass
class Notes:
    """The Kubernetes events."""

    posted: dict[str, Body] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)

    def post(self, body: Body) -> None:
        """The port; the name is a hash of the content."""
        self.posted[body["metadata"]["name"]] = body
        self.times[body["metadata"]["name"]] += 1

    def of(self, kind: str = "ModelDeployment") -> list[tuple[str, str, str]]:
        """Type, reason and words of each, in the order in which they first came."""
        found = [body for body in self.posted.values() if body["involvedObject"]["kind"] == kind]
        return [(body["type"], body["reason"], body["message"]) for body in found]


SPEC: dict[str, Any] = {
    "model": {"image": "models/delay:1"},
    "serving": {"replicas": 2, "paths": ["/predict"]},
}
CANARY: dict[str, Any] = {
    "type": "Canary",
    "canary": {
        "mirror": 0,
        "steps": [
            {"name": "five", "weight": 5, "hold": "30s"},
            {"name": "quarter", "weight": 25, "hold": "30s"},
            {"name": "half", "weight": 50, "hold": "30s"},
        ],
    },
}
ANALYSIS: dict[str, Any] = {
    "metrics": [
        {"name": "errors", "metric": "error_rate", "max": "1%", "role": "guard"},
        {
            "name": "outcome",
            "metric": "outcome.rmse",
            "maxIncrease": "5%",
            "minSamples": 200,
            "maxWait": "1h",
            "role": "decide",
        },
    ]
}
MONITORING: dict[str, Any] = {
    "prediction": {"path": "$.delay", "task": "regression"},
    "outcome": {"horizon": "10m", "judgedAfter": "10s", "affectedBy": "nothing"},
}
CANARY_SPEC: dict[str, Any] = SPEC | {
    "strategy": CANARY,
    "analysis": ANALYSIS,
    "monitoring": MONITORING,
    "rollback": {"watch": "2m", "warm": {"replicas": 1, "for": "3m"}},
}


PAIRED: dict[str, Any] = {
    "analysis": {**ANALYSIS, "block": "5s"},
    "monitoring": MONITORING,
    "rollback": {"watch": "2m", "warm": {"replicas": 1, "for": "3m"}},
}
PAIRED_SPEC: dict[str, Any] = (
    SPEC | PAIRED | {"strategy": {"type": "Canary", "canary": {"steps": CANARY["canary"]["steps"]}}}
)
"""A canary that is decided by pairs, as it is where nothing is said of a mirror."""
SHADOW_SPEC: dict[str, Any] = SPEC | PAIRED | {"strategy": {"type": "Shadow", "shadow": {"hold": "30s"}}}
"""A shadow that ends when it is judged."""
THEN_SPEC: dict[str, Any] = (
    SPEC
    | PAIRED
    | {
        "strategy": {
            "type": "Shadow",
            "shadow": {
                "hold": "30s",
                "thenPromote": {
                    "steps": [
                        {"name": "five", "weight": 5, "hold": "20s"},
                        {"name": "half", "weight": 50, "hold": "20s"},
                    ]
                },
            },
        }
    }
)
"""A shadow whose candidate takes over by a canary."""


def shadow(name: str, image: str, **said: Any) -> dict[str, Any]:
    """An entry of spec.shadows."""
    return {"name": name, "model": {"image": image}, **said}


WEEK = timedelta(seconds=35)
"""Seven blocks of the tests' clock."""
AB_SPEC: dict[str, Any] = SPEC | {
    "analysis": {**ANALYSIS, "block": "5s"},
    "monitoring": {**MONITORING, "window": "5s"},
    "rollback": {"watch": "2m", "warm": {"replicas": 1, "for": "3m"}},
    "strategy": {"type": "ABTest", "abTest": {"split": {"by": "header", "name": "x-user-id"}, "weeks": 2}},
}
"""Half of the users for two weeks, then one reading."""
BANDIT_SPEC: dict[str, Any] = AB_SPEC | {
    "analysis": {
        "block": "5s",
        "metrics": [ANALYSIS["metrics"][0], ANALYSIS["metrics"][1] | {"minSamples": 20_000}],
    },
    "strategy": {"type": "Bandit", "bandit": {"start": 10, "floor": 5, "ceiling": 90, "every": "20s"}},
}
"""A weight that follows the rewards; so many samples are asked for that it has time to."""


class Rollout:
    """Everything together; `run` lets time pass, `restart` is a new process on the same cluster."""

    messenger: Messenger = NoMessenger()
    audience: Audience = NOBODY
    """Who is told of rollouts; a new process is given both."""
    freezes: tuple[Freeze, ...] = ()
    """Those of the whole installation."""
    resolvers: tuple[Mapping[str, Any], ...] = ()
    """Who answers for names, where the installation says so."""
    key: tuple[str, str] = KEY
    """Namespace and name of the deployment."""

    def __init__(
        self,
        models: Mapping[str, Model],
        *,
        cluster: Stage,
        clock: Clock,
        stride: timedelta = timedelta(seconds=1),
        also: Sequence[kinds.Kind] = (),
    ) -> None:
        self.also = also
        self.clock = clock
        self.stride = stride
        self.images = dict(models)
        self.cluster = cluster
        self.gateways = Gateways(self.cluster, key=self.key)
        self.monitor = Monitor(self.clock, self.nature)
        self.models = Models(self.cluster, self.nature)
        self.webhooks = Webhooks()
        self.trainers = Trainers()
        self.bus = Bus()
        self.notes = Notes()
        self.frozen_pods: set[str] = set()
        """Revisions whose pods do not become ready at present."""
        self.frozen_count: dict[str, int] = {}
        """Of a revision, how many of its pods are not ready at present."""
        self.weights: list[tuple[str, int]] = []
        """Every (revision, weight) of a candidate or a newly stable one that was ever acknowledged, in order."""
        self._addresses = 0
        self.restart()

    def restart(self) -> None:
        """A new operator process: nothing in memory."""
        self.cache = Cache()
        self.watchman = Watchman(
            monitor=self.monitor,
            cluster=self.cluster,
            trainers=self.trainers,
            submit=self.trainers.submit,
            wake=lambda _: None,
        )
        self.reconciler = Reconciler(
            cluster=self.cluster,
            cache=self.cache,
            gateways=self.gateways,
            monitor=self.monitor,
            models=self.models,
            webhooks=self.webhooks,
            reporter=Reporter(bus=self.bus, notes=self.notes, reasserted=lambda _: None),
            clock=self.clock,
            status_interval=timedelta(minutes=1),
            also=self.also,
            messenger=self.messenger,
            audience=self.audience,
            freezes=self.freezes,
            lookout=self.outlook(),
            resolvers=self.resolvers,
            watchman=self.watchman,
        )

    def outlook(self) -> Lookout | None:
        """Who looks at the user's Prometheus; a new process has a new one."""
        return None

    def nature(self, revision: str) -> Model:
        """The model behind a revision, by its image."""
        return self.images.get(self.image(revision), Model())

    # --- people ---

    def deploy(self, spec: Mapping[str, Any], **changes: Any) -> None:
        """Apply a ModelDeployment; `image` changes the model."""
        wanted = dict(spec)
        if image := changes.pop("image", ""):
            wanted["model"] = {**wanted["model"], "image": image}
        wanted |= changes
        self.cluster.put(
            {
                "apiVersion": API_VERSION,
                "kind": "ModelDeployment",
                "metadata": {"name": self.key[1], "namespace": self.key[0]},
                "spec": wanted,
            }
        )

    def command(self, verb: str, **words: str) -> str:
        """Create a ModelCommand; the answer is its name."""
        name = f"command-{len(self.cluster.find(kinds.MODEL_COMMAND))}"
        spec = {"deployment": self.key[1], "verb": verb, "requestedBy": "ada", **words}
        self.cluster.put(
            {
                "apiVersion": API_VERSION,
                "kind": "ModelCommand",
                "metadata": {"name": name, "namespace": self.key[0]},
                "spec": spec,
            }
        )
        return name

    # --- what stands ---

    @property
    def status(self) -> ModelDeploymentStatus:
        """The ModelDeployment's status."""
        body = self.cluster.read(kinds.MODEL_DEPLOYMENT, *self.key)
        return ModelDeploymentStatus.model_validate((body or {}).get("status") or {})

    @property
    def phase(self) -> Phase | None:
        """Where the rollout stands."""
        return self.status.rollout.phase if self.status.rollout else None

    @property
    def route(self) -> dict[str, tuple[str, int]]:
        """Each image in the route: role and weight."""
        body = self.cluster.read(kinds.MODEL_ROUTE, *self.key)
        if body is None:
            return {}
        return {self.image(entry["revision"]): (entry["role"], entry["weightBp"]) for entry in body["spec"]["routes"]}

    @property
    def mirrors(self) -> dict[str, int]:
        """Each image that stable's requests are mirrored to, and how much of the traffic."""
        body = self.cluster.read(kinds.MODEL_ROUTE, *self.key)
        entries = body["spec"]["routes"] if body else []
        return {self.image(entry["revision"]): entry["mirrorBp"] for entry in entries if entry["mirrorBp"]}

    @property
    def samples(self) -> dict[str, int]:
        """Each image that is a shadow in the route, and how much of stable's requests it is sent."""
        body = self.cluster.read(kinds.MODEL_ROUTE, *KEY)
        entries = body["spec"]["routes"] if body else []
        return {self.image(entry["revision"]): entry["sampleBp"] for entry in entries if entry.get("sampleBp")}

    def image(self, revision: str) -> str:
        """The image of a revision."""
        body = self.cluster.read(kinds.MODEL_REVISION, self.key[0], revision)
        return str(body["spec"]["pod"]["image"]) if body else "?"

    def revision(self, image: str) -> str:
        """The newest revision of an image."""
        found = [
            body["metadata"]["name"]
            for body in self.cluster.find(kinds.MODEL_REVISION)
            if body["spec"]["pod"]["image"] == image
        ]
        return str(found[-1])

    @property
    def replicas(self) -> dict[str, int]:
        """Each image's Deployment, by what it asks for."""
        return {
            self.image(body["metadata"]["labels"][LABEL_REVISION]): body["spec"]["replicas"]
            for body in self.cluster.find(kinds.DEPLOYMENT)
        }

    # --- time ---

    def run(self, until: Callable[[], bool], *, within: timedelta = timedelta(minutes=30)) -> None:
        """Let time pass, second by second, until something is so; not so in time is an error."""
        end = self.clock.now + within
        while not until():
            if self.clock.now >= end:
                raise AssertionError(f"not within {within}: {self.describe()}")
            self.tick()

    def run_for(self, span: timedelta) -> None:
        """Let so much time pass."""
        end = self.clock.now + span
        while self.clock.now < end:
            self.tick()

    def tick(self) -> None:
        """One stride of time: the cluster moves, the operator passes until it has nothing to do at once."""
        self.clock.now += self.stride
        self.kubelets()
        self.gateways.tick()
        self.monitor.tick(self.stride, self.gateways.acknowledged, self.gateways.generation)
        self.gateways.serve(self.stride, rate=self.monitor.rate, natures=self.nature, now=self.clock.now)
        self.watchman.patrol()
        for _ in range(30):
            if not self.one_pass():
                break
            self.gateways.tick()
        else:
            raise AssertionError(f"the operator does not come to rest: {self.cluster.writes[-12:]}")
        self._note_weights()

    def one_pass(self) -> bool:
        """One pass; whether it wants another soon. A crash is followed by a new process."""
        before = len(self.cluster.writes)
        try:
            resync(self.cluster, self.cache)
            again = self.reconciler.reconcile(self.key)
        except Crash:
            self.restart()
            return True
        except TryLater as error:
            return error.delay < 1.0
        wrote = len(self.cluster.writes) > before
        return again is not None and again <= (AFTERWARDS if wrote else timedelta(0))

    def kubelets(self) -> None:
        """Pods come, become ready or do not, and go."""
        for deployment in self.cluster.find(kinds.DEPLOYMENT):
            self._pods_of(deployment)
        alive = {body["metadata"]["labels"][LABEL_REVISION] for body in self.cluster.find(kinds.DEPLOYMENT)}
        for pod in self.cluster.find(kinds.POD, labels=OF_A_REVISION):
            if pod["metadata"]["labels"][LABEL_REVISION] not in alive:
                self.cluster.take(kinds.POD, self.key[0], pod["metadata"]["name"])

    def _pods_of(self, deployment: Body) -> None:
        revision = deployment["metadata"]["labels"][LABEL_REVISION]
        nature = self.nature(revision)
        wanted = deployment["spec"]["replicas"]
        ready = nature.starts and revision not in self.frozen_pods
        pods = self.cluster.find(kinds.POD, labels={LABEL_REVISION: revision})
        for index in range(max(wanted, len(pods))):
            name = f"{revision}-{index}"
            if index >= wanted:
                self.cluster.take(kinds.POD, self.key[0], name)
                continue
            held = self.cluster.read(kinds.POD, self.key[0], name)
            address = held["status"]["podIP"] if held else self._address()
            up = ready and index >= self.frozen_count.get(revision, 0)
            self.cluster.put(self._pod(name, revision, nature, ready=up, address=address))
        condition = {
            "type": "Available",
            "status": "True" if ready else "False",
            "lastTransitionTime": self._since(deployment, ready),
        }
        self.cluster.put({**deployment, "status": {"conditions": [condition], "readyReplicas": wanted if ready else 0}})

    def _since(self, deployment: Body, ready: bool) -> str:
        for item in (deployment.get("status") or {}).get("conditions") or []:
            if item["status"] == str(ready):
                return str(item["lastTransitionTime"])
        return self.clock.now.isoformat()

    def _address(self) -> str:
        self._addresses += 1
        return f"10.0.0.{self._addresses}"

    def _pod(self, name: str, revision: str, nature: Model, *, ready: bool, address: str) -> dict[str, Any]:
        state: dict[str, Any] = {"name": "model", "restartCount": 0, "started": ready, "state": {"running": {}}}
        if not nature.starts:
            ended = {"reason": "Error", "exitCode": 3, "message": "no such file: model.json"}
            state |= {
                "restartCount": 4,
                "state": {"waiting": {"reason": nature.pod_reason, "message": "back-off"}},
                "lastState": {"terminated": ended},
            }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": self.key[0],
                "labels": {LABEL_DEPLOYMENT: self.key[1], LABEL_REVISION: revision},
            },
            "status": {
                "podIP": address,
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "containerStatuses": [state],
            },
        }

    def _note_weights(self) -> None:
        for image, (_, weight) in self.route.items():
            if image != self.images_order[0] and (image, weight) not in self.weights[-1:]:
                self.weights.append((image, weight))

    @property
    def images_order(self) -> list[str]:
        """The images as they were given."""
        return list(self.images)

    def describe(self) -> str:
        """For a failing test."""
        rollout = self.status.rollout
        words = (
            f"{rollout.phase} {rollout.reason}: {rollout.message} [{rollout.waiting_for}]" if rollout else "no rollout"
        )
        said = "; ".join(f"{item.type} {item.status}: {item.message}" for item in self.status.conditions)
        stands = f"route {self.route}; replicas {self.replicas}; last writes {self.cluster.writes[-8:]}"
        return f"{words}; {stands}; {said}"


class Simulation(Rollout):
    """A rollout on a cluster in memory, second by second."""

    cluster: FakeCluster

    def __init__(self, models: Mapping[str, Model], *, also: Sequence[kinds.Kind] = ()) -> None:
        clock = Clock()
        super().__init__(models, cluster=FakeCluster(clock), clock=clock, also=also)
