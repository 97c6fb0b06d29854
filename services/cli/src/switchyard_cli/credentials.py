"""Who we are to a registry: what `docker login`, `podman login` or a credential helper left on this machine."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from switchyard_cli.errors import Denied, Unreadable
from switchyard_cli.images import HUB

HUB_KEY = "https://index.docker.io/v1/"
"""The name under which Docker keeps its own registry's login."""
PATIENCE = 30
"""Seconds for a credential helper."""


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and a password."""

    user: str
    password: str = field(repr=False)


def files(environ: Mapping[str, str], home: Path) -> list[Path]:
    """Where logins may stand, the likeliest first."""
    found = [Path(environ["REGISTRY_AUTH_FILE"])] if environ.get("REGISTRY_AUTH_FILE") else []
    found.append(Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json")
    if environ.get("XDG_RUNTIME_DIR"):
        found.append(Path(environ["XDG_RUNTIME_DIR"]) / "containers" / "auth.json")
    return found


def login(registry: str, *, environ: Mapping[str, str] | None = None, home: Path | None = None) -> Login | None:
    """The login for a registry, or None where there is none: many registries let anybody read."""
    names = [registry, f"https://{registry}", *([HUB_KEY, "docker.io", "index.docker.io"] if registry == HUB else [])]
    for path in files(os.environ if environ is None else environ, home or Path.home()):
        config = _read(path)
        helper = next((text for name in names if (text := _mapping(config.get("credHelpers")).get(name))), None)
        held = next((item for name in names if (item := _mapping(config.get("auths")).get(name)) is not None), None)
        if helper or (config.get("credsStore") and held is not None):
            return _helped(str(helper or config["credsStore"]), HUB_KEY if registry == HUB else registry)
        if held:
            return _written(_mapping(held), registry=registry, path=path)
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return _mapping(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path}: the logins cannot be read ({error}); log in again by `docker login`") from error


def _written(held: Mapping[str, Any], *, registry: str, path: Path) -> Login:
    if held.get("identitytoken"):
        raise Denied(f"{path}: the login of {registry} is an identity token, which is not supported; use a password")
    try:
        user, _, password = base64.b64decode(str(held.get("auth") or "")).decode().partition(":")
    except ValueError as error:
        raise Unreadable(f"{path}: the login of {registry} is not readable; log in again") from error
    return Login(str(held.get("username") or user), str(held.get("password") or password))


def _helped(helper: str, registry: str) -> Login | None:
    """Ask a credential helper, as Docker does; one that knows no login says so by its exit code."""
    command = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [command, "get"], input=registry, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        said = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise Denied(f"the credential helper {command} does not work for {registry}: {error}") from error
    if said is None:
        return None
    found = _mapping(said)
    if found.get("Username") == "<token>":
        raise Denied(f"{command} gives an identity token for {registry}, which is not supported; log in by password")
    return Login(str(found.get("Username") or ""), str(found.get("Secret") or ""))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
