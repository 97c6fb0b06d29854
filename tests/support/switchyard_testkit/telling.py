"""Receivers of notifications in memory, and a rollout whose news they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from switchyard_contracts.notifications import Event, Notification, Receiver
from switchyard_operator.courier import Courier, Post
from switchyard_operator.domain.tidings import Audience

from switchyard_testkit.rollout_world import Model, Simulation


@dataclass
class Inbox:
    """One receiver: what reached it, and why nothing does at present."""

    received: list[Notification] = field(default_factory=list)
    away: str = ""
    tried: int = 0

    def send(self, subject: str, notification: Notification) -> str:
        """The port."""
        self.tried += 1
        if not self.away:
            self.received.append(notification)
        return self.away

    def close(self) -> None:
        """The port."""

    @property
    def events(self) -> list[Event]:
        """What it heard, in order."""
        return [item.event for item in self.received]


class Told(Simulation):
    """A rollout with receivers; the courier is asked to deliver after every stride, as its threads would be."""

    def __init__(
        self,
        models: Mapping[str, Model],
        *,
        receivers: tuple[dict[str, Any], ...] = ({"name": "desk"},),
        held_after: timedelta = timedelta(minutes=2),
        give_up: timedelta = timedelta(hours=24),
        delivers: Callable[[], bool] = lambda: True,
        posts: Mapping[str, Post] | None = None,
    ) -> None:
        said = [{"webhook": {"url": "http://desk.example/"}} | receiver for receiver in receivers]
        self.hearers = tuple(Receiver.model_validate(item) for item in said)
        self.inboxes = {receiver.name: Inbox() for receiver in self.hearers}
        self.posts = posts or self.inboxes
        self.give_up = give_up
        self.delivers = delivers
        self.results: list[tuple[str, str]] = []
        self.held_after = held_after
        super().__init__(models)

    def restart(self) -> None:
        """A new process: its courier knows nothing but what the statuses say."""
        self.audience = Audience(self.hearers, self.held_after)
        self.courier = self.messenger = Courier(
            self.posts,
            give_up=self.give_up,
            clock=self.clock,
            monotonic=lambda: self.clock.now.timestamp(),
            wake=lambda _: None,
            counted=lambda receiver, result: self.results.append((receiver, result)),
        )
        super().restart()

    def tick(self) -> None:
        """Time passes, and what is due is told."""
        super().tick()
        for name in self.inboxes:
            while self.delivers() and self.courier.deliver(name):
                pass
