"""Finding what a node left: by what it is, in trees that the test makes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from switchyard_testkit.errors import TimedOutError
from switchyard_testkit.node import cgroups, processes


@pytest.mark.parametrize(
    ("command", "home"),
    [
        pytest.param(("/bin/pause", "--node", "/cache/nodes/test"), Path("/cache/nodes/test"), id="its first process"),
        pytest.param(
            ("unshare", "--pid", "sh", "init.sh", "--node", "/cache/nodes/test"),
            Path("/cache/nodes/test"),
            id="what starts it",
        ),
        pytest.param(("/bin/pause", "--node", "/cache/nodes/demo"), Path("/cache/nodes/demo"), id="another slot's"),
        pytest.param(("tail", "-f", "/cache/nodes/test/logs/kubelet.log"), None, id="someone who reads its log"),
        pytest.param((), None, id="a process that is gone"),
    ],
)
def test_a_process_of_the_node_is_known_by_its_command_line(command: tuple[str, ...], home: Path | None) -> None:
    assert processes.home_in(command) == home


def a_process(*words: str) -> subprocess.Popen[bytes]:
    """A process that waits until it is ended, with these words at the end of its command line."""
    started = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert started.stdout is not None
    started.stdout.readline()
    return started


def test_a_running_node_is_found_and_ended_and_others_are_not(tmp_path: Path) -> None:
    ours, other = a_process("--node", str(tmp_path)), a_process("--node", str(tmp_path / "other"))
    try:
        assert processes.homes_of_nodes()[ours.pid] == tmp_path

        def mine() -> tuple[int, ...]:
            return tuple(pid for pid, home in processes.homes_of_nodes().items() if home == tmp_path)

        processes.end_all(mine, seconds=100)
        assert ours.wait(100) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (ours, other):
            process.kill()
            process.communicate()


def test_a_number_that_now_belongs_to_another_process_is_not_hit() -> None:
    innocent = a_process()
    try:
        processes.end(innocent.pid, lambda _: False, number=signal.SIGKILL, seconds=1)
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.communicate()


def test_a_process_that_will_not_end_is_an_error_that_names_it() -> None:
    stubborn = a_process()
    try:
        with pytest.raises(TimedOutError, match=f"Process {stubborn.pid} did not end within 0 s of SIGCONT"):
            processes.end(stubborn.pid, lambda _: True, number=signal.SIGCONT, seconds=0.01)
    finally:
        stubborn.kill()
        stubborn.communicate()


def test_a_process_that_is_gone_already_is_no_error() -> None:
    gone = a_process()
    gone.kill()
    gone.communicate()
    processes.end(gone.pid, lambda _: True, number=signal.SIGKILL, seconds=1)


def v1_tree(root: Path) -> None:
    """Two controllers of their own, and a link as the kernel's tree has for joint ones."""
    for controller in ("cpu,cpuacct", "cpuset"):
        (root / controller).mkdir()
        (root / controller / "cgroup.procs").touch()
    (root / "cpu").symlink_to("cpu,cpuacct")
    (root / "cpuset" / "cpuset.cpus").write_text("0-1\n")
    (root / "cpuset" / "cpuset.mems").write_text("0\n")


def test_where_controllers_have_trees_of_their_own_each_gets_a_branch(tmp_path: Path) -> None:
    v1_tree(tmp_path)
    assert [path.name for path in cgroups.hierarchies(tmp_path)] == ["cpu,cpuacct", "cpuset"]
    cgroups.make("switchyard-test", tmp_path)
    cgroups.make("switchyard-test", tmp_path)  # a killed run may have made it
    assert len(cgroups.leftovers("switchyard-test", tmp_path)) == 2


def test_where_cgroups_are_unified_the_node_may_use_the_controllers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup.subtree_control").touch()
    cgroups.make("switchyard-test", tmp_path)
    assert cgroups.leftovers("switchyard-test", tmp_path) == [f"cgroup {tmp_path}/switchyard-test"]
    assert "+memory" in (tmp_path / "cgroup.subtree_control").read_text()


def test_a_branch_goes_with_all_below_it(tmp_path: Path) -> None:
    v1_tree(tmp_path)
    cgroups.make("switchyard-test", tmp_path)
    (tmp_path / "cpuset" / "switchyard-test" / "kubepods" / "pod1").mkdir(parents=True)
    cgroups.remove("switchyard-test", root=tmp_path)
    assert cgroups.leftovers("switchyard-test", tmp_path) == []


def test_a_busy_branch_is_an_error_that_names_it(tmp_path: Path) -> None:
    v1_tree(tmp_path)
    cgroups.make("switchyard-test", tmp_path)
    (tmp_path / "cpuset" / "switchyard-test" / "tasks").touch()  # a plain file keeps the folder from being removed
    with pytest.raises(TimedOutError, match=r"The cgroup .*/cpuset/switchyard-test is still busy after 0 s"):
        cgroups.remove("switchyard-test", seconds=0.01, root=tmp_path)
