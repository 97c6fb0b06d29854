"""Options that several verbs share, in the same words."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from switchyard_contracts.quantities import parse_duration

from switchyard_cli.errors import Unfit

Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Default: the context's own.")]
Context = Annotated[
    str | None, typer.Option("--context", help="A context of the kubeconfig; default: the current one.")
]
Kubeconfig = Annotated[str | None, typer.Option("--kubeconfig", help="Default: $KUBECONFIG, else ~/.kube/config.")]
Name = Annotated[str, typer.Argument(help="A ModelDeployment; may be left out where only one comes into question.")]
Files = Annotated[list[str], typer.Argument(help="YAML files, folders, or - for standard input.")]
Rate = Annotated[float | None, typer.Option("--rate", min=0.001, help="Requests a second, for estimates.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the command and in the rollout.")]
Rollout = Annotated[str, typer.Option("--rollout", help="Only if this is the rollout under way.")]
Patience = Annotated[str, typer.Option("--timeout", help="How long to wait, such as 90s, 10m or 24h.")]


def duration(text: str) -> timedelta:
    """What `--timeout` says."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Unfit(f"--timeout: {error}") from error
