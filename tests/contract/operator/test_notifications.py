"""Receivers of notifications by real HTTP on loopback: they refuse, hang and die, and no rollout notices."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Event as Flag
from threading import Thread

import httpx
import pytest
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.notifications import Event, Notification, WebhookReceiver
from switchyard_operator.adapters.posts import WebhookPost
from switchyard_testkit.desk import Desk, is_signed, serving
from switchyard_testkit.rollout_world import CANARY_SPEC, Model, Simulation
from switchyard_testkit.telling import Told
from switchyard_testkit.waiting import until

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOTE = Notification(
    id="5f0c", event=Event.PROMOTED, rollout="delay-0a1b.1", revision="delay-0a1b", at=NOON, to=["desk"]
)
ONE, TWO = "models/delay:1", "models/delay:2"
MODELS = {ONE: Model(version="1.0.0", loss=100.0), TWO: Model(version="2.0.0", loss=50.0)}


@pytest.fixture
def desk() -> Iterator[Desk]:
    with serving() as found:
        yield found


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


def post(http: httpx.Client, said: dict[str, str], *, url: str = "", key: str = "") -> WebhookPost:
    receiver = WebhookReceiver.model_validate({"timeout": "30s"} | said)
    return WebhookPost(http, receiver, url=lambda: url, key=lambda: key, clock=lambda: NOON)


def test_what_is_told_can_be_checked_by_its_id_and_signature(desk: Desk, http: httpx.Client) -> None:
    assert post(http, {"url": desk.url, "secret": "desk"}, key="a key").send("airport/delay", NOTE) == ""
    headers, body = desk.heard[0]
    assert headers["idempotency-key"] == NOTE.id == json.loads(body)["id"]
    assert headers["content-type"] == "application/json"
    assert is_signed(headers, body, key="a key")
    assert not is_signed(headers, body, key="another")


def test_the_address_may_be_a_secret_and_a_chat_is_told_in_its_own_form(desk: Desk, http: httpx.Client) -> None:
    assert post(http, {"secret": "desk", "format": "slack"}, url=desk.url).send("airport/delay", NOTE) == ""
    assert "was promoted" in json.loads(desk.heard[0][1])["text"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param("503", "127.0.0.1 answered 503", id="it refuses"),
        pytest.param("307", "127.0.0.1 answered 307", id="a redirect is not followed"),
        pytest.param("hangs", "has not answered within 0.3s", id="it hangs"),
        pytest.param("dies", "cannot be told: ", id="it dies"),
    ],
)
def test_a_try_that_fails_says_why_and_keeps_the_address_to_itself(
    desk: Desk, http: httpx.Client, fault: str, words: str
) -> None:
    desk.faults = [fault]
    patience = {"timeout": "300ms"} if fault == "hangs" else {}
    said = post(http, {"url": desk.url} | patience).send("airport/delay", NOTE)
    assert words in said
    assert "secret-part" not in said
    assert (desk.struck, desk.heard) == ([fault], [])


def test_a_secret_without_an_address_is_said(http: httpx.Client) -> None:
    assert "give the Secret 'desk' the key url" in post(http, {"secret": "desk"}).send("airport/delay", NOTE)


def test_an_address_that_cannot_be_read_is_said(http: httpx.Client) -> None:
    assert "cannot be read" in post(http, {"secret": "desk"}, url="http://a:b/").send("airport/delay", NOTE)


class Real(Told):
    """A rollout whose receiver is told by real HTTP, in a thread of its own as in the process."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self.stop = Flag()
        self.threads: list[Thread] = []
        super().__init__(
            MODELS,
            delivers=lambda: False,
            posts={"desk": post(http, {"url": url, "secret": "desk", "timeout": "300ms"}, key="a key")},
        )

    def restart(self) -> None:
        """A new process, and the old one's thread with it."""
        self.halt()
        self.stop = Flag()
        super().restart()
        words = {"leading": lambda: True}
        thread = Thread(target=self.courier.run, args=("desk", self.stop), kwargs=words, daemon=True)
        thread.start()
        self.threads.append(thread)

    def halt(self) -> None:
        """The process ends."""
        self.stop.set()
        for thread in self.threads:
            thread.join(60)


def played(world: Simulation) -> dict[str, object]:
    world.deploy(CANARY_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.deploy(CANARY_SPEC, image=TWO)
    world.run(lambda: world.phase is Phase.WATCHING)
    rollout = world.status.rollout
    assert rollout
    return {"weights": world.weights, "steps": rollout.steps_done, "route": world.route, "at": world.clock.now}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("faults", "restarts"),
    [
        pytest.param(["500", "500"], 0, id="it refuses twice"),
        pytest.param(["hangs"], 0, id="it hangs"),
        pytest.param(["dies", "dies"], 0, id="it dies twice"),
        pytest.param(["503", "hangs", "dies"], 1, id="all of it, and the operator starts anew"),
    ],
)
def test_whatever_befalls_the_receiver_it_is_told_and_the_rollout_is_the_same(
    desk: Desk, http: httpx.Client, faults: list[str], restarts: int
) -> None:
    desk.faults = list(faults)
    world = Real(http, desk.url)
    try:
        found = played(world)
        for _ in range(restarts):
            world.restart()

        def time_goes_on(so: Callable[[], bool]) -> Callable[[], bool]:
            def look() -> bool:
                world.tick()
                return so()

            return look

        until(time_goes_on(lambda: len(events(desk)) == 2), "both promotions are told", seconds=60)
        until(time_goes_on(lambda: not owed(world)), "nothing is owed any more", seconds=60)
    finally:
        world.halt()
    assert desk.struck == faults, "the faults struck"
    assert found == played(Simulation(MODELS)), "the rollout went as it goes without receivers"
    ids = [headers["idempotency-key"] for headers, _ in desk.heard]
    assert len(set(ids)) == 2


def events(desk: Desk) -> set[str]:
    return {json.loads(body)["rollout"] for _, body in desk.heard}


def owed(world: Told) -> list[Notification]:
    return world.status.notifications.waiting if world.status.notifications else []
