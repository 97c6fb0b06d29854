"""Feedback's settings, from the environment with the prefix FEEDBACK_. An unknown one is an error.

    FEEDBACK_KAFKA_SERVERS          host:port,host:port                                 required
    FEEDBACK_KAFKA_SECURITY, …      who may in, and how: `switchyard_contracts.kafka_settings`
    FEEDBACK_KAFKA_TIMEOUT          Kafka silent for so long is a 503                   default 5s
    FEEDBACK_TOKENS_FILE            YAML or JSON: [{name, sha256, deployments}]         required; read again on change
    FEEDBACK_MONITOR_URL            where GET …/predictions/{id} is answered            default: that GET is refused
    FEEDBACK_MONITOR_TOKEN_FILE     a mounted file that holds a token for the monitor   with FEEDBACK_MONITOR_URL
    FEEDBACK_MAX_BODY               bytes of one request                                default 1048576
    FEEDBACK_MAX_PENDING            items that may wait for Kafka at once               default 20000
    FEEDBACK_PORT                   default 8080
    FEEDBACK_TLS_CERTIFICATE_FILE   serve TLS with this certificate chain               default: plain HTTP
    FEEDBACK_TLS_KEY_FILE           and its key; both are read again when they change
    FEEDBACK_LOG_FORMAT             auto | json | text; auto: text at a terminal, JSON lines elsewhere

Volumes: the tokens' Secret, and the monitor's token if any, read-only and as folders (a Secret mounted with subPath is
never updated). Ports: 8080 (/v1, /metrics, /healthz, /readyz). No access to the Kubernetes API: no RBAC, and
automountServiceAccountToken should be false. Kafka: writes `switchyard.events`. Termination: up to KAFKA_TIMEOUT for
what is under way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator
from switchyard_contracts.kafka_settings import KafkaSettings
from switchyard_contracts.quantities import Duration, parse_duration


class Settings(KafkaSettings):
    """Read once, in `__main__`."""

    PREFIX: ClassVar[str] = "FEEDBACK_"

    kafka_timeout: Duration = parse_duration("5s")
    tokens_file: Path
    monitor_url: str | None = None
    monitor_token_file: Path | None = None
    max_body: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 1024 * 1024
    max_pending: Annotated[int, Field(ge=1000)] = 20_000
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    log_format: Literal["auto", "json", "text"] = "auto"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("set both FEEDBACK_TLS_CERTIFICATE_FILE and FEEDBACK_TLS_KEY_FILE, or neither")
        return self
