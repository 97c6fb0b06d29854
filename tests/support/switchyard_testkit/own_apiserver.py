"""An API server of a test's own, with an etcd of its own, and nobody else in it.

No kubelet and no operator: what stands in it, the test has written, so a test may play all of them. Nor are there
controllers, but the one that a test may start. The programs are those of the node from source.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3
from kubernetes import client

from switchyard_testkit import programs
from switchyard_testkit.apiserver import connected
from switchyard_testkit.cache import Cache, Durations
from switchyard_testkit.envoy import free_port
from switchyard_testkit.errors import MachineError
from switchyard_testkit.node import pki
from switchyard_testkit.progress import Progress
from switchyard_testkit.waiting import until

ADMIN = "admin"
WRITES_ONLY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "None", "verbs": ["get", "list", "watch"]}, {"level": "Metadata"}],
}


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A server, by a client of it and by its administrator's kubeconfig."""

    api: client.ApiClient
    kubeconfig: Path


@contextmanager
def own_api_server(folder: Path, *, audit_log: Path | None = None) -> Iterator[client.ApiClient]:
    """A client of a server that has just begun; all processes are ended whatever happens.

    With a log, who wrote what stands in it. Read requests do not: they would be most of it.
    """
    tools = _tools()
    store, peers, port = free_port(), free_port(), free_port()
    pki.make_authority(folder, "test")
    pki.make_server(folder, "apiserver", ["127.0.0.1"])
    pki.make_client(folder, ADMIN, pki.Identity(ADMIN, ("system:masters",)))
    pki.make_token_key(folder, "service-accounts")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(pki.kubeconfig(folder, ADMIN, cluster="test", server=f"https://127.0.0.1:{port}"))
    with ExitStack() as stack:
        etcd = [
            "/usr/bin/etcd",
            f"--data-dir={folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{store}",
            f"--advertise-client-urls=http://127.0.0.1:{store}",
            f"--listen-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-cluster=default=http://127.0.0.1:{peers}",
            "--log-level=error",
        ]
        stack.enter_context(_running(etcd, folder / "etcd.log"))
        server = [
            str(tools / "kube-apiserver"),
            f"--etcd-servers=http://127.0.0.1:{store}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",  # else it looks for a way out, and a namespace of a test's own has none
            f"--secure-port={port}",
            "--service-cluster-ip-range=10.0.0.0/16",
            f"--client-ca-file={folder}/ca.crt",
            f"--tls-cert-file={folder}/apiserver.crt",
            f"--tls-private-key-file={folder}/apiserver.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder}/service-accounts.pub",
            f"--service-account-signing-key-file={folder}/service-accounts.key",
            "--authorization-mode=RBAC",
            # Nobody makes the accounts that it would ask for.
            "--disable-admission-plugins=ServiceAccount",
            "--profiling=false",
        ]
        if audit_log is not None:
            policy = folder / "audit-policy.json"
            policy.write_text(json.dumps(WRITES_ONLY))
            server += [f"--audit-policy-file={policy}", f"--audit-log-path={audit_log}"]
        process = stack.enter_context(_running(server, folder / "apiserver.log"))
        api = stack.enter_context(connected(kubeconfig))

        def serves() -> bool:
            if process.poll() is not None:
                raise MachineError(f"the API server ended: {(folder / 'apiserver.log').read_text()[-2000:]}")
            try:
                answer = api.call_api("GET", f"https://127.0.0.1:{port}/readyz", _request_timeout=3)
            except urllib3.exceptions.HTTPError:
                return False
            return bool(answer.status == 200)

        until(serves, "the API server is ready", seconds=100)
        yield api


@contextmanager
def garbage_collector(folder: Path) -> Iterator[None]:
    """The controller that deletes what lost its owner, for the server of that folder.

    It looks for new types every half minute only, so those that matter should be there before.
    """
    command = [
        str(_tools() / "kube-controller-manager"),
        f"--kubeconfig={folder / 'kubeconfig'}",
        "--controllers=garbage-collector-controller",
        "--leader-elect=false",
        "--secure-port=0",
    ]
    with _running(command, folder / "collector.log"):
        yield


def another_user(folder: Path, api: client.ApiClient, identity: pki.Identity) -> Path:
    """A kubeconfig for somebody else, so that the audit log tells them apart."""
    pki.make_client(folder, identity.user, identity)
    path = folder / f"{identity.user}.kubeconfig"
    path.write_text(pki.kubeconfig(folder, identity.user, cluster="test", server=str(api.configuration.host)))
    return path


def _tools() -> Path:
    cache = Cache.from_env(os.environ)
    durations = Durations(cache.root / "durations.json")
    return programs.ensure(cache, Progress("API server", plan=programs.plan(cache), durations=durations))


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
