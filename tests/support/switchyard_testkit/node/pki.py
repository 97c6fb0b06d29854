"""Identities of the node's parts: one authority per node, one certificate each, none older than the node.

A node lives for hours or days and is made anew rather than renewed, so nothing here rotates. The openssl program does
the work, because a cluster is made and taken down on the machine's bare Python.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from switchyard_testkit.commands import run

DAYS = "365"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate speaks for: a user of the API server in these groups."""

    user: str
    groups: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return "".join(f"/O={group}" for group in self.groups) + f"/CN={self.user}"


def make_authority(folder: Path, name: str) -> None:
    """ca.crt and ca.key, which sign all the others."""
    _certificate(folder, "ca", f"/CN={name}", ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"])


def make_client(folder: Path, name: str, identity: Identity) -> None:
    """A certificate that the API server takes for this identity."""
    _certificate(folder, name, identity.subject, ["extendedKeyUsage=clientAuth"], signed=True)


def make_server(folder: Path, name: str, names: Sequence[str]) -> None:
    """A certificate for a server that answers to these host names and addresses."""
    alternatives = f"subjectAltName={','.join(map(alternative_name, names))}"
    _certificate(folder, name, f"/CN={name}", ["extendedKeyUsage=serverAuth", alternatives], signed=True)


def make_token_key(folder: Path, name: str) -> None:
    """A bare key and its public half: what service account tokens are signed and checked with."""
    key, public = folder / f"{name}.key", folder / f"{name}.pub"
    run(["openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key])
    run(["openssl", "pkey", "-in", key, "-pubout", "-out", public])


def alternative_name(name: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(name)}"
    except ValueError:
        return f"DNS:{name}"


def _certificate(folder: Path, name: str, subject: str, extensions: Sequence[str], *, signed: bool = False) -> None:
    command: list[str | Path] = ["openssl", "req", "-x509", *NEW_KEY, "-days", DAYS, "-subj", subject]
    command += ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
    if signed:
        command += ["-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"]
        command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    for extension in extensions:
        command += ["-addext", extension]
    run(command)
    (folder / f"{name}.key").chmod(0o600)


def kubeconfig(folder: Path, name: str, *, cluster: str, server: str) -> str:
    """A kubeconfig with everything inside, so that copying one file is enough. JSON, which is YAML too."""

    def held(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": cluster,
            "clusters": [
                {"name": cluster, "cluster": {"server": server, "certificate-authority-data": held("ca.crt")}}
            ],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": held(f"{name}.crt"),
                        "client-key-data": held(f"{name}.key"),
                    },
                }
            ],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": name}}],
        },
        indent=1,
    )
