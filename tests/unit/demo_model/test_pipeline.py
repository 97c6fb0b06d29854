"""The ML pipeline on the real flights: reproducible, validated, and with the fault where validation cannot see it."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from switchyard_demo_model.pipeline import prepare, stamp
from switchyard_demo_model.pipeline.__main__ import main
from switchyard_demo_model.pipeline.evaluate import evaluate, summary
from switchyard_demo_model.pipeline.features import matrix
from switchyard_demo_model.pipeline.package import PackagingError, Parts, recipe_digest
from switchyard_demo_model.pipeline.provenance import Provenance
from switchyard_demo_model.pipeline.source import source
from switchyard_demo_model.pipeline.stages import Pipeline
from switchyard_demo_model.pipeline.train import train
from switchyard_demo_model.pipeline.validate import Trained, validate
from switchyard_demo_model.serving.flight import Flight
from switchyard_demo_model.serving.model import LinearModel, Number
from switchyard_demo_model.serving.versions import SECONDS, VERSIONS
from switchyard_profile.reference import Reference


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(source())


def flight(**changes: object) -> Flight:
    """An ordinary flight; each test says only what differs."""
    ordinary = {
        "carrier": "UA",
        "origin": "EWR",
        "dest": "IAH",
        "distance": 1400,
        "hour": 8,
        "weekday": 2,
        "departure_delay": 5,
    }
    return Flight.model_validate(ordinary | changes)


def test_the_same_inputs_give_the_same_bytes_and_figures(pipeline: Pipeline) -> None:
    again = Pipeline(source())
    assert again.data.digests() == pipeline.data.digests()
    for recipe in VERSIONS:
        assert again.models[recipe].model.to_bytes() == pipeline.models[recipe].model.to_bytes()
        assert again.models[recipe].metrics == pipeline.models[recipe].metrics


def test_the_order_of_the_rows_does_not_make_another_model(pipeline: Pipeline) -> None:
    version = VERSIONS["2.0.0"]
    shuffled = pipeline.data.training.sample(frac=1, random_state=7)
    assert train(version, shuffled).to_bytes() == pipeline.models["2.0.0"].model.to_bytes()


def test_other_rows_make_another_digest(pipeline: Pipeline) -> None:
    fewer = pipeline.data.training.iloc[:-1]
    assert prepare.digest(fewer) != pipeline.data.training_digest


def test_no_test_day_is_trained_on_and_no_day_of_the_demo_is_either() -> None:
    assert prepare.TRAINING[1] < prepare.TEST[0]
    assert prepare.TEST[1] < "2013-03-01"


def test_only_flights_that_landed_are_learned_from(pipeline: Pipeline) -> None:
    for table in (pipeline.data.training, pipeline.data.test):
        assert len(table) > 10_000
        assert table[prepare.TARGET].notna().all()


@pytest.mark.parametrize("recipe", VERSIONS)
def test_the_served_sum_agrees_with_scikit_learn(pipeline: Pipeline, recipe: str) -> None:
    version = VERSIONS[recipe]
    features = matrix(version, pipeline.data.training)
    oracle = Ridge(alpha=version.ridge, solver="svd").fit(
        features.values, pipeline.data.training[prepare.TARGET].to_numpy()
    )
    expected = oracle.predict(features.values[:500])
    model = pipeline.models[recipe].model
    rows = prepare.rows(pipeline.data.training.iloc[:500])
    for row, value in zip(rows, expected, strict=True):
        assert model.predict(row.flight) == pytest.approx(value, abs=1e-4)


def test_the_departure_delay_makes_the_model_clearly_better(pipeline: Pipeline) -> None:
    assert pipeline.models["2.0.0"].metrics.rmse < 0.6 * pipeline.models["1.0.0"].metrics.rmse


def test_no_difference_is_the_same_model_under_another_version(pipeline: Pipeline) -> None:
    first, second = pipeline.models["1.0.0"].model, pipeline.models["2.0.0-nodifference"].model
    assert second.version == "2.0.0"
    assert second.digest() == first.digest()
    assert second.to_bytes() != first.to_bytes()


def test_validation_cannot_see_the_fault_that_the_service_has(pipeline: Pipeline) -> None:
    assert pipeline.validations["3.0.0"].passed
    model, rows = pipeline.models["3.0.0"].model, pipeline.test_rows
    served = summary(
        [model.predict(row.flight, delay_unit=VERSIONS["3.0.0"].delay_unit) - row.arrival_delay for row in rows]
    )
    assert served.rmse > 10 * pipeline.models["1.0.0"].metrics.rmse


def test_a_flight_that_left_on_time_hides_the_fault(pipeline: Pipeline) -> None:
    model = pipeline.models["3.0.0"].model
    assert model.predict(flight(departure_delay=0), delay_unit=SECONDS) == model.predict(flight(departure_delay=0))


def test_a_cancelled_flight_is_answered_with_a_number(pipeline: Pipeline) -> None:
    for trained in pipeline.models.values():
        answer = trained.model.predict(flight(departure_delay=None))
        assert math.isfinite(answer)
        assert -60 < answer < 120


@given(
    carrier=st.text(min_size=1, max_size=8),
    distance=st.floats(0, 1e5),
    hour=st.integers(0, 23),
    weekday=st.integers(0, 6),
    delay=st.none() | st.floats(-200, 5000),
)
def test_any_legal_flight_gets_a_finite_answer(
    carrier: str, distance: float, hour: int, weekday: int, delay: float | None
) -> None:
    model = LinearModel("9.9.9", 1.0, {"departure_delay": Number(1.0, 3.0)}, {"carrier": {"UA": -2.0}})
    asked = flight(carrier=carrier, distance=distance, hour=hour, weekday=weekday, departure_delay=delay)
    assert math.isfinite(model.predict(asked))


def test_an_artefact_read_back_is_the_same_model(pipeline: Pipeline) -> None:
    model = pipeline.models["2.0.0"].model
    again = LinearModel.from_bytes(model.to_bytes())
    assert again.to_bytes() == model.to_bytes()
    assert again.predict(flight()) == model.predict(flight())


def test_each_version_has_a_profile_of_what_it_learned_from(pipeline: Pipeline) -> None:
    made = pipeline.profile("2.0.0")
    features = {feature.name: feature for feature in made.features}
    assert sorted(features) == sorted([*prepare.FEATURES, "prediction"])
    assert (made.rows, len(made.starts)) == (len(pipeline.data.training), 45)
    assert all(reading.sums.missing == reading.sums.outside == 0 for reading in features.values())
    assert features["carrier"].binning.type == "string"
    other = {feature.name: feature for feature in pipeline.profile("1.0.0").features}
    carrier, same = features["carrier"], other["carrier"]
    assert same.model_copy(update={"importance": carrier.importance}) == carrier
    assert same.importance != carrier.importance, "it is of what each version makes of the feature"
    assert other["prediction"] != features["prediction"]


def test_evaluation_of_nothing_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ValueError, match="rows is empty"):
        evaluate(pipeline.models["1.0.0"].model, [])


def test_rmse_mae_and_bias_of_a_worked_example() -> None:
    found = summary([3.0, -4.0, 0.0, 1.0])
    assert (found.rmse, found.mae, found.bias) == (round(math.sqrt(6.5), 6), 2.0, 0.0)


def test_a_version_that_got_worse_does_not_pass(pipeline: Pipeline) -> None:
    worse, better = pipeline.models["1.0.0"], pipeline.models["2.0.0"]
    report = validate(worse, better, rows=pipeline.test_rows, test_digest="sha256:x")
    assert not report.passed
    assert report.margin < 0
    assert "not packaged" in report.sentence


def test_a_version_that_did_not_pass_is_not_packaged(pipeline: Pipeline, tmp_path: Path) -> None:
    failing = Pipeline(source())
    failing.__dict__["validations"] = {
        "2.0.0": validate(
            pipeline.models["1.0.0"], pipeline.models["2.0.0"], rows=pipeline.test_rows, test_digest="sha256:x"
        )
    }
    with pytest.raises(PackagingError, match=r"2\.0\.0 failed validation"):
        failing.package("2.0.0", parts=Parts(tmp_path / "none.txt", "base"), store=tmp_path)
    assert not any(tmp_path.iterdir())


def origin(**changes: object) -> Provenance:
    """A provenance; each test says only what differs."""
    return Provenance(
        **{
            "recipe": "1.0.0",
            "version": "1.0.0",
            "pipeline": "p",
            "git_commit": "abc",
            "data_digest": "sha256:d",
            "data": {},
            "model_digest": "sha256:m",
            "parameters": {"ridge": 1.0, "numbers": ["a", "b"]},
            "metrics": {"rmse": 2.5},
            "validation": {},
        }
        | changes  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"git_commit": "def"}, id="the code was committed anew"),
        pytest.param({"metrics": {"rmse": 2.6}}, id="the figures differ"),
        pytest.param({"recipe": "2.0.0-nodifference"}, id="another recipe"),
    ],
)
def test_a_bento_is_known_by_all_that_went_into_it(
    pipeline: Pipeline, tmp_path: Path, change: dict[str, object]
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("bentoml==1\n")
    model, parts = pipeline.models["1.0.0"], Parts(lock, "base")
    assert recipe_digest(origin(), model, parts) == recipe_digest(origin(), model, parts)
    assert recipe_digest(origin(**change), model, parts) != recipe_digest(origin(), model, parts)


def test_another_lock_or_base_is_another_bento(pipeline: Pipeline, tmp_path: Path) -> None:
    lock, other = tmp_path / "lock.txt", tmp_path / "other.txt"
    lock.write_text("bentoml==1\n")
    other.write_text("bentoml==2\n")
    model: Trained = pipeline.models["1.0.0"]
    digests = {
        recipe_digest(origin(), model, parts)
        for parts in (Parts(lock, "base"), Parts(other, "base"), Parts(lock, "other"))
    }
    assert len(digests) == 3


def test_labels_name_commit_data_parameters_and_figures() -> None:
    labels = origin().labels()
    assert labels["switchyard.dev/git-commit"] == "abc"
    assert labels["switchyard.dev/data-digest"] == "sha256:d"
    assert labels["switchyard.dev/parameters"] == "ridge=1.0 numbers=a,b"
    assert labels["switchyard.dev/metrics"] == "rmse=2.5"


def test_the_command_writes_a_report_for_each_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--out", str(tmp_path), "--only", "1.0.0", "--only", "3.0.0"]) == 0
    report = json.loads((tmp_path / "models/3.0.0/validation.json").read_text())
    assert report["passed"] is True
    assert report["against"] == "2.0.0"
    assert (tmp_path / "models/1.0.0/model.json").is_file()
    assert Reference.of_bytes((tmp_path / "models/1.0.0/profile.json").read_bytes()).rows > 10_000
    assert not (tmp_path / "models/2.0.0").exists()
    assert "may be served" in capsys.readouterr().out


def test_a_whole_run_is_known_again_by_its_inputs(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("bentoml==1")
    inputs = stamp.of_inputs(requirements=lock, base_image="base", out=tmp_path)
    assert inputs == stamp.of_inputs(requirements=lock, base_image="base", out=tmp_path)
    others = {
        stamp.of_inputs(requirements=lock, base_image="other", out=tmp_path),
        stamp.of_inputs(requirements=lock, base_image="base", out=tmp_path / "elsewhere"),
    }
    lock.write_text("bentoml==2")
    others.add(stamp.of_inputs(requirements=lock, base_image="base", out=tmp_path))
    assert len(others | {inputs}) == 4


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param("store/1.0.0.digest", id="a Bento that was not finished"),
        pytest.param("store/1.0.0", id="a Bento that was deleted"),
        pytest.param("out/models", id="the reports were deleted"),
        pytest.param("store/.inputs", id="a run that did not end"),
    ],
)
def test_a_run_of_which_something_is_missing_does_not_stand(tmp_path: Path, gone: str) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    (store / "1.0.0").mkdir(parents=True)
    (store / "1.0.0.digest").write_text("sha256:x")
    (store / ".inputs").write_text("sha256:y")
    (out / "models").mkdir(parents=True)
    assert stamp.stands(store, out, recipes=["1.0.0"], inputs="sha256:y")
    assert not stamp.stands(store, out, recipes=["1.0.0"], inputs="sha256:z")
    missing = tmp_path / gone
    missing.rmdir() if missing.is_dir() else missing.unlink()
    assert not stamp.stands(store, out, recipes=["1.0.0"], inputs="sha256:y")
