"""`history`: the rollouts that ended, newest first, each with how, why, its numbers, and who told it what."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from switchyard_cli.facts import Deployment
from switchyard_cli.views import reasons


def history(item: Deployment, *, now: datetime, past: int) -> RenderableType:
    """As many as are asked for, of those that the status keeps."""
    ended = list(reversed(item.status.history))
    if not ended:
        return Text(f"no rollout of {item.name} has ended yet")
    parts: list[RenderableType] = [part for one in ended[:past] for part in reasons.entry(one, now=now)]
    if past < len(ended):
        parts.append(Text(f"and {len(ended) - past} before these (--past)"))
    return Group(*parts)
