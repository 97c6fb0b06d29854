"""Why Kafka cannot be reached, in words that name a setting.

kafka-python (3.0.12) answers every failure to connect with "Unable to bootstrap"; a wrong password, a certificate that
nobody vouches for and a listener that speaks TLS are told to its log alone, many times a second. So we listen there,
and say the newest reason once.
"""

from __future__ import annotations

import logging
import re
import time
from typing import Self

from switchyard_contracts.kafka_settings import KafkaSettings

CONNECTIONS = "kafka.net.manager"
REASON = re.compile(r"failed: (?P<why>.*?)(?: \(backoff [0-9.]+ secs\))?$", re.DOTALL)
RECENT = 60.0
"""Seconds for which a reason explains what fails."""


class Complaints(logging.Handler):
    """The newest reason for which a connection failed, as advice."""

    def __init__(self, settings: KafkaSettings) -> None:
        super().__init__(logging.WARNING)
        self._settings = settings
        self._newest = ("", 0.0)

    @classmethod
    def hear(cls, settings: KafkaSettings) -> Self:
        """Listen from now on; what is heard here is not logged as well."""
        complaints = cls(settings)
        logger = logging.getLogger(CONNECTIONS)
        logger.addHandler(complaints)
        logger.setLevel(logging.WARNING)  # of its own: a part may have silenced the rest of the client
        logger.propagate = False
        return complaints

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what a setting can mend: that our own patience ended in the middle of a try explains nothing."""
        found = REASON.search(record.getMessage())
        if found and (advice := self._settings.advice(found["why"])):
            self._newest = (advice, record.created)

    def explain(self, error: BaseException) -> str:
        """The error, and which setting to look at."""
        advice, at = self._newest
        said = str(error) or type(error).__name__
        return f"{said}; {advice}" if advice and time.time() - at < RECENT else said
