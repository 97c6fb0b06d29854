"""Traffic beside the story: the driver in a thread of its own, with its own event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from switchyard_demo_model.product.gateway import Addresses
from switchyard_demo_model.product.ledger import Failure, Ledger, Statistics
from switchyard_demo_model.product.traffic import Traffic
from switchyard_demo_model.world.schedule import Action


class BackgroundTraffic:
    """`with BackgroundTraffic(…) as traffic:` plays until the block ends, and then until every asked flight landed."""

    def __init__(self, actions: Iterator[Action], addresses: Addresses) -> None:
        self.ledger = Ledger()
        self._traffic = Traffic(actions, addresses, self.ledger)
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
