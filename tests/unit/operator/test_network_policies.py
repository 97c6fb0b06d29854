"""The walls around models' pods: they may ask for names and call whom the spec names, and nobody else."""

from __future__ import annotations

import json
from typing import Any

import kopf
import pytest
from pydantic import ValidationError
from switchyard_contracts.model_deployment import ModelDeploymentSpec, Phase
from switchyard_operator import handlers
from switchyard_operator.domain import kinds
from switchyard_operator.settings import Settings
from switchyard_testkit.rollout_world import SPEC, Model, Simulation

ONE, TWO = "models/delay:1", "models/delay:2"
NAMES = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
STORE = {"cidr": "10.20.0.0/16", "ports": [5432]}


def calling(*places: dict[str, Any]) -> dict[str, Any]:
    """A spec whose model calls these places."""
    return SPEC | {"serving": {**SPEC["serving"], "egress": list(places)}}


def world(spec: dict[str, Any]) -> Simulation:
    """A first version that serves, in an installation that makes policies."""
    made = Simulation({ONE: Model(version="1.0.0"), TWO: Model(version="2.0.0")}, also=kinds.OPTIONAL)
    made.deploy(spec)
    made.run(lambda: made.phase is Phase.COMPLETED)
    return made


def policies(made: Simulation) -> dict[str, dict[str, Any]]:
    return {body["metadata"]["name"]: body["spec"] for body in made.cluster.find(kinds.NETWORK_POLICY)}


def test_a_model_may_ask_for_names_and_nothing_else() -> None:
    made = world(SPEC)
    ((name, spec),) = policies(made).items()
    assert spec["egress"] == [NAMES]
    assert spec["policyTypes"] == ["Egress"]
    deployment = next(body for body in made.cluster.find(kinds.DEPLOYMENT) if body["metadata"]["name"] == name)
    assert spec["podSelector"] == deployment["spec"]["selector"]


def test_names_are_asked_of_whom_the_installation_says() -> None:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    settings = Settings.from_env({"OPERATOR_DNS_TO": json.dumps([peer])})
    made = world(SPEC)
    assert Settings.from_env({}).resolvers == ()
    made.resolvers = settings.resolvers
    made.restart()
    made.tick()
    assert [spec["egress"] for spec in policies(made).values()] == [[NAMES | {"to": [peer]}]]
    made.resolvers = ()
    made.restart()
    made.tick()
    assert [spec["egress"] for spec in policies(made).values()] == [[NAMES]]


def test_what_is_no_peer_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="ipBlock"):
        Settings.from_env({"OPERATOR_DNS_TO": '[{"cidr": "10.96.0.10/32"}]'})


def test_it_may_call_whom_the_spec_names() -> None:
    ((_, spec),) = policies(world(calling(STORE, {"cidr": "2001:db8::/32"}))).items()
    assert spec["egress"] == [
        NAMES,
        {"to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}], "ports": [{"protocol": "TCP", "port": 5432}]},
        {"to": [{"ipBlock": {"cidr": "2001:db8::/32"}}]},
    ]


def test_the_walls_stand_before_the_pods() -> None:
    writes = world(SPEC).cluster.writes
    kinds_written = [write for write in writes if "NetworkPolicy" in write or "apply Deployment" in write]
    assert "NetworkPolicy" in kinds_written[0]


def test_another_place_to_call_is_no_new_revision() -> None:
    made = world(SPEC)
    before = set(policies(made))
    made.deploy(calling(STORE))
    made.run(lambda: any(len(spec["egress"]) == 2 for spec in policies(made).values()))
    assert set(policies(made)) == before


def test_a_way_out_that_names_no_port_any_more_leads_to_all_of_them() -> None:
    made = world(calling(STORE))
    made.deploy(calling({"cidr": STORE["cidr"]}))
    made.tick()
    ((_, spec),) = policies(made).items()
    assert spec["egress"][1] == {"to": [{"ipBlock": {"cidr": STORE["cidr"]}}]}


def test_they_go_with_the_revision() -> None:
    made = world(SPEC | {"rollback": {"watch": "1m", "warm": {"replicas": 1, "for": "1m"}}})
    old = set(policies(made))
    made.deploy(SPEC | {"rollback": {"watch": "1m", "warm": {"replicas": 1, "for": "1m"}}}, image=TWO)
    made.run(lambda: len(policies(made)) == 2)
    made.run(lambda: len(policies(made)) == 1)
    assert not old & set(policies(made))


def test_an_installation_without_them_neither_makes_nor_watches_any() -> None:
    made = Simulation({ONE: Model(version="1.0.0")})
    made.deploy(SPEC)
    made.run(lambda: made.phase is Phase.COMPLETED)
    assert policies(made) == {}
    for also, watched in (((), False), (kinds.OPTIONAL, True)):
        registry = kopf.OperatorRegistry()
        handlers.register(registry, also=also)
        plurals = {
            handler.selector.any_name or handler.selector.plural
            for handler in registry._watching.get_all_handlers()
            if handler.selector
        }
        assert (kinds.NETWORK_POLICY.plural in plurals) is watched


@pytest.mark.parametrize(
    "cidr",
    [
        pytest.param("feature-store.example", id="a name: policies know addresses only"),
        pytest.param("10.20.0.1/16", id="an address inside a network, for the network"),
        pytest.param("10.20.0.0/33", id="no such length"),
        pytest.param("10.20.0.0", id="no length"),
    ],
)
def test_what_is_no_network_is_refused(cidr: str) -> None:
    with pytest.raises(ValidationError, match="cidr"):
        ModelDeploymentSpec.model_validate(calling({"cidr": cidr}))
