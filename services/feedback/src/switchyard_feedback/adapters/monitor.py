"""The monitor over HTTP: what became of a prediction."""

from __future__ import annotations

from pathlib import Path

import httpx

from switchyard_feedback.errors import MonitorUnavailable
from switchyard_feedback.ports import Answer


class HttpMonitor:
    """The monitor port on the monitor's API, with feedback's own token for it."""

    def __init__(self, client: httpx.AsyncClient, *, token_file: Path) -> None:
        self._client = client
        self._token_file = token_file

    async def prediction(self, *, subject: str, prediction_id: str, row: int) -> Answer:
        """Ask for one row of a prediction."""
        try:
            token = self._token_file.read_text(encoding="utf-8").strip()  # a rotated token holds at once
            response = await self._client.get(
                f"/v1/deployments/{subject}/predictions/{prediction_id}",
                params={"row": row},
                headers={"authorization": f"Bearer {token}"},
            )
            return Answer(response.status_code, response.json())
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise MonitorUnavailable(f"the monitor does not answer ({type(error).__name__})") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
