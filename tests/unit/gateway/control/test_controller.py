"""The shell: what it serves before, without and after the API server, and what it remembers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from switchyard_gateway.control.adapters import volume
from switchyard_gateway.control.adapters.cluster import read_route, read_slice
from switchyard_gateway.control.controller import Controller, remember_once
from switchyard_gateway.control.domain.fragment import Routing
from switchyard_gateway.control.domain.ledger import State
from switchyard_gateway.control.metrics import Metrics
from switchyard_gateway.control.ports import Gone, Listing, Put
from switchyard_gateway.shipper.account import Book
from switchyard_gateway.shipper.store import Store
from switchyard_testkit.fake_api import endpoint_slice, model_route, route
from switchyard_testkit.fake_envoy import FakeEnvoy


def a_route(name: str, *revisions: int, generation: int = 1, **spec):
    share = 10_000 // len(revisions)
    weights = [10_000 - share * (len(revisions) - 1), *[share] * (len(revisions) - 1)]
    entries = [
        route(f"{name}-{number}", weight, "candidate" if index else "stable")
        for index, (number, weight) in enumerate(zip(revisions, weights, strict=True))
    ]
    body = model_route("ns", name, *entries, **spec)
    body["metadata"]["generation"] = generation
    return read_route(body)


def pods(service: str, *addresses: str):
    return read_slice(endpoint_slice("ns", service, *((address, 3000) for address in addresses)))


class Pod:
    """One gateway pod: control and its Envoy, with the volume they outlive."""

    def __init__(self, folder: Path, envoy: FakeEnvoy | None = None) -> None:
        self.snapshot = folder / "snapshot.json"
        self.now = 0.0
        self.metrics = Metrics()
        self.controller = Controller(
            domain="models.test",
            preview=True,
            linger=60,
            metrics=self.metrics,
            ring=lambda: None,
            clock=lambda: self.now,
        )
        self.controller.recall(self.snapshot)
        self.envoy = envoy or FakeEnvoy()
        self.delivery = self.controller.new_delivery()
        self.envoy.connect(self.delivery)

    def listed(self, routes, slices) -> None:
        self.controller.routes_listed(Listing(tuple(routes), "1"))
        self.controller.slices_listed(Listing(tuple(slices), "1"))
        self.envoy.talk()

    def restarted(self, *, envoy: FakeEnvoy | None = None) -> Pod:
        asyncio.run(remember_once(self.controller, self.snapshot, 0))
        return Pod(self.snapshot.parent, envoy)

    def states(self) -> dict[str, tuple[int, State]]:
        return {key: (each.generation, each.state) for key, each in self.controller.standings().items()}


@pytest.fixture
def pod(tmp_path):
    return Pod(tmp_path)


def test_nothing_is_served_until_both_kinds_were_listed(pod):
    pod.controller.routes_listed(Listing((a_route("a", 1),), "1"))
    pod.envoy.talk()
    assert pod.envoy.heard == []
    assert not pod.controller.ready
    pod.controller.slices_listed(Listing((pods("a-1", "10.0.0.1"),), "1"))
    pod.envoy.talk()
    assert pod.states() == {"ns/a": (1, State.SYNCED)}
    assert pod.controller.ready


def test_a_change_is_followed(pod):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1"), pods("a-2", "10.0.0.2")])
    pod.controller.route_changed(Put(a_route("a", 1, 2, generation=2), "2"))
    assert pod.states() == {"ns/a": (1, State.PENDING)}
    pod.envoy.talk()
    assert pod.states() == {"ns/a": (2, State.SYNCED)}
    assert [arm.weight for arm in pod.envoy.routings["ns/a"].arms] == [5_000, 5_000]


def test_a_moved_pod_is_followed(pod):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    pod.controller.slice_changed(Put(pods("a-1", "10.0.0.7"), "2"))
    pod.envoy.talk()
    assert [member.address for member in pod.envoy.assignments["ns/a-1/only"].first] == ["10.0.0.7"]


def test_a_deleted_route_is_no_longer_served(pod):
    pod.listed([a_route("a", 1), a_route("b", 1)], [pods("a-1", "10.0.0.1"), pods("b-1", "10.0.0.2")])
    pod.controller.route_changed(Gone("ns", "a", "2"))
    pod.envoy.talk()
    assert pod.envoy.routings.keys() == pod.states().keys() == {"ns/b"}


def test_empty_lists_take_nobody_off_the_air(pod):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    pod.listed([], [])
    assert pod.states() == {"ns/a": (1, State.SYNCED)}
    assert pod.envoy.assignments["ns/a-1/only"].first


def test_a_route_that_cannot_be_translated_keeps_what_it_had_and_says_why(pod):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    pod.controller.route_changed(Put(a_route("a", 1, generation=2, paths=["/a/../b"]), "2"))
    pod.envoy.talk()
    assert pod.states() == {"ns/a": (1, State.REJECTED)}
    assert "spec.paths[0]" in pod.controller.standings()["ns/a"].message
    assert pod.envoy.routings["ns/a"].generation == 1


def test_a_refused_deployments_pods_are_still_followed(pod):
    pod.listed([a_route("a", 1, 2)], [pods("a-1", "10.0.0.1"), pods("a-2", "10.0.0.2")])
    pod.envoy.objection = lambda part: "no" if isinstance(part, Routing) and part.generation == 2 else ""
    pod.controller.route_changed(Put(a_route("a", 1, generation=2), "2"))
    pod.envoy.talk()
    pod.controller.slice_changed(Put(pods("a-2", "10.0.0.9"), "3"))
    pod.envoy.talk()
    assert pod.states() == {"ns/a": (1, State.REJECTED)}
    assert [member.address for member in pod.envoy.assignments["ns/a-2"].first] == ["10.0.0.9"]


def test_without_an_api_server_the_volumes_snapshot_is_served_and_marked_stale(pod):
    pod.listed([a_route("a", 1, generation=4)], [pods("a-1", "10.0.0.1")])
    after = pod.restarted()
    after.controller.serve_stale()
    after.envoy.talk()
    assert after.controller.stale
    assert after.states() == {"ns/a": (4, State.SYNCED)}
    assert [member.address for member in after.envoy.assignments["ns/a-1/only"].first] == ["10.0.0.1"]


def test_staleness_ends_when_the_api_server_speaks(pod):
    pod.listed([a_route("a", 1), a_route("b", 1)], [pods("a-1", "10.0.0.1"), pods("b-1", "10.0.0.2")])
    after = pod.restarted()
    after.controller.serve_stale()
    after.envoy.talk()
    after.controller.routes_listed(Listing((a_route("a", 1, generation=5),), "9"))
    assert after.controller.stale
    after.controller.slices_listed(Listing((pods("a-1", "10.0.0.3"),), "9"))
    after.envoy.talk()
    assert not after.controller.stale
    assert after.states() == {"ns/a": (5, State.SYNCED)}
    assert after.envoy.lost == []


def test_a_restart_beside_a_running_envoy_never_wipes_it_even_if_the_api_server_is_wiped(pod):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    after = pod.restarted(envoy=pod.envoy)
    after.listed([], [])
    assert after.states() == {"ns/a": (1, State.SYNCED)}
    assert all("ns/a" in table for table in after.envoy.tables)


def test_with_nothing_remembered_and_nothing_heard_nothing_is_served(pod):
    pod.controller.serve_stale()
    pod.envoy.talk()
    assert pod.envoy.heard == []
    assert not pod.controller.serving


def test_what_was_never_acknowledged_is_not_remembered(pod):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    pod.envoy.objection = lambda part: "no" if isinstance(part, Routing) and part.generation == 2 else ""
    pod.controller.route_changed(Put(a_route("a", 1, generation=2, timeout="3s"), "2"))
    pod.envoy.talk()
    after = pod.restarted()
    assert [each.generation for each in after.controller.world.routes.values()] == [1]


def test_a_broken_snapshot_is_left_alone_and_said(pod, caplog):
    pod.snapshot.write_text('{"format": 1, "routes": [{"name"')
    after = Pod(pod.snapshot.parent)
    assert "cannot be read" in caplog.text
    after.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    assert after.states() == {"ns/a": (1, State.SYNCED)}


def test_a_snapshot_of_another_format_is_left_alone(pod, caplog):
    pod.snapshot.write_text('{"format": 99, "routes": []}')
    assert Pod(pod.snapshot.parent).controller.world.routes == {}
    assert "format 99 is not 1" in caplog.text


def test_an_unchanged_snapshot_is_not_written_again(pod):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    written = asyncio.run(remember_once(pod.controller, pod.snapshot, 0))
    pod.snapshot.unlink()
    assert asyncio.run(remember_once(pod.controller, pod.snapshot, written)) == written
    assert not pod.snapshot.exists()


def test_a_full_volume_is_no_reason_to_stop(pod, caplog):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    assert asyncio.run(remember_once(pod.controller, Path("/proc/none/snapshot.json"), 0)) == 0
    assert "cannot be written" in caplog.text


def test_a_snapshot_is_replaced_whole(pod):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    asyncio.run(remember_once(pod.controller, pod.snapshot, 0))
    assert [path.name for path in pod.snapshot.parent.iterdir()] == ["snapshot.json"]
    remembered = volume.read(pod.snapshot)
    assert remembered is not None
    assert [each.key for each in remembered[0]] == ["ns/a"]


def test_without_envoy_everything_is_pending(pod):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    pod.controller.disconnected()
    assert pod.states() == {"ns/a": (0, State.PENDING)}
    assert not pod.controller.ready


def test_only_what_changed_is_translated_again(pod):
    count = 200
    pod.listed(
        [a_route(f"m{number}", 1) for number in range(count)],
        [pods(f"m{number}-1", "10.0.0.1") for number in range(count)],
    )
    before = dict(pod.controller.targets)
    pod.controller.route_changed(Put(a_route("m7", 1, generation=2), "2"))
    assert {key for key, target in pod.controller.targets.items() if target is not before[key]} == {"ns/m7"}


def test_a_refusal_is_said_once_in_the_log_with_the_deployment_and_the_generation(pod, caplog):
    pod.listed([a_route("a", 1)], [pods("a-1", "10.0.0.1")])
    for generation in (2, 2, 3):
        pod.controller.route_changed(Put(a_route("a", 1, generation=generation, paths=["/a/../b"]), "2"))
    said = [record for record in caplog.records if "is not served" in record.getMessage()]
    assert [(record.deployment, record.traffic) for record in said] == [("ns/a", 2)]


@pytest.mark.parametrize(
    ("book", "lost"),
    [
        pytest.param(None, 0, id="no shipper yet"),
        pytest.param(Book(dropped={"spool_full": 812, "unparsable": 3}), 812, id="what the full spool let go"),
        pytest.param(Book(), 0, id="nothing"),
    ],
)
def test_what_the_shipper_let_go_is_read_from_its_book(tmp_path, book, lost):
    if book:
        Store(tmp_path).write(book)
    assert volume.dropped(tmp_path) == lost
