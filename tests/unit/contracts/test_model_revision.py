"""A revision's name: the same facts, the same name; what applies in place changes nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.canonical import canonical, digest
from switchyard_contracts.model_deployment import ModelDeploymentSpec
from switchyard_contracts.model_revision import hashes, pod_shape, revision_name

IMAGE = "registry.example/delay@sha256:" + "a" * 64
FULL: dict[str, Any] = {
    "model": {
        "image": IMAGE,
        "version": "1.3.0",
        "config": {"env": [{"name": "MODE", "value": "fast"}], "envFrom": [{"configMap": "limits"}]},
    },
    "serving": {
        "replicas": 2,
        "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
        "scheduling": {"nodeSelector": {"zone": "a"}},
        "warmup": {"path": "/predict", "body": "{}"},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The full spec with one field another."""
    keys = path.split(".")
    spec: dict[str, Any] = {**FULL}
    node = spec
    for key in keys[:-1]:
        node[key] = {**node.get(key, {})}
        node = node[key]
    node[keys[-1]] = value
    return spec


def names(spec: dict[str, Any], **changes: Any) -> tuple[str, str]:
    """(model hash, pod hash)."""
    return hashes(pod_shape(ModelDeploymentSpec.model_validate(spec)), **changes)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(list(value))}
    return [reversed_keys(one) for one in value] if isinstance(value, list) else value


def test_the_name_is_known_and_stays():
    """Another value here means that an upgrade of the operator rolls everyone's models out anew."""
    assert names(FULL) == ("1bd52440b7", "cafe821b36")
    assert revision_name("delay", names(FULL)[1]) == "delay-cafe821b36"


def test_the_order_in_which_it_was_written_does_not_matter():
    assert names(reversed_keys(FULL)) == names(FULL)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.version", "1.4.0"),
        ("model.provenance", {"gitCommit": "abc"}),
        ("serving.replicas", 9),
        ("serving.paths", ["/predict"]),
        ("serving.timeout", "5s"),
        ("strategy", {"type": "Canary", "canary": {"steps": [{"name": "five", "weight": 5}]}}),
        ("analysis", {"metrics": [{"name": "e", "metric": "error_rate", "max": "1%", "role": "guard"}]}),
        ("rollback", {"automatic": False}),
        ("suspend", True),
    ],
)
def test_what_applies_in_place_keeps_the_name(path, value):
    assert names(changed(path, value)) == names(FULL)


@pytest.mark.parametrize(
    ("path", "value", "same_model"),
    [
        ("model.image", "registry.example/delay@sha256:" + "b" * 64, False),
        ("model.config", {"env": [{"name": "MODE", "value": "slow"}], "envFrom": [{"configMap": "limits"}]}, False),
        ("model.config", {"env": [{"name": "MODE", "value": "fast"}]}, False),
        ("serving.resources", {"requests": {"cpu": "100m", "memory": "2Gi"}}, True),
        ("serving.scheduling", {"nodeSelector": {"zone": "b"}}, True),
        ("serving.port", 3001, True),
        ("serving.warmup", {"path": "/predict", "body": "[]"}, True),
    ],
)
def test_what_makes_the_pods_changes_the_name_and_only_the_model_its_hash(path, value, same_model):
    before, after = names(FULL), names(changed(path, value))
    assert after[1] != before[1]
    assert (after[0] == before[0]) is same_model


def test_the_contents_of_a_config_map_are_part_of_both():
    before, after = names(FULL, config_digests={"limits": "1"}), names(FULL, config_digests={"limits": "2"})
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_what_is_said_and_what_is_left_to_its_default_is_the_same():
    assert names({"model": {"image": IMAGE}, "serving": {"port": 3000}}) == names({"model": {"image": IMAGE}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_canonical_json_does_not_know_the_order_of_keys(value):
    assert canonical(reversed_keys(value)) == canonical(value)
    assert digest(value) == digest(reversed_keys(value))


def test_canonical_json_refuses_what_json_cannot_say():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"value": float("nan")})
