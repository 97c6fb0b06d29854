"""The topics, made where they are missing: the broker's own time on each record, deleted or compacted by design.

Partitions of a topic that is there are left alone: more of them would send a prediction's events to another place.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError
from switchyard_contracts.selector import DrainingSelector
from switchyard_contracts.topics import TopicSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """How missing topics are made."""

    partitions: int
    replication: int
    retention: timedelta


def configuration(topic: TopicSpec, settings: TopicSettings) -> dict[str, str]:
    """A topic's settings: lateness is measured on the broker's clock, so it must be the broker that stamps."""
    common = {"message.timestamp.type": "LogAppendTime"}
    if topic.compacted:
        return {**common, "cleanup.policy": "compact"}
    milliseconds = round(settings.retention.total_seconds() * 1000)
    return {**common, "cleanup.policy": "delete", "retention.ms": str(milliseconds)}


def ensure(connection: Mapping[str, Any], settings: TopicSettings, *, wanted: Sequence[TopicSpec]) -> list[str]:
    """Make what is missing; the names of what was made. Raises KafkaError when the broker cannot be asked."""
    admin = KafkaAdminClient(**connection, request_timeout_ms=10_000, selector=DrainingSelector)
    try:
        present = set(admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in present]
        for topic in missing:
            said = {
                "num_partitions": 1 if topic.single_partition else settings.partitions,
                "replication_factor": settings.replication,
                "configs": configuration(topic, settings),
            }
            try:
                admin.create_topics({topic.name: said}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                continue  # another made it between the question and the deed
            logger.info("made the topic %s with %s", topic.name, said)
        return [topic.name for topic in missing]
    finally:
        admin.close()
