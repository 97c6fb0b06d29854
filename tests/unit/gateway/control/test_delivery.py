"""The order in which Envoy is told, and what becomes of what it refuses; the Envoy here notices lost requests."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_contracts.model_route import ModelRouteSpec
from switchyard_gateway.control.domain.delivery import Delivery, Kind
from switchyard_gateway.control.domain.fragment import Assignment, Cluster, Routing
from switchyard_gateway.control.domain.ledger import Ledger, State, Target
from switchyard_gateway.control.domain.translation import translate
from switchyard_gateway.control.domain.world import Endpoint, RouteObject
from switchyard_testkit.fake_api import model_route, route
from switchyard_testkit.fake_envoy import FakeEnvoy

LINGER = 60.0


def fragment(
    name: str,
    *revisions: int,
    generation: int = 1,
    pod: str = "10.0.0.1",
    paths: tuple[str, ...] = ("/p",),
    mirror: int = 0,
):
    """A deployment whose traffic is split evenly over its revisions; others than stable are mirrored if it is said."""
    share = 10_000 // len(revisions)
    weights = [10_000 - share * (len(revisions) - 1), *[share] * (len(revisions) - 1)]
    routes = [
        route(f"{name}-{number}", weight, "candidate", mirror=mirror) if index else route(f"{name}-{number}", weight)
        for index, (number, weight) in enumerate(zip(revisions, weights, strict=True))
    ]
    spec = ModelRouteSpec.model_validate(model_route("ns", name, *routes, paths=[*paths])["spec"])
    return translate(RouteObject("ns", name, generation, spec), lambda _: (Endpoint(pod, 3000),), domain="")


class Gateway:
    """Control's ledger and targets, one delivery, one Envoy: what a test moves and asks."""

    def __init__(self, envoy: FakeEnvoy | None = None) -> None:
        self.ledger = Ledger()
        self.targets: dict[str, Target] = {}
        self.envoy = envoy or FakeEnvoy()
        self.connect()

    def connect(self) -> None:
        self.delivery = Delivery(self.ledger, LINGER)
        self.envoy.connect(self.delivery)

    def want(self, *fragments, gone: tuple[str, ...] = ()) -> None:
        for each in fragments:
            accepted = self.ledger.accepted.get(each.key)
            fallback = accepted if accepted and accepted.source != each.source else None
            self.targets[each.key] = Target(each, fallback, each.generation)
        for key in gone:
            self.targets.pop(key, None)
        self.delivery.want(self.targets, {*(each.key for each in fragments), *gone})

    def settle(self, *fragments, gone: tuple[str, ...] = ()) -> None:
        self.want(*fragments, gone=gone)
        self.envoy.talk()
        assert self.envoy.lost == []

    def standing(self, key: str) -> tuple[int, State]:
        found = self.delivery.standing(key, self.targets[key])
        return found.generation, found.state


def refusing(*names: str, kind: type = Routing, words: str = "no"):
    """An Envoy that refuses these deployments' routes (or clusters, or endpoints), from generation 2 on."""

    def objection(part):
        if not isinstance(part, kind):
            return ""
        if isinstance(part, Routing):
            return words if part.deployment in names and part.generation > 1 else ""
        if isinstance(part, Assignment):
            return words if part.deployment in names and part.first else ""
        return words if part.name.rsplit("-", 1)[0] in names else ""

    return FakeEnvoy(objection=objection)


def kinds(envoy: FakeEnvoy) -> list[Kind]:
    return [send.kind for send in envoy.heard]


def test_nothing_is_said_before_the_cluster_was_listed():
    gateway = Gateway()
    assert gateway.envoy.talk() == 0
    assert gateway.envoy.heard == []


def test_an_empty_cluster_still_gives_a_table_so_that_envoy_can_open_its_doors():
    gateway = Gateway()
    gateway.settle()
    assert gateway.envoy.tables == [()]
    assert gateway.delivery.settled


def test_clusters_come_before_endpoints_before_routes():
    gateway = Gateway()
    gateway.settle(fragment("a", 1))
    assert [kind for kind in kinds(gateway.envoy) if kind is not Kind.ROUTES] == [Kind.CLUSTERS, Kind.ENDPOINTS]
    assert kinds(gateway.envoy)[-1] is Kind.ROUTES
    assert gateway.standing("ns/a") == (1, State.SYNCED)


def test_the_first_table_holds_everything():
    gateway = Gateway()
    gateway.settle(*(fragment(f"m{number}", 1) for number in range(20)))
    assert gateway.envoy.tables == [tuple(sorted(f"ns/m{number}" for number in range(20)))]


def test_a_new_weight_costs_one_message():
    gateway = Gateway()
    gateway.settle(fragment("a", 1, 2))
    before = len(gateway.envoy.heard)
    gateway.settle(fragment("a", 1, 2, generation=2))
    assert kinds(gateway.envoy)[before:] == [Kind.ROUTES]


@pytest.mark.rule("re-pointing")
def test_a_weight_begins_once_envoy_has_the_endpoints_of_whom_it_is_for():
    gateway = Gateway()
    gateway.settle(fragment("a", 1))
    before = len(gateway.envoy.heard)
    gateway.settle(fragment("a", 1, 2, generation=2))
    assert kinds(gateway.envoy)[before:] == [Kind.CLUSTERS, Kind.ENDPOINTS, Kind.ROUTES]


@pytest.mark.rule("re-pointing")
def test_an_envoy_that_still_routes_to_a_revision_keeps_it_however_long_that_is():
    gateway = Gateway()
    gateway.settle(fragment("a", 1, 2))
    gateway.want(fragment("a", 1, generation=2))
    way = gateway.delivery.next(0.0)
    assert way is not None
    assert way.kind is Kind.ROUTES
    assert [gateway.delivery.next(now) for now in (0.0, LINGER, 10 * LINGER)] == [None] * 3, "it has not answered yet"
    gateway.delivery.acknowledge(way.nonce)
    assert gateway.delivery.next(10 * LINGER) is None
    gone = gateway.delivery.next(11 * LINGER)
    assert gone is not None
    assert set(gone.remove) == {"ns/a-2", "ns/a-2/only"}


def test_a_mirror_begins_once_its_door_stands_and_the_door_goes_a_while_after_it():
    gateway = Gateway()
    gateway.settle(fragment("a", 1, 2))
    before = len(gateway.envoy.heard)
    gateway.settle(fragment("a", 1, 2, generation=2, mirror=5_000))
    assert kinds(gateway.envoy)[before:] == [Kind.CLUSTERS, Kind.ENDPOINTS, Kind.ROUTES]
    gateway.settle(fragment("a", 1, 2, generation=3))
    assert "ns/a-2/mirror" in gateway.envoy.clusters
    gateway.envoy.now = LINGER
    gateway.envoy.talk()
    assert gateway.envoy.clusters.keys() == {"ns/a-1", "ns/a-1/only", "ns/a-2", "ns/a-2/only"}
    assert gateway.envoy.lost == []


def test_a_new_pod_costs_one_message():
    gateway = Gateway()
    gateway.settle(fragment("a", 1))
    before = len(gateway.envoy.heard)
    gateway.settle(fragment("a", 1, pod="10.0.0.2"))
    assert kinds(gateway.envoy)[before:] == [Kind.ENDPOINTS]


def test_the_same_again_costs_nothing():
    gateway = Gateway()
    gateway.settle(fragment("a", 1))
    before = len(gateway.envoy.heard)
    gateway.settle(fragment("a", 1))
    assert gateway.envoy.heard[before:] == []


def test_unused_clusters_linger_and_then_go():
    gateway = Gateway()
    gateway.settle(fragment("a", 1, 2))
    gateway.settle(fragment("a", 1, generation=2))
    assert "ns/a-2" in gateway.envoy.clusters
    gateway.envoy.now = LINGER - 1
    gateway.envoy.talk()
    assert "ns/a-2" in gateway.envoy.clusters
    assert gateway.delivery.wake_at() == LINGER
    gateway.envoy.now = LINGER
    gateway.envoy.talk()
    assert {*gateway.envoy.clusters} == {"ns/a-1", "ns/a-1/only"}
    assert gateway.envoy.lost == []


def test_a_cluster_that_is_used_again_before_it_goes_stays():
    gateway = Gateway()
    gateway.settle(fragment("a", 1, 2))
    gateway.settle(fragment("a", 1, generation=2))
    gateway.envoy.now = LINGER - 1
    gateway.settle(fragment("a", 1, 2, generation=3))
    gateway.envoy.now = 2 * LINGER
    gateway.envoy.talk()
    assert "ns/a-2" in gateway.envoy.clusters


def test_a_removed_cluster_can_come_back():
    gateway = Gateway()
    gateway.settle(fragment("a", 1, 2))
    gateway.settle(fragment("a", 1, generation=2))
    gateway.envoy.now = LINGER
    gateway.envoy.talk()
    gateway.settle(fragment("a", 1, 2, generation=3))
    assert gateway.standing("ns/a") == (3, State.SYNCED)


def test_a_deleted_deployment_leaves_the_routes_first_and_then_the_clusters():
    gateway = Gateway()
    gateway.settle(fragment("a", 1), fragment("b", 1))
    gateway.settle(gone=("ns/a",))
    assert gateway.envoy.tables[-1] == ("ns/b",)
    gateway.envoy.now = LINGER
    gateway.envoy.talk()
    assert {*gateway.envoy.clusters} == {"ns/b-1", "ns/b-1/only"}
    assert gateway.envoy.lost == []
    assert "ns/a" not in gateway.ledger.accepted


@pytest.mark.rule("refused-route")
def test_a_refused_route_isolates_its_deployment_and_the_others_go_on():
    gateway = Gateway(refusing("ns/b", words="the timeout is out of range"))
    gateway.settle(fragment("a", 1), fragment("b", 1), fragment("c", 1))
    gateway.settle(*(fragment(name, 1, 2, generation=2) for name in "abc"))
    assert gateway.standing("ns/a") == (2, State.SYNCED)
    assert gateway.standing("ns/b") == (1, State.REJECTED)
    assert gateway.standing("ns/c") == (2, State.SYNCED)
    assert "the timeout is out of range" in gateway.delivery.standing("ns/b", gateway.targets["ns/b"]).message
    gateway.settle(fragment("a", 1, 3, generation=3))
    assert gateway.standing("ns/a") == (3, State.SYNCED)
    assert gateway.envoy.routings["ns/b"].generation == 1


def test_a_refused_deployment_is_never_out_of_the_table_meanwhile():
    gateway = Gateway(refusing("ns/b"))
    gateway.settle(*(fragment(name, 1) for name in "abcdefgh"))
    gateway.settle(*(fragment(name, 1, 2, generation=2) for name in "abcdefgh"))
    assert all(len(table) == 8 for table in gateway.envoy.tables)


def test_a_corrected_route_is_tried_again():
    gateway = Gateway(refusing("ns/b"))
    gateway.settle(fragment("b", 1))
    gateway.settle(fragment("b", 1, generation=2))
    gateway.envoy.objection = lambda _: ""
    gateway.settle(fragment("b", 1, generation=3))
    assert gateway.standing("ns/b") == (3, State.SYNCED)


def test_a_refused_route_is_not_sent_again_with_every_new_pod():
    gateway = Gateway(refusing("ns/b"))
    gateway.settle(fragment("a", 1), fragment("b", 1))
    gateway.settle(fragment("b", 1, generation=2))
    before = len(gateway.envoy.heard)
    gateway.settle(fragment("a", 1, pod="10.0.0.9"))
    assert kinds(gateway.envoy)[before:] == [Kind.ENDPOINTS]


def test_a_new_deployment_whose_route_is_refused_serves_nothing_and_hurts_nobody():
    gateway = Gateway(refusing("ns/b"))
    gateway.settle(fragment("a", 1), fragment("b", 1, generation=2))
    assert gateway.envoy.tables[-1] == ("ns/a",)
    assert gateway.standing("ns/b") == (0, State.REJECTED)


@pytest.mark.parametrize("kind", [Cluster, Assignment], ids=["clusters", "endpoints"])
def test_refused_clusters_or_endpoints_of_one_do_not_hold_up_another(kind):
    gateway = Gateway(refusing("ns/b", kind=kind))
    gateway.settle(fragment("a", 1))
    gateway.want(fragment("b", 1), fragment("c", 1))
    gateway.envoy.talk()
    gateway.settle(fragment("a", 1, 2, generation=2))
    assert gateway.standing("ns/a") == (2, State.SYNCED)
    assert gateway.standing("ns/c") == (1, State.SYNCED)
    assert gateway.standing("ns/b") == (0, State.REJECTED)


def test_an_envoy_that_refuses_every_table_is_not_asked_for_ever():
    gateway = Gateway(FakeEnvoy(objection=lambda part: "no" if isinstance(part, Routing) else ""))
    gateway.want(fragment("a", 1), fragment("b", 1))
    assert gateway.envoy.talk() < 100
    assert gateway.standing("ns/a") == (0, State.REJECTED)


def test_a_restarted_control_tells_a_running_envoy_nothing_that_costs_requests():
    gateway = Gateway()
    gateway.settle(fragment("a", 1, 2), fragment("b", 1))
    gateway.connect()
    assert not gateway.delivery.settled
    gateway.settle(*(target.desired for target in gateway.targets.values()))
    assert all(table == ("ns/a", "ns/b") for table in gateway.envoy.tables)
    assert gateway.standing("ns/a") == (1, State.SYNCED)


def test_a_restarted_envoy_gets_everything_again():
    gateway = Gateway()
    gateway.settle(fragment("a", 1, 2))
    gateway.envoy = FakeEnvoy()
    gateway.connect()
    gateway.settle(fragment("a", 1, 2))
    assert gateway.envoy.tables == [("ns/a",)]


def test_what_envoy_has_from_an_earlier_life_and_nobody_wants_goes_after_a_while():
    gateway = Gateway()
    gateway.envoy.clusters["ns/old-1"] = Cluster("ns/old-1", failover=True)
    gateway.envoy.assignments["ns/old-1"] = Assignment("ns/old-1", "ns/old", ())
    gateway.connect()
    gateway.settle(fragment("a", 1))
    assert "ns/old-1" in gateway.envoy.clusters
    gateway.envoy.now = LINGER
    gateway.envoy.talk()
    assert "ns/old-1" not in gateway.envoy.clusters


def test_a_first_table_with_an_offender_falls_back_on_what_is_remembered():
    gateway = Gateway()
    gateway.settle(fragment("a", 1), fragment("b", 1))
    gateway.envoy.objection = refusing("ns/b").objection
    gateway.connect()
    gateway.settle(fragment("a", 1, 2, generation=2), fragment("b", 1, 2, generation=2))
    assert all(table == ("ns/a", "ns/b") for table in gateway.envoy.tables)
    assert gateway.standing("ns/a") == (2, State.SYNCED)
    assert gateway.standing("ns/b") == (1, State.REJECTED)


def test_a_remembered_route_that_a_newer_envoy_refuses_does_not_hold_up_the_others():
    gateway = Gateway()
    gateway.settle(fragment("a", 1), fragment("b", 1))
    newer = FakeEnvoy(objection=lambda part: "no" if isinstance(part, Routing) and part.deployment == "ns/b" else "")
    gateway.envoy = newer
    gateway.connect()
    gateway.want(*(target.desired for target in gateway.targets.values()))
    gateway.envoy.talk()
    assert gateway.standing("ns/a") == (1, State.SYNCED)
    assert gateway.standing("ns/b") == (0, State.REJECTED)


def test_an_answer_to_an_older_message_changes_nothing():
    gateway = Gateway()
    gateway.want(fragment("a", 1))
    gateway.delivery.acknowledge("17")
    gateway.delivery.refuse("17", "no")
    gateway.settle(fragment("a", 1))
    assert gateway.standing("ns/a") == (1, State.SYNCED)


moves = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from([(1,), (2,), (1, 2), (2, 1), (2, 3), (3,), ()]),
        st.sampled_from(["10.0.0.1", "10.0.0.2"]),
        st.sampled_from([0, 100]),
        st.sampled_from(["talk", "step", "wait", "reconnect", "restart"]),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(moves, st.sets(st.sampled_from(["ns/a", "ns/b", "ns/c"]), max_size=2))
def test_whatever_happens_no_request_is_lost_and_all_but_the_refused_settle(sequence, offenders):
    gateway = Gateway(refusing(*offenders))
    generations = dict.fromkeys("abcd", 0)
    gateway.want()
    for name, revisions, pod, mirror, then in sequence:
        generations[name] += 1
        if revisions:
            gateway.want(fragment(name, *revisions, generation=generations[name], pod=pod, mirror=mirror))
        else:
            gateway.want(gone=(f"ns/{name}",))
        if then == "talk":
            gateway.envoy.talk()
        elif then == "step":
            gateway.envoy.step()
        elif then == "wait":
            gateway.envoy.now += LINGER / 2
        else:
            if then == "restart":
                gateway.envoy = replace(gateway.envoy, clusters={}, assignments={}, routings={})
            gateway.connect()
            gateway.want()
    gateway.envoy.now += LINGER
    gateway.envoy.talk()
    gateway.envoy.now += LINGER
    gateway.envoy.talk()
    assert gateway.envoy.lost == []
    for key, target in gateway.targets.items():
        expected = State.REJECTED if key in offenders and target.generation > 1 else State.SYNCED
        assert gateway.standing(key)[1] is expected
    used = {name for each in gateway.envoy.routings.values() for name in each.clusters}
    assert used <= {*gateway.envoy.clusters}
    assert gateway.envoy.routings.keys() - {*offenders} == gateway.targets.keys() - {*offenders}
