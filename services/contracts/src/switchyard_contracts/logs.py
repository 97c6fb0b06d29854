"""How every part writes its log: one JSON object a line for machines, sentences for people at a terminal.

A line says when, how bad, who speaks, and a sentence; beside it stand the names of what the sentence is about, so that
everything about one deployment, rollout or prediction is found by one query. Only the fields named here are written:
whatever else a library attaches to a record (headers, bodies, settings) cannot slip out by way of the log.

Whoever imports it has `switchyard-contracts[logs]`; that is each part's `__main__` alone. The rest speak to stdlib's
`logging`, with `extra={"deployment": …}`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TextIO

from pythonjsonlogger.json import JsonFormatter

FIELDS = (
    "deployment",  # <namespace>/<name>
    "rollout",  # <revision>.<attempt>
    "revision",
    "prediction",
    "traffic",  # a ModelRoute's generation
    "step",
    "reason",  # a decision's, as the conditions and events have it
    "command",
    "partition",
    "offset",
    "gateway",  # a gateway's pod
    "object",  # <Kind> <namespace>/<name>
)
"""What a line may speak of; the same names in every part."""
FRAME = {"levelname": "level", "name": "logger"}
ERRORS = ("exc_info", "stack_info")


class LogFormat(StrEnum):
    """What `…_LOG_FORMAT` may say."""

    AUTO = "auto"
    """Text at a terminal, JSON elsewhere."""
    JSON = "json"
    TEXT = "text"


class Lines(JsonFormatter):
    """`{"time": …, "level": …, "logger": …, "message": …}`, and the fields that are there."""

    def __init__(self) -> None:
        super().__init__(["levelname", "name", "message"], rename_fields=FRAME, timestamp="time")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """In a fixed order, and without what is not named here."""
        wanted = ("time", "level", "logger", "message", *FIELDS, *ERRORS)
        return {name: log_data[name] for name in wanted if log_data.get(name) not in (None, "")}


class Sentences(logging.Formatter):
    """For people: the fields stand behind the sentence, where it does not name them already."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line before any traceback."""
        held = {name: record.__dict__.get(name) for name in FIELDS}
        unsaid = [f"{name}={value}" for name, value in held.items() if value and str(value) not in record.message]
        return super().formatMessage(record) + (f" ({', '.join(unsaid)})" if unsaid else "")


def configure(wanted: str, *, quiet: Mapping[str, int], stream: TextIO | None = None) -> None:
    """Every logger of the process writes through one handler.

    Args:
        wanted: a `LogFormat`; anything else is taken for `auto`, because it is the settings that refuse it, in a line.
        quiet: loggers of libraries, and the least level that is heard of them.
        stream: standard error when it is not given.
    """
    stream = stream or sys.stderr
    text = wanted == LogFormat.TEXT or (wanted != LogFormat.JSON and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Sentences() if text else Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name, level in quiet.items():
        logging.getLogger(name).setLevel(level)
