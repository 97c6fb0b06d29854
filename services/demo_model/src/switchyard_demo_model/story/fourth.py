"""The fourth chapter, told: a file with alarms, calm days of spring, a leap to summer, and what the system says of it.

The story applies the file, hands the reference over and sets the world's clock; whatever follows from that is the
system's own doing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

from switchyard_contracts.alarm_records import AlarmBook, AlarmState, Standing
from switchyard_profile.reference import Reference

from switchyard_demo_model.product.ledger import Errors, Statistics
from switchyard_demo_model.story.expectations import Script
from switchyard_demo_model.story.narrator import Narrator
from switchyard_demo_model.story.plot import Story
from switchyard_demo_model.story.summer import DAYS, DRIFTED, LEAP, SPRING, WORSE, watched, watched_deployment, window
from switchyard_demo_model.story.watched import Training, Watched, Window, judged, last_fired
from switchyard_demo_model.world.schedule import Pace

LOOK = 1.0  # seconds between two looks
RULES = (DRIFTED, WORSE)


class System(Protocol):
    """What this chapter needs of the cluster."""

    @property
    def namespace(self) -> str: ...
    def image(self, recipe: str) -> str: ...
    def provenance(self, recipe: str) -> Mapping[str, str]: ...
    def apply(self, body: Mapping[str, Any]) -> int: ...
    def hand_over(self, reference: Reference) -> str: ...
    def alarms(self) -> AlarmBook: ...
    def drift(self) -> list[Window]: ...
    def trainings(self) -> list[Training]: ...


class Product(Protocol):
    """What this chapter needs of the traffic."""

    def statistics(self) -> Statistics: ...
    def errors_of(self, version: str, *, since: float, until: float) -> Errors: ...
    def leap(self, to: date, *, every: int) -> float: ...


@dataclass(frozen=True, slots=True)
class Telling:
    """How the story is told."""

    story: Story
    short: bool
    pace: Pace
    reference: Reference


class Fourth:
    """One telling of the chapter."""

    def __init__(
        self,
        system: System,
        narrator: Narrator,
        script: Script,
        *,
        telling: Telling,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._system, self._narrator, self._script, self._telling = system, narrator, script, telling
        self._clock, self._sleep = clock, sleep
        self._chapter = watched(telling.story)
        self._leapt: datetime | None = None
        self._said: set[str] = set()

    def tell(self, product: Product) -> None:
        """Tell it as far as the system goes along."""
        patience, version = self._script.patience, self._chapter.version
        self._narrator.title(f"Fourth chapter: {version} is watched, and summer comes")
        spring = _moment(product.leap(SPRING, every=DAYS))
        self._narrator.say(
            f"at {spring:%H:%M:%S} UTC the world's clock goes to {SPRING:%-d %B}: every telling meets the same days"
        )
        self._apply()
        if not self._within(patience.watched, self._handed_over, "the monitor has not taken the reference"):
            return
        self._narrator.say(
            f"the monitor has the reference of {version}: {self._telling.reference.rows:,} rows of winter"
        )
        wanted = self._script.pace.calm_short if self._telling.short else self._script.pace.calm
        calm = f"{wanted} windows in a row by which neither alarm is broken"
        if not self._within(patience.calm, lambda: self._calm(wanted, since=spring), f"{calm} have not come"):
            return
        self._leapt = _moment(product.leap(LEAP, every=DAYS))
        self._narrator.say(f"{calm}; at {self._leapt:%H:%M:%S} UTC the world's clock leaps to {LEAP:%-d %B}")
        self._within(patience.asked, self._asked, "not both alarms fired, or nobody was asked to train")

    def read(self, product: Product) -> Watched | None:
        """All that was said by the end; None where the clock never leapt."""
        if self._leapt is None:
            return None
        book, version, seconds = self._system.alarms(), self._chapter.version, window(self._telling.pace)
        worse = last_fired(book, WORSE)
        starts = [look.start for look in judged(worse)] if worse else []
        return Watched(
            leapt=self._leapt,
            seconds=seconds,
            book=book,
            drift=self._system.drift(),
            trainings=self._system.trainings(),
            spring=product.errors_of(version, since=0.0, until=self._leapt.timestamp()),
            own={
                start: product.errors_of(version, since=start.timestamp(), until=start.timestamp() + seconds)
                for start in starts
            },
        )

    def _apply(self) -> None:
        body = watched_deployment(
            self._chapter,
            image=self._system.image(self._chapter.recipe),
            provenance=self._system.provenance(self._chapter.recipe),
            namespace=self._system.namespace,
            pace=self._telling.pace,
            reference=self._telling.reference.digest,
        )
        self._system.apply(body)
        rules = ", ".join(f"{one['name']} ({one['metric']})" for one in body["spec"]["monitoring"]["alarms"])
        self._narrator.say(f"applied: {self._chapter.version} again, with the alarms {rules}")

    def _within(self, seconds: float, met: Callable[[], str], late: str) -> bool:
        """Wait until nothing is missing any more; `met` says what is."""
        until = self._clock() + seconds
        while missing := met():
            if self._clock() > until:
                self._narrator.say(f"after {seconds:g} s {late}: {missing}")
                return False
            self._narrator.state(missing)
            self._sleep(LOOK)
        return True

    def _handed_over(self) -> str:
        """Until the monitor knows of the file it takes no reference."""
        return self._system.hand_over(self._telling.reference)

    def _calm(self, wanted: int, *, since: datetime) -> str:
        states = self._heard().alarms
        calm = {one.alarm for one in states if _is_calm(one, wanted, since=since)}
        missing = [name for name in RULES if name not in calm]
        return " ".join(f"{one.alarm}: {one.message}." for one in states if one.alarm in missing) or ", ".join(missing)

    def _asked(self) -> str:
        """What of alarms, request and Job is still missing."""
        book = self._heard()
        trainings = self._system.trainings()
        missing = [f"alarm {name}" for name in RULES if last_fired(book, name) is None]
        missing += ["a request to train"] if book.request is None else []
        missing += [] if trainings and all(one.ended for one in trainings) else ["the end of its Job"]
        return f"not there yet: {', '.join(missing)}" if missing else ""

    def _heard(self) -> AlarmBook:
        """The book, and what is new in it said aloud."""
        book = self._system.alarms()
        for record in reversed(book.records):
            if record.id not in self._said:
                self._said.add(record.id)
                features = ", ".join(sorted({one.feature for one in record.features}))
                named = f" ({features})" if features else ""
                self._narrator.say(f"{record.event.value}: {record.alarm}{named}: {record.message}")
        return book


def _is_calm(state: AlarmState, wanted: int, *, since: datetime) -> bool:
    """Whether the last windows that were judged are all of this spring, and clear."""
    last = state.looks[-wanted:]
    return len(last) == wanted and all(look.standing is Standing.CLEAR and look.start >= since for look in last)


def _moment(seconds: float) -> datetime:
    """To the millisecond, as windows begin at whole seconds."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=round(seconds * 1000))
