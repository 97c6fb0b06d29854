"""What `init` makes of a Bento: a short file that the operator accepts as it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from switchyard_cli import documents
from switchyard_cli.bento import Bento, describe, first_file, of_image, resource_name
from switchyard_cli.errors import Unreadable
from switchyard_cli.linting import lint
from switchyard_contracts import acceptance
from switchyard_contracts.base import NAME_PATTERN
from switchyard_testkit.cli_world import Said, Shell
from switchyard_testkit.rollout_world import Simulation

MANIFEST: dict[str, Any] = {
    "name": "flight_delay",
    "version": "2.0.0",
    "labels": {"switchyard.dev/git-commit": "3f2c1d9", "team": "tower"},
    "entry_service": "flight_delay",
    "services": [
        {"name": "flight_delay", "config": {"traffic": {"timeout": 30}, "http": {"port": 4000}}},
        {"name": "helper", "config": {"traffic": {"timeout": 5}}},
    ],
    "schema": {"routes": [{"name": "predict", "route": "/predict"}, {"name": "score", "route": "/score"}]},
}


def built(folder: Path, manifest: Any = MANIFEST, *, openapi: Any = None) -> Path:
    """A Bento as `bentoml build` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bento.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")
    if openapi is not None:
        (folder / "apis").mkdir()
        (folder / "apis" / "openapi.yaml").write_text(yaml.safe_dump(openapi), encoding="utf-8")
    return folder


def init(*words: str, home: Path = Path("/nowhere")) -> Said:
    return Shell(Simulation({}), bentos=home)("init", "--from-bento", *words)


def test_a_folder_gives_name_version_paths_and_what_else_the_bento_says(tmp_path: Path) -> None:
    said = init(str(built(tmp_path)), "--image", "registry.example/flight-delay:2.0.0")
    assert said.code == 0
    assert yaml.safe_load(said.out) == {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "flight-delay"},
        "spec": {
            "model": {
                "image": "registry.example/flight-delay:2.0.0",
                "version": "2.0.0",
                "provenance": {"gitCommit": "3f2c1d9"},
            },
            "serving": {"paths": ["/predict", "/score"], "port": 4000, "timeout": "30s"},
        },
    }
    assert said.err == ""
    assert len(said.out.splitlines()) <= 9


def test_a_plain_bento_gives_six_lines(tmp_path: Path) -> None:
    plain = {key: MANIFEST[key] for key in ("name", "version", "schema")}
    assert len(init(str(built(tmp_path, plain))).out.splitlines()) == 6


@pytest.mark.parametrize("tag", ["flight_delay:2.0.0", "flight_delay:latest", "flight_delay"])
def test_a_tag_is_looked_up_in_the_store(tmp_path: Path, tag: str) -> None:
    built(tmp_path / "bentos" / "flight_delay" / "2.0.0")
    (tmp_path / "bentos" / "flight_delay" / "latest").write_text("2.0.0", encoding="utf-8")
    said = init(tag, home=tmp_path)
    assert said.code == 0
    assert "image: flight_delay:2.0.0" in said.out
    assert "names no registry" in said.err


def test_an_image_gives_its_name_and_version_and_leaves_the_paths_to_the_pod() -> None:
    said = init("registry.example:5000/team/flight_delay:1.3.0@sha256:" + "a" * 64)
    body = yaml.safe_load(said.out)
    assert body["metadata"]["name"] == "flight-delay"
    assert body["spec"] == {
        "model": {"image": "registry.example:5000/team/flight_delay:1.3.0@sha256:" + "a" * 64, "version": "1.3.0"}
    }
    assert "no path is known" in said.err


def test_an_old_bento_is_read_by_its_openapi(tmp_path: Path) -> None:
    old = {"name": "delay", "version": "abc"}
    openapi = {"paths": {"/classify": {"post": {}}, "/healthz": {"post": {}}, "/docs": {"get": {}}}}
    said = init(str(built(tmp_path, old, openapi=openapi)))
    assert yaml.safe_load(said.out)["spec"]["serving"]["paths"] == ["/classify"]
    assert "the version 'abc' is not semantic" in said.err


def test_a_file_is_written_once_and_never_over(tmp_path: Path) -> None:
    target = tmp_path / "delay.yaml"
    bento = str(built(tmp_path / "bento"))
    assert init(bento, "-o", str(target)).code == 0
    assert target.read_text(encoding="utf-8").startswith("apiVersion:")
    again = init(bento, "-o", str(target))
    assert again.code == 1
    assert "is there already" in again.err


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        pytest.param("/nowhere/at/all", "there is no such folder", id="no folder"),
        pytest.param("flight_delay:9", "there is no Bento 'flight_delay' in BentoML's store", id="no such Bento"),
        pytest.param("Registry.Example/Flight", "is not an image", id="no image"),
        pytest.param("team/flight@sha256:12", "is not an image", id="half a digest"),
    ],
)
def test_what_is_no_bento_is_a_sentence(reference: str, words: str) -> None:
    said = init(reference)
    assert said.code == 1
    assert words in said.err


def test_a_version_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    built(tmp_path / "bentos" / "flight_delay" / "2.0.0")
    said = init("flight_delay:3.0.0", home=tmp_path)
    assert "versions of flight_delay: 2.0.0" in said.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("a: [", "cannot be read", id="no YAML"),
        pytest.param("- a", "names no Bento", id="a list"),
        pytest.param("{}", "names no Bento", id="empty"),
    ],
)
def test_a_manifest_that_is_none_is_a_sentence(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "bento.yaml").write_text(content, encoding="utf-8")
    said = init(str(tmp_path))
    assert (said.code, words in said.err) == (1, True)


def test_a_name_that_kubernetes_would_not_take_is_refused() -> None:
    said = init("registry.example/a:1.0.0", "--name", "Delay")
    assert said.code == 1
    assert "'Delay' is not a name" in said.err


@given(st.text(max_size=80))
def test_every_name_becomes_one_that_kubernetes_takes(text: str) -> None:
    name = resource_name(text)
    assert re.fullmatch(NAME_PATTERN, name)
    assert len(name) <= 45
    assert resource_name(name) == name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["route", "name", "x"]), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"name": st.text(min_size=1, max_size=60)},
        optional=dict.fromkeys(("version", "labels", "schema", "apis", "services", "entry_service"), JSON),
    ),
    JSON,
)
def test_whatever_a_manifest_says_the_file_is_accepted(manifest: dict[str, Any], openapi: Any) -> None:
    text, _ = first_file(describe(manifest, openapi=openapi, where="bento.yaml"), image="registry.example/a:1.0.0")
    read = documents.parse(text, file="delay.yaml")
    assert lint(read) == []
    acceptance.read(read[0].body["spec"])


WORD = r"[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?"


@given(st.from_regex(rf"{WORD}(/{WORD}){{1,3}}(:[a-z0-9][a-z0-9.]{{0,10}})?", fullmatch=True))
def test_an_images_own_words_are_kept(reference: str) -> None:
    bento = of_image(reference)
    assert bento.image == reference
    assert bento.name in reference


def test_an_image_that_no_cluster_could_pull_is_refused() -> None:
    with pytest.raises(Unreadable, match="name it by --image"):
        first_file(Bento("delay", image="no image"))
