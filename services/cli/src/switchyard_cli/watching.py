"""`get`, once or for as long as somebody looks: a live view in a terminal, each state once into a pipe."""

from __future__ import annotations

from rich.console import RenderableType
from rich.live import Live

from switchyard_cli import follow
from switchyard_cli.desk import Desk
from switchyard_cli.facts import Deployment
from switchyard_cli.ports import Cluster
from switchyard_cli.views import board


def view(found: list[Deployment], desk: Desk, *, name: str, everywhere: bool, note: str = "") -> RenderableType:
    """One as a tree, or all in a table, as they are now."""
    now = desk.time.now()
    if name and found:
        return board.noted(board.tree(found[0], now=now), note)
    shown = board.table(found, now=now, width=desk.out.width, everywhere=everywhere)
    return board.noted(shown, note)


def watch(desk: Desk, cluster: Cluster, *, name: str, everywhere: bool) -> None:
    """Until it is interrupted. An API server that is away leaves the last view standing, and says why."""
    looks = follow.looks(follow.reader(cluster, name, everywhere=everywhere), desk.time)
    seen: list[Deployment] = []
    if not desk.out.is_terminal:
        for look in looks:
            if isinstance(look, str):
                desk.warn(look)
            elif look != seen:
                seen = look
                desk.show(view(look, desk, name=name, everywhere=everywhere))
        return
    with Live(console=desk.out, auto_refresh=False, vertical_overflow="visible") as live:
        for look in looks:
            note = look if isinstance(look, str) else ""
            seen = seen if isinstance(look, str) else look
            live.update(view(seen, desk, name=name, everywhere=everywhere, note=note), refresh=True)
