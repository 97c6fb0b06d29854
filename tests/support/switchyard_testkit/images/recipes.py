"""What each image is made of, read from its Dockerfile, so that a change of anything in it is noticed, and no other.

An image's key is the hash of its base's key, its Dockerfile and every file that the Dockerfile copies. Equal keys mean
the same image; that is why `build` may leave out what it has.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from switchyard_testkit.errors import TestkitError
from switchyard_testkit.images.store import KEY_LETTERS

REPOSITORY = Path(__file__).resolve().parents[4]

# Of a copied folder, what says nothing about the image; .dockerignore keeps the same out of the builds themselves.
IGNORED_FOLDERS = frozenset(
    {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", "page-screenshots"}
)
IGNORED_SUFFIXES = frozenset({".pyc", ".egg-info"})

# COPY from the context: options but no --from, then sources, then the target.
_COPY = re.compile(r"^COPY\s+(?!.*--from=)(?:--\S+\s+)*(?P<sources>.+?)\s+\S+$", re.MULTILINE)


class RecipeError(TestkitError):
    """An image cannot be described; the message names the file and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image: its name in a registry, the Dockerfile that makes it and the folder that the Dockerfile reads."""

    name: str
    dockerfile: Path
    context: Path = REPOSITORY
    tag: str = "dev"

    @property
    def title(self) -> str:
        """How people and images.json call it: the parts of Switchyard by name, the demo's models by version too."""
        return self.name if self.tag == "dev" else f"{self.name}:{self.tag}"

    def missing(self) -> list[Path]:
        """What the Dockerfile copies and is not there, the Dockerfile itself included."""
        if not self.dockerfile.is_file():
            return [self.dockerfile]
        return [source for source in self.sources() if not source.exists()]

    def sources(self) -> list[Path]:
        """The files and folders of the context that go into the image."""
        text = self.dockerfile.read_text()
        found = [source for match in _COPY.finditer(text) for source in match["sources"].split()]
        return [self.context / source for source in dict.fromkeys(found)]

    def key(self, base: str) -> str:
        """The hash of all that the image depends on."""
        if missing := self.missing():
            raise RecipeError(
                f"{self.title} cannot be built: {', '.join(map(str, missing))} is missing. "
                "Write it, or leave the image out with --only."
            )
        return digest([self.dockerfile, *self.sources()], salt=f"{base}\0{self.title}")


def digest(paths: Iterable[Path], *, salt: str) -> str:
    """One hash over names, modes and contents; the order on disk does not matter, the names given do."""
    sha = hashlib.sha256(salt.encode())
    for path in paths:
        for file in sorted(_files(path)):
            executable = bool(file.stat().st_mode & 0o100)
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            sha.update(f"\0{path.name}/{file.relative_to(path)}\0{executable}\0{content}".encode())
    return sha.hexdigest()[:KEY_LETTERS]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for child in path.iterdir():
        if child.name not in IGNORED_FOLDERS and child.suffix not in IGNORED_SUFFIXES:
            yield from _files(child)


# In the order in which they are built: the first ones share stages, so each makes the next one cheaper.
PARTS = (
    Recipe("switchyard/operator", REPOSITORY / "operator/Dockerfile"),
    Recipe("switchyard/gateway", REPOSITORY / "services/gateway/Dockerfile"),
    Recipe("switchyard/feedback", REPOSITORY / "services/feedback/Dockerfile"),
    Recipe("switchyard/monitor", REPOSITORY / "services/monitor/Dockerfile"),
    Recipe("switchyard/envoy", REPOSITORY / "services/gateway/envoy/Dockerfile"),
    Recipe("switchyard/kafka", REPOSITORY / "charts/images/kafka/Dockerfile"),
)
FAULT_MODEL = Recipe("test/fault-model", REPOSITORY / "tests/support/images/fault-model/Dockerfile")


def demo_models(cache: Path) -> tuple[Recipe, ...]:
    """The demo's models: one image for each Bento that the pipeline left in the cache, by BentoML's own Dockerfile."""
    bentos = sorted(file.parents[2] for file in cache.glob("bentos/*/env/docker/Dockerfile"))
    return tuple(
        Recipe("demo/flight-delay", bento / "env/docker/Dockerfile", context=bento, tag=bento.name) for bento in bentos
    )


def every_image(cache: Path) -> tuple[Recipe, ...]:
    """All that can be built now."""
    return (*PARTS, FAULT_MODEL, *demo_models(cache))


def chosen(recipes: Iterable[Recipe], only: Iterable[str]) -> tuple[Recipe, ...]:
    """Those asked for by title, name or the last word of the name; all when none is named."""
    all_of_them, wanted = tuple(recipes), tuple(only)
    for word in wanted:
        if not any(_answers_to(recipe, word) for recipe in all_of_them):
            names = ", ".join(recipe.title for recipe in all_of_them)
            raise RecipeError(f"--only {word} names no image. Choose from: {names}.")
    return tuple(recipe for recipe in all_of_them if not wanted or any(_answers_to(recipe, word) for word in wanted))


def _answers_to(recipe: Recipe, word: str) -> bool:
    return word in (recipe.title, recipe.name, recipe.name.rpartition("/")[2], recipe.title.rpartition("/")[2])
