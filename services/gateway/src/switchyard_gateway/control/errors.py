"""What can go wrong in control, named by what its reader can do about it."""

from __future__ import annotations


class ControlError(Exception):
    """The root of control's own errors."""


class RouteRefusedError(ControlError):
    """A ModelRoute that this gateway cannot serve; its writer must change it, retrying cannot help."""


class SettingsError(ControlError):
    """An environment variable is missing, misspelt or out of bounds."""


class SourceError(ControlError):
    """The API server did not answer as it should; the same question may succeed after a while."""

    def __init__(self, message: str, *, expired: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.expired = expired
        """The place where the watch stood is gone (410): list again."""
        self.retry_after = retry_after
        """Seconds the server asked us to wait (429)."""


class AdminError(ControlError):
    """Envoy's admin socket did not answer."""


class SnapshotError(ControlError):
    """The snapshot on the volume cannot be read."""
