"""CustomResourceDefinitions from the types. `python -m switchyard_contracts.crd DIRECTORY` writes them.

What a structural schema cannot say is refused here, loudly, instead of at apply time: references are inlined, `null` as
an alternative becomes an absent field, numeric exclusive bounds, unions, constants and tuples are errors.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from switchyard_contracts import descriptions, experiments, model_command, model_deployment, model_revision, model_route
from switchyard_contracts.base import GROUP, VERSION, Shape, Status
from switchyard_contracts.quantities import BasisPoints, MirrorShare, Threshold, format_duration

NOT_STRUCTURAL = {
    "anyOf",
    "oneOf",
    "const",
    "prefixItems",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "discriminator",
    "not",
}
KEPT = {
    "type",
    "properties",
    "items",
    "additionalProperties",
    "required",
    "enum",
    "default",
    "description",
    "format",
    "nullable",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource kind: its types, its names, and how kubectl prints it."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    spec: type[Shape]
    status: type[Status] | None
    cel: dict[type[Shape], list[dict[str, Any]]]
    columns: tuple[tuple[str, str, str, str], ...]
    """(name, type, JSON path, description); a name that ends in `*` is shown with `-o wide` only."""
    immutable_spec: bool = False
    max_name: int = 63
    rules: tuple[dict[str, Any], ...] = ()
    """CEL rules of the whole object."""


KINDS: tuple[Kind, ...] = (
    Kind(
        kind="ModelDeployment",
        plural="modeldeployments",
        short_names=("mdep", "md"),
        spec=model_deployment.ModelDeploymentSpec,
        status=model_deployment.ModelDeploymentStatus,
        cel=model_deployment.CEL,
        columns=(
            (
                "Ready",
                "string",
                '.status.conditions[?(@.type=="Ready")].status',
                "Whether everything is as the spec says.",
            ),
            ("Serving", "string", ".status.serving", "What users get."),
            ("Version", "string", ".status.stable.version", "The version that serves."),
            ("Desired", "string", ".status.desiredVersion", "The version that the spec asks for."),
            ("Phase", "string", ".status.rollout.phase", "Where the rollout stands."),
            ("Step", "string", ".status.rollout.step", "The rollout's step."),
            ("Weight", "string", ".status.rollout.weight", "The candidate's share of the traffic."),
            ("Verdict", "string", ".status.rollout.verdict", "The worst of the metrics' verdicts."),
            ("Reason", "string", ".status.rollout.reason", "Why it stands there."),
            ("Age", "date", ".metadata.creationTimestamp", "How long it has existed."),
            ("Waiting*", "string", ".status.rollout.waitingFor", "What the rollout waits for."),
        ),
        max_name=45,
        rules=experiments.RULES,
    ),
    Kind(
        kind="ModelRevision",
        plural="modelrevisions",
        short_names=("mrev",),
        spec=model_revision.ModelRevisionSpec,
        status=model_revision.ModelRevisionStatus,
        cel={},
        columns=(
            ("Deployment", "string", ".spec.deployment", "The deployment it belongs to."),
            ("Version", "string", ".status.version", "The model's version."),
            ("Phase", "string", ".status.phase", "What it is to its deployment."),
            ("Weight", "string", ".status.weight", "Its share of the traffic."),
            ("Ready", "integer", ".status.readyReplicas", "Pods that are ready."),
            ("Verdict", "string", ".status.verdict", "What the evidence says."),
            ("Reason", "string", ".status.reason", "Why it stands there."),
            ("Age", "date", ".metadata.creationTimestamp", "How long it has existed."),
            ("Data*", "string", ".spec.provenance.dataDigest", "The data it was trained on."),
            ("Commit*", "string", ".spec.provenance.gitCommit", "The code it was made by."),
        ),
        immutable_spec=True,
    ),
    Kind(
        kind="ModelRoute",
        plural="modelroutes",
        short_names=("mroute",),
        spec=model_route.ModelRouteSpec,
        status=None,
        cel=model_route.CEL,
        columns=(
            ("Stable", "string", ".spec.routes[0].revision", "The stable revision."),
            ("Second", "string", ".spec.routes[1].revision", "The candidate, or a warm revision."),
            ("Weight", "integer", ".spec.routes[1].weightBp", "The second's weight, in basis points."),
            ("Generation", "integer", ".metadata.generation", "What the gateways acknowledge."),
            ("Age", "date", ".metadata.creationTimestamp", "How long it has existed."),
        ),
    ),
    Kind(
        kind="ModelCommand",
        plural="modelcommands",
        short_names=("mcmd",),
        spec=model_command.ModelCommandSpec,
        status=model_command.ModelCommandStatus,
        cel=model_command.CEL,
        columns=(
            ("Deployment", "string", ".spec.deployment", "The deployment it is for."),
            ("Verb", "string", ".spec.verb", "What is wanted."),
            ("By", "string", ".spec.requestedBy", "Who wants it."),
            ("Result", "string", ".status.result", "What became of it."),
            ("Message", "string", ".status.message", "Why."),
            ("Age", "date", ".metadata.creationTimestamp", "How long it has existed."),
        ),
    ),
)


class _OwnSpelling(GenerateJsonSchema):
    """Defaults as people would have written them: `5m`, not ISO 8601's `PT5M`; camelCase, without nulls."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, timedelta):
            return format_duration(dft)
        if isinstance(dft, BasisPoints | MirrorShare | Threshold):
            return str(dft)
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", by_alias=True, exclude_none=True)
        return super().encode_default(dft)


def _absent_instead_of_null(node: dict[str, Any]) -> dict[str, Any]:
    options = node.get("anyOf")
    if options and len(options) == 2 and {"type": "null"} in options:
        inner = next(option for option in options if option != {"type": "null"})
        node = {**inner, **{key: value for key, value in node.items() if key != "anyOf"}}
        if node.get("default", 0) is None:
            del node["default"]
    return node


def _flatten(
    node: dict[str, Any], defs: dict[str, Any], rules: dict[str, list[dict[str, Any]]], where: str
) -> dict[str, Any]:
    """Inline every reference, attach the CEL rules of each type, and refuse what the API server would refuse."""
    node = _absent_instead_of_null(node)
    name = ""
    while "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        node = {**defs[name], **{key: value for key, value in node.items() if key != "$ref"}}
    if bad := NOT_STRUCTURAL & node.keys():
        raise ValueError(f"{where}: a structural schema cannot say {sorted(bad)}")
    flat = {key: value for key, value in node.items() if key in KEPT or key.startswith("x-kubernetes-")}
    if flat.get("additionalProperties") is False or flat.get("additionalProperties") is True:
        del flat["additionalProperties"]
    if "properties" in flat:
        flat["properties"] = {
            key: _flatten(value, defs, rules, f"{where}.{key}") for key, value in flat["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(flat.get(key), dict):
            flat[key] = _flatten(flat[key], defs, rules, f"{where}.{key}")
    if flat.get("type") == "object" and "properties" not in flat and "additionalProperties" not in flat:
        flat["x-kubernetes-preserve-unknown-fields"] = True
    if rules.get(name):
        flat["x-kubernetes-validations"] = rules[name]
    return flat


def _types_of(model: type[BaseModel]) -> set[type[BaseModel]]:
    """The type and all that its fields are made of."""
    found, ahead = set(), [model]
    while ahead:
        kind = ahead.pop()
        if kind in found:
            continue
        found.add(kind)
        ahead += [part for field in kind.model_fields.values() for part in _models_in(field.annotation)]
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def structural(model: type[BaseModel], cel: dict[type[Shape], list[dict[str, Any]]]) -> dict[str, Any]:
    """The structural schema of a type."""
    schema = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_OwnSpelling)
    defs = schema.pop("$defs", {})
    for kind in _types_of(model):
        node = defs.get(kind.__name__, schema if kind is model else {})
        for name, text in descriptions.of_fields(kind).items():
            if alias := kind.model_fields[name].alias:
                node.get("properties", {}).get(alias, {}).setdefault("description", text)
    rules = {kind.__name__: list(found) for kind, found in cel.items()}
    flat = _flatten(schema, defs, rules, model.__name__)
    if model in cel:
        flat["x-kubernetes-validations"] = list(cel[model])
    return flat


def _without_defaults(node: Any) -> Any:
    """A status is what the operator wrote: a default that the API server fills in would look like a change."""
    if isinstance(node, dict):
        return {
            key: _without_defaults(value) for key, value in node.items() if key != "default" or isinstance(value, dict)
        }
    return [_without_defaults(item) for item in node] if isinstance(node, list) else node


def _conditions_as_map(schema: dict[str, Any]) -> None:
    conditions = schema.get("properties", {}).get("conditions")
    if conditions:
        conditions["x-kubernetes-list-type"] = "map"
        conditions["x-kubernetes-list-map-keys"] = ["type"]


def definition(kind: Kind) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind."""
    spec = structural(kind.spec, kind.cel)
    if kind.immutable_spec:
        spec["x-kubernetes-validations"] = [
            *spec.get("x-kubernetes-validations", []),
            {"rule": "self == oldSelf", "message": f"the spec of a {kind.kind} cannot be changed"},
        ]
    properties: dict[str, Any] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
    }
    if kind.status:
        status = _without_defaults(structural(kind.status, {}))
        _conditions_as_map(status)
        if "observedGeneration" in status["properties"]:
            # Until the operator has been there, tools that wait must not take an object without conditions for done.
            status["default"] = {"observedGeneration": 0}
        properties["status"] = status
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": (sys.modules[kind.spec.__module__].__doc__ or "").strip(),
                "required": ["spec"],
                "properties": properties,
                "x-kubernetes-validations": [
                    {
                        "rule": f"self.metadata.name.size() <= {kind.max_name}",
                        "message": f"metadata.name must have at most {kind.max_name} characters",
                    },
                    *kind.rules,
                ],
            }
        },
        "additionalPrinterColumns": [
            {
                "name": name.rstrip("*"),
                "type": column,
                "jsonPath": path,
                "description": text,
                **({"priority": 1} if name.endswith("*") else {}),
            }
            for name, column, path, text in kind.columns
        ],
    }
    if kind.status:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": list(kind.short_names),
                "categories": ["switchyard"],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def main(directory: str) -> None:
    """Write one file per kind. JSON is YAML, and needs no library."""
    target = Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        text = json.dumps(definition(kind), indent=2, ensure_ascii=False) + "\n"
        (target / f"{kind.plural}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
