"""The CRD generator: what a structural schema cannot say is refused here, not at apply time."""

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from switchyard_contracts.base import Shape, Status, Timestamp
from switchyard_contracts.crd import KINDS, NOT_STRUCTURAL, Kind, definition, main, structural
from switchyard_contracts.quantities import BasisPoints, Duration, parse_duration


class Inner(Shape):
    """Something within."""

    size: Annotated[int, Field(ge=1)] = 1


def shape(annotation: Any, default: Any = ...) -> type[BaseModel]:
    """A type with one field."""
    return type(
        "Odd", (Shape,), {"__annotations__": {"odd": annotation}, **({} if default is ... else {"odd": default})}
    )


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        pytest.param(Annotated[float, Field(gt=0)], "exclusiveMinimum", id="an exclusive bound"),
        pytest.param(Annotated[float, Field(lt=1)], "exclusiveMaximum", id="an exclusive bound above"),
        pytest.param(int | str, "anyOf", id="one of two types"),
        pytest.param(Literal["one"], "const", id="a constant"),
        pytest.param(tuple[int, str], "prefixItems", id="a tuple"),
    ],
)
def test_what_is_not_structural_is_refused_and_where_it_is_is_said(annotation, says):
    with pytest.raises(ValueError, match=rf"Odd\.odd: a structural schema cannot say \['{says}'\]"):
        structural(shape(annotation), {})


def test_what_is_not_structural_is_found_in_lists_and_maps_too():
    with pytest.raises(ValueError, match=r"Odd\.odd\.items"):
        structural(shape(list[tuple[int, str]]), {})
    with pytest.raises(ValueError, match=r"Odd\.odd\.additionalProperties"):
        structural(shape(dict[str, int | str]), {})


def test_an_optional_field_is_one_that_may_be_absent():
    schema = structural(shape(Inner | None, None), {})
    assert "required" not in schema
    assert schema["properties"]["odd"]["properties"] == {"size": {"type": "integer", "minimum": 1, "default": 1}}


def test_defaults_are_spelt_as_people_write_them():
    assert structural(shape(Duration, parse_duration("5m")), {})["properties"]["odd"]["default"] == "5m"
    assert structural(shape(BasisPoints, BasisPoints(500)), {})["properties"]["odd"]["default"] == "5%"


def test_rules_go_where_their_type_is():
    rules = {Inner: [{"rule": "self.size > 1", "message": "larger"}]}
    schema = structural(shape(list[Inner]), rules)
    assert schema["properties"]["odd"]["items"]["x-kubernetes-validations"] == rules[Inner]


def walk(node: Any, path: str = "") -> Any:
    if isinstance(node, dict):
        yield path, node
        for name, value in node.items():
            yield from walk(value, f"{path}.{name}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, f"{path}[{index}]")


def undescribed(node, path):
    for name, inner in node.get("properties", {}).items():
        if not inner.get("description"):
            yield f"{path}.{name}"
        yield from undescribed(inner, f"{path}.{name}")
    for part in {"items", "additionalProperties"} & node.keys():
        yield from undescribed(node[part], path)


def test_explain_has_words_for_every_field_that_people_write():
    (deployment,) = [kind for kind in KINDS if kind.kind == "ModelDeployment"]
    spec = structural(deployment.spec, {})
    assert list(undescribed(spec, "spec")) == []
    block = spec["properties"]["analysis"]["properties"]["block"]["description"]
    assert block.startswith("What varies together")
    assert "  " not in block


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_our_own_kinds_are_structural_and_bounded(kind):
    crd = definition(kind)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec = schema["properties"]["spec"]
    for path, node in walk(spec):
        if ".default" in path:
            continue
        assert not NOT_STRUCTURAL & node.keys() - {"properties"}, path
        assert "$ref" not in node, path
        if node.get("type") == "array":
            assert "maxItems" in node, f"{path} is a list without a bound"
        if node.get("type") == "object" and isinstance(node.get("additionalProperties"), dict):
            assert "maxProperties" in node, f"{path} is a map without a bound"
        if node.get("type") == "string" and "enum" not in node and node.get("format") != "date-time":
            assert "maxLength" in node or "pattern" in node, f"{path} is a text without a bound"
    assert crd["metadata"]["name"] == f"{kind.plural}.switchyard.dev"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_status_has_no_defaults_and_its_conditions_are_a_map(kind):
    version = definition(kind)["spec"]["versions"][0]
    status = version["schema"]["openAPIV3Schema"]["properties"].get("status")
    assert (status is None) == (kind.status is None) == ("subresources" not in version)
    if status is None:
        return
    assert not [path for path, node in walk(status) if path and "default" in node and "type" in node]
    # Read before the operator was there, a deployment is one whose generation nobody has seen.
    observed = {"observedGeneration": 0} if kind.kind == "ModelDeployment" else None
    assert status.get("default") == observed
    conditions = status["properties"].get("conditions")
    if conditions:
        assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])
        assert "type" in conditions["items"]["required"]


class Seen(Status):
    at: Timestamp | None = None


def test_an_immutable_spec_is_held_by_a_rule():
    kind = Kind(
        "Thing", "things", ("th",), Inner, Seen, {}, (("At*", "date", ".status.at", "When."),), immutable_spec=True
    )
    version = definition(kind)["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert spec["x-kubernetes-validations"] == [
        {"rule": "self == oldSelf", "message": "the spec of a Thing cannot be changed"}
    ]
    (column,) = version["additionalPrinterColumns"]
    assert (column["name"], column["priority"]) == ("At", 1)


def test_the_files_are_the_same_each_time(tmp_path):
    for folder in ("one", "two"):
        main(str(tmp_path / folder))
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(f"{kind.plural}.yaml" for kind in KINDS)
    for name in names:
        text = (tmp_path / "one" / name).read_text()
        assert text == (tmp_path / "two" / name).read_text()
        json.loads(text)
