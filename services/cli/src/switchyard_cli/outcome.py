"""How a rollout stands, as an exit code and a sentence: what `status --wait` waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from switchyard_contracts.conditions import ACCEPTED
from switchyard_contracts.experiments import TRIAL_ENDED
from switchyard_contracts.model_deployment import SHADOW_ENDED, Phase, RolloutStatus
from switchyard_contracts.quantities import format_duration

from switchyard_cli.exits import Exit
from switchyard_cli.facts import Deployment

PROMOTED = frozenset({Phase.WATCHING, Phase.COMPLETED})
BACK = frozenset({Phase.ROLLED_BACK, Phase.REFUSED})
WAITS_FOR_A_PERSON = frozenset({Phase.PAUSED, Phase.SUSPENDED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What can be said now; `code` is None while it is not decided."""

    code: Exit | None
    sentence: str


def of(seen: Deployment, *, began: str = "", watched: bool = False, waits: str = "") -> Outcome:
    """How it stands.

    `began` is the rollout that was waited for first; `watched` asks for the end of its watch too; `waits` says what is
    waited for at this moment, where the status says it of an earlier one.
    """
    rollout = seen.rollout
    if not seen.noticed or rollout is None:
        refused = _refused(seen)
        return refused or Outcome(None, "the operator has not taken note of the newest spec yet")
    if refused := _refused(seen):
        return refused
    if began and not _same_revision(began, rollout):
        return Outcome(Exit.ROLLED_BACK, f"{began} was replaced by {rollout.id}, which is {rollout.phase.value}")
    version = rollout.version or rollout.revision
    if rollout.phase in BACK:
        return Outcome(Exit.ROLLED_BACK, f"{version} is {rollout.phase.value} ({rollout.reason}): {rollout.message}")
    if rollout.phase is Phase.COMPLETED and rollout.reason in (SHADOW_ENDED, TRIAL_ENDED):
        return Outcome(Exit.DONE, f"{version} was compared, as asked ({rollout.id}): {rollout.message}")
    if rollout.phase in PROMOTED and (rollout.phase is Phase.COMPLETED or not watched):
        return Outcome(Exit.DONE, f"{version} is promoted ({rollout.id}, {rollout.phase.value})")
    if rollout.phase in WAITS_FOR_A_PERSON:
        return Outcome(Exit.PAUSED, f"{version} is {rollout.phase.value} at {_where(rollout)}: {_waits(rollout)}")
    return Outcome(
        None, f"{version} is {rollout.phase.value} at {_where(rollout)}; it waits for {waits or _waits(rollout)}"
    )


def overdue(patience: timedelta, *, told: str) -> Outcome:
    """Its time is up; `told` is the last that could be said of it."""
    return Outcome(Exit.TIMED_OUT, f"not decided within {format_duration(patience)}: {told}")


def _refused(seen: Deployment) -> Outcome | None:
    """A spec that cannot be honoured starts no rollout; what serves goes on."""
    accepted = seen.condition(ACCEPTED)
    if accepted is None or accepted.status != "False" or accepted.observed_generation < seen.generation:
        return None
    if accepted.reason == "RolledBackRevision":  # the rollout itself says it better, and whether it is back yet
        return None
    return Outcome(Exit.ROLLED_BACK, f"the spec is not accepted ({accepted.reason}): {accepted.message}")


def _same_revision(began: str, rollout: RolloutStatus) -> bool:
    """A retry is another attempt of the same revision."""
    return began.rpartition(".")[0] == rollout.revision


def _where(rollout: RolloutStatus) -> str:
    share = f" ({rollout.weight})" if rollout.weight else ""
    return f"step {rollout.step}{share}" if rollout.step else "no traffic yet"


def _waits(rollout: RolloutStatus) -> str:
    return rollout.waiting_for or rollout.message or "the operator's next pass"
