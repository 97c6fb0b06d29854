"""One run of the pipeline: does the stages up to the verb, and leaves a file for each thing that people may ask for."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from switchyard_demo_model.pipeline import VERBS
from switchyard_demo_model.pipeline.package import Parts
from switchyard_demo_model.pipeline.prepare import describe, to_csv
from switchyard_demo_model.pipeline.source import source
from switchyard_demo_model.pipeline.stages import Pipeline


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for."""

    verb: str
    only: Sequence[str]
    out: Path
    bentos: Path
    parts: Parts


def run(job: Job) -> bool:
    """Do it; whether every version asked for may be served, as far as this run looked."""
    pipeline, out, upto = Pipeline(source()), job.out, VERBS.index(job.verb)
    write(out / "data" / "training.csv", to_csv(pipeline.data.training))
    write(out / "data" / "test.csv", to_csv(pipeline.data.test))
    write_json(out / "data" / "data.json", describe(pipeline.data))
    print(f"data: {len(pipeline.data.training)} flights to learn from, {len(pipeline.data.test)} to test on")
    for recipe in job.only:
        folder = out / "models" / recipe
        if upto >= VERBS.index("train"):
            model = pipeline.models[recipe]
            write(folder / "model.json", model.model.to_bytes())
            print(f"model {recipe}: {model.model.digest()}")
            reference = pipeline.profile(recipe)
            write(folder / "profile.json", reference.to_bytes())
            print(f"profile {recipe}: {reference.digest}")
        if upto >= VERBS.index("evaluate"):
            write_json(folder / "metrics.json", asdict(model.metrics))
            found = model.metrics
            print(f"model {recipe}: RMSE {found.rmse:.2f} MAE {found.mae:.2f} bias {found.bias:.2f} min")
        if upto >= VERBS.index("validate"):
            write_json(folder / "validation.json", asdict(pipeline.validations[recipe]))
            print(f"model {recipe}: {pipeline.validations[recipe].sentence}")
    if job.verb == "package":
        for recipe in job.only:
            bento = pipeline.package(recipe, parts=job.parts, store=job.bentos)
            print(f"bento {recipe}: {bento.folder}")
    return upto < VERBS.index("validate") or all(pipeline.validations[name].passed for name in job.only)


def write(path: Path, data: bytes) -> None:
    """Write it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    half.write_bytes(data)
    half.rename(path)


def write_json(path: Path, value: object) -> None:
    """The same, as JSON a person reads."""
    write(path, (json.dumps(value, indent=2) + "\n").encode())
