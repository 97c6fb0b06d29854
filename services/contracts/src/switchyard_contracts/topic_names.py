"""What the topics are called: a prefix, which tells installations apart that share brokers, and a word for each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The names of one installation's topics."""

    prefix: str = "switchyard"

    @property
    def events(self) -> str:
        """What was asked, answered, decided, and what then happened."""
        return f"{self.prefix}.events"

    @property
    def deadletter(self) -> str:
        """What stood among the events and could not be read."""
        return f"{self.prefix}.deadletter"

    @property
    def models(self) -> str:
        """Which deployments there are."""
        return f"{self.prefix}.models"

    @property
    def rollouts(self) -> str:
        """What was decided about them."""
        return f"{self.prefix}.rollouts"

    @property
    def alarms(self) -> str:
        """What is said of alarms."""
        return f"{self.prefix}.alarms"
