"""The README's commands, run as they stand there: install, deploy, call, send feedback, ask what became of it, and take
a first canary to its promotion, another one back, let it try again, and leave what was promoted."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from switchyard_testkit.install import NAMESPACE, ROOT, Installation, install, run
from switchyard_testkit.toolchain import tool_path
from switchyard_testkit.waiting import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]
TOLD = (
    r'"labels":\{"received":\d',  # the monitor's ledger
    r"1 resource is as it should be",
    r"2\.0\.0 is promoted",
    r"flight-delay: Accepted \(Aborted\)",
    r"3\.0\.0 is RolledBack \(Aborted\)",
    r"exit code 2",
    r"flight-delay +False +Available +2\.0\.0 +3\.0\.0 +RolledBack ",  # READY, and what serves
    r"flight-delay: Accepted \(Retried\): attempt 2 of ",
    r"flight-delay: Accepted \(RolledBack\): back to ",
    r"2\.0\.0 is RolledBack \(RolledBackByCommand\)",
    r"exit code 2",
    r"2\.0\.0 \(flight-delay-\w+\.1\) RolledBack after ",
    r"2\.0\.0 \(flight-delay-\w+\.1\) Completed after ",
)
"""What the guide's commands have to say, in this order."""
FENCED = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script(slot: str) -> str:
    """All commands from the installation on, in order, for this slot."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    guide = text[text.index("## Install on a cluster") :]
    parts = []
    for language, block in FENCED.findall(guide):
        if language == "python":
            parts.append(f"python3 - <<'PYTHON'\n{block}PYTHON\n")
        else:
            parts.append(re.sub(r"^\$ ", "", block, flags=re.MULTILINE))
    assert len(parts) >= 6, "the README's guide has lost its commands"
    return "\n".join(parts).replace("SLOT=demo", f"SLOT={slot}").replace("images-demo", f"images-{slot}")


@pytest.fixture
def after(installation: Installation) -> Iterator[Installation]:
    """Leaves the cluster as the other tests want it: the guide sets its own tokens and deploys to `default`."""
    yield installation
    run("kubectl", "-n", "default", "delete", "mdep", "--all", "--wait", kubeconfig=installation.kubeconfig)
    install(installation.slot)


def test_the_guide_runs_as_written(after: Installation) -> None:
    inside = {
        **os.environ,
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
    }
    ending = "\nprintf '\\nTOKEN=%s\\n' $TOKEN\n"
    setting = "set -euxo pipefail\ntrap 'kill $(jobs -p) || true' EXIT\n"
    done = subprocess.run(
        ["bash", "-c", setting + script(after.slot) + ending],
        cwd=ROOT,
        env=inside,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "x-model-version: 1.0.0" in done.stdout
    assert re.search(".*".join(TOLD), done.stdout, re.DOTALL), done.stdout
    token = re.findall(r"^TOKEN=(\w+)$", done.stdout, re.MULTILINE)[-1]
    until(lambda: _known(after, "feedback", "/v1", token).get("joined"), "all of it is joined", seconds=60)
    whole = until(lambda: _known(after, "monitor", "/v1/deployments", token), "the monitor says it", seconds=60)
    assert whole["outcome"]["value"] == 12.5
    assert whole["decision"]["value"] == 0.0


@contextmanager
def _forwarded(installation: Installation, part: str) -> Iterator[str]:
    """A part's address as the guide's reader has it: through kubectl, for the walls let nobody else ask the monitor."""
    command = (tool_path("kubectl"), "-n", NAMESPACE, "port-forward", f"service/switchyard-{part}", ":8080")
    inside = {**os.environ, "KUBECONFIG": installation.kubeconfig}
    with subprocess.Popen(command, env=inside, stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout is not None
        said = re.match(r"Forwarding from (127\.0\.0\.1:\d+) ", forward.stdout.readline())
        try:
            assert said, f"kubectl does not forward to {part}"
            yield f"http://{said[1]}"
        finally:
            forward.terminate()


def _known(installation: Installation, part: str, root: str, token: str) -> dict[str, Any]:
    """What a part says of the guide's prediction; empty while it does not answer."""
    path = f"{root}/default/flight-delay/predictions/flight-1"
    with _forwarded(installation, part) as address:
        try:
            answer = httpx.get(f"{address}{path}", headers={"authorization": f"Bearer {token}"}, timeout=30)
            found: dict[str, Any] = answer.raise_for_status().json()
        except httpx.HTTPError:
            return {}
    return found
