"""Blue/green: the candidate stands beside stable, reachable by header only, and takes over in one switch."""

from __future__ import annotations

from switchyard_contracts.model_deployment import PREVIEW_STEP, BlueGreen

from switchyard_operator.domain.step import Step


def steps(blue_green: BlueGreen | None) -> tuple[Step, ...]:
    """One step at weight 0: people and smoke requests reach it by `x-switchyard-revision`, copies by the mirror."""
    chosen = blue_green or BlueGreen()
    mirror = chosen.mirror.value if chosen.mirror else 0
    return (Step(PREVIEW_STEP, 0, chosen.hold, by_hand=not chosen.auto_promote, mirror=mirror),)
