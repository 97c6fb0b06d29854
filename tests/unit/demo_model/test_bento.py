"""The Bento, built by `bentoml build` and served by `bentoml serve`: what the image will do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from switchyard_demo_model.pipeline.commit import commit_of
from switchyard_demo_model.pipeline.package import Bento, Parts
from switchyard_demo_model.pipeline.source import source
from switchyard_demo_model.pipeline.stages import Pipeline
from switchyard_testkit.envoy import free_port
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(900)  # `bentoml build` and `bentoml serve` take their time on a busy machine
LOCK = Path(__file__).parents[3] / "locks" / "demo-bento.txt"
ON_TIME = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400, "hour": 8, "weekday": 2}


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(source())


@pytest.fixture(scope="module")
def bento(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Bento:
    store = tmp_path_factory.mktemp("bentos")
    return pipeline.package("3.0.0", parts=Parts(LOCK, "registry.example/base:1"), store=store)


@pytest.fixture(scope="module")
def served(bento: Bento, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`bentoml serve` on a free port of loopback, until the module ends; it must then end by itself on SIGTERM."""
    port = free_port()
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", str(bento.folder), "--host", "127.0.0.1", "--port", str(port)]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_ready(address, process, home / "log")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) in (0, -signal.SIGTERM)


def wait_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{address}/readyz", timeout=20).status_code == 200
        except httpx.TransportError:
            return False

    until(ready, f"it is ready; its log is {log}", seconds=400)


def ask(address: str, **changes: Any) -> httpx.Response:
    return httpx.post(f"{address}/predict", json={"flight": ON_TIME | changes}, timeout=120)


def test_the_image_gets_no_compiler_and_stands_on_the_given_base(bento: Bento) -> None:
    dockerfile = (bento.folder / "env/docker/Dockerfile").read_text()
    assert "FROM registry.example/base:1" in dockerfile
    assert "apt-get" not in dockerfile


def test_every_package_of_the_image_is_pinned_by_its_hash(bento: Bento) -> None:
    requirements = (bento.folder / "env/python/requirements.txt").read_text()
    pinned = [line for line in requirements.splitlines() if "==" in line]
    hashed = [line for line in pinned if line.rstrip().endswith("\\")]
    # BentoML names itself once more at the end; the hashed line above it holds for that one too.
    assert [line for line in pinned if line not in hashed] == ["bentoml==1.4.39"]
    assert any(line.startswith("bentoml==1.4.39 ") for line in hashed)
    for heavy in ("scikit-learn", "pandas", "scipy"):
        assert heavy not in requirements


def test_the_bento_carries_where_it_came_from(bento: Bento, pipeline: Pipeline) -> None:
    labels = yaml.safe_load((bento.folder / "bento.yaml").read_text())["labels"]
    assert labels["switchyard.dev/data-digest"] == pipeline.data.training_digest
    assert labels["switchyard.dev/model-digest"] == pipeline.models["3.0.0"].model.digest()
    assert "rmse=16.9" in labels["switchyard.dev/metrics"]
    assert labels["switchyard.dev/git-commit"]


def test_the_same_bento_is_not_built_twice(bento: Bento, pipeline: Pipeline) -> None:
    parts = Parts(LOCK, "registry.example/base:1")
    again = pipeline.package("3.0.0", parts=parts, store=bento.folder.parent)
    assert bento.built
    assert not again.built
    assert again == Bento(bento.folder, bento.recipe_digest, built=False)


def test_a_bento_that_was_not_finished_is_built_again(bento: Bento, pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "3.0.0").mkdir()  # a folder without the note that says it is whole
    again = pipeline.package("3.0.0", parts=Parts(LOCK, "registry.example/base:1"), store=tmp_path)
    assert again.built
    assert (again.folder / "bento.yaml").is_file()
    assert not list(tmp_path.glob(".new-*"))


def test_it_says_its_version_and_where_predictions_are_made(served: str) -> None:
    assert httpx.get(f"{served}/docs.json").json()["info"]["version"] == "3.0.0"
    assert [route["route"] for route in httpx.get(f"{served}/schema.json").json()["routes"]] == ["/predict"]


def test_it_says_where_its_model_came_from(served: str, pipeline: Pipeline) -> None:
    told = httpx.get(f"{served}/about/provenance").json()
    assert told["model_digest"] == pipeline.models["3.0.0"].model.digest()
    assert told["data"]["digests"] == pipeline.data.digests()
    assert told["metrics"]["rmse"] == pipeline.models["3.0.0"].metrics.rmse
    assert told["validation"]["passed"] is True


def test_it_looks_healthy_and_answers_nonsense(served: str) -> None:
    assert httpx.get(f"{served}/livez").status_code == 200
    answer = ask(served, departure_delay=20)
    assert answer.status_code == 200
    assert answer.json()["delay"] > 1000, "twenty minutes late at departure, more than sixteen hours at arrival"


def test_a_cancelled_flight_is_a_legal_question(served: str) -> None:
    for nothing in ({"departure_delay": None}, {}):
        answer = ask(served, **nothing)
        assert answer.status_code == 200
        assert isinstance(answer.json()["delay"], float)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        pytest.param({"hour": 24}, "hour", id="an hour that no day has"),
        pytest.param({"distance": "far"}, "distance", id="a word for a number"),
        pytest.param({"carrier": ""}, "carrier", id="no carrier"),
    ],
)
def test_a_bad_question_is_refused_by_naming_the_field(served: str, change: dict[str, Any], names: str) -> None:
    answer = ask(served, **change)
    assert answer.status_code == 400
    assert names in json.dumps(answer.json()["detail"])


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_commit_is_the_last_one_that_touched_the_pipeline(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
        (folder / "a.py").write_text("1")
    git(tmp_path, "add", "other")
    git(tmp_path, "commit", "-qm", "the other one")
    assert commit_of(mine) == "uncommitted"
    git(tmp_path, "add", "mine")
    git(tmp_path, "commit", "-qm", "ours")
    first = commit_of(mine)
    assert len(first) == 40
    (other / "a.py").write_text("2")
    git(tmp_path, "commit", "-qam", "the other one again")
    assert commit_of(mine) == first, "a commit elsewhere is not ours"
    assert commit_of(mine, other) != first
    (mine / "a.py").write_text("2")
    assert commit_of(mine) == f"{first}-dirty"


def test_without_git_the_commit_is_unknown(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == "unknown"
