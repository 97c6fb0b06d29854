"""Changes: what a batch of one partition leaves behind, all of which is written in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field

from switchyard_monitor.domain.entries import Cells, Pred, Version
from switchyard_monitor.domain.facts import Record
from switchyard_monitor.domain.learning import Example
from switchyard_monitor.domain.profiling import Profiles
from switchyard_monitor.domain.sums import Sums

COLUMNS = (
    "stored",
    "repeat",
    "superseded",
    "stale",
    "duplicate",
    "conflict",
    "invalid",
    "truncated",
    "late",
    "deleted",
    "refused",
    "ignored",
    "gaps",
)
"""What may become of an offset, beside being held for a while."""


@dataclass(frozen=True, slots=True)
class Dead:
    """A record that can never work, and why."""

    record: Record
    reason: str
    message: str


@dataclass(slots=True)
class Changes:
    """What a batch of one partition changes."""

    preds: list[tuple[bytes, Pred]] = field(default_factory=list)
    versions: list[tuple[bytes, Version]] = field(default_factory=list)
    exchanges: list[tuple[bytes, int, int]] = field(default_factory=list)
    """Key, hash of the event, and its time."""
    inputs: list[tuple[bytes, int, int, int, int | None]] = field(default_factory=list)
    """Key, hash of the event and of the X, the event's time, and the X's segment."""
    erased: set[bytes] = field(default_factory=set)
    """Predictions of which every row goes; nothing else that is here is of theirs."""
    cells: Cells = field(default_factory=dict)
    days: Cells = field(default_factory=dict)
    pairs: Cells = field(default_factory=dict)
    profiles: Profiles = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)
    """Rows that a reference may be learnt of."""
    labels: dict[str, Sums] = field(default_factory=dict)
    """The ledger of labels, per deployment."""
    ledger: Sums = field(default_factory=dict)
    dead: list[Dead] = field(default_factory=list)
