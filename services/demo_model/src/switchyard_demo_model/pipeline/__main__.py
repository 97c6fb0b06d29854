"""The pipeline as a command: `python -m switchyard_demo_model.pipeline [VERB] --out DIR`.

Each verb does its stage and those it rests on; without one the whole is done. The stages hand values to each other,
never files, so a stale file cannot take part; what lies in DIR is for people and for the next part of the demo.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from switchyard_demo_model.pipeline import flights, provenance
from switchyard_demo_model.pipeline.package import Bento, PackagingError, Parts, package
from switchyard_demo_model.pipeline.prepare import Prepared, Row, describe, prepare, rows, to_csv
from switchyard_demo_model.pipeline.train import train
from switchyard_demo_model.pipeline.validate import Trained, Validation, trained, validate
from switchyard_demo_model.serving.versions import VERSIONS

VERBS = ("prepare", "train", "evaluate", "validate", "package")
HERE = Path(__file__).parent


class Pipeline:
    """One run: each stage is computed once, when first asked for."""

    def __init__(self, source: Path) -> None:
        self._source = source

    @cached_property
    def data(self) -> Prepared:
        """The training and the test table."""
        return prepare(self._source)

    @cached_property
    def test_rows(self) -> list[Row]:
        """The fixed test set as questions."""
        return rows(self.data.test)

    @cached_property
    def models(self) -> Mapping[str, Trained]:
        """Every version, trained and evaluated."""
        return {
            recipe: trained(train(version, self.data.training), self.test_rows) for recipe, version in VERSIONS.items()
        }

    @cached_property
    def validations(self) -> Mapping[str, Validation]:
        """Every version against the one it follows."""
        return {
            recipe: validate(
                self.models[recipe],
                self.models[version.follows] if version.follows else None,
                rows=self.test_rows,
                test_digest=self.data.test_digest,
            )
            for recipe, version in VERSIONS.items()
        }

    def package(self, recipe: str, *, parts: Parts, store: Path) -> Bento:
        """The version as a Bento. One that failed validation is not packaged."""
        validation = self.validations[recipe]
        if not validation.passed:
            raise PackagingError(f"{recipe} failed validation: {validation.sentence}.")
        origin = provenance.of(
            recipe,
            VERSIONS[recipe],
            self.models[recipe],
            validation=validation,
            digests=self.data.digests(),
            commit=provenance.commit_of(HERE, HERE.parent / "serving"),
        )
        return package(origin, self.models[recipe], parts=parts, store=store, say=say)


def main(arguments: Sequence[str]) -> int:
    """Run the verb and say what came of it."""
    options = parser().parse_args(arguments)
    chosen = options.only or list(VERSIONS)
    pipeline = Pipeline(flights.source())
    out: Path = options.out
    upto = VERBS.index(options.verb)
    write(out / "data" / "training.csv", to_csv(pipeline.data.training))
    write(out / "data" / "test.csv", to_csv(pipeline.data.test))
    write_json(out / "data" / "data.json", describe(pipeline.data))
    say(f"data: {len(pipeline.data.training)} flights to learn from, {len(pipeline.data.test)} to test on")
    for recipe in chosen:
        folder = out / "models" / recipe
        if upto >= VERBS.index("train"):
            model = pipeline.models[recipe]
            write(folder / "model.json", model.model.to_bytes())
            say(f"model {recipe}: {model.model.digest()}")
        if upto >= VERBS.index("evaluate"):
            write_json(folder / "metrics.json", asdict(model.metrics))
            found = model.metrics
            say(f"model {recipe}: RMSE {found.rmse:.2f} MAE {found.mae:.2f} bias {found.bias:.2f} min")
        if upto >= VERBS.index("validate"):
            write_json(folder / "validation.json", asdict(pipeline.validations[recipe]))
            say(f"model {recipe}: {pipeline.validations[recipe].sentence}")
    if options.verb == "package":
        parts = Parts(requirements=options.requirements, base_image=options.base_image)
        for recipe in chosen:
            bento = pipeline.package(recipe, parts=parts, store=options.bentos)
            say(f"bento {recipe}: {bento.folder}")
    return 0 if upto < VERBS.index("validate") or all(pipeline.validations[name].passed for name in chosen) else 1


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    cache = Path(os.environ.get("SWITCHYARD_CACHE") or Path.home() / ".cache" / "switchyard")
    made = argparse.ArgumentParser(prog="switchyard_demo_model.pipeline", description=__doc__)
    made.add_argument(
        "verb", nargs="?", choices=VERBS, default="package", help="the last stage to do (default: package)"
    )
    made.add_argument("--out", type=Path, default=cache / "demo-model", help="where tables, models and reports go")
    made.add_argument("--only", action="append", choices=VERSIONS, help="only this version (may be repeated)")
    made.add_argument("--bentos", type=Path, default=cache / "bentos", help="where Bentos go, one folder a version")
    made.add_argument("--base-image", default="python:3.11-slim", help="what the images are built on")
    made.add_argument(
        "--requirements",
        type=Path,
        default=Path("locks/demo-bento.txt"),
        help="the hash-pinned packages of the images (default: locks/demo-bento.txt, from the repository's root)",
    )
    return made


def write(path: Path, data: bytes) -> None:
    """Write it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    half.write_bytes(data)
    half.rename(path)


def write_json(path: Path, value: object) -> None:
    """The same, as JSON a person reads."""
    write(path, (json.dumps(value, indent=2) + "\n").encode())


def say(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (PackagingError, FileNotFoundError) as error:
        sys.exit(str(error))
