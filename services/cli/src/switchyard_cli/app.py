"""The verbs: options in, one call each, printed out. Nothing is decided here."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from switchyard_contracts.events import SUBJECT_PATTERN
from switchyard_contracts.judgement import counted, noun

from switchyard_cli import (
    bento,
    documents,
    follow,
    ledgers,
    linting,
    orders,
    outcome,
    pinning,
    planning,
    profiled,
    steering,
    store,
    watching,
)
from switchyard_cli.desk import Desk
from switchyard_cli.errors import Unfit, Unreadable
from switchyard_cli.exits import Ended, Exit
from switchyard_cli.options import Context, Files, Kubeconfig, Name, Namespace, Patience, Rate, duration
from switchyard_cli.views import past as ended
from switchyard_cli.views import prospect, reasons
from switchyard_cli.waiting import waits

app = typer.Typer(
    name="switchyard",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Write, check, plan, watch and steer ModelDeployments.",
    epilog=(
        "Exit codes: 0 done, 1 it could not be done, 2 rolled back or refused, 3 paused, 4 timed out."
        " As `kubectl switchyard` where kubectl-switchyard is on the PATH."
    ),
)


@app.command()
def init(
    ctx: typer.Context,
    from_bento: Annotated[
        str, typer.Option("--from-bento", help="A Bento's folder, its tag in BentoML's store, or an image.")
    ],
    image: Annotated[str, typer.Option("--image", help="The image as it was pushed, where the Bento is not one.")] = "",
    name: Annotated[str, typer.Option("--name", help="Default: the Bento's, as Kubernetes takes it.")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: standard output.")] = None,
) -> None:
    """Write a first ModelDeployment from a Bento."""
    desk: Desk = ctx.obj
    text, notes = bento.first_file(store.find(from_bento, home=desk.bentos), name=name, image=image)
    for finding in linting.lint(documents.parse(text, file="the new file")):
        raise Unfit(f"{finding.path}: {finding.sentence}; name it by --name")
    if output is None:
        desk.say(text.rstrip("\n"))
    else:
        _write(output, text)
        desk.warn(f"{output} is written; next: `kubectl switchyard plan {output}`")
    for note in notes:
        desk.warn(f"note: {note}")


@app.command()
def lint(
    ctx: typer.Context,
    files: Files,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="What switchyard-profile wrote: is it of the same features?")
    ] = None,
    rate: Rate = None,
) -> None:
    """Check files without a cluster.

    Each fault with its line, field, value and remedy; exit code 1 if there is one. With a rate, what rows take on disk.
    """
    desk: Desk = ctx.obj
    held = profiled.read(profile) if profile else None
    found = documents.read(files, stdin=desk.stdin)
    ours = [document for document in found if linting.ours(document)]
    findings = linting.lint(found)
    for finding in findings:
        desk.say(str(finding))
    if findings:
        raise Ended(Exit.FAILED)
    if not ours:
        raise Unfit(f"no resource of ours among {counted(len(found), 'document')}; name the file of a ModelDeployment")
    for note in linting.notes(found, profile=held, rate=rate):
        desk.warn(f"note: {note}")
    are = noun(len(ours), "is as it should be", "are as they should be")
    desk.say(f"{counted(len(ours), 'resource')} {are}")


@app.command()
def plan(
    ctx: typer.Context,
    files: Files,
    rate: Rate = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say what files would do to the cluster.

    Which revision, which steps, and what each waits for. Nothing is written.
    """
    desk: Desk = ctx.obj
    found = documents.read(files, stdin=desk.stdin)
    findings = linting.lint(found)
    for finding in findings:
        desk.say(str(finding))
    if findings:
        raise Ended(Exit.FAILED)
    chosen = [document for document in found if document.kind == "ModelDeployment"]
    if not chosen:
        raise Unfit("there is no ModelDeployment in these files; plan is about nothing else")
    refused = False
    for document in chosen:
        place = planning.namespace_of(document, asked=namespace)
        cluster = desk.connect(kubeconfig=kubeconfig, context=context, namespace=place)
        found_out = planning.plan(document, cluster, now=desk.time.now())
        desk.show(prospect.show(found_out.forecast, found_out.spec, rate=rate))
        if found_out.unchecked:
            desk.warn(f"note: the API server has not checked it: {found_out.unchecked}")
        refused = refused or found_out.forecast.refused
    if refused:
        raise Ended(Exit.FAILED)


@app.command()
def pin(
    ctx: typer.Context,
    files: Files,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if an image has no digest.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Ask again for the tags that have a digest already.")
    ] = False,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Of registries without TLS on another machine.")
    ] = False,
) -> None:
    """Write the digest of each image into files.

    The registry is asked what the tag means now; the value alone changes, comments stay. From standard input to
    standard output.
    """
    desk: Desk = ctx.obj
    texts = pinning.read(files, stdin=desk.stdin)
    missing = [named for text in texts for named in pinning.unpinned(text.images)]
    if check:
        for named in missing:
            desk.say(f"{named}: {named.image} is a tag, which may come to mean another image; pin it by `pin`")
        if missing:
            raise Ended(Exit.FAILED)
        desk.say("every image has its digest")
        return
    with desk.registries(plain_http=plain_http) as registry:
        pinned = [pinning.pin(text, registry, update=update) for text in texts]
    for text, changes in pinned:
        pinning.write(text, desk.out.file)
        for named, image in changes:
            desk.warn(f"{named}: {image}")
    if not any(changes for _, changes in pinned):
        desk.warn("nothing to do: every image has its digest")


@app.command()
def get(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A ModelDeployment; default: all, in a table.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay, and show what changes, until Ctrl-C.")] = False,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of every namespace.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show who serves, and where each rollout stands."""
    desk: Desk = ctx.obj
    if name and everywhere:
        raise Unfit("a name and --all-namespaces exclude each other; use -n")
    cluster = desk.connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
    first = [orders.pick(name, cluster)] if name else follow.reader(cluster, "", everywhere=everywhere)()
    if not watch:
        desk.show(watching.view(first, desk, name=name, everywhere=everywhere))
        return
    with suppress(KeyboardInterrupt):
        watching.watch(desk, cluster, name=name, everywhere=everywhere)


@app.command()
def status(
    ctx: typer.Context,
    name: Name = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the rollout is decided.")] = False,
    watched: Annotated[bool, typer.Option("--watched", help="Wait for the end of the watch after it too.")] = False,
    timeout: Patience = "10m",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say how a rollout stands, or wait for its end.

    Exit codes: 0 promoted, 2 rolled back or refused, 3 paused, 4 not decided (in time), 1 it could not be asked.
    """
    desk: Desk = ctx.obj
    patience = duration(timeout)
    cluster = desk.connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
    seen = orders.pick(name, cluster)
    if wait:
        found = follow.until_decided(cluster, seen.name, desk.time, patience=patience, watched=watched, tell=desk.warn)
    else:
        found = outcome.of(seen, watched=watched, waits=waits(seen, now=desk.time.now()))
    desk.say(found.sentence)
    if found.code is not Exit.DONE:
        raise Ended(found.code or Exit.TIMED_OUT)


@app.command()
def why(
    ctx: typer.Context,
    name: Name = "",
    past: Annotated[int, typer.Option("--past", min=0, help="How many earlier rollouts to explain.")] = 3,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Explain the last decisions, with the numbers they rest on."""
    desk: Desk = ctx.obj
    cluster = desk.connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
    desk.show(reasons.explain(orders.pick(name, cluster), now=desk.time.now(), past=past))


@app.command()
def history(
    ctx: typer.Context,
    name: Name = "",
    past: Annotated[int, typer.Option("--past", min=1, help="How many at most; the newest ten are kept.")] = 10,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List the rollouts that ended, and who told them what.

    The newest first, each with its outcome, its reason and the numbers that it rests on. Then the comparisons with
    shadows that are over.
    """
    desk: Desk = ctx.obj
    cluster = desk.connect(kubeconfig=kubeconfig, context=context, namespace=namespace)
    desk.show(ended.history(orders.pick(name, cluster), now=desk.time.now(), past=past))


@app.command()
def ledger(
    ctx: typer.Context,
    subject: Annotated[str, typer.Argument(metavar="NAMESPACE/NAME", help="A ModelDeployment.")],
    monitor: Annotated[
        str, typer.Option("--monitor", envvar="SWITCHYARD_MONITOR_URL", help="The monitor's address.")
    ] = "http://localhost:8081",
    token: Annotated[
        str, typer.Option("--token", envvar="SWITCHYARD_MONITOR_TOKEN", help="One of the monitor's tokens.")
    ] = "",
) -> None:
    """Add up what became of every event and label that the monitor read.

    Exit code 1 where an account does not close.
    """
    desk: Desk = ctx.obj
    if not re.fullmatch(SUBJECT_PATTERN, subject):
        raise Unfit(f"{subject!r} names no deployment; write it as NAMESPACE/NAME")
    with desk.monitors(monitor, token=token) as asked:
        found = ledgers.accounts(asked.ledger(subject), subject=subject)
    for account in found:
        desk.say(str(account))
    if any(account.missing for account in found):
        raise Ended(Exit.FAILED)


for steer in steering.VERBS:
    app.command()(steer)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise Unfit(f"{path} is there already; choose another by --output, or remove it") from error
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error
