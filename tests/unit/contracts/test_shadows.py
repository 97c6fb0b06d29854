"""What may be said of shadows, and what makes one's pods."""

from __future__ import annotations

from typing import Any

import pytest
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.model_deployment import ModelDeploymentSpec
from switchyard_contracts.model_revision import PodShape, hashes, pod_shape

CONFIG = {"env": [{"name": "MODE", "value": "fast"}], "envFrom": [{"configMap": "limits"}]}
SERVING = {"replicas": 2, "resources": {"requests": {"cpu": "100m"}}, "warmup": {"path": "/predict", "body": "{}"}}


def shadow(name: str = "next", image: str = "models/delay:2", **said: Any) -> dict[str, Any]:
    return {"name": name, "model": {"image": image}, **said}


def spec(*shadows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    model = {"image": "models/delay:1", "version": "1.0.0", "config": CONFIG}
    return {"model": model, "serving": SERVING, "shadows": [*shadows], **changes}


def shapes(*shadows: dict[str, Any]) -> tuple[PodShape, ...]:
    """The model's own pods, and each shadow's."""
    read = acceptance.read(spec(*shadows))
    return pod_shape(read), *(pod_shape(read, each) for each in read.shadows)


@pytest.mark.parametrize(
    ("shadows", "says"),
    [
        pytest.param([shadow(), shadow(image="models/delay:3")], r"shadows\[1\]\.name: 'next' is taken", id="one name"),
        pytest.param([shadow(sample=0)], r"shadows\[0\]\.sample: 0 compares nothing", id="nothing is sent"),
        pytest.param([shadow(sample="100.5%")], r"spec\.shadows\[0\]\.sample: '100\.5%' is not", id="more than all"),
        pytest.param([shadow(replicas=0)], r"spec\.shadows\[0\]\.replicas: 0 is too small", id="no pod"),
        pytest.param([shadow(weight=5)], r"spec\.shadows\[0\]\.weight: there is no such field", id="a weight"),
        pytest.param(
            [shadow(), shadow("other")],
            r"spec\.shadows\[1\]\.model: the same model in the same pods as the shadow 'next'",
            id="one model twice",
        ),
        pytest.param(
            [shadow(f"s{number}", f"models/delay:{number}") for number in range(2, 7)], r"spec\.shadows: ", id="five"
        ),
    ],
)
def test_what_cannot_be_is_refused_and_named(shadows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(SpecRejected, match=says):
        acceptance.read(spec(*shadows))


def test_a_name_and_a_model_are_enough() -> None:
    (said,) = acceptance.read(spec(shadow())).shadows
    assert (said.sample.value, said.replicas, said.resources) == (10_000, 1, None)
    whole = ModelDeploymentSpec.model_validate(spec(shadow(sample="0.25%")))
    assert ModelDeploymentSpec.model_validate(whole.to_json()) == whole


def test_what_a_shadow_does_not_say_is_the_models_own() -> None:
    own, its = shapes(shadow())
    assert its == own.model_copy(update={"image": "models/delay:2"})


def test_a_shadow_may_have_another_configuration_and_other_resources() -> None:
    other = {"env": [{"name": "MODE", "value": "slow"}]}
    said = shadow(resources={"requests": {"cpu": "2"}})
    said["model"]["config"] = other
    _, its = shapes(said)
    assert ([item.value for item in its.env], its.env_from) == (["slow"], [])
    assert its.resources
    assert its.resources.requests == {"cpu": "2"}


def test_the_same_model_with_other_resources_is_another_shadow_and_the_same_model() -> None:
    _, small, large = shapes(shadow(), shadow("large", resources={"requests": {"cpu": "2"}}))
    assert hashes(small)[0] == hashes(large)[0]
    assert hashes(small)[1] != hashes(large)[1]


def test_shadows_change_nothing_of_the_models_own_revision() -> None:
    bare = acceptance.read({key: value for key, value in spec().items() if key != "shadows"})
    for shadows in ([], [shadow()], [shadow(sample="1%"), shadow("other", "models/delay:3")]):
        assert hashes(pod_shape(acceptance.read(spec(*shadows)))) == hashes(pod_shape(bare))
