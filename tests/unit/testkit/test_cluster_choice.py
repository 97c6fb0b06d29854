"""Which cluster is meant, and what a machine is told that lacks something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from switchyard_testkit import cluster, machine, toolchain
from switchyard_testkit.cache import Cache
from switchyard_testkit.errors import MachineError, TestkitError
from switchyard_testkit.machine import Package


@pytest.mark.parametrize(
    ("environ", "engine_answers", "kind"),
    [
        pytest.param({}, False, "node", id="no engine: the node from source"),
        pytest.param({}, True, "kind", id="an engine: kind"),
        pytest.param({"CLUSTER": "node"}, True, "node", id="asked for the node, engine or not"),
        pytest.param({"CLUSTER": "current"}, False, "current", id="asked for one's own"),
        pytest.param({"CLUSTER": ""}, False, "node", id="an empty wish is none"),
    ],
)
def test_which_cluster_is_made(environ: dict[str, str], engine_answers: bool, kind: str) -> None:
    assert cluster.chosen_kind(environ, engine_answers=engine_answers) == kind


def test_an_unknown_kind_of_cluster_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TestkitError, match="CLUSTER is 'minikube'; use current, kind or node"):
        cluster.chosen_kind({"CLUSTER": "minikube"}, engine_answers=False)


def test_ones_own_cluster_needs_a_registry_that_both_sides_reach(tmp_path: Path) -> None:
    with pytest.raises(TestkitError, match="CLUSTER=current needs SWITCHYARD_REGISTRY"):
        cluster.up("test", {"CLUSTER": "current", "SWITCHYARD_CACHE": str(tmp_path)})


def test_a_slot_where_nothing_is_says_so(tmp_path: Path) -> None:
    assert cluster.status("bench", {"SWITCHYARD_CACHE": str(tmp_path)}) == "it is not up"


def test_a_package_is_known_by_the_file_it_brings(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    there, lacking = Package("a", str(tmp_path / "there"), 1), Package("b", str(tmp_path / "not"), 1)
    assert machine.missing([there, lacking]) == (lacking,)


def test_the_first_lines_of_a_first_run_say_what_disk_and_how_long(tmp_path: Path) -> None:
    said = machine.announcement("demo", Cache(tmp_path), packages="apt-get will install etcd-server (25 MB)")
    assert said.splitlines() == [
        "make demo: about 21 min on two cores",
        "  packages: apt-get will install etcd-server (25 MB)",
        "  Kubernetes v1.34.4 and tools: built from source once, about 8 min",
        "  images: built once, about 5 min",
        f"  disk: up to 20 GB below {tmp_path}; `make down` stops everything, the cache stays",
    ]


def test_the_first_lines_of_a_cached_run_promise_less(tmp_path: Path) -> None:
    (tmp_path / "images" / "store").mkdir(parents=True)
    toolchain.folder(Cache(tmp_path)).mkdir(parents=True)
    said = machine.announcement("demo", Cache(tmp_path), packages="all are installed")
    assert said.splitlines()[0] == "make demo: about 8 min on two cores"
    assert "up to 8 GB" in said
    assert "from source" not in said


def test_a_check_that_fails_is_a_finding_with_the_remedy() -> None:
    def check() -> str:
        raise MachineError("git is missing; install it with `apt-get install git`.")

    found = machine.finding("git", check)
    assert (found.good, found.text) == (False, "git is missing; install it with `apt-get install git`.")


def test_the_tools_are_rebuilt_when_anything_they_are_made_of_changes(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module example.org/tools\n")
    before = toolchain.key(tmp_path)
    (tmp_path / "README").write_text("words change no program")
    assert toolchain.key(tmp_path) == before
    (tmp_path / "pause").mkdir()
    (tmp_path / "pause" / "main.go").write_text("package main\n")
    assert toolchain.key(tmp_path) != before


def test_a_tool_that_is_not_built_is_said_with_the_way_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"There is no .*/helm; `make cluster CLUSTER=node` builds it"):
        toolchain.tool_path("helm", {"SWITCHYARD_CACHE": str(tmp_path)})


def test_the_pinned_kubernetes_is_the_version_the_programs_report() -> None:
    pinned = toolchain.MODULE.joinpath("go.mod").read_text()
    assert f"k8s.io/kubernetes {toolchain.KUBERNETES}" in pinned
    assert f"k8s.io/client-go => k8s.io/client-go {toolchain.KUBERNETES.replace('v1.', 'v0.')}" in pinned


def test_a_cluster_of_ones_own_is_forgotten_and_nothing_else(tmp_path: Path) -> None:
    result = tmp_path / "nodes" / "test" / "cluster.json"
    result.parent.mkdir(parents=True)
    mine = {"slot": "test", "kind": "current", "kubeconfig": "/k", "registry": "r", "node_ip": ""}
    result.write_text(json.dumps(mine))
    said = cluster.down("test", {"SWITCHYARD_CACHE": str(tmp_path)})
    assert "left as it is" in said
    assert "helm uninstall switchyard" in said
    assert not result.exists()
