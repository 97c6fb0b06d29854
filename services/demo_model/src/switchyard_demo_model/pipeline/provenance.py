"""Where a model came from: code, data, parameters, figures. It travels in the Bento's labels and in the image."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from switchyard_demo_model.pipeline.prepare import TEST, TRAINING
from switchyard_demo_model.pipeline.validate import Trained, Validation
from switchyard_demo_model.serving.versions import Version

PIPELINE = "switchyard-demo-model 0.1.0"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything needed to make the same model again, and the digest that proves it is the same."""

    recipe: str  # the key of VERSIONS; differs from `version` where a story labels one model as another
    version: str
    pipeline: str
    git_commit: str
    data_digest: str
    data: Mapping[str, object]
    model_digest: str
    parameters: Mapping[str, object]
    metrics: Mapping[str, object]
    validation: Mapping[str, object]

    def labels(self) -> dict[str, str]:
        """The part that fits a Bento's labels."""
        return {
            "switchyard.dev/pipeline": self.pipeline,
            "switchyard.dev/git-commit": self.git_commit,
            "switchyard.dev/data-digest": self.data_digest,
            "switchyard.dev/model-digest": self.model_digest,
            "switchyard.dev/parameters": text(self.parameters),
            "switchyard.dev/metrics": text(self.metrics),
        }

    def resource(self) -> dict[str, str]:
        """The part that a ModelDeployment's `spec.model.provenance` holds."""
        return {
            "gitCommit": self.git_commit,
            "dataDigest": self.data_digest,
            "trainingRun": self.model_digest,
            "pipeline": self.pipeline,
        }


def of(
    recipe: str, version: Version, model: Trained, *, validation: Validation, digests: Mapping[str, str], commit: str
) -> Provenance:
    """Put it together."""
    return Provenance(
        recipe=recipe,
        version=version.number,
        pipeline=PIPELINE,
        git_commit=commit,
        data_digest=digests["training"],
        data={"digests": dict(digests), "training": list(TRAINING), "test": list(TEST)},
        model_digest=model.model.digest(),
        parameters={
            "algorithm": "ridge",
            "ridge": version.ridge,
            "numbers": list(version.numbers),
            "categories": list(version.categories),
        },
        metrics=asdict(model.metrics),
        validation=asdict(validation),
    )


def text(values: Mapping[str, Any]) -> str:
    """`key=value` pairs in one line."""
    return " ".join(
        f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}" for key, value in values.items()
    )
