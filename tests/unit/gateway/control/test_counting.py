"""When Envoy's counters are read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from switchyard_gateway.control.controller import Controller
from switchyard_gateway.control.counting import Counting
from switchyard_gateway.control.domain.counters import Look
from switchyard_gateway.control.errors import AdminError
from switchyard_gateway.control.metrics import Metrics


@dataclass
class SlowEnvoy:
    """It answers when it is let."""

    reads: int = 0
    under_way: int = 0
    most: int = 0
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    broken: bool = False

    async def read(self) -> Look:
        self.reads += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.answers.wait()
        self.under_way -= 1
        if self.broken:
            raise AdminError("nobody listens")
        return Look((), "1")


def counting(envoy: SlowEnvoy) -> Counting:
    ticks = iter(range(1_000_000))
    controller = Controller(
        domain="", preview=True, linger=60, metrics=Metrics(), ring=lambda: None, clock=lambda: float(next(ticks))
    )
    return Counting(controller, envoy.read, clock=lambda: float(next(ticks)), now=lambda: 0.0)


def test_looks_never_overlap_and_who_waits_shares_the_next():
    async def story() -> SlowEnvoy:
        envoy = SlowEnvoy()
        counts = counting(envoy)
        first = asyncio.create_task(counts.look())
        while not envoy.reads:
            await asyncio.sleep(0)
        later = [asyncio.create_task(counts.look()) for _ in range(10)]
        await asyncio.sleep(0)
        envoy.answers.set()
        await asyncio.gather(first, *later)
        return envoy

    envoy = asyncio.run(story())
    assert (envoy.reads, envoy.most) == (2, 1)


def test_a_look_after_another_is_a_look_of_its_own():
    async def story() -> int:
        envoy = SlowEnvoy()
        envoy.answers.set()
        counts = counting(envoy)
        await counts.look()
        await counts.look()
        return envoy.reads

    assert asyncio.run(story()) == 2


def test_an_envoy_that_does_not_answer_is_said_to_each_who_asks():
    async def story() -> int:
        envoy = SlowEnvoy(broken=True)
        envoy.answers.set()
        counts = counting(envoy)
        for _ in range(2):
            with pytest.raises(AdminError):
                await counts.look()
        return envoy.reads

    assert asyncio.run(story()) == 2
