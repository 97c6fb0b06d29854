"""The door: the installed commands, and what becomes of a fault that nobody foresaw."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from switchyard_cli.__main__ import run
from switchyard_cli.desk import Desk, console
from switchyard_cli.monitor import monitor
from switchyard_cli.ports import Cluster, RealTime
from switchyard_cli.registry import registries
from switchyard_testkit.cli_world import document
from switchyard_testkit.rollout_world import SPEC

VERBS = (
    *("init", "lint", "plan", "pin", "get", "status", "why", "history", "ledger"),
    *("promote", "approve", "abort", "retry", "rollback", "pause", "resume"),
)
BIN = Path(sys.executable).parent


def installed(command: str, *words: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(BIN / command), *words], env={**os.environ, **environ}, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("command", "called"), [("kubectl-switchyard", "kubectl switchyard"), ("switchyard", "switchyard")]
)
def test_both_commands_are_installed_and_list_the_verbs(command: str, called: str) -> None:
    done = installed(command, "--help")
    said = done.stdout.decode()
    assert done.returncode == 0
    assert f"Usage: {called} " in said
    for verb in VERBS:
        assert f"  {verb} " in said


def test_no_cluster_is_a_sentence_and_exit_code_1() -> None:
    done = installed("switchyard", "get", KUBECONFIG="/nowhere")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "error: there is no kubeconfig at /nowhere; set KUBECONFIG or --kubeconfig to the file of your cluster"
    ]


def test_a_terminal_that_cannot_show_a_sign_gets_another(tmp_path: Path) -> None:
    path = tmp_path / "delay.yaml"
    path.write_text(yaml.safe_dump(document({**SPEC, "model": {"image": "Verspätung"}})), encoding="utf-8")
    done = installed("switchyard", "lint", str(path), PYTHONIOENCODING="ascii")
    assert done.returncode == 1
    assert b"'Versp?tung' is not an image" in done.stdout


def broken(*, kubeconfig: str | None, context: str | None, namespace: str | None) -> Cluster:
    raise TypeError("nobody\nforesaw this")


def desk(err: io.StringIO) -> Desk:
    return Desk(
        connect=broken,
        registries=registries,
        monitors=monitor,
        time=RealTime(),
        out=console(io.StringIO()),
        err=console(err),
        stdin=io.StringIO(),
        bentos=Path("/nowhere"),
    )


def test_a_fault_of_its_own_is_a_sentence_and_its_trace_is_there_for_who_asks() -> None:
    err = io.StringIO()
    assert run(["get"], desk(err), environ={}) == 1
    assert err.getvalue() == (
        "error: a fault of this command line, TypeError: nobody foresaw this; SWITCHYARD_DEBUG=1 shows where\n"
    )
    with pytest.raises(TypeError, match="foresaw"):
        run(["get"], desk(io.StringIO()), environ={"SWITCHYARD_DEBUG": "1"})
