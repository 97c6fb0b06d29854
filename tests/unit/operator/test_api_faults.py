"""An API server in trouble: what its answers mean, and that nobody asks it in a hot loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event
from typing import Any, TypeVar, cast

import pytest
from kubernetes import client
from switchyard_contracts.model_deployment import Phase
from switchyard_operator.__main__ import Crew
from switchyard_operator.adapters import cluster
from switchyard_operator.adapters.cluster import ApiCluster
from switchyard_operator.cache import Cache, Key
from switchyard_operator.domain.kinds import MODEL_ROUTE
from switchyard_operator.errors import Outdated, SwitchyardError, TryLater
from switchyard_operator.metrics import Metrics
from switchyard_operator.reconciler import Reconciler
from switchyard_operator.workqueue import WorkQueue
from switchyard_testkit.fake_cluster import FakeCluster
from switchyard_testkit.real_stage import RealStage
from switchyard_testkit.rollout_world import CANARY_SPEC, KEY, Clock, Model, Rollout, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
HANG = 0


@contextmanager
def answering(code: int, *, after: str = "") -> Iterator[ApiCluster]:
    """An API server that says the same to everything, or nothing at all."""
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if code == HANG:
                over.wait(60)
                return
            self.send_response(code)
            if after:
                self.send_header("Retry-After", after)
            self.end_headers()
            self.wfile.write(b'{"message": "on purpose"}')

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    configuration = client.Configuration(host=f"http://127.0.0.1:{server.server_address[1]}")
    configuration.retries = False
    try:
        with client.ApiClient(configuration) as api:
            yield ApiCluster(api, counted=lambda *_: None)
    finally:
        over.set()
        server.shutdown()
        server.server_close()


@pytest.mark.rule("api-server-errors")
@pytest.mark.parametrize(
    ("code", "after", "error", "delay"),
    [
        pytest.param(409, "", Outdated, 0.2, id="a conflict"),
        pytest.param(410, "", Outdated, 0.2, id="a list that is too old"),
        pytest.param(429, "", TryLater, 2.0, id="busy, without a word"),
        pytest.param(429, "7", TryLater, 7.0, id="busy for seven seconds"),
        pytest.param(429, "86400", TryLater, 60.0, id="busy for a day"),
        pytest.param(500, "", TryLater, 2.0, id="failing"),
        pytest.param(503, "5", TryLater, 5.0, id="not there for five seconds"),
        pytest.param(HANG, "", TryLater, 2.0, id="hanging"),
    ],
)
def test_what_the_server_says_is_when_it_is_asked_again(
    code: int, after: str, error: type[TryLater], delay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only for one that hangs: any other has its time, as this process may have to wait for a processor.
    monkeypatch.setattr(cluster, "TIMEOUT", (60.0, 0.3 if code == HANG else 60.0))
    with answering(code, after=after) as api, pytest.raises(error) as caught:
        api.find(MODEL_ROUTE)
    assert caught.value.delay == delay


class Failing:
    """A reconciler that cannot do its pass, until it can."""

    def __init__(self, error: SwitchyardError | None) -> None:
        self.error = error

    def reconcile(self, key: Key) -> timedelta | None:
        if self.error:
            raise self.error
        return None


def crew(reconciler: Failing) -> Crew:
    return Crew(
        reconciler=cast(Reconciler, reconciler),
        queue=WorkQueue[Key](lambda: 0.0),
        leadership=cast(Any, None),
        reading=cast(Any, None),
        cache=Cache(),
        metrics=Metrics(),
        stop=Event(),
        resync_every=60.0,
        tell_existing=lambda _: None,
        also=(),
    )


@pytest.mark.rule("api-server-errors")
@pytest.mark.parametrize(
    ("error", "most"),
    [
        pytest.param(Outdated("written in between"), 12, id="a server that finds everything outdated"),
        pytest.param(TryLater("500", delay=2.0), 10, id="a server that fails"),
        pytest.param(TryLater("429", delay=30.0), 2, id="a server that asks for half a minute"),
    ],
)
def test_a_minute_of_trouble_is_a_handful_of_passes(error: TryLater, most: int) -> None:
    hands, failures = crew(reconciler := Failing(error)), cast(dict[Key, int], {})
    passes, waited = 0, 0.0
    while waited < 60.0:
        delay = hands.run_pass(KEY, failures)
        assert delay is not None
        assert delay >= error.delay
        passes, waited = passes + 1, waited + delay
    assert passes <= most
    reconciler.error = None
    assert hands.run_pass(KEY, failures) is None
    reconciler.error = error
    assert hands.run_pass(KEY, failures) == error.delay


def end_of(world: Rollout) -> dict[str, Any]:
    """What a rollout came to."""
    assert world.status.rollout
    return {
        "weights": world.weights,
        "route": world.route,
        "steps": [(record.name, record.weight_bp) for record in world.status.rollout.steps_done],
    }


AnyRollout = TypeVar("AnyRollout", bound=Rollout)
MODELS = {ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=50.0)}


class FakeBehindAStage(RealStage):
    """The stage of the real API server, with the fake one behind it."""

    def __init__(self, fake: FakeCluster) -> None:
        super().__init__(cast(client.ApiClient, None))
        self._cluster = fake


class Staged(Rollout):
    """Only the operator meets the faults; kubelets and people write through the same stage, and have peace."""

    fake: FakeCluster
    fault: Callable[[str], None] = staticmethod(lambda _: None)

    def one_pass(self) -> bool:
        """As ever, and only in it the faults."""
        self.fake.after_write = self.fault
        try:
            return super().one_pass()
        finally:
            self.fake.after_write = lambda _: None


def begun_on_a_stage() -> Staged:
    """The same as `begun`, seen through what the stage has listed."""
    clock = Clock()
    fake = FakeCluster(clock)
    world = Staged(MODELS, cluster=FakeBehindAStage(fake), clock=clock)
    world.fake = fake
    return started(world)


def begun() -> Simulation:
    """In memory, where whatever was written is seen."""
    return started(Simulation(MODELS))


def started(world: AnyRollout) -> AnyRollout:
    """The first model serves, and the second is wanted."""
    world.deploy(CANARY_SPEC)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(CANARY_SPEC, image=TWO)
    return world


@pytest.mark.parametrize(
    "error",
    [pytest.param(Outdated("409"), id="conflicts"), pytest.param(TryLater("500", delay=2.0), id="failures")],
)
@pytest.mark.parametrize("at", [1, 4, 9, 15])
def test_writes_that_are_refused_in_the_middle_are_made_later_and_nothing_else(error: TryLater, at: int) -> None:
    whole = begun()
    whole.run(lambda: whole.phase is Phase.WATCHING)
    world, seen, struck = begun(), 0, 0

    def spoil(_: str) -> None:
        nonlocal seen, struck
        seen += 1
        if at <= seen < at + 3:
            struck += 1
            raise error

    world.cluster.before_write = spoil
    world.run(lambda: world.phase is Phase.WATCHING)
    assert struck == 3
    assert end_of(world) == end_of(whole)
    assert len(world.cluster.writes) <= len(whole.cluster.writes) + 3


class Lost:
    """One write that is done, and whose answer does not come."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0

    def __call__(self, _: str) -> None:
        self.seen += 1
        if self.seen == self.at:
            raise TryLater("no answer within 10 s", delay=cluster.BUSY)


@pytest.mark.rule("api-server-errors")
@pytest.mark.parametrize("at", [1, 2, 4, 6, 9, 12, 15])
def test_a_write_that_is_done_and_answered_too_late_is_found_done(at: int) -> None:
    whole = begun()
    whole.run(lambda: whole.phase is Phase.WATCHING)
    world = begun()
    world.cluster.after_write = lost = Lost(at)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert lost.seen >= at
    assert end_of(world) == end_of(whole)
    assert len(world.cluster.writes) <= len(whole.cluster.writes) + 1


@pytest.mark.parametrize("at", [2, 6, 12])
def test_a_stage_lists_anew_what_it_heard_no_answer_of(at: int) -> None:
    whole = begun_on_a_stage()
    whole.run(lambda: whole.phase is Phase.WATCHING)
    world = begun_on_a_stage()
    world.fault = lost = Lost(at)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert lost.seen >= at
    assert end_of(world) == end_of(whole)
