"""Totals that only grow, grouped by the revision that answered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from switchyard_gateway.control.domain.counters import Count, Counters, Growth, HostCount, Look, of_cluster

ONE = ("ns/a-1/only", "10.0.0.1", 3000)
TWO = ("ns/a-2", "10.0.0.2", 3000)
SPARE = ("ns/a-2", "10.0.0.1", 3000)
OWNERS = {ONE: ("ns/a", "a-1"), TWO: ("ns/a", "a-2"), SPARE: ("ns/a", "a-1")}


def hosts(**counts):
    return tuple(
        HostCount({"one": ONE, "two": TWO, "spare": SPARE}[name], Count(*count)) for name, count in counts.items()
    )


def shown(boot="1", **counts):
    return Look(hosts(**counts), boot)


def test_the_failovers_answers_count_for_stable():
    counters = Counters()
    counters.take(shown(one=(10, 1), two=(5, 5), spare=(3, 0)), OWNERS)
    assert counters.totals == {("ns/a", "a-1"): Count(13, 1), ("ns/a", "a-2"): Count(5, 5)}


def test_looking_twice_counts_once():
    counters = Counters()
    counters.take(shown(one=(10, 1)), OWNERS)
    counters.take(shown(one=(10, 1)), OWNERS)
    counters.take(shown(one=(12, 1)), OWNERS)
    assert counters.totals == {("ns/a", "a-1"): Count(12, 1)}


def test_a_restarted_envoy_starts_at_nought_and_the_total_does_not():
    counters = Counters()
    counters.take(shown(one=(10, 1)), OWNERS)
    counters.take(shown(one=(4, 0)), OWNERS)
    assert counters.totals == {("ns/a", "a-1"): Count(14, 1)}


def test_another_envoy_that_has_counted_further_than_the_one_before_is_told_by_its_boot():
    counters = Counters()
    counters.take(shown("1", one=(10, 1)), OWNERS)
    grown = counters.take(shown("2", one=(12, 1)), OWNERS)
    assert grown == [Growth(ONE, ("ns/a", "a-1"), Count(12, 1))]
    assert counters.totals == {("ns/a", "a-1"): Count(22, 2)}


def test_what_is_counted_for_a_cluster_as_a_whole_is_its_revisions():
    counters = Counters()
    whole = of_cluster("ns/a-2")
    counters.take(Look((HostCount(whole, Count(retries=4)),)), {whole: ("ns/a", "a-2")})
    assert counters.totals == {("ns/a", "a-2"): Count(retries=4)}


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 50), st.integers(0, 50)),
        min_size=1,
        max_size=30,
    )
)
def test_however_often_envoy_starts_anew_and_is_looked_at_every_request_it_showed_is_counted_once(steps):
    """Of what a killed Envoy counted after the last look nobody knows; all else is in the total."""
    counters, boot, showing, expected = Counters(), 0, Count(), Count()
    for restarts, requests, errors in steps:
        if restarts:
            boot, showing = boot + 1, Count()
        added = Count(requests + errors, errors)
        showing, expected = showing.plus(added), expected.plus(added)
        grown = counters.take(Look((HostCount(ONE, showing),), str(boot)), OWNERS)
        assert [each.count for each in grown] == [added]
        assert counters.take(Look((HostCount(ONE, showing),), str(boot)), OWNERS)[0].count == Count()
    assert counters.totals[OWNERS[ONE]] == expected


def test_a_host_that_has_left_the_endpoints_but_not_envoy_is_still_counted():
    counters = Counters()
    counters.take(shown(one=(10, 0)), OWNERS)
    counters.take(shown(one=(11, 0)), {})
    assert counters.totals == {("ns/a", "a-1"): Count(11, 0)}


def test_an_address_that_another_revision_took_over_begins_anew():
    counters = Counters()
    counters.take(shown(two=(10, 0)), OWNERS)
    counters.take(shown(two=(12, 3)), {TWO: ("ns/a", "a-3")})
    assert counters.totals == {("ns/a", "a-2"): Count(10, 0), ("ns/a", "a-3"): Count(12, 3)}


def test_what_is_mirrored_is_no_request_of_its_own():
    door = ("ns/a-2/mirror", "127.0.0.1", 8090)
    owners = {**OWNERS, door: ("ns/a", "a-2")}
    counters = Counters()
    for mirrored, overflow in ((30, 0), (32, 68)):
        counters.take(
            Look((*hosts(two=(mirrored, 1)), HostCount(door, Count(mirrored=mirrored, mirror_overflow=overflow)))),
            owners,
        )
    assert counters.totals == {("ns/a", "a-2"): Count(32, 1, mirrored=32, mirror_overflow=68)}


def test_an_overflow_that_went_back_began_again_from_nought():
    door = ("ns/a-2/mirror", "127.0.0.1", 8090)
    counters = Counters()
    for mirrored, overflow in ((32, 68), (32, 3)):
        counters.take(
            Look((HostCount(door, Count(mirrored=mirrored, mirror_overflow=overflow)),)), {door: ("ns/a", "a-2")}
        )
    assert counters.totals == {("ns/a", "a-2"): Count(mirrored=64, mirror_overflow=71)}


def test_a_host_nobody_knows_is_not_counted():
    counters = Counters()
    counters.take(shown(one=(10, 0)), {})
    assert counters.totals == {}


def test_a_deleted_deployment_is_forgotten():
    counters = Counters()
    counters.take(shown(one=(10, 0)), OWNERS)
    counters.forget(["ns/b"])
    assert counters.totals == {}
