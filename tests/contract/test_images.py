"""One list of images, told in five places: Dockerfiles, skaffold, the chart, the builder and the installer agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from switchyard_testkit import install
from switchyard_testkit.images.recipes import FAULT_MODEL, PARTS, REPOSITORY, Recipe

SKAFFOLD: Mapping[str, Any] = yaml.safe_load((REPOSITORY / "skaffold.yaml").read_text())
VALUES: Mapping[str, Any] = yaml.safe_load((REPOSITORY / "charts/switchyard/values.yaml").read_text())
ARTIFACTS = {one["image"]: REPOSITORY / one["docker"]["dockerfile"] for one in SKAFFOLD["build"]["artifacts"]}
BUILT = {recipe.name: recipe.dockerfile for recipe in PARTS}
RECIPES = [pytest.param(recipe, id=recipe.name) for recipe in (*PARTS, FAULT_MODEL)]


def images_of(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Where the chart's values name an image, and which."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            here = f"{path}{key}"
            if "repository" in value:
                yield here, value["repository"]
            yield from images_of(value, f"{here}.")


def test_skaffold_builds_the_images_that_make_builds_from_the_same_dockerfiles() -> None:
    assert ARTIFACTS == BUILT


def test_every_dockerfile_of_the_repository_is_one_of_them() -> None:
    folders = ("operator", "services", "charts", "tests")
    there = {file for folder in folders for file in (REPOSITORY / folder).rglob("Dockerfile")}
    assert there == {*BUILT.values(), FAULT_MODEL.dockerfile}


def test_the_chart_runs_each_image_and_no_other() -> None:
    assert sorted(image for _, image in images_of(VALUES)) == sorted(BUILT)


def test_the_installer_sets_the_images_of_the_chart() -> None:
    assert dict(images_of(VALUES)) == install.IMAGES


def test_skaffold_sets_repository_tag_and_digest_of_each_image_of_the_chart() -> None:
    (release,) = SKAFFOLD["deploy"]["helm"]["releases"]
    expected = {
        f"{place}.{field}": "{{.IMAGE_" + word + "_" + re.sub(r"[^A-Za-z0-9]", "_", image) + "}}"
        for place, image in images_of(VALUES)
        for field, word in (("repository", "REPO"), ("tag", "TAG"), ("digest", "DIGEST"))
    }
    assert release["setValueTemplates"] == expected
    assert (REPOSITORY / release["chartPath"] / "Chart.yaml").is_file()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_dockerfile_takes_its_base_and_runs_as_the_numeric_user(recipe: Recipe) -> None:
    text = recipe.dockerfile.read_text()
    assert re.search(r"^ARG BASE=\S+:\S+$", text, re.MULTILINE), "the default base names its tag"
    stages = re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - set(stages) == {"${BASE}"}
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["1034"]
    assert "PYTHONPATH" not in text


@pytest.mark.parametrize("recipe", RECIPES)
def test_everything_that_an_image_copies_is_there(recipe: Recipe) -> None:
    assert recipe.sources(), "an image without sources is a Dockerfile that was misread"
    assert recipe.missing() == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_packages_come_by_hash_from_a_lock(recipe: Recipe) -> None:
    text = recipe.dockerfile.read_text().replace("\\\n", " ")
    installs = [line for line in re.split(r"\n|&&", text) if re.search(r"\bpip\b.*\binstall\b", line)]
    unpinned = [line for line in installs if "--require-hashes" not in line and "--no-deps" not in line]
    assert unpinned == []
    for lock in re.findall(r"--requirement /(locks/\S+)", text):
        assert "--hash=sha256:" in (REPOSITORY / lock).read_text()


def test_the_jars_of_the_embedded_broker_are_pinned_by_checksum() -> None:
    folder: Path = BUILT["switchyard/kafka"].parent
    jars = dict(reversed(line.split()) for line in (folder / "jars.sha256").read_text().splitlines())
    version = re.search(
        r"<artifactId>kafka_2\.13</artifactId>\s*<version>(.+?)</version>", (folder / "pom.xml").read_text()
    )
    assert version
    assert f"kafka_2.13-{version[1]}.jar" in jars
    assert all(re.fullmatch(r"[0-9a-f]{64}", checksum) for checksum in jars.values())
    assert "sha256sum *.jar | diff /build/jars.sha256" in BUILT["switchyard/kafka"].read_text()
