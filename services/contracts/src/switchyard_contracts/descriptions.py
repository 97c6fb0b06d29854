"""What each field of a type means, in the words that stand below it in the source: `kubectl explain` prints them."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache

from pydantic import BaseModel


def of_fields(kind: type[BaseModel]) -> dict[str, str]:
    """By the field's own name, inherited ones among them; a field without words of its own is left out."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found |= _written(base.__module__).get(base.__name__, {})
    return found


@cache
def _written(module: str) -> Mapping[str, Mapping[str, str]]:
    """Of each class of a module: a text that stands right below a field belongs to it."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: dict(_pairs(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _pairs(node: ast.ClassDef) -> list[tuple[str, str]]:
    found = []
    for field, below in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            found.append((field.target.id, " ".join(below.value.value.split())))
    return found
