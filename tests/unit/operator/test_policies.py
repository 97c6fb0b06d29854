"""The example of a policy engine's policy speaks of the pods that the operator really makes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from switchyard_contracts.gates import Gate
from switchyard_contracts.model_deployment import Serving
from switchyard_contracts.model_revision import ModelRevisionSpec, ModelRevisionStatus, PodShape
from switchyard_operator.domain import jobs, workloads
from switchyard_operator.domain.world import Body, Revision
from switchyard_testkit.rollout_world import NOON

POLICIES = Path(__file__).resolve().parents[3] / "manifests" / "policies"
REVISION = Revision(
    name="delay-0123456789",
    uid="uid-1",
    created_at=NOON,
    resource_version="1",
    spec=ModelRevisionSpec(
        deployment="delay", model_hash="0" * 10, pod_hash="0" * 10, pod=PodShape(image="registry.example/delay:1")
    ),
    status=ModelRevisionStatus(),
)


def model() -> Body:
    found = workloads.bodies("airport", REVISION, replicas=1, serving=Serving())
    return next(body for body in found if body["kind"] == "Deployment")


def evaluation() -> Body:
    gate = Gate.model_validate({"name": "o", "type": "OfflineEvaluation", "offlineEvaluation": {"image": "e:1"}})
    assert gate.offline_evaluation
    return jobs.body("airport", gate, gate.offline_evaluation, target=REVISION, stable=None)


@pytest.mark.parametrize("body", [model(), evaluation()], ids=["a model's", "an offline evaluation's"])
def test_the_policy_is_for_the_operators_pods(body: Body) -> None:
    policy = yaml.safe_load((POLICIES / "verify-images-kyverno.yaml").read_text(encoding="utf-8"))
    (rule,) = policy["spec"]["rules"]
    (match,) = rule["match"]["any"]
    assert match["resources"]["kinds"] == ["Pod"]
    wanted = match["resources"]["selector"]["matchLabels"]
    labels = body["spec"]["template"]["metadata"]["labels"]
    assert wanted
    assert wanted.items() <= labels.items()


def test_it_changes_no_pod_and_lets_no_unsigned_one_in() -> None:
    policy = yaml.safe_load((POLICIES / "verify-images-kyverno.yaml").read_text(encoding="utf-8"))
    (check,) = policy["spec"]["rules"][0]["verifyImages"]
    assert (check["mutateDigest"], check["required"], check["failureAction"]) == (False, True, "Enforce")
