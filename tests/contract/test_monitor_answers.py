"""What the monitor answers and shows does not depend on its database: the API and the page, word for word."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient
from switchyard_monitor.domain.evidence import METRICS
from switchyard_testkit import page_story
from switchyard_testkit.page_world import NEW, OLD, PageWorld
from switchyard_testkit.postgres import Postgres

DEPLOYMENT = "demo/flight-delay"
BASE = f"/v1/deployments/{DEPLOYMENT}"
QUESTION = f"revision={NEW}&against={OLD}&traffic=4,5,6&mirrored=3&margin=0.1&max=1"
PATHS = (
    "/v1/deployments",
    *(f"{BASE}/evidence?metric={metric}&{QUESTION}" for metric in sorted(METRICS)),
    *(f"{BASE}/{what}" for what in ("counts", "quality", "pairs", "ledger", "predictions/p3-1")),
    "/page/",
    f"/page/deployments/{DEPLOYMENT}",
)


def answers(folder: Path, url: str | None) -> dict[str, str]:
    """Each door's answer after the page's own story."""
    folder.mkdir()
    world = PageWorld(folder, url=url)
    page_story.tell(world)
    client = TestClient(world.app(), base_url="http://monitor")
    client.post("/page/login", data={"token": "all"}, headers={"origin": "http://monitor"})
    said = {path: client.get(path, headers={"authorization": "Bearer all"}) for path in PATHS}
    world.close()
    assert {path: answer.status_code for path, answer in said.items()} == dict.fromkeys(PATHS, 200)
    return {path: answer.text for path, answer in said.items()}


def test_both_databases_give_the_same_answers(postgres: Postgres, tmp_path: Path) -> None:
    ours = answers(tmp_path / "sqlite", None)
    theirs = answers(tmp_path / "postgres", postgres.up_to_date())
    for path, text in ours.items():
        assert theirs[path] == text, path
