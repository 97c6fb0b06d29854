"""What becomes of shadows: one is compared, is proven, cannot be, is compared no more. Each is told once.

Events, notifications and the history tell of the same things in the same words. What they tell is found by holding what
the status said against what it is to say: a comparison is one shadow's revision beside one that serves, and is over
when either of them is another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from switchyard_contracts.judgement import counted
from switchyard_contracts.model_deployment import ShadowEntry, ShadowState, ShadowStatus

from switchyard_operator.domain.remedies import failing, remedy
from switchyard_operator.domain.rules import DEAD_AFTER
from switchyard_operator.domain.shadows import UNREADY
from switchyard_operator.domain.world import World

STARTED, PASSED, FAILED, STOPPED = "ShadowStarted", "ShadowPassed", "ShadowFailed", "ShadowStopped"
REFUSED, NOT_READY = "ShadowRefused", "ShadowNotReady"
PROVEN = {"Pass": (PASSED, "is proven to be within its limits"), "Fail": (FAILED, "is proven to be worse than allowed")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One thing that became of a shadow."""

    reason: str
    message: str
    shadow: ShadowStatus
    """As it stands; of one that is compared no more, as it stood last."""
    same: str
    """Episodes of one reason with the same mark are one."""
    began: datetime | None = None
    """When it began to be so, of what may come to be so again: then it is another one, though its mark is the same."""
    warning: bool = False


def episodes(world: World, told: Sequence[ShadowStatus]) -> Iterator[Episode]:
    """What this pass has to tell of the shadows; `told` is what the status will say of them."""
    before = {(item.name, item.revision): item for item in world.status.shadows}
    for last, entry in _over(world, told):
        text = (
            f"{_who(last)} is compared with {_called(world, last.against)} no more: {entry.message}. It came to"
            f" {entry.verdict or 'no verdict'}, over {counted(entry.pairs, 'pair')}{_numbers(last)}"
        )
        yield Episode(reason=STOPPED, message=text, shadow=last, same=_mark(last))
    for item in told:
        old = before.get((item.name, item.revision))
        yield from _compared(world, item, old if old and _is_same(old, item) else None)
        yield from _hindered(world, item, old)


def ended(world: World, told: Sequence[ShadowStatus]) -> tuple[ShadowEntry, ...]:
    """The comparisons that are over with this pass."""
    return tuple(entry for _, entry in _over(world, told))


def _over(world: World, told: Sequence[ShadowStatus]) -> Iterator[tuple[ShadowStatus, ShadowEntry]]:
    now = {item.name: item for item in told}
    for old in world.status.shadows:
        new = now.get(old.name)
        if old.since is None or (new and new.since and _is_same(old, new)):
            continue
        reason, text = _why(world, old, new)
        yield (
            old,
            ShadowEntry(
                name=old.name,
                revision=old.revision,
                version=old.version,
                against=old.against,
                started_at=old.since,
                ended_at=world.now,
                pairs=old.pairs,
                verdict=old.verdict,
                verdicts=old.verdicts,
                reason=reason,
                message=text[:4096],
            ),
        )


def _why(world: World, old: ShadowStatus, new: ShadowStatus | None) -> tuple[str, str]:
    """(reason, words) for the end of a comparison."""
    if new is None:
        return "TakenOut", "spec.shadows names it no more"
    if new.state is ShadowState.REFUSED:
        return new.reason, new.message
    if new.revision != old.revision:
        return "Replaced", f"spec.shadows means {_version(new)} by that name now"
    if new.against and new.against != old.against:
        return "AnotherServes", f"{_called(world, new.against)} serves now, and the comparison begins anew"
    return new.reason, new.message


def _compared(world: World, item: ShadowStatus, old: ShadowStatus | None) -> Iterator[Episode]:
    """That it began, and what it came to; `old` is what was said of the same comparison before."""
    serves, who = _called(world, item.against), _who(item)
    if item.sample and item.since and not (old and old.since):
        text = f"{who} is sent {item.sample} of the requests of {serves} and compared with it; nobody gets its answers"
        yield Episode(reason=STARTED, message=text, shadow=item, same=_mark(item))
    if item.verdict in PROVEN and not (old and (old.proven or old.verdict) == item.verdict):
        reason, said = PROVEN[item.verdict]
        text = f"{who} {said}, beside {serves}{_numbers(item)}. Whether it serves is yours to say, in spec.model"
        began = max((verdict.at for verdict in item.verdicts if verdict.at), default=None)
        yield Episode(reason=reason, message=text, shadow=item, same=f"{_mark(item)} {item.verdict}", began=began)


def _hindered(world: World, item: ShadowStatus, old: ShadowStatus | None) -> Iterator[Episode]:
    """What keeps it from being compared; `old` is what was said of the same revision before."""
    if item.state is ShadowState.REFUSED and not (old and old.message == item.message):
        text = f"the shadow {item.name} cannot be made: {item.message}. All else goes on"
        same = f"{item.name} {item.message}"
        yield Episode(reason=REFUSED, message=text, shadow=item, same=same, began=_hour(world.now), warning=True)
    if item.state in UNREADY:
        yield from _unready(world, item, old)


def _unready(world: World, item: ShadowStatus, old: ShadowStatus | None) -> Iterator[Episode]:
    """Pods that will not become ready by themselves, or have not been so for longer than others are given."""
    cause = failing(item.message)
    text = f"{_who(item)} is not ready: {item.message}. {remedy(item.message)}; nothing else waits for it"
    pods = world.workload(item.revision)
    since = pods.lost_at or pods.unready_since
    if cause:
        if not (old and failing(old.message) == cause):
            reason, began = f"Shadow{cause}", _hour(since or world.now)
            yield Episode(reason=reason, message=text, shadow=item, same=_own(item), began=began, warning=True)
        return
    patience = DEAD_AFTER if item.state is ShadowState.NOT_READY else world.spec.serving.ready_within
    if pods.exists and since and world.now - since >= patience:
        same = f"{_own(item)} {since.isoformat()}"
        yield Episode(reason=NOT_READY, message=text, shadow=item, same=same, warning=True)


def _is_same(old: ShadowStatus, new: ShadowStatus) -> bool:
    return (old.revision, old.against) == (new.revision, new.against)


def _hour(moment: datetime) -> datetime:
    """One that falls over every few minutes is told of once an hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


def _own(item: ShadowStatus) -> str:
    return f"{item.name} {item.revision}"


def _mark(item: ShadowStatus) -> str:
    return f"{_own(item)} {item.against}"


def _numbers(item: ShadowStatus) -> str:
    words = "; ".join(f"{verdict.name}: {verdict.message}" for verdict in item.verdicts)
    return f": {words}" if words else ""


def _who(item: ShadowStatus) -> str:
    return f"the shadow {item.name}, {_version(item)},"


def _version(item: ShadowStatus) -> str:
    return f"{item.version} ({item.revision})" if item.version else item.revision


def _called(world: World, revision: str) -> str:
    found = world.revisions.get(revision)
    return found.version if found and found.version else revision
