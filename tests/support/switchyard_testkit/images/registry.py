"""From the store to a cluster's registry, and the list of what is there: `images.json`, by which charts pull."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from switchyard_testkit.cache import Cache, write_atomically
from switchyard_testkit.errors import TestkitError
from switchyard_testkit.images.builder import Built
from switchyard_testkit.progress import Progress

PUSH_SECONDS = 8.0  # first estimate for an image that the registry lacks
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class RegistryError(TestkitError):
    """The registry is not there or is not what the cluster's file says; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry without TLS inside the cluster's own network."""

    address: str
    timeout: float = 10.0

    def holds(self, repository: str, digest: str) -> bool:
        """Whether it has this very manifest."""
        request = urllib.request.Request(
            f"http://{self.address}/v2/{repository}/manifests/{digest}", method="HEAD", headers={"Accept": MANIFEST}
        )
        # The cluster's network is the machine's own: a proxy for the outside has no business here.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=self.timeout) as answer:
                return int(answer.status) == 200
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise RegistryError(f"registry {self.address} answered {error.code} for {repository}@{digest}") from error
        except OSError as error:
            raise RegistryError(
                f"registry {self.address} does not answer: {error}. Is the cluster up? `make cluster` starts it."
            ) from error


@dataclass(frozen=True, slots=True)
class Slot:
    """A cluster's folder in the cache."""

    folder: Path

    @classmethod
    def of(cls, cache: Cache, name: str) -> "Slot":
        """The slot of that name."""
        return cls(cache.root / "nodes" / name)

    def registry(self) -> Registry:
        """The registry of the cluster that runs in this slot."""
        file = self.folder / "cluster.json"
        if not file.is_file():
            name = self.folder.name
            raise RegistryError(f"slot {name} has no cluster: {file} is missing. `make cluster SLOT={name}` starts it.")
        return Registry(json.loads(file.read_text())["registry"])

    @property
    def images(self) -> Path:
        """The list that charts and tests read."""
        return self.folder / "images.json"

    def references(self, titles: Sequence[str]) -> list[str]:
        """By which names the cluster pulls these."""
        held = json.loads(self.images.read_text()) if self.images.is_file() else {}
        if unknown := [title for title in titles if title not in held]:
            raise RegistryError(
                f"slot {self.folder.name} has no image {', '.join(unknown)}; it has {', '.join(held) or 'none'}. "
                f"`make images SLOT={self.folder.name}` fills it."
            )
        return [held[title] for title in titles]

    def write(self, references: Mapping[str, str]) -> None:
        """Add to the list; images that were not pushed now keep their lines."""
        held = json.loads(self.images.read_text()) if self.images.is_file() else {}
        write_atomically(self.images, json.dumps({**held, **references}, indent=2, sort_keys=True) + "\n")


class Images(Protocol):
    """Where images are taken from: the store of this cache."""

    def identity(self, image: str) -> str:
        """A hash: equal identities are equal images."""

    def push(self, image: str, target: str, *, scratch: Path, log: Path) -> str:
        """Send it, and return the digest under which it arrived."""


@dataclass(frozen=True, slots=True)
class Publisher:
    """Sends images to one registry, those it has not."""

    store: Images
    registry: Registry
    folder: Path  # notes which image became which digest: the same image becomes the same digest again

    def known(self, image: str, repository: str) -> str | None:
        """The reference of an image that the registry has already."""
        note = self._note(image)
        if not note.is_file() or not self.registry.holds(repository, note.read_text()):
            return None
        return f"{self.registry.address}/{repository}@{note.read_text()}"

    def publish(self, image: str, *, repository: str, tag: str) -> str:
        """Have the image in the registry, and return the reference by which anybody pulls exactly it."""
        if known := self.known(image, repository):
            return known
        digest = self.store.push(
            image, f"{self.registry.address}/{repository}:{tag}", scratch=self.folder, log=self.folder / "push.log"
        )
        write_atomically(self._note(image), digest)
        reference = self.known(image, repository)
        if reference is None:
            raise RegistryError(f"registry {self.registry.address} took {repository}:{tag} but has no {digest} of it.")
        return reference

    def publish_all(self, images: Sequence[Built], progress: Progress) -> dict[str, str]:
        """All of them, by title."""
        references: dict[str, str] = {}
        for built in images:
            with progress.stage(built.recipe.title):
                references[built.recipe.title] = self.publish(
                    built.image, repository=built.recipe.name, tag=built.recipe.tag
                )
        return references

    def _note(self, image: str) -> Path:
        return self.folder / f"{self.store.identity(image).removeprefix('sha256:')}.digest"
