"""The monitor's settings, from the environment with the prefix MONITOR_. An unknown one is an error.

    MONITOR_KAFKA_SERVERS           host:port,host:port                         required
    MONITOR_KAFKA_SECURITY, …       who may in, and how: `switchyard_contracts.kafka_settings`
    MONITOR_DATABASE                a SQLite file, or postgresql://user:password@host:5432/name?sslmode=verify-full;
                                    default sqlite:////var/lib/switchyard/monitor.db
    MONITOR_TOKENS_FILE             YAML or JSON: [{name, sha256, deployments: ["ns/name", "ns/*", "*"]}]   required
    MONITOR_MEMBER                  this replica's name; default the host name (the pod's)
    MONITOR_PORT                    default 8080
    MONITOR_LOG_FORMAT              auto | json | text; auto: text at a terminal, JSON lines elsewhere
    MONITOR_BATCH, MONITOR_LINGER   a transaction takes this many events, or waits so long: 5000, 250ms
    MONITOR_LEASE, MONITOR_PULSE    how long a partition is held, and how often that is renewed: 10s, 1s
    MONITOR_CLOCK_MARGIN            how far our clock and the broker's may differ: 1s
    MONITOR_HOLD                    how long records of an unknown deployment wait for it: 1h
    MONITOR_RETENTION_ROWS          how long people find the row of a prediction or label, at least: 30d. What may still
                                    be joined or judged (a deployment's horizon; a week for what is sent again) stays,
    MONITOR_RETENTION_MARGIN        and for this longer: 1d
    MONITOR_RETENTION_WINDOWS, MONITOR_RETENTION_HOURLY, MONITOR_RETENTION_DAILY
                                    windows stay as they are for 2d; then they are hours until 14d; then days, but for
                                    what predictions add, until 400d. A running rollout's stay as they are
    MONITOR_DATABASE_MAX_BYTES      where reading pauses; default 50 GB of a SQLite file, or its volume; of a PostgreSQL
                                    none. A warning from four fifths of it

Volumes: SQLite's folder /var/lib/switchyard (a PersistentVolumeClaim, one replica), the tokens' Secret read-only. With
PostgreSQL any number of replicas share the partitions; each holds up to 45 connections, of which nine stay open.
Ports: 8080 (evidence API, the page at /page/, /metrics, /healthz, /readyz). No access to the Kubernetes API: no RBAC,
and automountServiceAccountToken should be false. Kafka: reads `switchyard.events`, `switchyard.models` and
`switchyard.rollouts`, writes `switchyard.deadletter` and `switchyard.alarms`; joins no consumer group. Topics must use
LogAppendTime.
"""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, SecretStr, model_validator
from switchyard_contracts import retention
from switchyard_contracts.kafka_settings import KafkaSettings
from switchyard_contracts.quantities import Duration, format_duration, parse_duration


class Settings(KafkaSettings):
    """Read once, in `__main__`."""

    PREFIX: ClassVar[str] = "MONITOR_"

    database: SecretStr = SecretStr("sqlite:////var/lib/switchyard/monitor.db")
    tokens_file: Path
    member: str = Field(default_factory=socket.gethostname, min_length=1)
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    log_format: Literal["auto", "json", "text"] = "auto"
    batch: Annotated[int, Field(ge=1, le=100_000)] = 5000
    linger: Duration = timedelta(milliseconds=250)
    lease: Duration = parse_duration("10s")
    pulse: Duration = parse_duration("1s")
    clock_margin: Duration = parse_duration("1s")
    hold: Duration = parse_duration("1h")
    retention_rows: Duration = retention.ROWS
    retention_margin: Duration = retention.MARGIN
    retention_windows: Duration = parse_duration("2d")
    retention_hourly: Duration = parse_duration("14d")
    retention_daily: Duration = parse_duration("400d")
    database_max_bytes: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _coarser_and_coarser(self) -> Self:
        if not self.retention_windows <= self.retention_hourly <= self.retention_daily:
            raise ValueError(
                "retention_windows, retention_hourly and retention_daily must not fall:"
                f" {format_duration(self.retention_windows)}, {format_duration(self.retention_hourly)},"
                f" {format_duration(self.retention_daily)}"
            )
        return self
