"""Images without an engine: buildah with a storage of its own under the cache, so nothing is left anywhere else.

Containers of a build are chroots on the machine's own network. The machine's certificate authorities are laid over
the image's for the length of a build, as a package index may be reachable only through them; they never enter an image.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from switchyard_testkit.errors import TestkitError

# Trust of the machine: the bundle and Java's store, and the originals that links in the first one point to.
TRUST = (Path("/etc/ssl/certs"), Path("/usr/local/share/ca-certificates"))
KEY_LETTERS = 20  # of the key at the end of each image's tag
LAST_WORDS = 40  # lines of a failed build that are shown; the log has them all


class BuildError(TestkitError):
    """An image could not be made; the message ends with the builder's own last words."""


@dataclass(frozen=True, slots=True)
class Store:
    """The local images; `folder` holds them all, with the caches of the builds."""

    folder: Path

    def has(self, image: str) -> bool:
        """Whether an image of that name and tag is here."""
        return self._buildah("inspect", "--type", "image", image).returncode == 0

    def identity(self, image: str) -> str:
        """The hash of its configuration, which names all its layers: equal identities are equal images."""
        return str(self._inspect(image)["FromImageID"])

    def layers(self, image: str) -> list[int]:
        """Bytes of each layer before compression, base first. Layers that only note a setting are left out."""
        layers = {layer["id"]: layer for layer in self._layers()}
        top: str | None = next(one["layer"] for one in self._images() if one["id"] == self.identity(image))
        sizes: list[int] = []
        while top is not None:
            sizes.append(int(layers[top].get("diff-size", 0)))
            top = layers[top].get("parent")
        return [size for size in reversed(sizes) if size > 2048]

    def build(self, image: str, *, dockerfile: Path, context: Path, base: str, log: Path) -> None:
        """Make the image as its Dockerfile says, on this base, whether by its BASE or in place of its first `FROM`."""
        takes_base = "ARG BASE" in dockerfile.read_text()
        arguments = ["--build-arg", f"BASE={base}"] if takes_base else ["--from", base]
        lent = [f"--volume={folder}:{folder}:O" for folder in TRUST if folder.is_dir()]
        lent.append(
            f"--volume={self._folder('downloads')}:/root/.cache"
        )  # of pip and uv, which else stays in the image
        self._logged(
            log,
            *("build", "--isolation", "chroot", "--network", "host", "--layers", "--format", "oci", "--pull=never"),
            *(*lent, *arguments, "--tag", image, "--file", str(dockerfile), str(context)),
        )

    def from_folder(self, image: str, *, root: Path, environment: Mapping[str, str], log: Path) -> None:
        """An image of one layer: this folder as the root file system."""
        name = self._must("from", "scratch")
        try:
            self._logged(log, "add", "--quiet", name, str(root), "/")
            settings = [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
            self._must("config", *settings, "--cmd", "python", name)
            self._logged(log, "commit", "--quiet", "--format", "oci", name, image)
        finally:
            self._must("rm", name)

    def forget_unfinished(self) -> None:
        """Remove the working containers of a run that was killed; nobody goes on with them."""
        if self.folder.is_dir():
            self._must("rm", "--all")

    def forget_older(self, image: str, *, keep: int) -> None:
        """Beside this image keep its newest namesakes; the others go, with the steps that nobody else rests on."""
        namesakes = sorted(
            (str(one["created"]), other)
            for one in self._images()
            for other in one.get("names") or ()
            if other != image and other[:-KEY_LETTERS] == image[:-KEY_LETTERS]
        )
        for _, other in namesakes[: max(0, len(namesakes) - keep)]:
            self._must("rmi", other)

    def push(self, image: str, target: str, *, scratch: Path, log: Path) -> str:
        """Send what the registry lacks, and return the digest. zstd costs both ends a fraction of what gzip does."""
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=scratch, prefix="push-") as told:
            self._logged(
                log,
                *("push", "--tls-verify=false", "--format", "oci", "--compression-format", "zstd"),
                *("--digestfile", told.name, image, f"docker://{target}"),
            )
            return Path(told.name).read_text().strip()

    def _inspect(self, image: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(self._must("inspect", "--type", "image", image))
        return found

    def _images(self) -> list[dict[str, Any]]:
        text = (self.folder / "root/overlay-images/images.json").read_text()
        found: list[dict[str, Any]] = json.loads(text)
        return found

    def _layers(self) -> list[dict[str, Any]]:
        text = (self.folder / "root/overlay-layers/layers.json").read_text()
        found: list[dict[str, Any]] = json.loads(text)
        return found

    def _must(self, *arguments: str) -> str:
        done = self._buildah(*arguments)
        if done.returncode:
            raise BuildError(f"`buildah {' '.join(arguments)}` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def _buildah(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(arguments), env=self._environment(), capture_output=True, text=True, check=False
        )

    def _logged(self, log: Path, *arguments: str) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as out:
            done = subprocess.run(
                self._command(arguments), env=self._environment(), stdout=out, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            words = "\n".join(log.read_text().splitlines()[-LAST_WORDS:])
            raise BuildError(
                f"`buildah {arguments[0]}` ended with {done.returncode}; the log is {log}, its end:\n{words}"
            )

    def _command(self, arguments: Sequence[str]) -> list[str]:
        root, run = self.folder / "root", self.folder / "run"
        return ["buildah", "--root", str(root), "--runroot", str(run), "--storage-driver", "overlay", *arguments]

    def _environment(self) -> dict[str, str]:
        # buildah keeps the caches that Dockerfiles mount below TMPDIR, so they live as long as the storage does.
        return {**os.environ, "TMPDIR": str(self._folder("tmp")), "BUILDAH_ISOLATION": "chroot"}

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
