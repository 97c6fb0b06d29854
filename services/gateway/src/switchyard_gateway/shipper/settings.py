"""The shipper's settings, from the environment with the prefix SHIPPER_. An unknown one is an error.

    SHIPPER_KAFKA_SERVERS           host:port,host:port                             required
    SHIPPER_KAFKA_SECURITY, …       who may in, and how: `switchyard_contracts.kafka_settings`
    SHIPPER_KAFKA_TIMEOUT           how long one attempt to deliver a batch may take: 10s
    SHIPPER_TOPIC                   another topic of events than the prefix says
    SHIPPER_LOG_FORMAT              auto | json | text; auto: text at a terminal, JSON lines elsewhere
    SHIPPER_NODE                    this gateway pod's name; default the host name
    SHIPPER_SPOOL_DIR               /var/spool/switchyard
    SHIPPER_SPOOL_MAX_BYTES         1073741824; over it the oldest whole segment goes, and is counted
    SHIPPER_SEGMENT_BYTES           8388608; Envoy's file is put aside when it is larger …
    SHIPPER_SEGMENT_AGE             … or older: 5m
    SHIPPER_ADMIN_SOCKET            /run/switchyard/admin.sock
    SHIPPER_PORT                    8082
    SHIPPER_BATCH_LINES, SHIPPER_BATCH_BYTES    what is sent at once: 1000, 4194304
    SHIPPER_PULSE                   how often the files are looked at: 100ms
    SHIPPER_MAX_RECORD_BYTES        1000000; a larger event goes without its bodies
    SHIPPER_DRAIN_TIMEOUT           how long a termination goes on delivering: 20s
    SHIPPER_REDACT                  JSON: {"shop/flight": ["$.name"], "*": ["$.card.number", "$.rows[*].ssn"]}

Volumes, shared with Envoy and control: /var/spool/switchyard (a PersistentVolumeClaim), /run/switchyard (emptyDir).
Port 8082: /account, /metrics, /healthz, /readyz. No access to the Kubernetes API. Kafka: writes `switchyard.events`.
The container runs as a native sidecar, so that it outlives Envoy and ships its last lines.
"""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, Json, field_validator, model_validator
from switchyard_contracts.kafka_settings import KafkaSettings
from switchyard_contracts.quantities import Duration, format_duration, parse_duration

from switchyard_gateway.shipper.redaction import Redaction

SHORTEST_TIMEOUT = timedelta(seconds=2)


class Settings(KafkaSettings):
    """Read once, in `__main__`."""

    PREFIX: ClassVar[str] = "SHIPPER_"

    kafka_timeout: Duration = timedelta(seconds=10)
    topic: str = ""
    node: str = Field(default_factory=socket.gethostname, min_length=1)
    log_format: Literal["auto", "json", "text"] = "auto"
    spool_dir: Path = Path("/var/spool/switchyard")
    spool_max_bytes: Annotated[int, Field(ge=1)] = 1_073_741_824
    segment_bytes: Annotated[int, Field(ge=1)] = 8_388_608
    segment_age: Duration = timedelta(minutes=5)
    admin_socket: Path = Path("/run/switchyard/admin.sock")
    port: Annotated[int, Field(ge=0, le=65535)] = 8082
    batch_lines: Annotated[int, Field(ge=1, le=100_000)] = 1000
    batch_bytes: Annotated[int, Field(ge=1)] = 4_194_304
    pulse: Duration = parse_duration("100ms")
    max_record_bytes: Annotated[int, Field(ge=10_000)] = 1_000_000
    drain_timeout: Duration = timedelta(seconds=20)
    redact: Json[dict[str, list[str]]] | dict[str, list[str]] = {}

    @property
    def events(self) -> str:
        """The topic that exchanges go to."""
        return self.topic or self.topic_names.events

    @field_validator("redact", mode="after")
    @classmethod
    def _readable(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        Redaction(value)  # its error names the path
        return value

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.kafka_timeout < SHORTEST_TIMEOUT:
            raise ValueError(
                f"kafka_timeout is {format_duration(self.kafka_timeout)}; a broker needs at least "
                f"{format_duration(SHORTEST_TIMEOUT)} to take a batch"
            )
        if self.segment_bytes > self.spool_max_bytes // 2:
            raise ValueError(
                f"segment_bytes is {self.segment_bytes}, more than half of spool_max_bytes ({self.spool_max_bytes}): "
                "whole segments are what is let go, so make them smaller"
            )
        return self
