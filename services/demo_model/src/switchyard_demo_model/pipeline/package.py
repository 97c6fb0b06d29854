"""Packaging: a Bento with the model, its provenance and only the code that serves it.

`bentoml build` does the work, in a home of its own so that no store of the user's is touched. A Bento is kept by the
hash of everything that went into it: the same recipe is not built twice; another replaces it whole or not at all.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path

import yaml

from switchyard_demo_model import serving
from switchyard_demo_model.pipeline.provenance import Provenance
from switchyard_demo_model.pipeline.validate import Trained
from switchyard_demo_model.serving.model import canonical

NAME = "flight_delay"
SERVICE = "switchyard_demo_model.serving.service:FlightDelay"


class PackagingError(RuntimeError):
    """`bentoml build` failed; the message ends with its own words."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a Bento is made of, beside the model."""

    requirements: Path  # hash-pinned: what the image installs
    base_image: str


@dataclass(frozen=True, slots=True)
class Bento:
    """A Bento as a folder: `env/docker/Dockerfile` in it builds the image."""

    folder: Path
    recipe_digest: str
    built: bool  # False: it was there already


def package(origin: Provenance, model: Trained, *, parts: Parts, store: Path, say: Callable[[str], None]) -> Bento:
    """Have `<store>/<recipe>` hold this Bento."""
    store.mkdir(parents=True, exist_ok=True)
    target, note = store / origin.recipe, store / f"{origin.recipe}.digest"
    digest = recipe_digest(origin, model, parts)
    with (store / ".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if target.is_dir() and note.is_file() and note.read_text() == digest:
            say(f"bento {origin.recipe}: kept from before")
            return Bento(target, digest, built=False)
        # BentoML refuses a context under a hidden folder, as ~/.cache is: built elsewhere, then copied.
        with (
            tempfile.TemporaryDirectory(prefix="bento-") as scratch,
            tempfile.TemporaryDirectory(prefix=".new-", dir=store) as beside,
        ):
            built = Path(
                shutil.copytree(build(origin, model, parts=parts, scratch=Path(scratch)), Path(beside) / "bento")
            )
            note.unlink(missing_ok=True)  # from here to its return the folder counts as not built
            if target.exists():
                target.rename(Path(beside) / "replaced")
            built.rename(target)
            note.write_text(digest)
        say(f"bento {origin.recipe}: built")
        return Bento(target, digest, built=True)


def recipe_digest(origin: Provenance, model: Trained, parts: Parts) -> str:
    """SHA-256 over all that the Bento's content depends on."""
    sha = hashlib.sha256()
    for file in serving_files():
        sha.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    sha.update(parts.requirements.read_bytes())
    sha.update(canonical({"origin": asdict(origin), "base": parts.base_image, "python": sys.version_info[:2]}))
    sha.update(model.model.to_bytes())
    return "sha256:" + sha.hexdigest()


def serving_files() -> Iterator[Path]:
    """The code that goes into the image, in a fixed order."""
    folder = Path(serving.__file__).parent
    yield folder.parent / "__init__.py"
    yield from sorted(folder.glob("*.py"))


def build(origin: Provenance, model: Trained, *, parts: Parts, scratch: Path) -> Path:
    """Lay out a build context, run `bentoml build` in it, and return the Bento's folder."""
    context, home = scratch / "context", scratch / "home"
    lay_out(context, origin, model, parts)
    command = [sys.executable, "-m", "bentoml", "build", "--version", origin.version, "--output", "tag", "."]
    environment = {**os.environ, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    # BentoML looks for uv on the path, and would install it with pip if it did not find the one beside this Python.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    environment["PYTHONPATH"] = str(context)
    done = subprocess.run(command, cwd=context, env=environment, capture_output=True, text=True, check=False)
    folder = home / "bentos" / NAME / origin.version
    if done.returncode or not folder.is_dir():
        words = f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
        raise PackagingError(f"`bentoml build` of {origin.recipe} ended with {done.returncode}:\n{words}")
    return folder


def lay_out(context: Path, origin: Provenance, model: Trained, parts: Parts) -> None:
    """Everything `bentoml build` reads, in one folder."""
    package_root = Path(serving.__file__).parent.parent
    for file in serving_files():
        copy = context / "switchyard_demo_model" / file.relative_to(package_root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    artefact = context / "switchyard_demo_model" / "serving" / "artefact"
    artefact.mkdir()
    (artefact / "model.json").write_bytes(model.model.to_bytes())
    (artefact / "provenance.json").write_text(json.dumps(asdict(origin), indent=2) + "\n")
    shutil.copyfile(parts.requirements, context / "requirements.txt")
    (context / "bentofile.yaml").write_text(yaml.safe_dump(bentofile(origin, parts), sort_keys=False))


def bentofile(origin: Provenance, parts: Parts) -> dict[str, object]:
    """BentoML's build options. The lock names every package with its hash, so BentoML need not lock again."""
    return {
        "service": SERVICE,
        "name": NAME,
        "description": f"Delay at arrival of flights from New York. {origin.validation['sentence']}",
        "labels": origin.labels(),
        "include": ["switchyard_demo_model/**/*.py", "switchyard_demo_model/serving/artefact/*.json"],
        "docker": {"base_image": parts.base_image},
        "python": {"requirements_txt": "requirements.txt", "lock_packages": False},
    }
