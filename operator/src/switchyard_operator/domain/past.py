"""Rollouts that are over, as the status keeps them."""

from __future__ import annotations

from datetime import datetime

from switchyard_contracts.model_deployment import HistoryEntry, Phase, RolloutStatus

from switchyard_operator.domain import analysis, memory
from switchyard_operator.domain.lineage import Lineage
from switchyard_operator.domain.rules import Decision
from switchyard_operator.domain.world import World


def superseded(world: World, line: Lineage) -> tuple[HistoryEntry, ...]:
    """The rollout that the status still speaks of, when the spec has moved on before its end."""
    old = world.status.rollout
    if old is None or old.id == memory.rollout_id(line) or old.phase in memory.ENDED:
        return ()
    if old.phase is Phase.WATCHING:
        text = "promoted; a newer spec ended its watch"
        return (_made(old, Phase.COMPLETED, "Promoted", text, now=world.now),)
    sent = world.revisions.get(old.revision)
    if sent and sent.sent_home:
        outcome = Phase.COMPLETED if sent.compared else Phase.ROLLED_BACK
        return (_made(old, outcome, sent.because or "RolledBack", sent.because_message, now=world.now),)
    reason = "Cancelled" if line.settled else "Superseded"
    text = "the spec went back to stable" if line.settled else f"the spec asks for {line.target.name} now"
    return (_made(old, Phase.SUPERSEDED, reason, text, now=world.now),)


def closing(held: RolloutStatus, decision: Decision, world: World) -> HistoryEntry:
    """The end of the target's own rollout, with what was judged of it last."""
    if world.judged:
        held = held.model_copy(update={"verdicts": analysis.shown(world.judged, now=world.now)})
    return _made(held, decision.phase, decision.reason, decision.message, now=world.now)


def _made(held: RolloutStatus, outcome: Phase, reason: str, message: str, *, now: datetime) -> HistoryEntry:
    return HistoryEntry(
        id=held.id,
        revision=held.revision,
        version=held.version,
        outcome=outcome,
        reason=reason,
        message=message[:4096],
        cause=held.cause,
        started_at=held.started_at,
        ended_at=now,
        verdicts=held.verdicts,
        commands=held.commands,
    )
