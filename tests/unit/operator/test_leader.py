"""One lease: one leads, the other waits, and takes over in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from switchyard_operator.domain.kinds import LEASE, MODEL_ROUTE
from switchyard_operator.errors import NotLeading, TryLater
from switchyard_operator.fence import FencedCluster
from switchyard_operator.leader import LEADS_FOR, RENEW_EVERY, Leadership
from switchyard_testkit.fake_cluster import FakeCluster

TAKEOVER = 20.0


class Time:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)


def contenders() -> tuple[FakeCluster, Time, Leadership, Leadership]:
    time = Time()
    cluster = FakeCluster(time.now)

    def one(identity: str) -> Leadership:
        return Leadership(
            cluster, namespace="system", name="operator", identity=identity, monotonic=time, clock=time.now
        )

    return cluster, time, one("ada"), one("bob")


@pytest.mark.rule("two-operators")
def test_the_first_leads_and_the_second_waits_while_it_lives() -> None:
    _, time, ada, bob = contenders()
    for _ in range(40):
        assert ada.tick()
        assert not bob.tick()
        time.seconds += RENEW_EVERY


@pytest.mark.rule("two-operators")
def test_a_standby_takes_over_in_time_and_never_beside_the_other() -> None:
    _, time, ada, bob = contenders()
    ada.tick()
    bob.tick()
    died = time.seconds
    while not bob.tick():
        assert time.seconds - died <= TAKEOVER
        time.seconds += RENEW_EVERY
    assert not ada.leading
    assert not ada.tick()


def test_a_holder_that_stops_lets_the_next_in_at_once() -> None:
    _, _, ada, bob = contenders()
    ada.tick()
    ada.release()
    assert bob.tick()


def test_a_holder_that_cannot_reach_the_api_server_stops_writing_by_itself() -> None:
    cluster, time, ada, _ = contenders()
    ada.tick()

    def away(_: str) -> None:
        raise TryLater("away")

    cluster.before_write = away
    time.seconds += LEADS_FOR - 1
    assert ada.tick()
    time.seconds += 2
    assert not ada.tick()


def test_who_does_not_lead_writes_nothing_but_reads() -> None:
    cluster, _, ada, _ = contenders()
    fenced = FencedCluster(cluster, leading=lambda: ada.leading)
    assert fenced.read(LEASE, "system", "operator") is None
    with pytest.raises(NotLeading, match="does not hold the lease"):
        fenced.delete(MODEL_ROUTE, "air", "delay")
    ada.tick()
    fenced.delete(MODEL_ROUTE, "air", "delay")
