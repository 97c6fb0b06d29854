"""What a person sees while a machine works: which stage, how long already, how long still, and what it waits for.

A run is a plan of named stages. Each stage that ends well leaves its duration in the cache; the next run's 'about …
left' is the sum of what those remember. Before the first run the estimates of the plan stand in.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

from switchyard_testkit.cache import Durations
from switchyard_testkit.errors import TimedOutError

HEARTBEAT_SECONDS = 10.0


def spoken(seconds: float) -> str:
    """A duration as a person says it: 8 s, 2 min 05 s, 1 h 02 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """The lines of one run.

    `plan` maps each stage, in order, to a first estimate in seconds. Runs that do the same under different titles share
    what they remember by `remembered_as`.
    """

    def __init__(
        self,
        title: str,
        *,
        plan: Mapping[str, float],
        durations: Durations,
        remembered_as: str = "",
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._title = title
        self._plan = dict(plan)
        self._durations = durations
        self._remembered_as = remembered_as or title
        self._out = out or sys.stdout
        self._clock = clock
        self._heartbeat = heartbeat
        self._began = clock()
        self._done: set[str] = set()
        self._stage = ""
        self._stage_began = self._began
        self._awaited = ""
        self._share = 0.0
        self.took: dict[str, float] = {}

    def estimate(self, stage: str) -> float:
        return self._durations.read().get(f"{self._remembered_as}: {stage}", self._plan.get(stage, 0.0))

    def left(self) -> float:
        """Seconds that the stages not yet done should still take."""
        ahead = sum(self.estimate(stage) for stage in self._plan if stage not in self._done and stage != self._stage)
        return ahead + self._left_of_stage() if self._stage else ahead

    def _left_of_stage(self) -> float:
        """From memory at first, and the further it is, the more from how fast it goes today."""
        elapsed = self._clock() - self._stage_began
        remembered = max(0.0, self.estimate(self._stage) - elapsed)
        if not self._share:
            return remembered
        at_this_pace = elapsed / self._share - elapsed
        return self._share * at_this_pace + (1 - self._share) * remembered

    def say(self, message: str) -> None:
        elapsed = spoken(self._clock() - self._began)
        print(f"[{elapsed:>10}] {self._title}: {message}", file=self._out, flush=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announce, beat while it lasts, remember how long it took if it ended well."""
        self._stage, self._stage_began, self._awaited, self._share = name, self._clock(), "", 0.0
        self.say(f"{self._numbered(name)} (about {spoken(self.estimate(name))}; {spoken(self.left())} left in all)")
        ended = threading.Event()
        beating = threading.Thread(target=self._beat, args=(ended,), daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()
            self._stage = ""
        seconds = self._clock() - self._stage_began
        self._done.add(name)
        self.took[name] = seconds
        self._durations.remember(f"{self._remembered_as}: {name}", seconds)

    def waiting(self, awaited: str, *, share: float = 0.0) -> None:
        """Name what the stage waits for now, and how much of it is done if that is known; the next beat shows it."""
        self._awaited = awaited
        self._share = share

    def wait_for(
        self,
        awaited: str,
        condition: Callable[[], str | None],
        *,
        seconds: float,
        every: float = 0.2,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Poll `condition` until it returns None; a string is what it still sees, and ends up in the error."""
        self.waiting(awaited)
        deadline = self._clock() + seconds
        while (seen := condition()) is not None:
            if self._clock() > deadline:
                raise TimedOutError(f"{self._title}: waited {spoken(seconds)} for {awaited}; last seen: {seen}")
            sleep(every)
        self.waiting("")

    def finish(self) -> None:
        self.say(f"done in {spoken(self._clock() - self._began)}")

    def _numbered(self, name: str) -> str:
        stages = list(self._plan)
        return f"{stages.index(name) + 1}/{len(stages)} {name}" if name in self._plan else name

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(self._heartbeat):
            for_what = f"waiting for {self._awaited}" if self._awaited else "at work"
            self.say(f"{self._stage}: {for_what} (about {spoken(self.left())} left in all)")
