"""The pipeline as a command: `python -m switchyard_demo_model.pipeline [VERB] --out DIR`.

Each verb does its stage and those it rests on; without one the whole is done.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from switchyard_demo_model.pipeline import VERBS, stamp
from switchyard_demo_model.serving.versions import VERSIONS


def main(arguments: Sequence[str]) -> int:
    """Run the verb and say what came of it."""
    options = parser().parse_args(arguments)
    whole = options.verb == "package" and not options.only
    inputs = stamp.of_inputs(requirements=options.requirements, base_image=options.base_image, out=options.out)
    if whole and stamp.stands(options.bentos, options.out, recipes=VERSIONS, inputs=inputs):
        print(f"bentos: all {len(VERSIONS)} are kept from before, in {options.bentos}")
        return 0
    # Only now, because these import pandas and scikit-learn.
    from switchyard_demo_model.pipeline.package import PackagingError, Parts
    from switchyard_demo_model.pipeline.report import Job, run

    parts = Parts(requirements=options.requirements, base_image=options.base_image)
    job = Job(options.verb, only=options.only or list(VERSIONS), out=options.out, bentos=options.bentos, parts=parts)
    try:
        passed = run(job)
    except PackagingError as error:
        print(f"pipeline: {error}", file=sys.stderr)
        return 1
    if whole and passed:
        (options.bentos / ".inputs").write_text(inputs)
    return 0 if passed else 1


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


if __name__ == "__main__":
    # One line at a time, so that a log shows where a run is.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        sys.exit(main(sys.argv[1:]))
    except FileNotFoundError as error:
        sys.exit(f"pipeline: {error}")
