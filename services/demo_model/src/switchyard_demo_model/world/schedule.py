"""The demo's clock: what the product does, and when, in seconds from the start.

Requests come at a steady rate in the order in which flights left, so the clock runs with the traffic: within a day it
stands where the share of that day's requests stands, and a day takes `day_seconds` however many flights it had. A
flight that lands is put on the same clock, so outcomes come in order of landing, each after its own prediction, and the
early ones first. A day with more flights than requests is sampled; on one with fewer, some are asked about twice.

The calendar may leap: the day that comes next is then another one, and what is in the air still lands.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from random import Random
from threading import Lock

from switchyard_demo_model.serving.flight import Flight
from switchyard_demo_model.world.dispatcher import Mood, mood
from switchyard_demo_model.world.journeys import Journey, of_day

A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Predict:
    """Ask about a flight as it leaves."""

    due: float
    number: int
    flight: Flight
    will_land: bool  # whether a report will follow; not part of the question


@dataclass(frozen=True, slots=True)
class Decide:
    """The dispatcher makes up her mind about an answer."""

    due: float
    number: int
    flight: Flight
    mood: Mood


@dataclass(frozen=True, slots=True)
class Report:
    """The flight has landed: its real delay, in minutes."""

    due: float
    number: int
    arrival_delay: float


Action = Predict | Decide | Report


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the world runs."""

    rate: float = 80.0  # requests a second
    day_seconds: float = 12.0

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.day_seconds <= 0 or self.per_day < 1:
            raise ValueError(
                f"rate {self.rate} and day_seconds {self.day_seconds} leave no request in a day: raise one of them"
            )

    @property
    def per_day(self) -> int:
        """Requests in a day."""
        return round(self.rate * self.day_seconds)


@dataclass(frozen=True, slots=True)
class Day:
    """One day's requests, and its clock."""

    index: int
    midnight: datetime
    asked: tuple[Journey, ...]
    pace: Pace

    def starts(self) -> float:
        """When it begins, in seconds of the demo."""
        return self.index * self.pace.day_seconds

    def due(self, number: int) -> float:
        """When its n-th request goes out: in the middle of its slot, so that the clock moves in the night too."""
        return self.starts() + (number + 0.5) * self.pace.day_seconds / len(self.asked)

    def clock(self, moment: datetime) -> float:
        """Where the demo's clock stands at a moment of this day."""
        after = bisect_right(self.asked, moment, key=lambda journey: journey.leaves)
        left = self.asked[after - 1].leaves if after else self.midnight
        right = self.asked[after].leaves if after < len(self.asked) else self.midnight + A_DAY
        low = self.due(after - 1) if after else self.starts()
        high = self.due(after) if after < len(self.asked) else self.starts() + self.pace.day_seconds
        return low + (high - low) * ((moment - left) / (right - left) if right > left else 1.0)


class World:
    """The days from `first` on, each drawn from the seed and its date alone: whoever looks at a day finds it as it is.

    One thread plays it; another may have it leap.
    """

    def __init__(self, known: Sequence[Journey], *, first: date, pace: Pace, seed: int) -> None:
        self._known, self._pace, self._seed = known, pace, seed
        self._calendar = [(0, first)]  # from which day of the demo on the dates go on from which
        self._begun = 0  # days of the demo
        self._lock = Lock()
        self.drawn = lru_cache(maxsize=4)(self._drawn)

    def leap(self, to: date, *, every: int = 1) -> float:
        """Go on with `to` from the next day that has not begun and whose number `every` divides.

        Answers when that is, in seconds of the demo. Days that are under way before it go on as they are.
        """
        with self._lock:
            index = -(-self._begun // every) * every
            self._calendar.append((index, to))
        return index * self._pace.day_seconds

    def day(self, index: int) -> Day | None:
        """The day of that number; None after the last one that is known."""
        with self._lock:
            began, first = next(entry for entry in reversed(self._calendar) if entry[0] <= index)
        return self.drawn(first + (index - began) * A_DAY, index)

    def _drawn(self, date_of: date, index: int) -> Day | None:
        flown = of_day(self._known, date_of)
        if not flown:
            return None
        random, wanted = Random(f"{self._seed}/asked/{date_of}"), self._pace.per_day
        chosen = list(range(len(flown))) * (wanted // len(flown))
        chosen += random.sample(range(len(flown)), wanted % len(flown))
        midnight = datetime(date_of.year, date_of.month, date_of.day)  # noqa: DTZ001 - New York's time, as the flights are
        return Day(index, midnight, tuple(flown[position] for position in sorted(chosen)), self._pace)

    def clock(self, moment: datetime, *, seen_from: Day) -> float:
        """Where the demo's clock stands at a moment of that day or a later one; beyond the last day it runs evenly.

        What left before a leap lands as if there were none.
        """
        passed = moment - seen_from.midnight
        days = passed // A_DAY
        day = self.drawn(seen_from.midnight.date() + days * A_DAY, seen_from.index + days)
        return day.clock(moment) if day else seen_from.starts() + passed / A_DAY * self._pace.day_seconds

    def actions(self) -> Iterator[Action]:
        """Everything the product does, in order of time. A flight that never landed is never reported."""
        waiting: list[tuple[float, int, int, Action]] = []
        number = 0
        while day := self._begin():
            random = Random(f"{self._seed}/moods/{day.index}")
            for position, journey in enumerate(day.asked):
                for action in self._of_one(journey, day=day, number=number, due=day.due(position), random=random):
                    heapq.heappush(waiting, (action.due, number, len(waiting), action))
                number += 1
            # What a later day adds is due in that day at the earliest.
            while waiting and waiting[0][0] < (day.index + 1) * self._pace.day_seconds:
                yield heapq.heappop(waiting)[3]
        while waiting:
            yield heapq.heappop(waiting)[3]

    def _begin(self) -> Day | None:
        """The next day, which no leap can change any more."""
        with self._lock:
            index, self._begun = self._begun, self._begun + 1
        return self.day(index)

    def _of_one(self, journey: Journey, *, day: Day, number: int, due: float, random: Random) -> Iterator[Action]:
        """What one flight leads to."""
        chance = mood(random)
        yield Predict(due, number, journey.flight, will_land=journey.lands is not None)
        yield Decide(due + chance.thinking, number, journey.flight, chance)
        if journey.lands is not None and journey.arrival_delay is not None:
            yield Report(self.clock(journey.lands, seen_from=day), number, journey.arrival_delay)
