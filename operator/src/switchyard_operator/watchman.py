"""Hears of alarms from the monitor, and has models trained anew when it is asked for.

The monitor is asked every few seconds which deployments it has said anything new of, all in one question; only of these
a pass asks for more. What was heard counts when it stands in the status. Trainers are told by threads of their own, so
that one who hangs holds up no rollout; a Job is made in the pass, under a name that follows from the request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event, Lock

from switchyard_contracts.alarm_records import AlarmBook, AlarmRecord
from switchyard_contracts.retraining import Retrain, TrainingPhase, TrainingState, TrainingWebhook

from switchyard_operator.cache import Key
from switchyard_operator.domain import jobs, kinds, retraining
from switchyard_operator.domain.bearings import Bearings
from switchyard_operator.domain.world import Body, World
from switchyard_operator.errors import AlreadyThere, EvidenceUnavailable, NotLeading, Refused, TryLater
from switchyard_operator.ports import Cluster, Monitor, Trainers

logger = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two questions to the monitor."""
PACE = timedelta(seconds=30)
"""Between two looks at a Job that trains, and two tries of what the API server refused."""
FIRST, LONGEST = timedelta(seconds=10), timedelta(minutes=5)
"""Between the first two tries of a trainer and, doubled each time, at most."""

Submit = Callable[[Callable[[], str]], "Future[str]"]
"""Have something done by another thread."""


@dataclass(slots=True)
class Call:
    """A trainer who is told of one request, again until it has taken it."""

    request: str = ""
    future: Future[str] | None = None
    times: int = 0
    due: datetime | None = None
    taken_at: datetime | None = None


@dataclass(slots=True)
class Heard:
    """What is known of one deployment."""

    head: str = ""
    """The newest record of which the book was read."""
    request: AlarmRecord | None = None
    looked: datetime | None = None
    """When the Job was looked at last."""
    call: Call = field(default_factory=Call)
    again: timedelta | None = None


class Watchman:
    """Of each deployment: what the monitor said last, and the training that follows from it."""

    def __init__(
        self,
        *,
        monitor: Monitor,
        cluster: Cluster,
        trainers: Trainers,
        submit: Submit,
        wake: Callable[[Key], None],
    ) -> None:
        """`wake` asks for a pass of a deployment."""
        self._monitor = monitor
        self._cluster = cluster
        self._trainers = trainers
        self._submit = submit
        self._wake = wake
        self._lock = Lock()
        self._heads: dict[Key, str] = {}
        self._heard: dict[Key, Heard] = {}
        self._silent = ""

    # --- between passes ----------------------------------------------------------------------------------------------

    def run(self, stop: Event, *, leading: Callable[[], bool]) -> None:
        """Ask for news until told to stop; only the leader does."""
        while not stop.is_set():
            if leading():
                self.patrol()
            stop.wait(EVERY)

    def patrol(self) -> None:
        """Ask once, and have those looked at of whom there is news."""
        try:
            heads = {_key(subject): newest for subject, newest in self._monitor.heads().items()}
        except EvidenceUnavailable as error:
            if self._silent != str(error):
                logger.warning("alarms are not heard of: %s", error)
            self._silent = str(error)
            return
        self._silent = ""
        with self._lock:
            news = [key for key, newest in heads.items() if self._heads.get(key) != newest]
            self._heads = heads
        for key in news:
            self._wake(key)

    # --- in a pass ---------------------------------------------------------------------------------------------------

    def look(self, world: World, known: Bearings) -> World:
        """The world with what is new of its alarms, and with what became of its training."""
        key, monitoring, held = (world.namespace, world.name), world.spec.monitoring, world.status.retraining
        rules = monitoring.alarms if monitoring else ()
        if not rules and not any(state.phase in retraining.BUSY for state in held):
            return world
        with self._lock:
            head, heard = self._heads.get(key, ""), self._heard.setdefault(key, Heard())
        heard.again = None
        told = world.status.alarms.newest if world.status.alarms else ""
        # Until a status has it nobody was told: a pass that wrote none is followed by one that reads it again.
        if rules and head and (heard.head, told) != (head, head):
            if book := self._read(world):
                heard.head, heard.request = head, book.request
                world = replace(world, alarms=book)
            else:
                heard.again = PACE
        states = tuple(self._follow(world, heard, state) for state in held)
        if monitoring and monitoring.retrain and heard.request:
            states = self._answer(world, known, monitoring.retrain, heard, states)
        return replace(world, training=states) if states != tuple(held) else world

    def again(self, key: Key) -> timedelta | None:
        """When to come again though nothing is heard."""
        heard = self._heard.get(key)
        return heard.again if heard else None

    def forget(self, key: Key) -> None:
        """The deployment is gone."""
        with self._lock:
            self._heard.pop(key, None)

    def _read(self, world: World) -> AlarmBook | None:
        try:
            return self._monitor.alarms(f"{world.namespace}/{world.name}")
        except EvidenceUnavailable as error:
            logger.warning("%s/%s: its alarms cannot be read: %s", world.namespace, world.name, error)
            return None

    def _follow(self, world: World, heard: Heard, state: TrainingState) -> TrainingState:
        """What a Job that trains says by now."""
        if state.phase not in retraining.BUSY or not state.job:
            return state
        heard.again = _sooner(heard.again, PACE)
        if heard.looked is not None and world.now - heard.looked < PACE:
            return state
        heard.looked = world.now
        try:
            job = self._cluster.read(kinds.JOB, world.namespace, state.job)
            made = self._cluster.find(kinds.POD, namespace=world.namespace, labels={jobs.LABEL_JOB: state.job})
        except (Refused, TryLater) as error:  # no rollout waits for what trains beside it
            logger.warning("%s/%s: Job %s cannot be read: %s", world.namespace, world.name, state.job, error)
            return state
        return retraining.read(job, made, state, owner=world.uid)

    def _answer(
        self, world: World, known: Bearings, said: Retrain, heard: Heard, states: tuple[TrainingState, ...]
    ) -> tuple[TrainingState, ...]:
        request = heard.request
        found = retraining.due(said, states, request, now=world.now, made_at=world.made_at) if request else None
        if found is None or request is None:
            return states
        state = found.state
        if found.again is not None:
            heard.again = _sooner(heard.again, found.again)
        if found.start and said.job:
            state = self._make(world, known, said, request, state)
        elif found.start and said.webhook:
            state = self._tell(world, heard, said.webhook, request, state)
        if state.phase in retraining.OPEN and found.start:
            heard.again = _sooner(heard.again, PACE)
        return retraining.remember(states, state)

    def _make(
        self, world: World, known: Bearings, said: Retrain, request: AlarmRecord, state: TrainingState
    ) -> TrainingState:
        """Have the Job; one that is there was made by a pass that did not live to say so."""
        if said.job is None:
            return state
        wanted = retraining.body(world, said.job, request, stable=known.lineage.stable)
        name = wanted["metadata"]["name"]
        try:
            made = self._have(wanted)
        except NotLeading:
            raise
        except (Refused, TryLater) as error:
            remedy = "; mend the quota, policy or role that is named" if isinstance(error, Refused) else ""
            return state.model_copy(update={"message": f"{error}{remedy}"[:4096]})
        names = {"deployment": f"{world.namespace}/{world.name}", "object": f"Job {name}"}
        logger.info("%s/%s: Job %s trains for request %s", world.namespace, world.name, name, request.id, extra=names)
        begun = {"phase": TrainingPhase.STARTED, "job": name, "started_at": _made_at(made) or world.now, "message": ""}
        return state.model_copy(update=begun)

    def _have(self, wanted: Body) -> Body:
        try:
            return self._cluster.create(wanted)
        except AlreadyThere:
            metadata = wanted["metadata"]
            return self._cluster.read(kinds.JOB, metadata["namespace"], metadata["name"]) or wanted

    def _tell(
        self, world: World, heard: Heard, said: TrainingWebhook, request: AlarmRecord, state: TrainingState
    ) -> TrainingState:
        """Have a trainer told, and hear what came of it in a later pass."""
        key = (world.namespace, world.name)
        if heard.call.request != request.id:
            heard.call = Call(request.id)
        call = heard.call
        if call.future is not None and call.future.done():
            words, call.future = call.future.result(), None
            if words:
                call.times += 1
                call.due = world.now + min(LONGEST, FIRST * 2.0 ** (call.times - 1))
                state = state.model_copy(update={"message": words[:4096]})
            else:
                call.taken_at = world.now
        if call.taken_at is not None:
            told = {"phase": TrainingPhase.TOLD, "started_at": call.taken_at, "message": ""}
            return state.model_copy(update=told)
        if call.due is not None and world.now < call.due:
            heard.again = _sooner(heard.again, call.due - world.now)
        elif call.future is None:
            call.future = self._submit(lambda: self._trainers.tell(said.url, request, timeout=said.timeout))
            call.future.add_done_callback(lambda _: self._wake(key))
        return state


def _made_at(job: object) -> datetime | None:
    """When the API server made it: an operator that died after it must not begin the cool-down anew."""
    metadata = job.get("metadata") if isinstance(job, dict) else None
    text = (metadata or {}).get("creationTimestamp")
    return datetime.fromisoformat(text) if text else None


def _sooner(one: timedelta | None, other: timedelta) -> timedelta:
    return other if one is None else min(one, other)


def _key(subject: str) -> Key:
    namespace, _, name = subject.partition("/")
    return namespace, name
