"""Lines: the rows of one request. Each is a prediction of its own, with a Y, a Y′ and an X′ under the same id.

Where a deployment's rule names no rows, a request is one line, row 0. Where it does, each item of the answer's list is
one, and its X the item of the request's list at the same place; or the whole request, where that is not named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from switchyard_contracts.events import Deletion, Inference, InputOnly, PredictionOnly

from switchyard_monitor.domain import identity
from switchyard_monitor.domain.facts import Fact
from switchyard_monitor.domain.rules import Known, Path, follow

MOST = 100_000
"""Rows of one request, which are held in memory together; a longer list is none."""
_FIRST = (0,)


class Line(NamedTuple):
    """One row of a request."""

    row: int
    x: int | None
    """The hash of its X; None where that is not known."""
    said: Any = None
    """What the model answered, of which Y is a part."""
    given: Any = None
    """What it was asked, X; nothing where its hash is not known."""


def rows_of(fact: Fact, known: Known) -> Sequence[int]:
    """The rows that a fact speaks of. Row 0 is always among those of a request: what was seen of it stands there."""
    data = fact.data
    if isinstance(data, Inference):
        return _FIRST if known.answers is None else _rows(_items(known.answers, data.response.value))
    if isinstance(data, Deletion):
        return ()
    if not fact.whole:
        return (data.row,)
    return _rows(_items(known.answers if isinstance(data, PredictionOnly) else known.inputs, data.value))


def of_exchange(data: Inference, known: Known) -> Sequence[Line]:
    """The lines of an exchange; one without an answer where its rows cannot be told apart."""
    request = data.request
    if known.answers is None:
        x = identity.content(request.value) if request.complete else None
        return [Line(0, x, data.response.value, request.value)]
    answers = _items(known.answers, data.response.value)
    if not request.complete:
        return [Line(0, None)] if answers is None else [Line(row, None, said) for row, said in enumerate(answers)]
    inputs = _items(known.inputs, request.value)
    if inputs is None:
        whole = identity.content(request.value)
        if answers is None or known.inputs is not None:
            return [Line(0, whole)]
        return [Line(row, whole, said, request.value) for row, said in enumerate(answers)]
    if answers is None or len(answers) != len(inputs):
        return [Line(0, identity.content(inputs[0] if inputs else request.value))]
    return [
        Line(row, identity.content(given), said, given)
        for row, (given, said) in enumerate(zip(inputs, answers, strict=True))
    ]


def of_prediction(data: PredictionOnly, known: Known, *, whole: bool) -> Sequence[Line]:
    """The lines of Ys that came alone: one that names its row, or a whole answer."""
    if not whole or known.answers is None:
        return [Line(data.row, None, data.value)]
    answers = _items(known.answers, data.value)
    return [Line(0, None)] if answers is None else [Line(row, None, said) for row, said in enumerate(answers)]


def of_input(data: InputOnly, known: Known, *, whole: bool) -> Sequence[Line]:
    """The lines of Xs that came alone: one that names its row, or a whole request."""
    inputs = _items(known.inputs, data.value) if whole else None
    if not inputs:
        return [Line(data.row, identity.content(data.value), given=data.value)]
    return [Line(row, identity.content(given), given=given) for row, given in enumerate(inputs)]


def _items(path: Path | None, document: Any) -> list[Any] | None:
    found = None if path is None else follow(path, document)
    return found if isinstance(found, list) and len(found) <= MOST else None


def _rows(items: Sequence[Any] | None) -> Sequence[int]:
    return _FIRST if not items else range(len(items))
