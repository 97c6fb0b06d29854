"""/metrics of operator, feedback and monitor, as the processes that the images run: conventions and the README's table.

None needs its surroundings for it: a part whose cluster or Kafka is away is the one that somebody looks at.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from switchyard_testkit.envoy import free_port
from switchyard_testkit.exposition import breaches, documented, families, ours, scrape
from switchyard_testkit.feedback import token_entry, write_tokens
from switchyard_testkit.monitor_world import (
    CLASSES,
    MONITORING,
    World,
    classified,
    decision,
    inference,
    mirrored,
    outcome,
)
from switchyard_testkit.waiting import until

NOWHERE = "127.0.0.1:1"
SCORED = {**CLASSES, "outcome": {**MONITORING["outcome"], "path": "$.delay"}}
RANKING = {
    **{name: said for name, said in MONITORING.items() if name != "decision"},
    "prediction": {"path": "$.delay", "task": "ranking"},
    "outcome": {**MONITORING["outcome"], "path": "$.delay", "affectedBy": "decision"},
}
SORTED, RANKED = "demo/sorted", "demo/ranked"


def operator(folder: Path, port: int) -> dict[str, str]:
    kubeconfig = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "nowhere",
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
        "clusters": [{"name": "nowhere", "cluster": {"server": f"http://{NOWHERE}"}}],
        "users": [{"name": "nobody", "user": {}}],
    }
    kubeconfig.write_text(json.dumps(document))
    return {"OPERATOR_PORT": str(port), "KUBECONFIG": str(kubeconfig)}


def feedback(folder: Path, port: int) -> dict[str, str]:
    tokens = write_tokens(folder / "tokens.json", token_entry("till", "right", "shop/*"))
    return {"FEEDBACK_KAFKA_SERVERS": NOWHERE, "FEEDBACK_TOKENS_FILE": str(tokens), "FEEDBACK_PORT": str(port)}


def monitor(folder: Path, port: int) -> dict[str, str]:
    """With a database that has something to tell: a regression with pairs and a loss of its own, a
    classification with scores, a ranking, decisions, outcomes."""
    world = World(folder)
    world.teach(MONITORING | {"loss": {"expression": "abs(prediction - outcome)"}})
    world.teach(SCORED, subject=SORTED)
    world.teach(RANKING, subject=RANKED)
    for i in range(20):
        world.say(inference(f"p{i}", y=10.0 + i, at=i), at=i)
        world.say(mirrored(f"p{i}", at=i), at=i)
        world.say(outcome(f"p{i}", 12.0, at=i), at=i + 1)
        world.say(decision(f"p{i}", True, at=i), at=i + 1)
        said, came = ("late", "early")[i % 2], ("late", "early")[i % 3 > 0]
        world.say(classified(f"s{i}", said, i / 20, at=i, subject=SORTED), at=i)
        world.say(outcome(f"s{i}", came, at=i, subject=SORTED), at=i + 1)
        world.say(inference(f"r{i}", y=1 + i % 2, at=i, subject=RANKED), at=i)
        world.say(outcome(f"r{i}", i % 3 == 0, at=i, subject=RANKED), at=i + 1)
    world.now_us += 60_000_000
    world.run()
    world.pass_time(2)
    world.run()
    world.store.close()
    tokens = write_tokens(folder / "tokens.json", token_entry("operator", "right", "*"))
    return {
        "MONITOR_KAFKA_SERVERS": NOWHERE,
        "MONITOR_TOKENS_FILE": str(tokens),
        "MONITOR_PORT": str(port),
        "MONITOR_DATABASE": f"sqlite:///{folder / 'monitor.db'}",
    }


@contextmanager
def running(part: str, settings: dict[str, str], port: int) -> Iterator[str]:
    """The process; what /metrics says once it answers."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings}
    if path := os.environ.get("PYTHONPATH"):
        environment["PYTHONPATH"] = path
    process = subprocess.Popen([sys.executable, "-m", f"switchyard_{part}"], env=environment)

    def answer() -> str:
        assert process.poll() is None, f"{part} ended with {process.returncode}"
        try:
            return scrape(f"http://127.0.0.1:{port}/metrics")
        except OSError:
            return ""

    try:
        yield until(answer, f"{part} answers /metrics", seconds=60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(20)


@pytest.mark.parametrize("settings", [pytest.param(each, id=each.__name__) for each in (operator, feedback, monitor)])
def test_what_a_part_tells_prometheus_keeps_the_conventions_and_is_what_the_readme_lists(
    tmp_path: Path, settings: Callable[[Path, int], dict[str, str]]
) -> None:
    part, port = settings.__name__, free_port()
    with running(part, settings(tmp_path, port), port) as text:
        assert breaches(text) == []
        assert ours(text) == documented(part)
        assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "python_info"} <= families(text).keys()
        assert f'switchyard_build_info{{part="{part}",version="' in text


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("# HELP a_total Of another.\n# TYPE a_total counter\na_total 1", "does not begin with switchyard_"),
        ("# HELP switchyard_a A number.\n# TYPE switchyard_a counter\nswitchyard_a 1", "does not end in _total"),
        ("# HELP switchyard_a_ms A time here.\n# TYPE switchyard_a_ms gauge\nswitchyard_a_ms 1", "no base unit"),
        ("# TYPE switchyard_a gauge\nswitchyard_a 1", "has no help"),
        ("# HELP switchyard_a_ratio A share.\n# TYPE switchyard_a_ratio gauge\nswitchyard_a_ratio 5", "is a share"),
        ("# HELP switchyard_A A number.\n# TYPE switchyard_A gauge\nswitchyard_A 1", "lower snake case"),
    ],
    ids=["a stranger's name", "a counter without _total", "milliseconds", "no help", "percent", "capitals"],
)
def test_the_judge_of_conventions_finds(line: str, fault: str) -> None:
    assert any(fault in breach for breach in breaches(line + "\n")), breaches(line + "\n")
