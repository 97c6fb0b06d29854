"""The installed command on a real cluster: a canary planned, watched, explained, promoted, aborted and tried again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from switchyard_testkit.apiserver import api_client
from switchyard_testkit.cache import Cache
from switchyard_testkit.canary import CANARY, living, start
from switchyard_testkit.models import Models, image
from switchyard_testkit.toolchain import tool_path
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(420)
BIN = Path(sys.executable).parent
BY_HAND: dict[str, Any] = {
    **CANARY,
    "strategy": {
        "type": "Canary",
        "canary": {
            "steps": [{"name": "quarter", "weight": 25, "hold": "1h"}, {"name": "half", "weight": 50, "hold": "1h"}]
        },
    },
    "analysis": {"block": "10s", "metrics": []},
}


def environment(models: Models, *, kubeconfig: str = "") -> dict[str, str]:
    """A shell in which the command is on the PATH and the cluster is the current one."""
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "KUBECONFIG": kubeconfig or models.installation.kubeconfig}


def switchyard(models: Models, *words: str, code: int = 0, kubeconfig: str = "", seconds: float = 120) -> str:
    """Run the command to its end, which must be this one; what it printed, on one line."""
    done = subprocess.run(
        [str(BIN / "switchyard"), *words, "-n", models.namespace],
        env=environment(models, kubeconfig=kubeconfig),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout + done.stderr).split())


def file(models: Models, folder: Path, *, spec: dict[str, Any], **env: Any) -> str:
    """The file of the next version, as a person would edit it: what is there with another environment."""
    live = models.get("delay")["spec"]
    model = {**live["model"], "config": {"env": [{"name": key, "value": str(value)} for key, value in env.items()]}}
    body = {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "delay", "namespace": models.namespace},
        "spec": {**spec, "serving": live["serving"], "model": model},
    }
    path = folder / "delay.yaml"
    path.write_text(yaml.safe_dump(body), encoding="utf-8")
    return str(path)


@contextmanager
def watching(models: Models, folder: Path) -> Iterator[Path]:
    """`get --watch` beside the test; Ctrl-C ends it in peace."""
    shown = folder / "watched.txt"
    with shown.open("w", encoding="utf-8") as out:
        running = subprocess.Popen(
            [str(BIN / "switchyard"), "get", "delay", "--watch", "-n", models.namespace],
            env=environment(models),
            stdout=out,
            stderr=subprocess.STDOUT,
            # A shell that runs tests in the background has SIGINT ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            until(lambda: "delay" in shown.read_text(encoding="utf-8"), "the watch shows something", seconds=90)
            yield shown
            running.send_signal(signal.SIGINT)
            assert running.wait(timeout=60) == 0
        finally:
            running.kill()
            running.wait()


def test_a_canary_is_planned_watched_waited_for_and_explained(models: Models, tmp_path: Path) -> None:
    start(models, spec=CANARY, bias=10)
    path = file(models, tmp_path, spec=CANARY, VERSION="2.0.0", BIAS=1)
    assert "1 resource is as it should be" in switchyard_lint(path)
    plan = switchyard(models, "plan", path, "--rate", "80")
    assert "a new revision delay-" in plan
    for words in (
        "○ quarter 25%, held for 5s",
        "errors (error_rate): 50 of its requests",
        "outcome (outcome.rmse)",
    ):
        assert words in plan
    with living(models), watching(models, tmp_path) as shown:
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=CANARY)
        rollout = models.wait(
            "delay", lambda s: (s.get("rollout") or {}).get("step") == "quarter", "is at its first step"
        )
        assert rollout["rollout"]["revision"] in plan, "the revision that was planned is the one that came"
        listed = switchyard(models, "get")  # by the time it is printed, the rollout may have gone on
        assert "1.0.0 2.0.0" in listed
        assert re.search(r"(Progressing|AwaitingEvidence) (quarter 1/3 25%|half 2/3 50%)", listed), listed
        assert "is promoted" in switchyard(models, "status", "delay", "--wait", "--timeout", "4m", seconds=300)
        watched = shown.read_text(encoding="utf-8")
    assert "● quarter" in watched
    assert "● half" in watched
    why = switchyard(models, "why", "delay")
    assert "2.0.0" in why
    assert "outcome (decide on outcome.rmse): Pass" in why
    assert "nothing: delay-" in switchyard(models, "plan", path)


def test_a_bento_that_was_built_becomes_a_file_that_lint_takes_and_plan_explains(
    models: Models, tmp_path: Path
) -> None:
    """The demo's Bento as `bentoml build` left it, under the name by which its image was pushed. Nothing is written."""
    bento = Cache.from_env(os.environ).root / "bentos" / "1.0.0"
    pushed = image(models.installation.slot, "demo/flight-delay:1.0.0")
    path = tmp_path / "flight-delay.yaml"
    without_cluster("init", "--from-bento", str(bento), "--image", pushed, "--output", str(path))
    body = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert body["metadata"] == {"name": "flight-delay"}
    assert (body["spec"]["model"]["image"], body["spec"]["model"]["version"]) == (pushed, "1.0.0")
    assert {"gitCommit", "dataDigest", "pipeline"} <= body["spec"]["model"]["provenance"].keys()
    assert body["spec"]["serving"] == {"paths": ["/predict"], "timeout": "30s"}
    assert "1 resource is as it should be" in switchyard_lint(str(path))
    plan = switchyard(models, "plan", str(path))
    assert "flight-delay 1.0.0: a new revision flight-delay-" in plan
    assert "the API server has not checked it" not in plan
    assert models.all("modeldeployments") == []


def switchyard_lint(path: str) -> str:
    """`lint` says that a file is right."""
    return without_cluster("lint", path)


def without_cluster(*words: str) -> str:
    """Run a verb that needs no cluster, so it gets none."""
    done = subprocess.run(
        [str(BIN / "switchyard"), *words],
        env={"PATH": os.environ["PATH"], "KUBECONFIG": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promote_abort_and_retry_are_obeyed_and_what_comes_late_is_refused(models: Models, tmp_path: Path) -> None:
    start(models, spec=BY_HAND, bias=1)
    with living(models):
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=BY_HAND)
        models.wait("delay", lambda s: (s.get("rollout") or {}).get("weightBp") == 2500, "has a quarter")
        # Through kubectl, as its plugin; the admission policy holds the command to the caller's own name.
        promoted = subprocess.run(
            [str(tool_path("kubectl")), "switchyard", "promote", "delay", "-n", models.namespace],
            env=environment(models),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert promoted.returncode == 0, promoted.stdout + promoted.stderr
        assert "Accepted (Promoted)" in promoted.stdout
        models.wait("delay", lambda s: (s.get("rollout") or {}).get("weightBp") == 5000, "has a half")
        assert "granted already" in switchyard(models, "promote", "--step", "quarter")
        assert "is taken back" in switchyard(models, "abort", "delay", "--reason", "the tower says no")
        assert "RolledBack (Aborted)" in switchyard(models, "status", "delay", "--wait", "--timeout", "1m", code=2)
        assert "the tower says no" in switchyard(models, "why")
        assert "Refused (Over)" in switchyard(models, "promote", "delay", "--full", code=1)
        again = file(models, tmp_path, spec=BY_HAND, VERSION="2.0.0", BIAS=1)
        assert "was taken back before" in switchyard(models, "plan", again, code=1)
        assert "attempt 2" in switchyard(models, "retry", "delay")
        models.wait("delay", lambda s: s["rollout"]["attempt"] == 2, "tries again")
        assert "Accepted (Promoted)" in switchyard(models, "promote", "delay", "--full")
        assert "is promoted" in switchyard(models, "status", "--wait", "--timeout", "2m", seconds=150)


def test_pause_resume_and_rollback_are_obeyed_and_the_history_tells_who_said_them(models: Models) -> None:
    start(models, spec=BY_HAND, bias=1)
    with living(models):
        models.apply("delay", env={"VERSION": "2.0.0", "BIAS": 1}, spec=BY_HAND)
        models.wait("delay", lambda s: (s.get("rollout") or {}).get("weightBp") == 2500, "has a quarter")
        assert "Accepted (Paused)" in switchyard(models, "pause", "--reason", "lunch")
        switchyard(models, "promote", "delay", "--full")
        models.wait("delay", lambda s: s["rollout"]["phase"] == "Paused", "is paused")
        assert models.get("delay")["status"]["rollout"]["weightBp"] == 2500, "granted, and still held by the pause"
        assert "a person's resume" in switchyard(models, "status", code=3)
        assert "Accepted (Resumed)" in switchyard(models, "resume")
        assert "2.0.0 is promoted" in switchyard(models, "status", "--wait", "--timeout", "2m", seconds=150)
        assert "no revision or version '9.9.9'" in switchyard(models, "rollback", "--to", "9.9.9", code=1)
        assert "Accepted (RolledBack)" in switchyard(
            models, "rollback", "--to", "1.0.0", "--reason", "the tower says no"
        )
        models.wait("delay", lambda s: s["rollout"]["phase"] == "RolledBack", "is back on the first")
        assert "RolledBackByCommand" in switchyard(models, "status", code=2)
        told = switchyard(models, "history", "delay", "--past", "1")
    for words in (
        "pause by ",
        ": lunch",
        "promote of every step by ",
        "resume by ",
        "rollback by ",
        "the tower says no",
    ):
        assert words in told


def test_what_the_api_server_refuses_is_a_sentence(models: Models, tmp_path: Path) -> None:
    assert "there is no ModelDeployment 'delay'" in switchyard(models, "get", "delay", code=1)
    assert switchyard(models, "get") == "no ModelDeployments found"
    nobody = kubeconfig_of_nobody(models, tmp_path)
    for words in (["get"], ["status", "delay"], ["abort", "delay"]):
        said = switchyard(models, *words, code=1, kubeconfig=nobody)
        assert "is forbidden" in said
        assert "ask for a role that allows it" in said


def kubeconfig_of_nobody(models: Models, folder: Path) -> str:
    """The kubeconfig of a service account without any role."""
    with api_client(models.installation.slot) as api:
        core: Any = client.CoreV1Api(api)
        core.create_namespaced_service_account(models.namespace, {"metadata": {"name": "nobody"}})
        made = core.create_namespaced_service_account_token("nobody", models.namespace, {"spec": {}})
    whole = yaml.safe_load(Path(models.installation.kubeconfig).read_text(encoding="utf-8"))
    for user in whole["users"]:
        user["user"] = {"token": made.status.token}
    path = folder / "nobody.kubeconfig"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    return str(path)
