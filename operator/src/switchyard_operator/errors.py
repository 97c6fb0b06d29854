"""What can go wrong, told apart by what helps: change the resource, or try again."""

from __future__ import annotations


class SwitchyardError(Exception):
    """The base; its message is a sentence for people."""


class TryLater(SwitchyardError):
    """The world is not ready; the same call may succeed after `delay` seconds."""

    def __init__(self, message: str, delay: float = 5.0) -> None:
        super().__init__(message)
        self.delay = delay


class Outdated(TryLater):
    """Somebody wrote in between: what was decided rests on an object that is no longer so."""

    def __init__(self, message: str) -> None:
        super().__init__(message, delay=0.2)


class AlreadyThere(SwitchyardError):
    """The object to be created exists."""


class Refused(SwitchyardError):
    """The API server says no, and will say so again: a fault in what was sent, or in the RBAC rules."""


class NotLeading(TryLater):
    """This operator holds no lease (any more), so it writes nothing."""


class EvidenceUnavailable(SwitchyardError):
    """The monitor, or Prometheus, cannot be asked; that is never a failure of the model."""


class QueryRefused(SwitchyardError):
    """Prometheus will not answer a query as it is written: only an edit of it helps."""
