"""What Argo CD makes of an object: the health scripts of its ConfigMap, run in a real Lua 5.1.

Argo CD gives a script the object as the global `obj`, and of Lua's libraries only the basic functions and `table`
(https://argo-cd.readthedocs.io/en/stable/operator-manual/health/); so does this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lupa import lua51

CONFIG = Path(__file__).resolve().parents[3] / "manifests" / "gitops" / "argocd" / "argocd-cm.yaml"
HEALTHS = ("Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown")
NOT_THERE = ("string", "math", "io", "os", "debug", "coroutine", "dofile", "loadfile")


@dataclass(frozen=True, slots=True)
class Health:
    """What stands beside the object in Argo CD."""

    status: str
    message: str


def script(kind: str, *, config: Path = CONFIG) -> str:
    """The script of one of our kinds, by the key under which Argo CD looks for it."""
    data = yaml.safe_load(config.read_text(encoding="utf-8"))["data"]
    return str(data[f"resource.customizations.health.switchyard.dev_{kind}"])


class HealthCheck:
    """One kind's script, and the Lua to run it in."""

    def __init__(self, text: str) -> None:
        self._lua = lua51.LuaRuntime(register_eval=False, unpack_returned_tuples=True)
        for name in NOT_THERE:
            self._lua.globals()[name] = None
        self._run = self._lua.eval("function(text) return assert(loadstring(text)) end")(text)

    def __call__(self, body: Mapping[str, Any]) -> Health:
        """The health of an object as the API server sends it."""
        self._lua.globals()["obj"] = self._lua.table_from(dict(body), recursive=True)
        answer = self._run()
        found = Health(answer["status"], answer["message"])
        if found.status not in HEALTHS:
            raise ValueError(f"{found.status!r} is no health that Argo CD knows; it knows {', '.join(HEALTHS)}")
        return found
