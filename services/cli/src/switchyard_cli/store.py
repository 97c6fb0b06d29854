"""Where Bentos are: a folder, BentoML's own store by tag, or an image's name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from switchyard_cli.bento import Bento, describe, of_image
from switchyard_cli.errors import Unreadable

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""A Bento's manifest carries every hash of its lock; the C loader reads it ten times faster."""


def find(reference: str, *, home: Path) -> Bento:
    """A folder (or its bento.yaml) if it is there, an image if it names a registry or a digest, else a tag."""
    path = Path(reference)
    if path.exists():
        return _folder(path if path.is_dir() else path.parent, named=reference)
    if "/" in reference or "@" in reference:
        if reference.startswith((".", "/", "~")):
            raise Unreadable(f"{reference}: there is no such folder")
        return of_image(reference)
    return _folder(_tagged(reference, home / "bentos"), named=reference)


def _tagged(tag: str, bentos: Path) -> Path:
    name, _, version = tag.partition(":")
    mine = bentos / name
    if not mine.is_dir():
        known = sorted(item.name for item in bentos.iterdir() if item.is_dir()) if bentos.is_dir() else []
        have = f"it has: {', '.join(known)}" if known else "it is empty"
        raise Unreadable(
            f"there is no Bento {name!r} in BentoML's store {bentos} ({have}); name a folder, a tag, or an image with"
            " its registry"
        )
    if version in ("", "latest"):
        latest = mine / "latest"
        version = latest.read_text(encoding="utf-8").strip() if latest.is_file() else ""
    if not version or not (mine / version).is_dir():
        known = sorted(item.name for item in mine.iterdir() if item.is_dir())
        raise Unreadable(f"there is no Bento {tag!r} in {bentos}; versions of {name}: {', '.join(known) or 'none'}")
    return mine / version


def _folder(folder: Path, *, named: str) -> Bento:
    manifest = folder / "bento.yaml"
    if not manifest.is_file():
        raise Unreadable(f"{named}: there is no bento.yaml in it; name the folder that `bentoml build` made")
    openapi = folder / "apis" / "openapi.yaml"
    return describe(_load(manifest), openapi=_load(openapi) if openapi.is_file() else None, where=str(manifest))


def _load(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Unreadable(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
