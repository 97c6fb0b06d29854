"""The volume: what Envoy last acknowledged, kept over restarts of the whole pod, and how full the volume is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from switchyard_contracts.canonical import canonical
from switchyard_contracts.model_route import ModelRouteSpec

from switchyard_gateway.control.domain.fragment import Fragment
from switchyard_gateway.control.domain.room import Room
from switchyard_gateway.control.domain.world import Endpoint, Fitness, RouteObject, ServiceKey
from switchyard_gateway.control.errors import SnapshotError

FORMAT = 1
Remembered = tuple[tuple[RouteObject, ...], Mapping[ServiceKey, tuple[Endpoint, ...]]]


def write(path: Path, fragments: Iterable[Fragment]) -> None:
    """Replace the snapshot as a whole: a reader finds the old one or the new one, never half of it."""
    document = {"format": FORMAT, "routes": [_remember(fragment) for fragment in fragments]}
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(canonical(document))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path) -> Remembered | None:
    """What was last acknowledged, or None where nothing ever was."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise SnapshotError(f"{path}: format {document['format']} is not {FORMAT}, the one this version writes")
        routes, endpoints = [], {}
        for entry in document["routes"]:
            spec = ModelRouteSpec.model_validate(entry["spec"])
            routes.append(RouteObject(entry["namespace"], entry["name"], entry["generation"], spec))
            for service, found in entry["endpoints"].items():
                endpoints[(entry["namespace"], service)] = tuple(
                    Endpoint(address, port, Fitness(fitness)) for address, port, fitness in found
                )
    except (ValueError, KeyError, TypeError, ValidationError) as wrong:
        raise SnapshotError(f"{path}: cannot be read: {wrong}") from wrong
    return tuple(routes), endpoints


def _remember(fragment: Fragment) -> dict[str, Any]:
    spec = fragment.source.spec
    return {
        "namespace": fragment.source.namespace,
        "name": fragment.source.name,
        "generation": fragment.source.generation,
        "spec": spec.to_json() if spec else {},
        "endpoints": {
            service: [[each.address, each.port, each.fitness.value] for each in found]
            for (_, service), found in fragment.endpoints
        },
    }


def room(folder: Path) -> Room:
    """How full the volume is, as `df` counts: what is reserved for others is neither taken nor free."""
    state = os.statvfs(folder)
    taken = state.f_blocks - state.f_bfree
    used = taken / (taken + state.f_bavail) if taken + state.f_bavail else 0.0
    return Room(used, state.f_bavail * state.f_frsize)


def dropped(folder: Path) -> int:
    """How many exchanges the shipper beside us let go because its spool was full, by its own book; 0 without one."""
    try:
        book = json.loads((folder / "account.json").read_bytes())
        return int(book["dropped"].get("spool_full", 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0
