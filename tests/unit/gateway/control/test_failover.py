"""A revision dies: stable's pods answer in its place, whatever was drawn, and copies are left unanswered."""

from __future__ import annotations

from typing import Any

import pytest
from switchyard_contracts.model_route import ModelRouteSpec
from switchyard_gateway.control.domain.delivery import Delivery
from switchyard_gateway.control.domain.fragment import Fragment
from switchyard_gateway.control.domain.ledger import Ledger, Target
from switchyard_gateway.control.domain.translation import translate
from switchyard_gateway.control.domain.world import Endpoint, Fitness, RouteObject
from switchyard_testkit.fake_api import model_route, route
from switchyard_testkit.fake_envoy import FakeEnvoy

ONE, TWO, KEY = "delay-1", "delay-2", "air/delay"
ALIVE = {ONE: (Endpoint("10.0.0.1", 3000),), TWO: (Endpoint("10.0.0.2", 3000),)}
BY_USER = {"split": {"by": "header", "name": "x-user-id", "salt": "air/delay-2.1"}}
DRAWN = range(0, 10_000, 50)


class Gateway:
    """Control and one Envoy, with a canary on it."""

    def __init__(self, weight: int, **spec: Any) -> None:
        routes = route(ONE, 10_000 - weight), route(TWO, weight, "candidate", mirror=10_000 - weight)
        self.spec = ModelRouteSpec.model_validate(model_route("air", "delay", *routes, **spec)["spec"])
        self.delivery, self.envoy = Delivery(Ledger(), linger=60.0), FakeEnvoy()
        self.envoy.connect(self.delivery)
        self.has(ALIVE)

    def has(self, pods: dict[str, tuple[Endpoint, ...]]) -> Fragment:
        """The cluster says that these pods are there, and Envoy has heard it."""
        made = translate(RouteObject("air", "delay", 1, self.spec), lambda service: pods.get(service[1], ()), domain="")
        self.delivery.want({KEY: Target(made, None, 1)}, {KEY})
        self.envoy.talk()
        return made

    def answers(self) -> list[str]:
        return [self.envoy.answers(KEY, drawn) for drawn in DRAWN]


@pytest.mark.rule("revision-dies")
@pytest.mark.parametrize("spec", [{}, BY_USER], ids=["by request", "by user"])
@pytest.mark.parametrize("weight", [500, 5_000, 9_500])
@pytest.mark.parametrize(
    "left",
    [
        pytest.param((), id="no pod is left"),
        pytest.param((Endpoint("10.0.0.2", 3000, Fitness.UNREADY),), id="it is not ready"),
        pytest.param((Endpoint("10.0.0.2", 3000, Fitness.DRAINING),), id="it is on its way out"),
    ],
)
def test_whoever_is_drawn_for_a_dead_revision_is_answered_by_stable(
    left: tuple[Endpoint, ...], weight: int, spec: dict[str, Any]
) -> None:
    gateway = Gateway(weight, **spec)
    alive = gateway.answers()
    assert alive.count(TWO) == len(DRAWN) * weight // 10_000
    gateway.has({**ALIVE, TWO: left})
    assert set(gateway.answers()) == {ONE}
    gateway.has(ALIVE)
    assert gateway.answers() == alive, "it is given its share again as soon as it lives"


@pytest.mark.rule("revision-dies")
def test_with_all_of_the_traffic_on_it_a_dead_revision_is_stood_in_for_too() -> None:
    gateway = Gateway(10_000)
    gateway.has({ONE: ALIVE[ONE]})
    assert set(gateway.answers()) == {ONE}


def test_a_dead_revisions_copies_and_previews_are_answered_by_nobody() -> None:
    gateway = Gateway(5_000)
    routing = gateway.has({ONE: ALIVE[ONE]}).routing
    aside = {mirror.cluster for mirror in routing.mirrors} | {
        pin.cluster for pin in routing.pins if pin.revision == TWO
    }
    held = gateway.envoy.assignments
    assert [(held[name].first, held[name].second) for name in sorted(aside)] == [((), ())]
