"""What can go wrong, as sentences for the person at the keyboard. None of them shows a traceback."""

from __future__ import annotations

from switchyard_cli.exits import Exit


class CliError(Exception):
    """The base; its message says what is wrong and what helps."""

    code = Exit.FAILED


class NoCluster(CliError):
    """There is no kubeconfig, or it names nothing that could be used."""


class Unreachable(CliError):
    """The API server does not answer now; the same call may succeed later."""


class Denied(CliError):
    """The API server says no: RBAC, an admission policy, or a fault in what was sent."""


class Forbidden(Denied):
    """RBAC, or a webhook, does not let us."""


class NotFound(CliError):
    """There is no such object."""


class NotServed(CliError):
    """The cluster does not know our resources."""


class Unfit(CliError):
    """What was asked for does not fit what is: no rollout, two rollouts, another rollout."""


class Unreadable(CliError):
    """A file cannot be read, or is not what it should be."""


class NotAnswered(CliError):
    """It was asked, and nothing came back in time."""

    code = Exit.TIMED_OUT
