"""Expressions: small sums that people write over named values, such as `abs(prediction - outcome)`.

They are read by Python's parser and walked by ours, which knows what stands below and nothing else: nothing is ever
evaluated as Python. Every kind is settled before a value is seen, so what is refused is refused where it is written.
Of numbers there is only what IEEE 754 rounds in one way on every machine, so that a replay elsewhere gives the same
bits: that is why roots are there, and logarithms and powers of any exponent are not. A step that comes to no finite
number ends it: the whole has no value then, and whoever asked counts that.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any

MOST_LETTERS, MOST_DEPTH, MOST_ARGUMENTS, MOST_POWER = 512, 16, 8, 4
EXAMPLE = "max(0.9*(outcome-prediction), 0.1*(prediction-outcome))"

Values = Mapping[str, float | str | None]
"""By name; None for what is not known."""
Run = Callable[[Values], Any]


class Kind(StrEnum):
    """What a part of an expression is."""

    NUMBER = "number"
    TEXT = "text"
    TRUTH = "truth"

    @property
    def words(self) -> str:
        """As it stands in sentences."""
        return {"number": "a number", "text": "a text", "truth": "true or false"}[self.value]


@dataclass(frozen=True, slots=True)
class Expression:
    """One that was read: a number of the names that it uses."""

    text: str
    names: frozenset[str]
    _run: Run = field(repr=False, compare=False)

    def of(self, values: Values) -> float | None:
        """Its number; None where a value is not known, or a step comes to none: a division by zero, an overflow."""
        try:
            return float(self._run(values))
        except ArithmeticError:
            return None


def parse(text: str, known: Mapping[str, Kind]) -> Expression:
    """Read one over the known names; ValueError with what is wrong and what helps."""
    if len(text) > MOST_LETTERS:
        raise ValueError(f"it has {len(text)} characters, and at most {MOST_LETTERS} are read; write a shorter one")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        what = error.msg if isinstance(error, SyntaxError) else "too deep"
        raise ValueError(f"{text!r} is no expression ({what}); write one such as {EXAMPLE}") from error
    reader = _Reader(text.strip(), known)
    run = reader.wanted(tree.body, Kind.NUMBER)
    return Expression(text, frozenset(reader.used), run)


class _Unknown(ArithmeticError):
    """A step has no number."""


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise _Unknown
    return value


def _root(value: float) -> float:
    if value < 0.0:
        raise _Unknown
    return math.sqrt(value)


_SUMS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda one, other: one + other,
    ast.Sub: lambda one, other: one - other,
    ast.Mult: lambda one, other: one * other,
    ast.Div: lambda one, other: one / other,
}
_OF_ONE: dict[str, Callable[[float], float]] = {"abs": abs, "sqrt": _root}
_OF_MANY: dict[str, Callable[[Sequence[float]], float]] = {"max": max, "min": min}
_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: lambda one, other: one < other,
    ast.LtE: lambda one, other: one <= other,
    ast.Gt: lambda one, other: one > other,
    ast.GtE: lambda one, other: one >= other,
}
_SAME: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: lambda one, other: one == other,
    ast.NotEq: lambda one, other: one != other,
}
FUNCTIONS = ", ".join(sorted((*_OF_ONE, *_OF_MANY)))


@dataclass
class _Reader:
    """Walks a tree once, and makes a function of each node."""

    text: str
    known: Mapping[str, Kind]
    used: set[str] = field(default_factory=set)
    depth: int = 0

    def wanted(self, node: ast.expr, kind: Kind) -> Run:
        """A part that has to be of a kind."""
        found, run = self._part(node)
        if found is not kind:
            helps = " (write 1 if … else 0 for a number of it)" if found is Kind.TRUTH else ""
            raise self._fault(node, f"is {found.words} where {kind.words} is needed{helps}")
        return run

    def _part(self, node: ast.expr) -> tuple[Kind, Run]:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise ValueError(f"it is nested more than {MOST_DEPTH} deep; write a simpler one")
        try:
            return self._read(node)
        finally:
            self.depth -= 1

    def _read(self, node: ast.expr) -> tuple[Kind, Run]:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._name(node)
            case ast.UnaryOp():
                return self._sign(node)
            case ast.BinOp(op=ast.Pow()):
                return self._power(node)
            case ast.BinOp() if type(node.op) in _SUMS:
                return self._sum(node)
            case ast.BoolOp():
                return self._both(node)
            case ast.Compare():
                return self._comparison(node)
            case ast.IfExp():
                return self._choice(node)
            case ast.Call(func=ast.Name()):
                return self._call(node)
        raise self._fault(
            node,
            f"is not known here; write numbers, {self._names()}, + - * / **, comparisons, and, or, not, … if … else …,"
            f" {FUNCTIONS}",
        )

    def _constant(self, node: ast.Constant) -> tuple[Kind, Run]:
        value = node.value
        if isinstance(value, str):
            return Kind.TEXT, lambda _: value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._fault(node, "is neither a number nor a text; write one of these")
        try:
            number = _finite(float(value))
        except (OverflowError, _Unknown) as error:
            raise ValueError(f"{self._source(node)} is no finite number; write a smaller one") from error
        return Kind.NUMBER, lambda _: number

    def _name(self, node: ast.Name) -> tuple[Kind, Run]:
        name = node.id
        if name not in self.known:
            raise self._fault(node, f"is no name that is known here; write {self._names()}")
        self.used.add(name)

        def run(values: Values) -> float | str:
            value = values[name]
            if value is None:
                raise _Unknown
            return value

        return self.known[name], run

    def _sign(self, node: ast.UnaryOp) -> tuple[Kind, Run]:
        if isinstance(node.op, ast.Not):
            truth = self.wanted(node.operand, Kind.TRUTH)
            return Kind.TRUTH, lambda values: not truth(values)
        if not isinstance(node.op, ast.USub | ast.UAdd):
            raise self._fault(node, "is not known here; a number has a sign of + or -")
        of = self.wanted(node.operand, Kind.NUMBER)
        return (Kind.NUMBER, of) if isinstance(node.op, ast.UAdd) else (Kind.NUMBER, lambda values: -of(values))

    def _sum(self, node: ast.BinOp) -> tuple[Kind, Run]:
        left, right = self.wanted(node.left, Kind.NUMBER), self.wanted(node.right, Kind.NUMBER)
        operation = _SUMS[type(node.op)]
        if isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant) and not node.right.value:
            raise self._fault(node, "divides by zero")
        return Kind.NUMBER, lambda values: _finite(operation(left(values), right(values)))

    def _power(self, node: ast.BinOp) -> tuple[Kind, Run]:
        """As so many products: what a library makes of any other exponent differs from machine to machine."""
        exponent = node.right.value if isinstance(node.right, ast.Constant) else None
        if not isinstance(exponent, int) or isinstance(exponent, bool) or not 1 <= exponent <= MOST_POWER:
            raise self._fault(node, f"has no exponent from 1 to {MOST_POWER}; write a whole one, or sqrt for a root")
        of, times = self.wanted(node.left, Kind.NUMBER), exponent - 1

        def run(values: Values) -> float:
            base = product = of(values)
            for _ in range(times):
                product = _finite(product * base)
            return float(product)

        return Kind.NUMBER, run

    def _both(self, node: ast.BoolOp) -> tuple[Kind, Run]:
        parts = [self.wanted(part, Kind.TRUTH) for part in node.values]
        if isinstance(node.op, ast.And):
            return Kind.TRUTH, lambda values: all(part(values) for part in parts)
        return Kind.TRUTH, lambda values: any(part(values) for part in parts)

    def _comparison(self, node: ast.Compare) -> tuple[Kind, Run]:
        held = [node.left, *node.comparators]
        kinds, runs = zip(*(self._part(part) for part in held), strict=True)
        for at, kind in enumerate(kinds):
            if kind is Kind.TRUTH:
                raise self._fault(held[at], "is true or false already; join such with and, or, not")
            if kind is not kinds[0]:
                raise self._fault(node, f"compares {kinds[0].words} with {kind.words}; write both of a kind")
        orders = _SAME if kinds[0] is Kind.TEXT else _ORDERS | _SAME
        if not all(type(op) in orders for op in node.ops):
            allowed = "== and !=" if kinds[0] is Kind.TEXT else "< <= > >= == and !="
            raise self._fault(node, f"compares {kinds[0].words} by something else than {allowed}")
        pairs = [(orders[type(op)], *both) for op, both in zip(node.ops, pairwise(runs), strict=True)]
        return Kind.TRUTH, lambda values: all(order(one(values), other(values)) for order, one, other in pairs)

    def _choice(self, node: ast.IfExp) -> tuple[Kind, Run]:
        truth = self.wanted(node.test, Kind.TRUTH)
        kind, yes = self._part(node.body)
        no = self.wanted(node.orelse, kind)
        return kind, lambda values: yes(values) if truth(values) else no(values)

    def _call(self, node: ast.Call) -> tuple[Kind, Run]:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if node.keywords or any(isinstance(part, ast.Starred) for part in node.args):
            raise self._fault(node, "names its arguments; write them one after another")
        if name not in _OF_ONE and name not in _OF_MANY:
            raise self._fault(node, f"calls {name}, which is not known here; there are {FUNCTIONS}")
        parts = [self.wanted(part, Kind.NUMBER) for part in node.args]
        if name in _OF_ONE:
            if len(parts) != 1:
                raise self._fault(node, f"gives {name} {len(parts)} numbers; it takes one")
            of_one, (part,) = _OF_ONE[name], parts
            return Kind.NUMBER, lambda values: of_one(part(values))
        if not 2 <= len(parts) <= MOST_ARGUMENTS:
            raise self._fault(node, f"gives {name} {len(parts)} numbers; it takes 2 to {MOST_ARGUMENTS}")
        of_many = _OF_MANY[name]
        return Kind.NUMBER, lambda values: of_many([part(values) for part in parts])

    def _names(self) -> str:
        return ", ".join(self.known)

    def _source(self, node: ast.expr) -> str:
        return ast.get_source_segment(self.text, node) or ast.unparse(node)

    def _fault(self, node: ast.expr, why: str) -> ValueError:
        return ValueError(f"{self._source(node)!r} {why}")
