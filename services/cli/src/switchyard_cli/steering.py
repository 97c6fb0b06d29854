"""The verbs that steer a rollout: each becomes one ModelCommand, and waits for what the operator says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from switchyard_contracts.model_command import Verb

from switchyard_cli import orders
from switchyard_cli.desk import Desk
from switchyard_cli.exits import Ended, Exit
from switchyard_cli.options import Context, Kubeconfig, Name, Namespace, Patience, Reason, Rollout, duration
from switchyard_cli.orders import Wish
from switchyard_cli.ports import Cluster


def promote(
    ctx: typer.Context,
    name: Name = "",
    step: Annotated[str, typer.Option("--step", help="Default: the step it is at.")] = "",
    full: Annotated[
        bool, typer.Option("--full", help="Let every step pass: no time, person or analysis is waited for.")
    ] = False,
    override: Annotated[
        bool, typer.Option("--override", help="With --full and --reason: one ready pod is enough, gates are passed.")
    ] = False,
    rollout: Rollout = "",
    reason: Reason = "",
    timeout: Patience = "30s",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let the present step pass, or by --full every step.

    Neither time nor evidence is waited for any more. Ready pods, capacity and gates are, unless there is an --override;
    what is proven to fail is taken back all the same.
    """
    cluster = _cluster(ctx, kubeconfig=kubeconfig, context=context, namespace=namespace)
    wish = Wish(verb=Verb.PROMOTE, rollout=rollout, step=step, full=full, override=override, reason=reason)
    _order(ctx, cluster, name, wish, patience=timeout)


def approve(
    ctx: typer.Context,
    name: Name = "",
    gate: Annotated[str, typer.Option("--gate", help="Which one; default: the only one that waits for a person.")] = "",
    rollout: Rollout = "",
    reason: Reason = "",
    timeout: Patience = "30s",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Pass a gate that waits for a person.

    It may be said before the rollout comes to the gate. Who may say it stands in the gate (`approvers`).
    """
    cluster = _cluster(ctx, kubeconfig=kubeconfig, context=context, namespace=namespace)
    _order(ctx, cluster, name, Wish(verb=Verb.APPROVE, rollout=rollout, gate=gate, reason=reason), patience=timeout)


def abort(
    ctx: typer.Context,
    name: Name = "",
    rollout: Rollout = "",
    reason: Reason = "",
    timeout: Patience = "30s",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take the candidate back, at once.

    All of the traffic goes to stable; the candidate stays back until a retry.
    """
    cluster = _cluster(ctx, kubeconfig=kubeconfig, context=context, namespace=namespace)
    _order(ctx, cluster, name, Wish(verb=Verb.ABORT, rollout=rollout, reason=reason), patience=timeout)


def retry(
    ctx: typer.Context,
    name: Name = "",
    revision: Annotated[str, typer.Option("--revision", help="Default: the one that was taken back last.")] = "",
    rollout: Rollout = "",
    reason: Reason = "",
    timeout: Patience = "30s",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let what was taken back try again."""
    cluster = _cluster(ctx, kubeconfig=kubeconfig, context=context, namespace=namespace)
    wish = Wish(verb=Verb.RETRY, rollout=rollout, revision=revision, reason=reason)
    _order(ctx, cluster, name, wish, patience=timeout)


def pause(
    ctx: typer.Context,
    name: Name = "",
    rollout: Rollout = "",
    reason: Reason = "",
    timeout: Patience = "30s",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Hold a rollout at its weight until a resume.

    Evidence goes on: what is proven to fail is taken back all the same.
    """
    cluster = _cluster(ctx, kubeconfig=kubeconfig, context=context, namespace=namespace)
    _order(ctx, cluster, name, Wish(verb=Verb.PAUSE, rollout=rollout, reason=reason), patience=timeout)


def resume(
    ctx: typer.Context,
    name: Name = "",
    rollout: Rollout = "",
    reason: Reason = "",
    timeout: Patience = "30s",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Let a paused rollout go on.

    It ends a person's pause; a step that waits for a promote goes on waiting.
    """
    cluster = _cluster(ctx, kubeconfig=kubeconfig, context=context, namespace=namespace)
    _order(ctx, cluster, name, Wish(verb=Verb.RESUME, rollout=rollout, reason=reason), patience=timeout)


def rollback(
    ctx: typer.Context,
    name: Name = "",
    to: Annotated[str, typer.Option("--to", help="A revision or a version; default: what served before.")] = "",
    rollout: Rollout = "",
    reason: Reason = "",
    timeout: Patience = "30s",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Go back to a revision that served before.

    Whatever was promoted after it is taken back, and so is a rollout under way; each stays back until a retry.
    """
    cluster = _cluster(ctx, kubeconfig=kubeconfig, context=context, namespace=namespace)
    wish = Wish(verb=Verb.ROLLBACK, rollout=rollout, revision=to, reason=reason)
    _order(ctx, cluster, name, wish, patience=timeout)


VERBS: tuple[Callable[..., None], ...] = (promote, approve, abort, retry, rollback, pause, resume)


def _cluster(ctx: typer.Context, *, kubeconfig: str | None, context: str | None, namespace: str | None) -> Cluster:
    desk: Desk = ctx.obj
    return desk.connect(kubeconfig=kubeconfig, context=context, namespace=namespace)


def _order(ctx: typer.Context, cluster: Cluster, name: str, wish: Wish, *, patience: str) -> None:
    desk: Desk = ctx.obj
    seconds = duration(patience).total_seconds()
    seen = orders.pick(name, cluster)
    known = orders.known(wish, seen, cluster)
    spec = orders.compose(wish, seen, known=known, requested_by=cluster.whoami())
    answer = orders.give(spec, cluster, desk.time, patience=seconds)
    desk.say(f"{seen.name}: {answer.result} ({answer.reason}): {answer.message}")
    if answer.result != "Accepted":
        raise Ended(Exit.FAILED)
