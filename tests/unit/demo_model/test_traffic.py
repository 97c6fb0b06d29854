"""The traffic driver against a gateway and a feedback service of our own, on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from switchyard_demo_model.product.gateway import Addresses
from switchyard_demo_model.product.ledger import Ledger, quantile
from switchyard_demo_model.product.traffic import EVERY, Traffic
from switchyard_demo_model.serving.flight import Flight
from switchyard_demo_model.world.dispatcher import Mood
from switchyard_demo_model.world.schedule import Action, Decide, Predict, Report

FLIGHT = Flight(carrier="UA", origin="EWR", dest="IAH", distance=1400, hour=8, weekday=2, departure_delay=None)
HEADERS = {"x-model-version": "1.0.0", "x-model-revision": "flight-delay-a"}


@dataclass
class FakeSwitchyard:
    """Answers as the gateway and the feedback service do; a test may change how."""

    answer: Callable[[int], Awaitable[web.Response]]
    feedback_status: int = 202
    asked: int = 0
    bodies: list[Any] = field(default_factory=list)
    told: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"decisions": [], "outcomes": []})
    tokens: set[str] = field(default_factory=set)
    began: float | None = None
    """When the driver's clock stood at 0."""

    async def predict(self, request: web.Request) -> web.Response:
        number, self.asked = self.asked, self.asked + 1
        self.bodies.append(await request.json())
        return await self.answer(number)

    async def feedback(self, request: web.Request) -> web.Response:
        self.tokens.add(request.headers["authorization"])
        items = (await request.json())["items"]
        if self.feedback_status == 202:
            self.told[request.match_info["what"]].extend(items)
        return web.json_response({}, status=self.feedback_status)


async def good(number: int) -> web.Response:
    return web.json_response({"delay": 20.0}, headers={**HEADERS, "x-prediction-id": f"id-{number}"})


def play(
    actions: list[Action], fake: FakeSwitchyard, *, stop_after: float | None = None, beat: float | None = None
) -> Ledger:
    """Play the actions to their end (or tell the driver to stop), and return the ledger."""

    async def run() -> Ledger:
        app = web.Application()
        app.router.add_post("/demo/flight-delay/predict", fake.predict)
        app.router.add_post("/v1/demo/flight-delay/{what}", fake.feedback)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        at = f"http://{host}:{port}"
        ledger = Ledger()
        addresses = Addresses(f"{at}/demo/flight-delay/predict", f"{at}/v1/demo/flight-delay", "secret")
        traffic = Traffic(iter(actions), addresses, ledger, beat=beat)
        if stop_after is not None:
            asyncio.get_running_loop().call_later(stop_after, traffic.stop)
        try:
            await asyncio.wait_for(traffic.play(), timeout=100)
            fake.began = traffic.began
        finally:
            await runner.cleanup()
        return ledger

    return asyncio.run(run())


def one_flight(number: int, *, due: float, lands: float | None = None) -> Iterator[Action]:
    yield Predict(due, number, FLIGHT, will_land=lands is not None)
    yield Decide(due + 0.05, number, FLIGHT, Mood(0.0, own_way=False, thinking=0.05))
    if lands is not None:
        yield Report(lands, number, 12.0)


def in_order(*flights: Iterator[Action]) -> list[Action]:
    return sorted((action for flight in flights for action in flight), key=lambda action: action.due)


def test_each_flight_is_asked_decided_and_reported_once() -> None:
    fake = FakeSwitchyard(good)
    ledger = play(in_order(*(one_flight(n, due=n / 100, lands=n / 100 + 0.2) for n in range(50))), fake)
    found = ledger.statistics()
    assert (found.asked, found.answered, found.in_flight, found.decisions, found.outcomes) == (50, 50, 0, 50, 50)
    assert not ledger.failures
    assert ledger.served == {f"id-{n}" for n in range(50)}
    assert found.versions == {"1.0.0": 50}
    assert found.rmse == {"1.0.0": 8.0}
    # Answers may overtake each other, so only the set is certain.
    assert Counter(item["predictionId"] for item in fake.told["decisions"]) == Counter(ledger.served)
    decision = next(item for item in fake.told["decisions"] if item["predictionId"] == "id-0")
    assert decision | {"at": ""} == {
        "predictionId": "id-0",
        "row": 0,
        "value": True,
        "at": "",
        "actor": {"kind": "human", "id": "dispatcher"},
    }
    assert {item["value"] for item in fake.told["outcomes"]} == {12.0}
    assert fake.tokens == {"Bearer secret"}
    assert fake.bodies[0] == {"flight": FLIGHT.model_dump()}


def test_with_a_beat_it_begins_where_windows_do_and_knows_when_each_answer_was_asked_for() -> None:
    fake = FakeSwitchyard(good)
    ledger = play(in_order(*(one_flight(n, due=n / 10, lands=n / 10 + 0.1) for n in range(5))), fake, beat=2.0)
    began, times = fake.began, sorted(landing.at for landing in ledger.landings)
    assert began is not None
    assert began % 2.0 == 0.0
    assert all(at >= began + n / 10 - 0.01 for n, at in enumerate(times)), "as they are due, counted from the beat"
    late = ledger.errors_of("1.0.0", since=times[2], until=times[-1])
    assert late.count == sum(times[2] <= at < times[-1] for at in times)
    assert ledger.errors_of("1.0.0", since=began, until=began + 60).rmse == 8.0
    assert ledger.errors_of("2.0.0", since=began, until=began + 60).rmse is None


def test_a_flight_that_never_lands_is_decided_and_not_reported() -> None:
    fake = FakeSwitchyard(good)
    play(list(one_flight(0, due=0.0)), fake)
    assert len(fake.told["decisions"]) == 1
    assert not fake.told["outcomes"]


def test_an_outcome_that_is_due_before_the_answer_waits_for_it() -> None:
    async def slow(number: int) -> web.Response:
        await asyncio.sleep(0.4)
        return await good(number)

    fake = FakeSwitchyard(slow)
    ledger = play(list(one_flight(0, due=0.0, lands=0.1)), fake)
    assert [item["predictionId"] for item in fake.told["outcomes"]] == ["id-0"]
    assert not ledger.failures


def with_body(text: str, **headers: str) -> Callable[[int], Awaitable[web.Response]]:
    async def answer(number: int) -> web.Response:
        return web.Response(text=text, headers={**HEADERS, "x-prediction-id": f"id-{number}", **headers})

    return answer


async def broken(_: int) -> web.Response:
    return web.Response(status=503, text="no healthy upstream")


async def without_id(_: int) -> web.Response:
    return web.json_response({"delay": 1.0}, headers=HEADERS)


async def without_version(number: int) -> web.Response:
    headers = {"x-prediction-id": f"id-{number}", "x-model-revision": "a"}
    return web.json_response({"delay": 1.0}, headers=headers)


async def without_revision(number: int) -> web.Response:
    headers = {"x-prediction-id": f"id-{number}", "x-model-version": "1.0.0"}
    return web.json_response({"delay": 1.0}, headers=headers)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(broken, "status 503: no healthy upstream", id="an error status"),
        pytest.param(without_id, "no x-prediction-id", id="no prediction id"),
        pytest.param(without_version, "no x-model-version", id="no version"),
        pytest.param(without_revision, "no x-model-revision", id="no revision"),
        pytest.param(with_body('{"delay": NaN}'), "not a finite number", id="not a number"),
        pytest.param(with_body('{"delay": "12"}'), "not a finite number", id="a number in quotes"),
        pytest.param(with_body('{"delay": true}'), "not a finite number", id="a truth value"),
        pytest.param(with_body("[1]"), "is not a delay", id="another shape"),
        pytest.param(with_body("<html>"), "is not a delay", id="no JSON"),
    ],
)
def test_what_is_not_a_good_answer_is_a_failure_and_asked_only_once(
    answer: Callable[[int], Awaitable[web.Response]], why: str
) -> None:
    fake = FakeSwitchyard(answer)
    ledger = play(list(one_flight(0, due=0.0, lands=0.1)), fake)
    assert fake.asked == 1
    (failure,) = ledger.failures
    assert failure.what == "predict"
    assert why in failure.why
    found = ledger.statistics()
    assert (found.asked, found.answered, found.failed, found.in_flight) == (1, 0, {"predict": 1}, 0)
    assert not fake.told["decisions"]
    assert not fake.told["outcomes"]


def test_an_id_given_out_twice_is_a_failure() -> None:
    async def same(_: int) -> web.Response:
        return await good(0)

    ledger = play(in_order(one_flight(0, due=0.0), one_flight(1, due=0.1)), FakeSwitchyard(same))
    assert [failure.why for failure in ledger.failures] == ["prediction id id-0 was given out twice"]


def test_a_gateway_that_is_not_there_is_a_failure() -> None:
    async def run() -> Ledger:
        ledger = Ledger()
        nobody = Addresses("http://127.0.0.1:9/x/predict", "http://127.0.0.1:9/v1", "t")
        await Traffic(one_flight(0, due=0.0, lands=0.1), nobody, ledger).play()
        return ledger

    (failure,) = asyncio.run(run()).failures
    assert "ClientConnectorError" in failure.why


def test_refused_feedback_is_a_failure_and_not_counted_as_sent() -> None:
    fake = FakeSwitchyard(good, feedback_status=401)
    ledger = play(list(one_flight(0, due=0.0, lands=0.1)), fake)
    assert {failure.what for failure in ledger.failures} == {"decisions", "outcomes"}
    assert (ledger.decisions, ledger.outcomes) == (0, 0)


def test_told_to_stop_it_asks_no_more_and_sees_what_it_asked_land() -> None:
    fake = FakeSwitchyard(good)
    actions = in_order(*(one_flight(n, due=n / 10, lands=n / 10 + 0.6) for n in range(500)))
    ledger = play(actions, fake, stop_after=0.5)
    assert 0 < ledger.asked < 500
    assert ledger.outcomes == ledger.decisions == ledger.asked == fake.asked
    assert not ledger.failures


def test_many_outcomes_travel_in_few_batches() -> None:
    batches: list[int] = []
    fake = FakeSwitchyard(good)
    kept = fake.feedback

    async def counting(request: web.Request) -> web.Response:
        batches.append(len(json.loads(await request.text())["items"]))
        return await kept(request)

    fake.feedback = counting  # type: ignore[method-assign]
    began = time.monotonic()
    play(in_order(*(one_flight(n, due=n / 1000, lands=0.9) for n in range(400))), fake)
    took = time.monotonic() - began
    assert len(batches) <= 2 * (1 + took / EVERY), "of decisions and of outcomes one each time, however slow it is"
    assert sum(batches) == 800


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert quantile([], 0.99) == 0.0
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.99) == 4.0
