"""A broker's locked door for tests: TLS from an authority of its own, SASL with one user, and who may come in how."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from switchyard_testkit.commands import run
from switchyard_testkit.node import pki

USER, PASSWORD = "switchyard", "open-sesame"
LOGIN = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


@dataclass(frozen=True)
class Security:
    """How clients get in. Making it writes the certificates and the password's file into the folder."""

    protocol: Literal["SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    folder: Path
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    clients_need_certificates: bool = False
    names: tuple[str, ...] = field(default=("localhost", "127.0.0.1"))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password_file.write_text(f"{PASSWORD}\n")
        if self.tls:
            pki.make_authority(self.folder, "brokers")
            pki.make_server(self.folder, "broker", self.names)
            pki.make_client(self.folder, "client", pki.Identity(USER))
            # Java wants the key in the one envelope, and key and certificate in one file.
            key = self.folder / "broker.pkcs8"
            run(["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", self.folder / "broker.key", "-out", key])
            whole = key.read_text() + (self.folder / "broker.crt").read_text() + self.ca_file.read_text()
            (self.folder / "broker.pem").write_text(whole)

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("SSL")

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def password_file(self) -> Path:
        return self.folder / "password"

    def broker(self, listener: str) -> dict[str, object]:
        """The properties of the broker's guarded listener."""
        said: dict[str, object] = {}
        at = f"listener.name.{listener.lower()}"
        if self.tls:
            said |= {
                f"{at}.ssl.keystore.type": "PEM",
                f"{at}.ssl.keystore.location": self.folder / "broker.pem",
                f"{at}.ssl.truststore.type": "PEM",
                f"{at}.ssl.truststore.location": self.ca_file,
                f"{at}.ssl.client.auth": "required" if self.clients_need_certificates else "none",
            }
        if self.mechanism:
            login = f"{LOGIN[self.mechanism]} required"
            users = f' user_{USER}="{PASSWORD}"' if self.mechanism == "PLAIN" else ""
            said |= {
                f"{at}.sasl.enabled.mechanisms": self.mechanism,
                f"{at}.{self.mechanism.lower()}.sasl.jaas.config": f"{login}{users};",
            }
        return said

    def formatting(self) -> list[str]:
        """What the storage is formatted with: SCRAM's users are kept in it."""
        if self.mechanism is None or not self.mechanism.startswith("SCRAM"):
            return []
        return ["--add-scram", f"{self.mechanism}=[name={USER},password={PASSWORD}]"]

    def environment(self, prefix: str) -> dict[str, str]:
        """A part's variables by which it gets in."""
        said: dict[str, str] = {"KAFKA_SECURITY": self.protocol}
        if self.tls:
            said["KAFKA_CA_FILE"] = str(self.ca_file)
        if self.mechanism:
            said |= {
                "KAFKA_SASL_MECHANISM": self.mechanism,
                "KAFKA_USERNAME": USER,
                "KAFKA_PASSWORD_FILE": str(self.password_file),
            }
        if self.clients_need_certificates:
            said |= {
                "KAFKA_CERTIFICATE_FILE": str(self.folder / "client.crt"),
                "KAFKA_KEY_FILE": str(self.folder / "client.key"),
            }
        return {f"{prefix}{name}": value for name, value in said.items()}
