"""Feedback's settings, from the environment with the prefix FEEDBACK_. An unknown one is an error.

    FEEDBACK_KAFKA_SERVERS          host:port,host:port                                 required
    FEEDBACK_KAFKA_SECURITY         PLAINTEXT | SSL | SASL_PLAINTEXT | SASL_SSL         default PLAINTEXT
    FEEDBACK_KAFKA_SASL_MECHANISM   PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512               with SASL
    FEEDBACK_KAFKA_USERNAME         with SASL
    FEEDBACK_KAFKA_PASSWORD_FILE    a mounted file that holds the password              with SASL
    FEEDBACK_KAFKA_CA_FILE          a mounted CA certificate                            with SSL
    FEEDBACK_KAFKA_TIMEOUT          Kafka silent for so long is a 503                   default 5s
    FEEDBACK_TOKENS_FILE            YAML or JSON: [{name, sha256, deployments}]         required; read again on change
    FEEDBACK_MONITOR_URL            where GET …/predictions/{id} is answered            default: that GET is refused
    FEEDBACK_MONITOR_TOKEN_FILE     a mounted file that holds a token for the monitor   with FEEDBACK_MONITOR_URL
    FEEDBACK_MAX_BODY               bytes of one request                                default 1048576
    FEEDBACK_MAX_PENDING            items that may wait for Kafka at once               default 20000
    FEEDBACK_PORT                   default 8080
    FEEDBACK_LOG_FORMAT             auto | json | text; auto: text at a terminal, JSON lines elsewhere

Volumes: the tokens' Secret, and the monitor's token if any, read-only and as folders (a Secret mounted with subPath is
never updated). Ports: 8080 (/v1, /metrics, /healthz, /readyz). No access to the Kubernetes API: no RBAC, and
automountServiceAccountToken should be false. Kafka: writes `switchyard.events`. Termination: up to KAFKA_TIMEOUT for
what is under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from switchyard_contracts.quantities import Duration, parse_duration


class Settings(BaseModel):
    """Read once, in `__main__`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kafka_servers: Annotated[str, Field(min_length=1)]
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_username: str | None = None
    kafka_password_file: Path | None = None
    kafka_ca_file: Path | None = None
    kafka_timeout: Duration = parse_duration("5s")
    tokens_file: Path
    monitor_url: str | None = None
    monitor_token_file: Path | None = None
    max_body: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = 1024 * 1024
    max_pending: Annotated[int, Field(ge=1000)] = 20_000
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    log_format: Literal["auto", "json", "text"] = "auto"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kafka_security.startswith("SASL") and not (
            self.kafka_sasl_mechanism and self.kafka_username and self.kafka_password_file
        ):
            raise ValueError(
                f"FEEDBACK_KAFKA_SECURITY is {self.kafka_security}; set FEEDBACK_KAFKA_SASL_MECHANISM,"
                " FEEDBACK_KAFKA_USERNAME and FEEDBACK_KAFKA_PASSWORD_FILE too"
            )
        return self

    @classmethod
    def from_env(cls, environ: Mapping[str, str], prefix: str = "FEEDBACK_") -> Self:
        """A misspelt FEEDBACK_ variable is an error, so chart and code cannot drift apart."""
        mine = {name: value for name, value in environ.items() if name.startswith(prefix)}
        return cls.model_validate_strings({name.removeprefix(prefix).lower(): value for name, value in mine.items()})
