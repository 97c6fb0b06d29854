"""What receivers are told of a rollout, and of the shadows beside it: the news, each once, and what is still owed.

A notification is written into the status together with what it tells of, and leaves it when every receiver has it. So
an operator that dies in between owes the same as before, and one that is told twice knows it by the id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from switchyard_contracts.alarms import MOST_ALARMS
from switchyard_contracts.model_deployment import MetricVerdict, Phase, RolloutStatus, ShadowStatus
from switchyard_contracts.notifications import Event, Figure, Notification, Notifications, Receiver

from switchyard_operator.domain import alarms, turns
from switchyard_operator.domain.episodes import Episode, episodes
from switchyard_operator.domain.plan import Plan
from switchyard_operator.domain.rules import FROZEN
from switchyard_operator.domain.world import COMPARED, World

FRESH = timedelta(hours=1)
"""What happened longer ago is no news to a status that knows nothing of it, as after a restore."""
MOST_TOLD = 64
MOST_WAITING = MOST_ALARMS + 20
"""All alarms may fire at once. More are owed of one deployment only while its receivers are away; the oldest go."""
PROMOTED = frozenset({"Promoted", "Deployed"})


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told, and after what time of waiting for evidence a rollout counts as held."""

    receivers: tuple[Receiver, ...] = ()
    held_after: timedelta = timedelta(minutes=10)

    def hearers(self, subject: str, event: Event) -> list[str]:
        """Who is told of this."""
        return [receiver.name for receiver in self.receivers if receiver.hears(subject, event)]


NOBODY = Audience()


def news(world: World, plan: Plan, audience: Audience) -> Iterator[Notification]:
    """What this pass has to tell of the rollout, of a newer model that had to stay back, and of shadows."""
    held, old = plan.memory, world.status.rollout
    found = _standing(held, plan, now=world.now, held_after=audience.held_after)
    if found and (found[0] is Event.HELD or _is_new(world, plan, old, event=found[0])):
        judged = _before_the_switch(held, old) if found[0] is Event.PROMOTED else held.verdicts
        yield _of(held, found[0], judged, uid=world.uid, which=found[1], now=world.now)
    newer = world.revisions.get(world.asked)
    if newer and turns.refused(newer) and newer.sent_home_at and world.now - newer.sent_home_at < FRESH:
        rollout = f"{newer.name}.{newer.attempt}"
        yield Notification(
            id=key(world.uid, rollout, Event.REFUSED),
            event=Event.REFUSED,
            rollout=rollout,
            revision=newer.name,
            version=newer.version,
            at=world.now,
            reason=newer.because,
            message=newer.because_message,
        )
    for each in episodes(world, plan.shadows):
        if _is_fresh(world, each.shadow):
            yield _of_shadow(each, uid=world.uid, now=world.now)
    yield from alarms.notifications(world)


def refused_spec(uid: str, *, generation: int, reason: str, message: str, now: datetime) -> Notification:
    """A spec that cannot be honoured; it began no rollout."""
    return Notification(
        id=key(uid, f"generation {generation}", Event.REFUSED),
        event=Event.REFUSED,
        at=now,
        reason=reason,
        message=message[:4096],
        waiting_for="another spec",
    )


def remember(
    held: Notifications | None,
    fresh: Iterable[Notification],
    *,
    subject: str,
    audience: Audience,
    done: Collection[tuple[str, str]],
) -> Notifications | None:
    """What was told, and what is owed now; None where there is nobody to tell. `done` are (id, receiver)."""
    if not audience.receivers:
        return None
    before = held or Notifications()
    names = {receiver.name for receiver in audience.receivers}
    told, waiting, standing = list(before.told), list[Notification](), set[str]()
    for owed in before.waiting:
        left = [name for name in owed.to if name in names and (owed.id, name) not in done]
        if left:
            waiting.append(owed if left == owed.to else owed.model_copy(update={"to": left}))
    for new in fresh:
        hearers = audience.hearers(subject, new.event)
        standing.add(new.id)
        if hearers and new.id not in told:
            told.append(new.id)
            waiting.append(new.model_copy(update={"to": hearers}))
    if not told and not waiting:
        return None
    # What stands for long, as a hold does, is said in each pass; forgotten for newer ones it would be told anew.
    spare = [id for id in told if id not in standing][: max(0, len(told) - MOST_TOLD)]
    return Notifications(told=[id for id in told if id not in spare], waiting=waiting[-MOST_WAITING:])


def key(uid: str, rollout: str, event: Event, which: str = "") -> str:
    """The same for the same happening, whoever tells it and how often."""
    return str(uuid5(NAMESPACE_URL, f"{uid}/{rollout}/{event.value}/{which}"))


def _standing(held: RolloutStatus, plan: Plan, *, now: datetime, held_after: timedelta) -> tuple[Event, str] | None:
    """What a rollout that stands so is to be told as, and which of several of its kind."""
    match held.phase:
        case Phase.WATCHING | Phase.COMPLETED if held.reason in PROMOTED:
            return Event.PROMOTED, ""
        case Phase.COMPLETED if held.reason in COMPARED:
            return Event.COMPARED, ""
        case Phase.WATCHING if held.reason == "AnalysisFailed":
            return Event.HELD, held.reason
        case Phase.ROLLING_BACK | Phase.ROLLED_BACK:
            return (Event.ROLLED_BACK if plan.bearings.lineage.stable else Event.REFUSED), ""
        case Phase.REFUSED:
            return Event.REFUSED, ""
        case Phase.PAUSED if held.reason != FROZEN:
            return Event.HELD, _hold(held)
        case Phase.AWAITING_EVIDENCE if held.phase_since and now - held.phase_since >= held_after:
            return Event.HELD, _hold(held)
    return None


def _hold(held: RolloutStatus) -> str:
    """Which of a rollout's holds: one at a step and for a reason is told once, however often it comes and goes."""
    times = str(len(held.pauses)) if held.paused else ""
    who = held.waiting_for if held.reason == "AwaitingApproval" else ""
    return "/".join((held.step, held.reason, times, who))


def _is_new(world: World, plan: Plan, old: RolloutStatus | None, *, event: Event) -> bool:
    """Whether an end was come to just now: an operator that starts anew, or a restore, makes no news of what is old."""
    if old is not None and old.id == plan.memory.id:
        before = _standing(old, plan, now=world.now, held_after=timedelta.max)
        return before is None or before[0] is not event
    target = plan.bearings.lineage.target
    at = None if plan.mark else target.sent_home_at if target.sent_home else target.promoted_at
    return at is None or world.now - at < FRESH


def _before_the_switch(held: RolloutStatus, old: RolloutStatus | None) -> Sequence[MetricVerdict]:
    """What it was promoted on: of the step that has just begun, guards know nothing yet."""
    return old.verdicts if old is not None and old.id == held.id and old.verdicts else held.verdicts


def _of(
    held: RolloutStatus, event: Event, judged: Sequence[MetricVerdict], *, uid: str, which: str, now: datetime
) -> Notification:
    return Notification(
        id=key(uid, held.id, event, which),
        event=event,
        rollout=held.id,
        revision=held.revision,
        version=held.version,
        at=now,
        step=held.step,
        weight=held.weight,
        reason=held.reason,
        message=held.message,
        waiting_for=held.waiting_for,
        figures=[_figure(item) for item in judged],
    )


def _is_fresh(world: World, item: ShadowStatus) -> bool:
    """Whether it can be news: not of a comparison that began long ago and that the status knows nothing of."""
    known = any((held.name, held.revision) == (item.name, item.revision) for held in world.status.shadows)
    return known or item.since is None or world.now - item.since < FRESH


def _of_shadow(each: Episode, *, uid: str, now: datetime) -> Notification:
    item = each.shadow
    # Begun anew, the same comparison is another one; before it begins there is nothing to count from.
    times = (moment.isoformat() if moment else "" for moment in (item.since, each.began))
    which = " ".join((each.same, *times))
    return Notification(
        id=key(uid, f"shadow {item.name}", Event.SHADOW, f"{each.reason} {which}"),
        event=Event.SHADOW,
        shadow=item.name,
        against=item.against if item.since else "",
        revision=item.revision,
        version=item.version,
        at=now,
        reason=each.reason,
        message=each.message[:4096],
        figures=[_figure(verdict) for verdict in item.verdicts],
    )


def _figure(item: MetricVerdict) -> Figure:
    return Figure(
        name=item.name,
        metric=item.metric,
        role=item.role.value,
        verdict=item.verdict,
        message=item.message[:512],
        samples=item.samples,
        needed=item.needed,
        value=item.value,
        against=item.against,
        bound=item.bound,
        paired=item.paired,
    )


def owed(held: Notifications | None) -> Sequence[Notification]:
    """What receivers are still to be told."""
    return held.waiting if held else ()
