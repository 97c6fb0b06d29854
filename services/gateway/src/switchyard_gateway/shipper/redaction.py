"""Redaction: what must not leave the gateway is taken out of X and Y before anything is sent.

Paths are RFC 9535 singular paths, and `[*]` for every row. What they name becomes null. A body that cannot be searched
(cut short, not JSON) is withheld whole where anything of it is to be redacted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

EVERY = "*"
_STEP = re.compile(r"""\.([A-Za-z_][A-Za-z0-9_]*)|\[([0-9]{1,4})\]|\['([^']{1,64})'\]|\[(\*)\]""")

Step = str | int
Path = tuple[Step, ...]


class AllItems:
    """The step `[*]`; a class of its own, so that a key called `*` stays a key."""


ALL_ITEMS = AllItems()


def parse(path: str) -> tuple[Step | AllItems, ...]:
    """Read `$.a['b'][0][*]`; the error names the path."""
    steps: list[Step | AllItems] = []
    at = 1
    if path.startswith("$"):
        while match := _STEP.match(path, at):
            name, index, quoted, star = match.groups()
            steps.append(ALL_ITEMS if star else int(index) if index else name or quoted)
            at = match.end()
    if at != len(path) or not steps:
        raise ValueError(
            f"redact: {path!r} is not a path; write one such as $.card.number, $['full name'] or $.rows[*].ssn"
        )
    return tuple(steps)


class Redaction:
    """The rules of each deployment, and those for all of them (`*`)."""

    def __init__(self, rules: Mapping[str, Sequence[str]]) -> None:
        self._rules = {subject: tuple(parse(path) for path in paths) for subject, paths in rules.items()}

    def paths(self, subject: str) -> tuple[tuple[Step | AllItems, ...], ...]:
        """What to take out of this deployment's bodies."""
        if not self._rules:
            return ()
        return self._rules.get(EVERY, ()) + self._rules.get(subject, ())


def redact(document: Any, paths: Sequence[tuple[Step | AllItems, ...]]) -> None:
    """Put null where the paths point; a path that points nowhere changes nothing."""
    for *way, last in paths:
        for holder in _follow(document, way):
            if isinstance(last, AllItems):
                if isinstance(holder, list):
                    holder[:] = [None] * len(holder)
            elif isinstance(last, str):
                if isinstance(holder, dict) and last in holder:
                    holder[last] = None
            elif isinstance(holder, list) and last < len(holder):
                holder[last] = None


def _follow(document: Any, way: Sequence[Step | AllItems]) -> list[Any]:
    reached = [document]
    for step in way:
        further: list[Any] = []
        for node in reached:
            if isinstance(step, AllItems):
                further.extend(node if isinstance(node, list) else ())
            elif isinstance(step, str):
                further.extend([node[step]] if isinstance(node, dict) and step in node else ())
            else:
                further.extend([node[step]] if isinstance(node, list) and step < len(node) else ())
        reached = further
    return reached
