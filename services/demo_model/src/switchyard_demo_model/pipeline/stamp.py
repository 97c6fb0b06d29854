"""What a whole run was made of. When nothing of it has changed, there is nothing to do, and saying so takes a moment.

Importing pandas and scikit-learn and training takes half a minute on a busy machine; `make` asks for the Bentos often.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

import switchyard_profile

from switchyard_demo_model.pipeline import source
from switchyard_demo_model.pipeline.commit import commit_of

PACKAGE = Path(__file__).parent.parent
PROFILES = Path(switchyard_profile.__file__).parent
PACKAGES = ("bentoml", "numpy", "pandas", "scikit-learn")


def of_inputs(*, requirements: Path, base_image: str, out: Path) -> str:
    """SHA-256 over code, data, packages and options."""
    sha = hashlib.sha256()
    for word in _words(requirements, base_image, out):
        sha.update(word.encode() + b"\0")
    return "sha256:" + sha.hexdigest()


def _words(requirements: Path, base_image: str, out: Path) -> Iterator[str]:
    yield from (base_image, str(out), str(sys.version_info[:2]), commit_of(PACKAGE / "pipeline", PACKAGE / "serving"))
    yield source.digest(source.source())
    yield requirements.read_text()
    yield from (version(name) for name in PACKAGES)
    for file in sorted([*PACKAGE.glob("pipeline/*.py"), *PACKAGE.glob("serving/*.py"), *PROFILES.glob("*.py")]):
        yield f"{file.name}: {file.read_text()}"


def stands(store: Path, out: Path, *, recipes: Iterable[str], inputs: str) -> bool:
    """Whether the store holds what these inputs make, all of it."""
    note = store / ".inputs"
    return (
        note.is_file()
        and note.read_text() == inputs
        and all((store / f"{name}.digest").is_file() and (store / name).is_dir() for name in recipes)
        and (out / "models").is_dir()
    )
