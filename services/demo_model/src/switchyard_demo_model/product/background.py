"""Traffic beside the story: the driver in a thread of its own, with its own event loop."""

from __future__ import annotations

import asyncio
import threading
from datetime import date
from types import TracebackType
from typing import Self

from switchyard_demo_model.product.gateway import Addresses
from switchyard_demo_model.product.ledger import Errors, Failure, Ledger, Statistics
from switchyard_demo_model.product.traffic import Traffic
from switchyard_demo_model.world.schedule import World


class BackgroundTraffic:
    """`with BackgroundTraffic(…) as traffic:` plays until the block ends, and then until every asked flight landed."""

    def __init__(self, world: World, addresses: Addresses, *, beat: float) -> None:
        """It begins at a whole multiple of `beat` seconds since 1970."""
        self.ledger = Ledger()
        self._world = world
        self._traffic = Traffic(world.actions(), addresses, self.ledger, beat=beat)
        self._broken: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def statistics(self) -> Statistics:
        """How things stand. An error of the driver itself is raised here: no story goes on without its traffic."""
        if self._broken:
            raise RuntimeError("the traffic driver broke") from self._broken
        return self.ledger.statistics()

    def failures(self) -> list[Failure]:
        """The calls that failed, with their details."""
        return list(self.ledger.failures)

    def served_ids(self) -> frozenset[str]:
        """The prediction ids of all good answers."""
        return frozenset(self.ledger.served)

    def errors_of(self, version: str, *, since: float, until: float) -> Errors:
        """How far its answers were off that were asked for in that time (seconds since 1970)."""
        return self.ledger.errors_of(version, since=since, until=until)

    def leap(self, to: date, *, every: int) -> float:
        """Have the calendar leap at a day whose number `every` divides; when that begins, in seconds since 1970."""
        if self._traffic.began is None:
            raise RuntimeError("the traffic has not begun, so nobody can say when its days do; leap when it has")
        return self._traffic.began + self._world.leap(to, every=every)

    def finish(self) -> Statistics:
        """Ask no more, wait until every asked flight has landed and was reported, and say how it went."""
        self._traffic.stop()
        self._thread.join()
        return self.statistics()

    def _run(self) -> None:
        try:
            asyncio.run(self._traffic.play())
        except BaseException as error:  # noqa: BLE001 - handed to the story's thread, which raises it
            self._broken = error
