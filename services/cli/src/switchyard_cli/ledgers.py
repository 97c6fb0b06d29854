"""The monitor's ledgers, added up once more here: what came in is what became of it, or the difference is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from switchyard_contracts.judgement import count

from switchyard_cli.errors import Unreadable
from switchyard_cli.ports import Body


@dataclass(frozen=True, slots=True)
class Account:
    """One account."""

    name: str
    came: int
    verb: str
    """What coming in is here."""
    parts: Mapping[str, int]

    @property
    def missing(self) -> int:
        """How many came in and are nowhere; below 0, how many are somewhere and never came in."""
        return self.came - sum(self.parts.values())

    def __str__(self) -> str:
        parts = " + ".join(f"{count(value)} {part}" for part, value in self.parts.items() if value) or "0"
        text = f"{self.name}: {count(self.came)} {self.verb} = {parts}"
        if not self.missing:
            return f"{text}; it closes"
        more = "nowhere" if self.missing > 0 else "too many"
        return f"{text}; it does not close: {count(abs(self.missing))} {more}"


def accounts(body: Body, *, subject: str) -> list[Account]:
    """Of each partition the events of all deployments, then the deployment's labels."""
    try:
        found = [
            Account(f"events, partition {line['partition']}", int(line["read"]), "read", _numbers(line["columns"]))
            for line in body["partitions"]
        ]
        labels = dict(body["labels"])
        came = int(labels.pop("received"))
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(
            f"the monitor's answer is no ledger; is it the monitor, and of this release? ({error})"
        ) from error
    return [*found, Account(f"labels of {subject}", came, "received", _numbers(labels))]


def _numbers(held: Mapping[str, Any]) -> dict[str, int]:
    """Columns of a newer release count too."""
    return {name: value for name, value in held.items() if isinstance(value, int) and not isinstance(value, bool)}
