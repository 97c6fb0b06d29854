"""The long-lived processes of the node and the flags they start with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from switchyard_testkit.node import configs
from switchyard_testkit.node.plan import Places

ETCD = "http://127.0.0.1:2379"


@dataclass(frozen=True, slots=True)
class Component:
    """One long-lived process of the node."""

    name: str
    command: tuple[str, ...]


def components(places: Places, tools: Path) -> tuple[Component, ...]:
    """Every process of the node, in the order of their start; etcd and the API server come first."""
    slot, etc, pki = places.slot, places.etc, places.pki

    def own(name: str, *flags: str) -> Component:
        return Component(name, (str(tools / name), *flags))

    return (
        Component(
            "etcd",
            (
                "/usr/bin/etcd",
                "--data-dir=/var/lib/etcd",
                "--unsafe-no-fsync",  # the node is made anew after a crash of the machine anyway
                f"--listen-client-urls={ETCD}",
                f"--advertise-client-urls={ETCD}",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--log-level=warn",
            ),
        ),
        own(
            "kube-apiserver",
            f"--etcd-servers={ETCD}",
            f"--advertise-address={slot.node_ip}",
            f"--service-cluster-ip-range={slot.services}",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--kubelet-client-certificate={pki}/apiserver-client.crt",
            f"--kubelet-client-key={pki}/apiserver-client.key",
            # The node's name is in no DNS.
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki}/service-accounts.pub",
            f"--service-account-signing-key-file={pki}/service-accounts.key",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            # What our own parts ask, for the test that holds the chart's roles to it.
            f"--audit-policy-file={etc}/audit-policy.yaml",
            f"--audit-log-path={places.audit_log}",
            "--audit-log-maxsize=1000",
            "--profiling=false",
        ),
        own(
            "kube-controller-manager",
            f"--kubeconfig={etc}/kube-controller-manager.kubeconfig",
            f"--root-ca-file={pki}/ca.crt",
            f"--service-account-private-key-file={pki}/service-accounts.key",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--profiling=false",
        ),
        own(
            "kube-scheduler",
            f"--kubeconfig={etc}/kube-scheduler.kubeconfig",
            "--leader-elect=false",
            "--profiling=false",
        ),
        Component("containerd", ("/usr/bin/containerd", "--config", f"{etc}/containerd.toml", "--log-level", "warn")),
        Component("docker-registry", ("/usr/bin/docker-registry", "serve", f"{etc}/registry.yaml")),
        own("coredns", "-conf", f"{etc}/Corefile"),
        own("kube-proxy", f"--config={etc}/kube-proxy.yaml"),
        own(
            "kubelet",
            f"--config={etc}/kubelet.yaml",
            f"--kubeconfig={etc}/kubelet.kubeconfig",
            f"--hostname-override={slot.node_name}",
            f"--node-ip={slot.node_ip}",
        ),
        own(
            "local-volumes",
            f"-kubeconfig={etc}/local-volumes.kubeconfig",
            f"-provisioner={configs.PROVISIONER}",
            f"-root={places.volumes}",
            f"-node={slot.node_name}",
        ),
        Component(
            "walls",
            (
                "/usr/bin/python3",
                "-B",  # its folder stays as it was made
                str(places.walls),
                f"--server={slot.api_url}",
                f"--pki={pki}",
                "--identity=walls",
                f"--ready={places.walls_ready}",
            ),
        ),
    )
