"""What can go wrong, named by what the caller can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class FeedbackError(Exception):
    """Anything that feedback itself reports."""


class TokensUnreadable(FeedbackError):
    """The tokens' file cannot be used; the message names the file and says what must be in it."""


class MonitorUnavailable(FeedbackError):
    """The monitor does not answer; the same question may be answered later."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a request: where, what was there, and what should be."""

    field: str
    value: Any
    remedy: str


class Refused(FeedbackError):
    """The caller must change the request; sending it again cannot help."""

    def __init__(self, status: int, title: str, detail: str, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.faults = faults
