"""Builds what is not there yet, one image after another, and says how it goes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from switchyard_testkit.cache import GIB, Cache, Durations
from switchyard_testkit.images import base
from switchyard_testkit.images.recipes import Recipe
from switchyard_testkit.images.store import Store
from switchyard_testkit.progress import Progress

DISK = 6 * GIB  # the store with every image, its stages and the downloads of pip and uv
KEPT = 2  # earlier ones of each image: other clones of the repository build into the same store
BASE_SECONDS, IMAGE_SECONDS = 140.0, 45.0  # first estimates; later ones are what it took here


@dataclass(frozen=True, slots=True)
class Built:
    """An image in the store."""

    recipe: Recipe
    image: str


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds images into the cache."""

    cache: Cache

    @property
    def folder(self) -> Path:
        """Everything about images in this cache."""
        return self.cache.root / "images"

    @property
    def store(self) -> Store:
        """The images of this cache."""
        return Store(self.folder / "store")

    @property
    def durations(self) -> Durations:
        """How long each image took the last time."""
        return Durations(self.folder / "durations.json")

    def build(self, recipes: Sequence[Recipe]) -> list[Built]:
        """Have all these images; what is there already costs a look."""
        floor = f"{base.NAME}:{base.key()}"
        images = [Built(recipe, f"localhost/{recipe.name}:{recipe.tag}-{recipe.key(floor)}") for recipe in recipes]
        with self.alone():
            missing = [built for built in images if not self.store.has(built.image)]
            if missing:
                self._build(missing, floor)
        return images

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One run at a time: another waits. What a killed run left half done is removed first."""
        with self.cache.lock("images"):
            self.store.forget_unfinished()
            yield

    def _build(self, images: Sequence[Built], floor: str) -> None:
        self.cache.require_free(DISK, "Building the images")
        has_base = self.store.has(floor)
        plan = {} if has_base else {"base": BASE_SECONDS}
        plan |= {built.recipe.title: IMAGE_SECONDS for built in images}
        progress = Progress("images", plan=plan, durations=self.durations)
        if not has_base:
            with progress.stage("base"):
                base.make(
                    self.store,
                    floor,
                    scratch=self.folder / "scratch",
                    packages=self.folder / "deb",
                    log=self._log("base"),
                )
        for built in images:
            with progress.stage(built.recipe.title):
                self._image(built, floor)
            layers = self.store.layers(built.image)
            own = sum(layers[1:]) / 1e6
            progress.say(
                f"{built.recipe.title}: {own:.0f} MB in {len(layers) - 1} layers on {layers[0] / 1e6:.0f} MB of base"
            )
        progress.finish()

    def _image(self, built: Built, floor: str) -> None:
        recipe, log = built.recipe, self._log(built.recipe.title)
        self.store.build(built.image, dockerfile=recipe.dockerfile, context=recipe.context, base=floor, log=log)
        self.store.forget_older(built.image, keep=KEPT)

    def _log(self, title: str) -> Path:
        log = self.folder / "logs" / f"{title.replace('/', '-').replace(':', '-')}.log"
        log.unlink(missing_ok=True)
        return log
