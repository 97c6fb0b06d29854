"""Composes: terminal, clock and cluster for the verbs. The one place that turns an error into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from io import TextIOWrapper
from pathlib import Path

from switchyard_cli.app import app
from switchyard_cli.desk import Desk, console
from switchyard_cli.errors import CliError
from switchyard_cli.exits import Ended, Exit
from switchyard_cli.ports import Cluster, Monitor, RealTime, Registry

DEBUG = "SWITCHYARD_DEBUG"
USAGE = 2
"""What the option parser ends with; as an exit code of ours it would say `rolled back`."""


def main() -> int:
    """The console scripts' door."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a sign gets a question mark, not a fault
    desk = Desk(
        connect=_connect,
        registries=_registries,
        monitors=_monitors,
        time=RealTime(),
        out=console(sys.stdout),
        err=console(sys.stderr),
        stdin=sys.stdin,
        bentos=Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml"),
    )
    return run(sys.argv[1:], desk, prog=_prog(sys.argv[0]), environ=os.environ)


def run(args: Sequence[str], desk: Desk, *, prog: str = "switchyard", environ: Mapping[str, str]) -> int:
    """Do what the words say; the exit code."""
    try:
        app(list(args), prog_name=prog, obj=desk)
    except Ended as end:
        return int(end.code)
    except CliError as error:
        desk.warn(f"error: {error}")
        return int(error.code)
    except SystemExit as end:
        return int(Exit.FAILED) if end.code == USAGE else int(end.code or 0)
    except Exception as error:
        if environ.get(DEBUG):
            raise
        what = " ".join(str(error).split())
        desk.warn(f"error: a fault of this command line, {type(error).__name__}: {what}; {DEBUG}=1 shows where")
        return int(Exit.FAILED)
    return int(Exit.DONE)


def _connect(*, kubeconfig: str | None, context: str | None, namespace: str | None) -> Cluster:
    """Kubernetes' client takes half of the start-up, and `lint` and `init` need none of it: imported when it is."""
    from switchyard_cli.cluster import connect

    return connect(kubeconfig=kubeconfig, context=context, namespace=namespace, environ=os.environ)


def _registries(*, plain_http: bool) -> AbstractContextManager[Registry]:
    """Only `pin` speaks HTTP to registries: imported when it does."""
    from switchyard_cli.registry import registries

    return registries(plain_http=plain_http)


def _monitors(url: str, *, token: str) -> AbstractContextManager[Monitor]:
    """Only `ledger` asks the monitor."""
    from switchyard_cli.monitor import monitor

    return monitor(url, token=token)


def _prog(called: str) -> str:
    return Path(called).name.replace("kubectl-", "kubectl ", 1)


if __name__ == "__main__":
    sys.exit(main())
