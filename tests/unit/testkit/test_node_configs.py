"""What the node's parts are told: files agree with flags, flags with the plan, and no slot's word reaches another."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from switchyard_testkit.node import configs, first_process, pki
from switchyard_testkit.node.components import components
from switchyard_testkit.node.pki import Identity
from switchyard_testkit.node.plan import SLOT_NUMBERS, Places, slot_named
from switchyard_testkit.walls import enforcer

AUDITED = ("switchyard-system:switchyard-operator", "switchyard-system:switchyard-gateway")
TOOLS = Path("/cache/toolchain/k/bin")
HOME_OF_TEST = "/cache/nodes/test"


def places(slot: str = "test") -> Places:
    return Places(Path("/cache"), slot_named(slot))


def flags(name: str) -> dict[str, str]:
    component = next(component for component in components(places(), TOOLS) if component.name == name)
    return dict(flag.lstrip("-").partition("=")[::2] for flag in component.command[1:])


def rendered(name: str) -> dict[str, Any]:
    files = configs.files(places(), TOOLS / "pause")
    document: dict[str, Any] = json.loads(files[places().etc / name])
    return document


@pytest.mark.parametrize("slot", SLOT_NUMBERS)
def test_no_file_and_no_flag_names_another_slot(slot: str) -> None:
    texts = [*configs.files(places(slot), TOOLS / "pause").values()]
    texts += [" ".join(component.command) for component in components(places(slot), TOOLS)]
    for other in set(SLOT_NUMBERS) - {slot}:
        foreign = slot_named(other)
        for mark in (f"nodes/{other}", foreign.netns, foreign.node_ip, *foreign.networks):
            assert not re.search(rf"{re.escape(mark)}\b", "\n".join(texts)), mark


def test_every_file_that_a_part_is_given_is_one_that_is_made() -> None:
    made = {str(path) for path in configs.files(places(), TOOLS / "pause")}
    made |= {f"{HOME_OF_TEST}/etc/{name}.kubeconfig" for name in configs.identities(slot_named("test"))}
    made |= {
        f"{HOME_OF_TEST}/pki/{name}.{end}"
        for name in ("ca", "apiserver", *configs.identities(slot_named("test")))
        for end in ("crt", "key")
    }
    made |= {f"{HOME_OF_TEST}/pki/service-accounts.{end}" for end in ("key", "pub")}
    texts = [" ".join(component.command) for component in components(places(), TOOLS)]
    texts += configs.files(places(), TOOLS / "pause").values()
    wanted = set(re.findall(rf"{HOME_OF_TEST}/(?:etc|pki)/[\w./-]+\.[a-z]+", "\n".join(texts)))
    assert wanted, "the pattern finds nothing, so this test would prove nothing"
    made |= {str(folder) for path in made for folder in Path(path).parents}  # a folder may be given too
    assert wanted <= made


def test_the_kubelet_works_where_proven_and_nowhere_touches_the_machine() -> None:
    kubelet = rendered("kubelet.yaml")
    assert kubelet["cgroupDriver"] == "cgroupfs"
    assert kubelet["cgroupRoot"] == "/switchyard-test"
    assert kubelet["failCgroupV1"] is False
    assert kubelet["maxPods"] == 250
    assert kubelet["clusterDNS"] == ["10.99.1.2"]
    assert kubelet["authentication"]["anonymous"]["enabled"] is False


def test_kube_proxy_leaves_the_machines_connection_limits_alone() -> None:
    assert set(rendered("kube-proxy.yaml")["conntrack"].values()) == {0, "0s"}


def test_containerd_pulls_from_the_nodes_registry_over_plain_http() -> None:
    files = configs.files(places(), TOOLS / "pause")
    cri = tomllib.loads(files[places().etc / "containerd.toml"])["plugins"]["io.containerd.grpc.v1.cri"]
    hosts = tomllib.loads(files[Path(cri["registry"]["config_path"]) / "10.99.1.2:5000" / "hosts.toml"])
    assert hosts["server"] == "http://10.99.1.2:5000"
    assert rendered("registry.yaml")["http"]["addr"] == "10.99.1.2:5000"
    assert cri["sandbox_image"] == configs.PAUSE_IMAGE
    assert cri["restrict_oom_score_adj"] is True


def test_the_storage_class_is_the_default_and_its_provisioner_is_the_one_that_runs() -> None:
    classes = [item for item in rendered("add-ons.yaml")["items"] if item["kind"] == "StorageClass"]
    assert [item["provisioner"] for item in classes] == [flags("local-volumes")["provisioner"]]
    assert classes[0]["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}


def test_every_role_that_is_bound_belongs_to_someone_who_has_a_certificate() -> None:
    users = {identity.user for identity in configs.identities(slot_named("test")).values()}
    bindings = [item for item in rendered("add-ons.yaml")["items"] if item["kind"] == "ClusterRoleBinding"]
    assert {subject["name"] for binding in bindings for subject in binding["subjects"]} <= users


def test_the_program_of_the_walls_needs_nothing_but_its_copy(tmp_path: Path) -> None:
    copied = Places(tmp_path, slot_named("test"))
    for path, text in configs.walls_program(copied).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, "-I", "-B", copied.walls, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env={})
    assert (done.returncode, done.stderr) == (0, "")
    wanted = [
        word.partition("=")[0] for word in next(c for c in components(copied, TOOLS) if c.name == "walls").command
    ]
    for flag in (word for word in wanted if word.startswith("--")):
        assert flag in done.stdout
    roles = [item for item in rendered("add-ons.yaml")["items"] if item["kind"] == "ClusterRole"]
    role = next(item for item in roles if item["metadata"]["name"] == "switchyard:walls")
    read = {resource for rule in role["rules"] for resource in rule["resources"]}
    assert read == {path.rpartition("/")[2] for path in (enforcer.PODS, enforcer.NAMESPACES, enforcer.POLICIES)}


def test_the_api_server_asks_the_settings_the_design_names() -> None:
    asked = flags("kube-apiserver")
    assert asked["authorization-mode"] == "Node,RBAC"
    assert asked["service-cluster-ip-range"] == "10.97.0.0/16"
    # The audit log is for the roles of our own parts; a line for everybody's requests would cost the node its pace.
    everyone, others = rendered("audit-policy.yaml")["rules"]
    assert (everyone["level"], others) == ("Metadata", {"level": "None"})
    assert everyone["users"] == [f"system:serviceaccount:{part}" for part in AUDITED]


def test_the_first_process_of_a_node_is_a_script_the_shell_can_read(tmp_path: Path) -> None:
    script = tmp_path / "init.sh"
    script.write_text(first_process.script(places(), TOOLS / "pause"))
    checked = subprocess.run(["sh", "-n", script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert script.read_text().rstrip().endswith(f"exec {TOOLS}/pause --node {HOME_OF_TEST}")


def test_a_certificate_says_who_it_is_and_is_signed_by_the_nodes_authority(tmp_path: Path) -> None:
    pki.make_authority(tmp_path, "switchyard test")
    pki.make_client(tmp_path, "kubelet", Identity("system:node:n1", ("system:nodes",)))
    pki.make_server(tmp_path, "apiserver", ["10.99.1.2", "kubernetes.default.svc"])

    def openssl(*words: str) -> str:
        return subprocess.run(["openssl", *words], capture_output=True, text=True, check=True, cwd=tmp_path).stdout

    assert openssl("verify", "-purpose", "sslclient", "-CAfile", "ca.crt", "kubelet.crt") == "kubelet.crt: OK\n"
    assert openssl("verify", "-purpose", "sslserver", "-CAfile", "ca.crt", "apiserver.crt") == "apiserver.crt: OK\n"
    subject = openssl("x509", "-in", "kubelet.crt", "-noout", "-subject", "-nameopt", "RFC2253")
    assert subject == "subject=CN=system:node:n1,O=system:nodes\n"
    names = openssl("x509", "-in", "apiserver.crt", "-noout", "-ext", "subjectAltName")
    assert "IP Address:10.99.1.2, DNS:kubernetes.default.svc" in names
    assert (tmp_path / "kubelet.key").stat().st_mode & 0o777 == 0o600


def test_a_kubeconfig_carries_all_it_needs(tmp_path: Path) -> None:
    for name in ("ca.crt", "admin.crt", "admin.key"):
        (tmp_path / name).write_text(f"pem of {name}")
    held = json.loads(pki.kubeconfig(tmp_path, "admin", cluster="switchyard-test", server="https://10.99.1.2:6443"))
    assert held["current-context"] == held["contexts"][0]["name"] == "switchyard-test"
    assert held["clusters"][0]["cluster"]["server"] == "https://10.99.1.2:6443"
    assert set(held["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
