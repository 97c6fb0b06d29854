"""How every part is told to reach Kafka: the same variables behind each part's prefix, as options of the client.

    …_KAFKA_SERVERS             host:port,host:port
    …_KAFKA_SECURITY            PLAINTEXT | SSL | SASL_PLAINTEXT | SASL_SSL     default PLAINTEXT
    …_KAFKA_SASL_MECHANISM      PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512           with SASL
    …_KAFKA_USERNAME            with SASL
    …_KAFKA_PASSWORD_FILE       a mounted file that holds the password          with SASL
    …_KAFKA_CA_FILE             a mounted CA certificate; without it the image's own authorities count    with SSL
    …_KAFKA_CERTIFICATE_FILE    our own certificate, where the brokers ask for one                        with SSL
    …_KAFKA_KEY_FILE            its key
    …_KAFKA_TOPIC_PREFIX        what the topics' names begin with               default switchyard

Files are read anew for each client that is made, so a password that was changed holds from the next connection on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from switchyard_contracts.topic_names import TopicNames

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class SecretUnreadable(ValueError):
    """A mounted file is not there, or may not be read; the message names the variable."""


class KafkaSettings(BaseModel):
    """What a part's settings begin with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    PREFIX: ClassVar[str]

    kafka_servers: Annotated[str, Field(min_length=1)]
    kafka_security: Protocol = "PLAINTEXT"
    kafka_sasl_mechanism: Mechanism | None = None
    kafka_username: str | None = None
    kafka_password_file: Path | None = None
    kafka_ca_file: Path | None = None
    kafka_certificate_file: Path | None = None
    kafka_key_file: Path | None = None
    kafka_topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")] = "switchyard"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """A misspelt variable with our prefix is an error, so chart and code cannot drift apart."""
        mine = {name: value for name, value in environ.items() if name.startswith(cls.PREFIX)}
        return cls.model_validate_strings(
            {name.removeprefix(cls.PREFIX).lower(): value for name, value in mine.items()}
        )

    @model_validator(mode="after")
    def _gets_in(self) -> Self:
        named = {field: self.variable(field) for field in type(self).model_fields}
        sasl = ("kafka_sasl_mechanism", "kafka_username", "kafka_password_file")
        tls = ("kafka_ca_file", "kafka_certificate_file", "kafka_key_file")
        missing = [named[field] for field in sasl if not getattr(self, field)]
        if self.kafka_security.startswith("SASL") and missing:
            raise ValueError(f"{named['kafka_security']} is {self.kafka_security}; set {' and '.join(missing)} too")
        if not self.kafka_security.startswith("SASL") and len(missing) < len(sasl):
            idle = next(named[field] for field in sasl if getattr(self, field))
            raise ValueError(
                f"{idle} is set, but {named['kafka_security']} is {self.kafka_security}, which shows nobody's name;"
                " set it to SASL_SSL or SASL_PLAINTEXT"
            )
        if not self.kafka_security.endswith("SSL") and any(getattr(self, field) for field in tls):
            idle = next(named[field] for field in tls if getattr(self, field))
            raise ValueError(
                f"{idle} is set, but {named['kafka_security']} is {self.kafka_security}, which encrypts nothing;"
                " set it to SSL or SASL_SSL"
            )
        if (self.kafka_certificate_file is None) != (self.kafka_key_file is None):
            raise ValueError(f"set both {named['kafka_certificate_file']} and {named['kafka_key_file']}, or neither")
        return self

    @property
    def topic_names(self) -> TopicNames:
        """This installation's."""
        return TopicNames(self.kafka_topic_prefix)

    def variable(self, field: str) -> str:
        """The environment's name of a field."""
        return f"{self.PREFIX}{field.upper()}"

    def connection(self, client_id: str) -> dict[str, Any]:
        """How to reach the brokers, in kafka-python's words. Raises `SecretUnreadable`."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.kafka_servers.split(","),
            "security_protocol": self.kafka_security,
            "client_id": client_id,
            "reconnect_backoff_max_ms": 1000,
        }
        for option, field in (
            ("ssl_cafile", "kafka_ca_file"),
            ("ssl_certfile", "kafka_certificate_file"),
            ("ssl_keyfile", "kafka_key_file"),
        ):
            if getattr(self, field) is not None:
                self._read(field)  # the client would only say that it cannot connect
                options[option] = str(getattr(self, field))
        if self.kafka_sasl_mechanism is not None:
            options["sasl_mechanism"] = self.kafka_sasl_mechanism
            options["sasl_plain_username"] = self.kafka_username
            options["sasl_plain_password"] = self._read("kafka_password_file").strip()
        return options

    def advice(self, why: str) -> str:
        """Which variable to look at, from the client's words for why a connection failed; or none."""
        names = {field: self.variable(field) for field in type(self).model_fields}
        speaks = f"{names['kafka_security']} is {self.kafka_security}"
        if "mismatch" in why:
            return f"the brokers' certificate is for other names than those in {names['kafka_servers']}: {why}"
        if "CERTIFICATE_VERIFY_FAILED" in why:
            given = f"is {self.kafka_ca_file}, which" if self.kafka_ca_file else "is not set; who is trusted without it"
            return f"{names['kafka_ca_file']} {given} does not vouch for the brokers' certificate: {why}"
        if "ALERT" in why and "CERTIFICATE" in why.upper():
            return (
                f"the brokers want a certificate of ours that they trust; see {names['kafka_certificate_file']}: {why}"
            )
        if "Handshake failed" in why:
            return f"{speaks}, and the brokers' listener does not answer in TLS: {why}"
        if "UnsupportedSaslMechanism" in why:
            return (
                f"{names['kafka_sasl_mechanism']} is {self.kafka_sasl_mechanism}, which the brokers do not take: {why}"
            )
        cut = "disconnected" in why or "InvalidReceive" in why
        # kafka-python 3.0.12 drops the brokers' answer to a wrong password when they hang up right after it.
        if self.kafka_sasl_mechanism and (cut or "SaslAuthenticationFailed" in why):
            return (
                f"the brokers hang up; if that lasts, {names['kafka_username']} {self.kafka_username!r} with the"
                f" password in {names['kafka_password_file']} ({self.kafka_password_file}) is not theirs by"
                f" {self.kafka_sasl_mechanism} ({names['kafka_sasl_mechanism']}), or {speaks} and their listener wants"
                " another"
            )
        return f"the brokers hang up; if that lasts, {speaks} and their listener wants another" if cut else ""

    def _read(self, field: str) -> str:
        path = getattr(self, field)
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretUnreadable(
                f"{self.variable(field)} is {path}, which cannot be read ({error}); mount the Secret that holds it"
            ) from error
