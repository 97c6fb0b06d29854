"""How the reader is: what the probes and the metrics say of it. Written by the reader's thread, read by the API's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

STUCK_SECONDS = 60.0


class Roomy(Protocol):
    """What is known of the database's size."""

    used: int | None
    limit: int | None
    full: bool
    words: str


@dataclass(slots=True)
class Health:
    """The reader's pulse."""

    clock: Callable[[], float]
    """Monotonic seconds."""
    last_pass: float | None = None
    trouble: str = "the first pass is not done"
    timeline: str = ""
    """Why the timeline of rollouts may be behind; empty when it is not."""
    drift: str = ""
    """Why windows that are over may not be judged yet; empty when they are."""
    alarms: str = ""
    """Why alarms may be late; empty when they are not."""
    records: int = 0
    passes_failed: int = 0
    lag: dict[int, int] = field(default_factory=dict)
    models_unreadable: int = 0
    create_time_records: int = 0
    dead_letters: int = 0
    """Sent since this start."""
    dead_letters_waiting: bool = False
    """Whether some could not be sent, and wait in the store."""
    room: str = ""
    """What a person must know of how large the database is; empty while there is room."""
    full: bool = False
    """Whether nothing is read, because there is none."""
    database_bytes: int | None = None
    database_limit_bytes: int | None = None
    """Where reading pauses; None where there is no limit."""
    expired_rows: int = 0
    """Deleted since this start."""
    held: Mapping[str, str] = field(default_factory=dict)
    """What is not put away though it may be old, and why: by deployment, `rows` or `clocks`."""
    on_commit: Callable[[float], None] = lambda _seconds: None
    """Hears how long each transaction took."""

    def sees(self, room: Roomy) -> None:
        """How large the database is by now."""
        self.room, self.full = room.words, room.full
        self.database_bytes, self.database_limit_bytes = room.used, room.limit

    def passed(self, records: int) -> None:
        """A pass was done."""
        self.last_pass = self.clock()
        self.trouble = ""
        self.records += records

    def failed(self, trouble: str) -> None:
        """A pass failed; nothing of it was committed."""
        self.last_pass = self.clock()
        self.trouble = trouble
        self.passes_failed += 1

    @property
    def times_doubted(self) -> str:
        """Why the times of events say nothing of when they came; empty where they do."""
        if not self.create_time_records:
            return ""
        return "producers set the times of events, which may be any; the topic of events must use LogAppendTime"

    @property
    def retention(self) -> str:
        """What a person must know of what is not put away; empty while all is."""
        return "; ".join(f"{name}: {why}" for name, why in sorted(self.held.items()))

    @property
    def alive(self) -> bool:
        """Whether the reader still goes round, be it in vain."""
        return self.last_pass is None or self.clock() - self.last_pass < STUCK_SECONDS
