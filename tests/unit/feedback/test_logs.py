"""What feedback's log is found by: the deployment, and the prediction where a line is about one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from switchyard_feedback.adapters.bus import KafkaLog
from switchyard_feedback.ports import Record
from switchyard_testkit.feedback import MemoryMonitor, application


def test_a_prediction_that_the_monitor_could_not_be_asked_for_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with TestClient(application(tmp_path, monitor=MemoryMonitor(None))) as client:
        client.get("/v1/shop/delay/predictions/p-1", headers={"authorization": "Bearer right"})
    (said,) = (record.__dict__ for record in caplog.records if "does not answer" in record.getMessage())
    assert (said["deployment"], said["prediction"]) == ("shop/delay", "p-1")


@pytest.mark.parametrize(
    ("ids", "prediction"),
    [
        pytest.param(["p-1"], "p-1", id="one record"),
        pytest.param(["p-1", "p-2"], None, id="records of several predictions have no one name"),
    ],
)
def test_what_kafka_has_no_room_for_is_named(
    caplog: pytest.LogCaptureFixture, ids: list[str], prediction: str | None
) -> None:
    records = [Record(key=f"shop/delay/{one}".encode(), value=b"{}") for one in ids]

    async def append() -> list[bool]:
        log = KafkaLog({}, timeout=1, max_pending=0)
        try:
            return await log.append(records)
        finally:
            await log.close()

    assert asyncio.run(append()) == [False] * len(ids)
    (said,) = (record.__dict__ for record in caplog.records if "refused" in record.getMessage())
    assert (said["deployment"], said.get("prediction")) == ("shop/delay", prediction)
