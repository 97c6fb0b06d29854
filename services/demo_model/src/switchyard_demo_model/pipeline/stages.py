"""The stages in their order. They hand values to each other, never files, so a stale file cannot take part."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from switchyard_profile.reference import Reference

from switchyard_demo_model.pipeline import provenance
from switchyard_demo_model.pipeline.commit import commit_of
from switchyard_demo_model.pipeline.package import Bento, PackagingError, Parts, package
from switchyard_demo_model.pipeline.prepare import Prepared, Row, prepare, rows
from switchyard_demo_model.pipeline.profile import profile
from switchyard_demo_model.pipeline.train import train
from switchyard_demo_model.pipeline.validate import Trained, Validation, trained, validate
from switchyard_demo_model.serving.versions import VERSIONS

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
    def training_rows(self) -> list[Row]:
        """The training set as questions."""
        return rows(self.data.training)

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

    def profile(self, recipe: str) -> Reference:
        """What the version learned from, and says of it."""
        return profile(self.data, self.training_rows, self.models[recipe].model)

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
            commit=commit_of(HERE, HERE.parent / "serving"),
        )
        return package(origin, self.models[recipe], parts=parts, store=store, say=print)
