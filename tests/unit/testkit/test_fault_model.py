"""The model of the cluster tests is healthy unless told otherwise, and then wrong in just the way it was told."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from switchyard_testkit.images.recipes import FAULT_MODEL


def load() -> ModuleType:
    """The image's one file, which lies in no package."""
    spec = importlib.util.spec_from_file_location("fault_model", FAULT_MODEL.dockerfile.parent / "fault_model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["fault_model"] = module
    spec.loader.exec_module(module)
    return module


MODEL: Any = load()
FLIGHT = {"flight": {"distance": 500}}


def served(**environ: str) -> TestClient:
    return TestClient(MODEL.application(MODEL.Faults.from_env(environ)))


def test_nothing_is_wrong_by_default() -> None:
    healthy = served()
    assert healthy.get("/livez").status_code == healthy.get("/readyz").status_code == 200
    assert healthy.get("/docs.json").json()["info"]["version"] == "1.0.0"
    assert [route["route"] for route in healthy.get("/schema.json").json()["routes"]] == ["/predict"]
    assert healthy.post("/predict", json=FLIGHT).json() == {"delay": 20.0, "version": "1.0.0"}


@pytest.mark.parametrize(
    ("flight", "delay"),
    [
        pytest.param({}, 0.0, id="nothing known"),
        pytest.param({"distance": None, "departure_delay": None}, 0.0, id="a cancelled flight"),
        pytest.param({"distance": 250, "departure_delay": 7}, 17.0, id="late already"),
    ],
)
def test_it_predicts_what_a_test_can_compute(flight: dict[str, Any], delay: float) -> None:
    assert served().post("/predict", json={"flight": flight}).json()["delay"] == delay


def test_bias_is_the_error_of_its_answers() -> None:
    assert served(BIAS="30").post("/predict", json=FLIGHT).json()["delay"] == 50.0


def test_never_ready_is_alive_all_the_same() -> None:
    sick = served(NEVER_READY="1")
    assert (sick.get("/livez").status_code, sick.get("/readyz").status_code) == (200, 503)


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"flight": 3}', b'{"flight": {"distance": []}}'])
def test_a_bad_request_is_the_callers_fault(body: bytes) -> None:
    answer = served(FAIL_RATE="1").post("/predict", content=body)
    assert answer.status_code == 400


def test_a_failing_model_fails_as_often_as_it_was_told() -> None:
    sick = served(FAIL_RATE="0.25")
    assert [sick.post("/predict", json=FLIGHT).status_code for _ in range(8)] == [200, 200, 200, 500] * 2


@given(rate=st.fractions(0, 1, max_denominator=1000), total=st.integers(0, 2000))
def test_of_any_number_of_requests_the_stated_share_fails(rate: Any, total: int) -> None:
    failed = sum(MODEL.fails(number, rate) for number in range(1, total + 1))
    assert failed == int(total * rate)
