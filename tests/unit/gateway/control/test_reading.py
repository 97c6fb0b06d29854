"""What the API server sends, read into our own values; what cannot be read keeps its place and says why."""

from __future__ import annotations

import pytest
from switchyard_gateway.control.adapters.cluster import read_route, read_slice
from switchyard_gateway.control.domain.world import Endpoint, Fitness
from switchyard_testkit.fake_api import endpoint_slice, model_route, route

READY = {"ready": True, "serving": True, "terminating": False}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        pytest.param(READY, [Endpoint("10.0.0.1", 3000)], id="ready"),
        pytest.param({}, [Endpoint("10.0.0.1", 3000)], id="no word means ready"),
        pytest.param({**READY, "ready": False}, [Endpoint("10.0.0.1", 3000, Fitness.UNREADY)], id="not ready"),
        pytest.param({**READY, "serving": False}, [Endpoint("10.0.0.1", 3000, Fitness.UNREADY)], id="not serving"),
        pytest.param(
            {"ready": False, "serving": True, "terminating": True},
            [Endpoint("10.0.0.1", 3000, Fitness.DRAINING)],
            id="leaving but serving",
        ),
        pytest.param({"ready": False, "serving": False, "terminating": True}, [], id="leaving and no longer serving"),
    ],
)
def test_a_pods_conditions(conditions, expected):
    body = endpoint_slice("ns", "a-1", ("10.0.0.1", 3000))
    body["endpoints"][0]["conditions"] = conditions
    assert [*read_slice(body).endpoints] == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            {"ports": [{"name": "http", "port": 1}, {"name": "metrics", "port": 2}]}, [1], id="the port called http"
        ),
        pytest.param({"ports": [{"name": "", "port": 2}]}, [2], id="the only port, whatever its name"),
        pytest.param({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}, [], id="two ports, neither http"),
        pytest.param({"ports": None}, [], id="no ports"),
        pytest.param({"endpoints": None}, [], id="no endpoints"),
        pytest.param({"addressType": "FQDN"}, [], id="names instead of addresses"),
        pytest.param({"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}]}, [3000], id="IPv6"),
        pytest.param({"endpoints": [{"addresses": ["not-an-address"]}]}, [], id="what Envoy would refuse"),
    ],
)
def test_a_slices_ports_and_addresses(change, expected):
    body = {**endpoint_slice("ns", "a-1", ("10.0.0.1", 3000)), **change}
    assert [endpoint.port for endpoint in read_slice(body).endpoints] == expected


def test_a_route_is_read():
    body = model_route("ns", "a", route("a-1", 10_000))
    body["metadata"]["generation"] = 3
    read = read_route(body)
    assert (read.key, read.generation, read.services) == ("ns/a", 3, (("ns", "a-1"),))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            model_route("ns", "a", route("a-1", 9_000)), "weights sum to 9000", id="weights that do not add up"
        ),
        pytest.param(
            model_route("ns", "a", route("a-1", 10_000), later=1), "spec.later", id="a field of a later release"
        ),
        pytest.param({"metadata": {"namespace": "ns", "name": "a"}}, "spec.paths", id="no spec at all"),
    ],
)
def test_a_route_that_cannot_be_read_keeps_its_place_and_says_why(body, words):
    read = read_route(body)
    assert read.spec is None
    assert words in read.problem
