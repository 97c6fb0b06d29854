"""The monitor's page on the cluster: what the operator decided comes by Kafka, and a token of the API opens it."""

from __future__ import annotations

import httpx
import pytest
from switchyard_testkit.install import Installation
from switchyard_testkit.models import Models
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(240)
SERVING = {"serving": {"paths": ["/predict"], "timeout": "10s", "port": 3000}}


def page(installation: Installation, subject: str) -> str:
    """The page of a deployment, to somebody who logs in."""
    with httpx.Client(base_url=installation.monitor, follow_redirects=True, timeout=30) as browser:
        browser.post(
            "/page/login", data={"token": installation.monitor_token}, headers={"origin": installation.monitor}
        ).raise_for_status()
        answer = browser.get(f"/page/deployments/{subject}")
    return answer.text if answer.status_code == httpx.codes.OK else ""


def test_the_page_tells_of_each_rollout_what_the_operator_decided(models: Models) -> None:
    for version in ("1.0.0", "2.0.0"):
        models.apply("delay", env={"VERSION": version}, spec=SERVING)
        status = models.serving("delay", version)
    expected = (
        "Version <strong>2.0.0</strong> is stable.",
        status["rollout"]["id"],
        "<strong>Promoted</strong>",
        "<strong>Deployed</strong>",
    )

    def missing() -> list[str]:
        text = page(models.installation, models.subject("delay"))
        return [words for words in expected if words not in text]

    until(lambda: not missing(), "the page tells of both rollouts", seconds=90)
