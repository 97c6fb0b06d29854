"""`history`: what ended, newest first: rollouts with how, why, their numbers and who told them what; then shadows."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text

from switchyard_cli.facts import Deployment
from switchyard_cli.views import reasons


def history(item: Deployment, *, now: datetime, past: int) -> RenderableType:
    """As many as are asked for, of those that the status keeps."""
    ended = list(reversed(item.status.history))
    parts: list[RenderableType] = [part for one in ended[:past] for part in reasons.entry(one, now=now)]
    parts += _left(len(ended), past)
    if not ended:
        parts.append(Text(f"no rollout of {item.name} has ended yet"))
    shadows = list(reversed(item.status.shadow_history))
    if shadows:
        parts += [Text(), Text("Shadows", style="bold")]
    parts += [part for one in shadows[:past] for part in reasons.shadow_entry(one, now=now)]
    return Group(*parts, *_left(len(shadows), past))


def _left(there: int, past: int) -> list[RenderableType]:
    return [Text(f"and {there - past} before these (--past)")] if past < there else []
