"""What lint finds: the faults that the API server and the operator would find, before anything is sent."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from switchyard_cli import documents
from switchyard_cli.errors import Unreadable
from switchyard_cli.linting import Finding, lint
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_profile import training
from switchyard_testkit.cli_world import Shell, document
from switchyard_testkit.merge_patch import merge_patch
from switchyard_testkit.rollout_world import MONITORING, SPEC, Simulation

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "manifests" / "samples"
BAD = yaml.safe_load((ROOT / "tests" / "contract" / "bad_samples" / "samples.yaml").read_text(encoding="utf-8"))

PROFILE = training.reference(
    {"x": [0.1, 2.5e-7, 1e300], "delay": [1, 2, 3]}, options=training.Options(prediction="delay")
)


def found(text: str) -> list[Finding]:
    return lint(documents.parse(text, file="delay.yaml"))


def written(body: Any) -> list[Finding]:
    return found(yaml.safe_dump(body))


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*.yaml")))
def test_a_good_sample_has_no_fault(sample: str) -> None:
    assert lint(documents.read([str(SAMPLES / sample)], stdin=open_nothing())) == []


def open_nothing() -> Any:
    return (SAMPLES / "minimal.yaml").open(encoding="utf-8")


@pytest.mark.parametrize("case", BAD, ids=[case["id"] for case in BAD])
def test_what_the_api_server_refuses_is_found_at_the_same_field(case: dict[str, Any]) -> None:
    good = yaml.safe_load((SAMPLES / case["sample"]).read_text(encoding="utf-8"))
    findings = written(merge_patch(good, case["change"]))
    place = case["says"][0]
    assert any(item.path.startswith(place) or place.startswith(item.path) for item in findings), findings


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        pytest.param({"apiVersion": "switchyard.dev/v1"}, "apiVersion", "write switchyard.dev/v1alpha1", id="version"),
        pytest.param({"kind": "ModelRoute"}, "kind", "written by the operator", id="a kind that people do not write"),
        pytest.param({"kind": "ModelDeploymnt"}, "kind", "is not known; write ModelDeployment", id="a misspelt kind"),
        pytest.param({"sepc": {}}, "sepc", "no such field", id="a misspelt top"),
        pytest.param({"spec": None}, "spec", "required", id="no spec"),
        pytest.param({"metadata": None}, "metadata", "required", id="no metadata"),
        pytest.param({"metadata": {"name": None}}, "metadata.name", "required", id="no name"),
        pytest.param({"metadata": {"name": "Delay"}}, "metadata.name", "'Delay' is not a name; use lower", id="case"),
        pytest.param({"metadata": {"name": "d" * 46}}, "metadata.name", "46 characters; at most 45", id="length"),
        pytest.param(
            {"spec": {"model": {"version": "2.0"}}},
            "spec.model.version",
            "'2.0' is not a semantic version; write three numbers, such as 1.3.0",
            id="a pattern is said as a remedy",
        ),
        pytest.param(
            {"spec": {"serving": {"port": 0}}}, "spec.serving.port", "0 is too small; write at least 1", id="too small"
        ),
        pytest.param(
            {"spec": {"serving": {"replicas": 1001}}}, "spec.serving.replicas", "1001 is too large", id="too large"
        ),
        pytest.param(
            {"spec": {"strategy": {"type": "Rolling"}}},
            "spec.strategy.type",
            "'Rolling' is not known; write 'BlueGreen'",
            id="an unknown choice lists the known",
        ),
        pytest.param(
            {"spec": {"serving": {"replica": 2}}}, "spec.serving.replica", "(it is 2)", id="the value is shown"
        ),
    ],
)
def test_a_fault_names_field_value_and_remedy(change: dict[str, Any], path: str, words: str) -> None:
    body = merge_patch(document(SPEC), change)
    matching = [item for item in written(body) if item.path == path]
    assert matching
    assert words in str(matching[0])


def test_a_finding_names_file_line_and_document() -> None:
    good = yaml.safe_dump(document(SPEC, name="arrival"))
    text = f"{good}---\n---\n{good.replace('arrival', 'delay').replace('replicas: 2', 'replicas: two')}"
    (finding,) = found(text)
    assert text.splitlines()[finding.line - 1].strip() == "replicas: two"
    assert str(finding).startswith(f"delay.yaml:{finding.line}: document 3 (ModelDeployment delay): spec.serving.repl")


def test_every_fault_of_a_file_is_found_at_once() -> None:
    body = merge_patch(document(SPEC), {"spec": {"serving": {"port": 0, "replicas": 0}, "model": {"version": "x"}}})
    assert {item.path for item in written(body)} == {"spec.serving.port", "spec.serving.replicas", "spec.model.version"}


def test_a_key_that_stands_twice_is_found_at_both_lines() -> None:
    text = yaml.safe_dump(document(SPEC)) + "spec: {model: {image: b}}\n"
    finding = found(text)[0]
    assert finding.path == "spec"
    assert f"again in line {len(text.splitlines())}" in finding.sentence


def test_a_name_that_stands_twice_is_found() -> None:
    good = yaml.safe_dump(document(SPEC))
    (finding,) = found(f"{good}---\n{good}")
    assert finding.sentence.startswith("'delay' is document 1 too")


def test_one_name_in_two_namespaces_is_fine() -> None:
    one, two = document(SPEC, namespace="a"), document(SPEC, namespace="b")
    assert found(f"{yaml.safe_dump(one)}---\n{yaml.safe_dump(two)}") == []


def test_what_is_not_ours_is_passed_over() -> None:
    assert written({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "anything": 1}) == []


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        pytest.param({"verb": "promote"}, "spec.rollout", id="promote without its rollout"),
        pytest.param({"verb": "retry"}, "spec.revision", id="retry without its revision"),
        pytest.param({"verb": "approve"}, "spec.rollout", id="approve without its rollout"),
        pytest.param({"verb": "abort", "rollout": "r.1", "gate": "a"}, "spec.gate", id="a gate for another verb"),
        pytest.param({"verb": "explode"}, "spec.verb", id="no such verb"),
    ],
)
def test_a_command_is_checked_too(spec: dict[str, Any], path: str) -> None:
    whole = {"deployment": "delay", "requestedBy": "ada", **spec}
    body = {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelCommand",
        "metadata": {"generateName": "delay-"},
        "spec": whole,
    }
    assert [item.path for item in written(body)] == [path]


LEAVES = (
    st.none() | st.booleans() | st.integers(-5, 200_000) | st.text(max_size=12) | st.sampled_from(["5%", "10m", "a"])
)
FIELDS = st.sampled_from(["model", "serving", "strategy", "analysis", "rollback", "suspend", "image", "metrics", "x"])
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4))


def bare(sentence: str) -> str:
    """Without the value that lint adds."""
    return re.sub(r" \(it is .*\)$", "", sentence, flags=re.DOTALL)


def accepted(spec: Any) -> set[str]:
    """What the operator would say."""
    try:
        acceptance.read(spec)
    except SpecRejected as error:
        return {bare(sentence.partition(": ")[2]) for sentence in error.sentences}
    return set()


@given(TREES.filter(lambda spec: spec is not None))
def test_lint_says_what_the_operator_says_and_no_more(spec: Any) -> None:
    assert {bare(item.sentence) for item in written(document({}) | {"spec": spec})} == accepted(spec)


def test_a_spec_that_is_empty_is_one_that_is_missing() -> None:
    (finding,) = written(document({}) | {"spec": None})
    assert str(finding).endswith("spec: this field is required")


def read_or_refused(text: str) -> tuple[list[documents.Document], str]:
    try:
        return documents.parse(text, file="delay.yaml"), ""
    except Unreadable as error:
        return [], str(error)


@given(st.text(max_size=200))
def test_any_text_is_either_read_or_refused_by_a_sentence(text: str) -> None:
    read, refusal = read_or_refused(text)
    assert not refusal or (refusal.startswith("delay.yaml") and "\n" not in refusal)
    lines = max(1, len(text.splitlines()))
    assert all(1 <= item.line <= lines + 1 for item in lint(read))


class TestFiles:
    def lint(self, *names: str, stdin: str = "") -> tuple[int, str]:
        said = Shell(Simulation({}), stdin=stdin)("lint", *names)
        return said.code, said.out + said.err

    def test_a_folder_is_read_whatever_the_depth(self, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "delay.yml").write_text(yaml.safe_dump(document(SPEC)), encoding="utf-8")
        (tmp_path / "arrival.yaml").write_text(yaml.safe_dump(document(SPEC, name="arrival")), encoding="utf-8")
        (tmp_path / "readme.md").write_text("{", encoding="utf-8")
        assert self.lint(str(tmp_path)) == (0, "2 resources are as they should be\n")

    def test_standard_input_is_read(self) -> None:
        assert self.lint("-", stdin=yaml.safe_dump(document(SPEC))) == (0, "1 resource is as it should be\n")

    def test_a_threshold_on_somebody_elses_number_is_said_to_be_no_test(self) -> None:
        name = str(SAMPLES / "prometheus.yaml")
        said = Shell(Simulation({}))("lint", name)
        line = Path(name).read_text(encoding="utf-8").splitlines().index("      promql:") + 1
        place = f"{name}:{line}: document 1 (ModelDeployment flight-delay): spec.analysis.metrics[3].promql"
        assert (said.code, said.out) == (0, "1 resource is as it should be\n")
        assert f"note: {place}: 'memory' is a threshold (max 85%) on a number from Prometheus" in said.err
        assert "no error budget (analysis.risk) covers it" in said.err

    def test_a_block_that_is_shorter_than_a_window_is_said_to_be_one(self, tmp_path: Path) -> None:
        text = (SAMPLES / "canary.yaml").read_text(encoding="utf-8")
        assert "block: 1d" in text
        file = tmp_path / "canary.yaml"
        for block, told in (("1d", ""), ("4s", "monitoring.window is longer, so that pairs are compared by 5m")):
            file.write_text(text.replace("block: 1d", f"block: {block}"), encoding="utf-8")
            said = Shell(Simulation({}))("lint", str(file))
            assert said.code == 0
            assert (told in said.err) if told else ("analysis.block" not in said.err)

    def test_a_deployment_without_a_profile_is_told_what_it_misses(self) -> None:
        said = Shell(Simulation({}), stdin=yaml.safe_dump(document(SPEC | {"monitoring": MONITORING})))("lint", "-")
        assert (said.code, said.out) == (0, "1 resource is as it should be\n")
        assert "spec.monitoring.reference: no profile is named, so X and Y are not profiled" in said.err
        assert "with switchyard-profile" in said.err

    @pytest.mark.parametrize(
        ("monitoring", "says"),
        [
            pytest.param({"reference": PROFILE.digest}, [], id="the profile that is named"),
            pytest.param({}, ["spec.monitoring.reference: no profile is named", PROFILE.digest], id="not named yet"),
            pytest.param(
                {"reference": f"sha256:{'0' * 64}"},
                [f"spec.monitoring.reference: the file's profile is {PROFILE.digest}"],
                id="another one is named",
            ),
            pytest.param(
                {"reference": PROFILE.digest, "features": [{"name": "mass", "path": "$.mass"}]},
                [f"spec.monitoring.features: mass is not in the profile {PROFILE.digest}, which has x"],
                id="a feature that it has not",
            ),
        ],
    )
    @pytest.mark.parametrize("indent", [None, 2])
    def test_a_profile_is_held_against_the_file(
        self, tmp_path: Path, monitoring: dict[str, Any], says: list[str], indent: int | None
    ) -> None:
        path = tmp_path / "profile.json"
        path.write_text(json.dumps(json.loads(PROFILE.to_bytes()), indent=indent), encoding="utf-8")
        text = yaml.safe_dump(document(SPEC | {"monitoring": MONITORING | monitoring}))
        said = Shell(Simulation({}), stdin=text)("lint", "-", "--profile", str(path))
        assert (said.code, said.out) == (0, "1 resource is as it should be\n")
        assert [words for words in says if words not in said.err] == []
        assert ("spec.monitoring" in said.err) is bool(says)

    def test_classes_in_the_profile_of_a_regression_are_noted(self, tmp_path: Path) -> None:
        made = training.reference({"x": [1, 2], "y": ["no", "yes"]}, options=training.Options(prediction="y"))
        (tmp_path / "profile.json").write_bytes(made.to_bytes())
        text = yaml.safe_dump(document(SPEC | {"monitoring": MONITORING | {"reference": made.digest}}))
        said = Shell(Simulation({}), stdin=text)("lint", "-", "--profile", str(tmp_path / "profile.json"))
        assert "spec.monitoring.prediction.task: it is regression, and Y of the profile" in said.err

    @pytest.mark.parametrize("content", [b"{", b"[]", b'{"format": "switchyard.dev/profile.v9"}', b'{"features": [1]}'])
    def test_what_is_no_profile_is_a_sentence(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "profile.json").write_bytes(content)
        code, said = self.lint("-", "--profile", str(tmp_path / "profile.json"), stdin=yaml.safe_dump(document(SPEC)))
        assert code == 1
        assert "this is no profile of this release" in said

    def test_a_fault_is_exit_code_1(self) -> None:
        code, said = self.lint("-", stdin=yaml.safe_dump(document({"model": {}})))
        assert code == 1
        assert said.startswith("standard input:")
        assert "spec.model.image: this field is required" in said

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            pytest.param(b"a: [", r"line \d+, column \d+: this is no YAML", id="broken"),
            pytest.param(b"\xff\xfe", "not UTF-8 at byte 0", id="not UTF-8"),
            pytest.param(b"a: 1", "no resource of ours among 1 document;", id="nothing of ours"),
            pytest.param(b"", "no resource of ours among 0 documents", id="empty"),
            pytest.param(b"a: !!python/name:os.system x", "this is no YAML", id="a tag that would run code"),
        ],
    )
    def test_what_is_no_resource_is_a_sentence(self, tmp_path: Path, content: bytes, words: str) -> None:
        path = tmp_path / "delay.yaml"
        path.write_bytes(content)
        code, said = self.lint(str(path))
        assert code == 1
        assert re.search(words, said)

    def test_a_file_that_is_not_there_is_a_sentence(self) -> None:
        assert self.lint("/nowhere.yaml") == (1, "error: /nowhere.yaml: No such file or directory\n")

    def test_a_folder_without_yaml_is_a_sentence(self, tmp_path: Path) -> None:
        code, said = self.lint(str(tmp_path))
        assert (code, "has no file that ends in" in said) == (1, True)
