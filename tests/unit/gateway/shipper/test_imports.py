"""Who may know whom: Kafka's client is known to the bus alone, and what is pure stays so."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import switchyard_gateway.shipper as shipper

FOLDER = Path(shipper.__file__).parent
PURE = ("account", "line", "redaction")
OUTSIDE = {"kafka", "httpx", "fastapi", "uvicorn", "os", "socket", "threading", "time", "pathlib", "shutil"}


def imported(module: str) -> set[str]:
    """The top-level packages, and our own modules, that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found |= {name if name.startswith("switchyard_gateway.") else name.split(".")[0] for name in names}
    return found


def test_kafka_is_known_to_the_bus_alone() -> None:
    modules = [path.stem for path in FOLDER.glob("*.py")]
    assert [module for module in modules if "kafka" in imported(module)] == ["bus"]


@pytest.mark.parametrize("module", PURE)
def test_what_is_pure_touches_nothing_outside(module: str) -> None:
    assert not imported(module) & OUTSIDE


def test_the_shipper_does_not_know_control() -> None:
    for path in FOLDER.glob("*.py"):
        assert not any(name.startswith("switchyard_gateway.control") for name in imported(path.stem)), path
