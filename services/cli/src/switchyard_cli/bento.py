"""What a Bento says of itself, and the ModelDeployment that follows from it: a start of a few lines, to be added to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.base import API_VERSION
from switchyard_contracts.containers import Image
from switchyard_contracts.model import SEMANTIC_VERSION
from switchyard_contracts.model_deployment import ServingPath

from switchyard_cli.errors import Unreadable

LONGEST_NAME = 45
MOST_PATHS = 32
USUAL_PORT, USUAL_TIMEOUT = 3000, 60
PROVENANCE = {
    "switchyard.dev/git-commit": "gitCommit",
    "switchyard.dev/data-digest": "dataDigest",
    "switchyard.dev/training-run": "trainingRun",
    "switchyard.dev/pipeline": "pipeline",
    "switchyard.dev/retrain-request": "retrainRequest",
}
"""Labels of a Bento that say from which code and data it came."""
IMAGE = re.compile(
    r"(?P<repository>[^@]+?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[a-f0-9]{64}))?"
)


@dataclass(frozen=True, slots=True)
class Bento:
    """The facts that a ModelDeployment needs."""

    name: str
    version: str = ""
    """As the Bento has it, semantic or not."""
    image: str = ""
    paths: tuple[str, ...] = ()
    port: int = USUAL_PORT
    timeout: int = USUAL_TIMEOUT
    """Seconds."""
    provenance: Mapping[str, str] = field(default_factory=dict)


def describe(manifest: Any, *, openapi: Any = None, where: str) -> Bento:
    """Read a `bento.yaml`, and where it names no route (older Bentos) its `apis/openapi.yaml`."""
    if not isinstance(manifest, dict) or not manifest.get("name"):
        raise Unreadable(f"{where}: this is no bento.yaml: it names no Bento; build one by `bentoml build`")
    name, version = str(manifest["name"]), str(manifest.get("version") or "")
    labels = _mapping(manifest.get("labels"))
    config = _entry_config(manifest)
    port, timeout = _mapping(config.get("http")).get("port"), _mapping(config.get("traffic")).get("timeout")
    return Bento(
        name=name,
        version=version,
        image=f"{name}:{version}" if version else name,
        paths=_paths(manifest, openapi),
        port=port if isinstance(port, int) else USUAL_PORT,
        timeout=round(timeout) if isinstance(timeout, int | float) and timeout >= 1 else USUAL_TIMEOUT,
        provenance={key: str(labels[label])[:1024] for label, key in PROVENANCE.items() if labels.get(label)},
    )


def of_image(reference: str) -> Bento:
    """What an image's own name says; its paths are read by the operator from the first ready pod."""
    found = IMAGE.fullmatch(reference)
    if found is None or not _fits(Image, reference):
        raise Unreadable(
            f"{reference!r} is not an image; write a repository with a tag or a digest, such as"
            " registry.example/flight-delay:1.3.0"
        )
    return Bento(
        name=found["repository"].rpartition("/")[2].partition(":")[0], version=found["tag"] or "", image=reference
    )


def resource_name(text: str) -> str:
    """A name that Kubernetes takes: `Flight_Delay` → `flight-delay`."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    name = name if name[:1].isalpha() else f"model-{name}".rstrip("-")
    return name[:LONGEST_NAME].rstrip("-")


def first_file(bento: Bento, *, name: str = "", image: str = "") -> tuple[str, list[str]]:
    """The YAML, and what its author should know: said beside it, so that the file stays short."""
    notes = []
    model: dict[str, Any] = {"image": image or bento.image}
    if not _fits(Image, model["image"]):
        raise Unreadable(
            f"{model['image']!r} is not an image that a cluster could pull; name it by --image, as you pushed it"
        )
    if re.fullmatch(SEMANTIC_VERSION, bento.version):
        model["version"] = bento.version
    elif bento.version:
        notes.append(
            f"the version {bento.version!r} is not semantic (such as 1.3.0), so spec.model.version is left out: the"
            " model's own /docs.json then says it"
        )
    if bento.provenance:
        model["provenance"] = dict(bento.provenance)
    serving: dict[str, Any] = {}
    paths = [path for path in bento.paths if _fits(ServingPath, path)][:MOST_PATHS]
    if paths:
        serving["paths"] = paths
    else:
        notes.append("no path is known, so spec.serving.paths is left out: the model's own /schema.json then says them")
    if bento.port != USUAL_PORT:
        serving["port"] = bento.port
    if bento.timeout != USUAL_TIMEOUT:
        serving["timeout"] = f"{bento.timeout}s"
    if not image and "/" not in model["image"]:
        notes.append(f"{model['image']} names no registry; push it and write where (--image), or no node can pull it")
    spec = {"model": model} | ({"serving": serving} if serving else {})
    try:
        acceptance.read(spec)
    except SpecRejected as error:
        raise Unreadable(f"no ModelDeployment can be made of this Bento: {error}") from error
    return _lines(name or resource_name(bento.name), spec), notes


def _lines(name: str, spec: Mapping[str, Any]) -> str:
    lines = [f"apiVersion: {API_VERSION}", "kind: ModelDeployment", f"metadata: {_flow({'name': name})}", "spec:"]
    model = dict(spec["model"])
    provenance = model.pop("provenance", None)
    if provenance is None:
        lines.append(f"  model: {_flow(model)}")
    else:
        lines += ["  model:", *(f"    {key}: {_flow(value)}" for key, value in model.items())]
        lines.append(f"    provenance: {_flow(provenance)}")
    if "serving" in spec:
        lines.append(f"  serving: {_flow(spec['serving'])}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """One value on one line, quoted where YAML would read it otherwise."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _paths(manifest: Mapping[str, Any], openapi: Any) -> tuple[str, ...]:
    routes = _mapping(manifest.get("schema")).get("routes") or manifest.get("apis")
    listed = routes if isinstance(routes, list) else []
    found = [str(item["route"]) for item in listed if isinstance(item, dict) and item.get("route")]
    if not found:
        found = [
            str(path)
            for path, verbs in _mapping(_mapping(openapi).get("paths")).items()
            if "post" in _mapping(verbs) and not str(path).startswith(("/healthz", "/livez", "/readyz", "/metrics"))
        ]
    return tuple(dict.fromkeys(path if path.startswith("/") else f"/{path}" for path in found))


def _entry_config(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    services = manifest.get("services")
    listed = [item for item in services if isinstance(item, dict)] if isinstance(services, list) else []
    entry = manifest.get("entry_service") or manifest.get("name")
    chosen = next((item for item in listed if item.get("name") == entry), listed[0] if len(listed) == 1 else {})
    return _mapping(chosen.get("config"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _fits(kind: Any, value: str) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True
