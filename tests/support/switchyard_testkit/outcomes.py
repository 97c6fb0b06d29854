"""Outcomes for the answers of a load, and decisions: told to the feedback door a little later."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import httpx

from switchyard_testkit.install import Installation
from switchyard_testkit.load import Traffic

BATCH = 500


class Outcomes:
    """Sends X′ = `truth` plus seeded noise for every answer of a traffic, `delay` seconds after it, until stopped.

    Where people decide, it sends Y′ before it: yes for the share `assent` of the answers, by a person or by a rule.
    What is not taken is sent again, word for word, for `patience` seconds, as a product does whose outcomes matter;
    then, and at once without patience, it is a refusal.
    """

    def __init__(
        self,
        installation: Installation,
        subject: str,
        traffic: Traffic,
        *,
        truth: float,
        delay: float,
        seed: int,
        patience: float = 0.0,
        assent: float | None = None,
    ) -> None:
        self.sent = 0
        self.sent_again = 0
        self.refusals: list[str] = []
        self._installation, self._subject, self._traffic = installation, subject, traffic
        self._truth, self._delay, self._random = truth, delay, random.Random(seed)
        self._patience, self._assent = patience, assent
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outcomes", daemon=True)

    def __enter__(self) -> Outcomes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=60)

    def _run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._stop.is_set():
                due = time.time() - self._delay
                waiting = self._traffic.tally.answers[self.sent : self.sent + BATCH]
                batch = [answer for answer in waiting if answer.at <= due]
                if not batch:
                    self._stop.wait(0.1)
                    continue
                self._send(client, [answer.prediction_id for answer in batch])
                self.sent += len(batch)

    def _send(self, client: httpx.Client, ids: list[str]) -> None:
        now = datetime.now(UTC).isoformat()
        if self._assent is not None:
            self._tell(client, "decisions", [self._decision(one, now, self._assent) for one in ids])
        happened = [{"predictionId": one, "value": self._truth + self._random.gauss(0, 1), "at": now} for one in ids]
        self._tell(client, "outcomes", happened)

    def _decision(self, prediction_id: str, now: str, assent: float) -> dict[str, object]:
        actor = {"kind": self._random.choice(("human", "rule"))}
        return {"predictionId": prediction_id, "value": self._random.random() < assent, "at": now, "actor": actor}

    def _tell(self, client: httpx.Client, kind: str, items: Sequence[Mapping[str, object]]) -> None:
        until = time.monotonic() + self._patience
        while wrong := self._refused(client, kind, items):
            if time.monotonic() >= until:
                self.refusals.append(wrong)
                return
            self.sent_again += 1
            time.sleep(0.5)

    def _refused(self, client: httpx.Client, kind: str, items: Sequence[Mapping[str, object]]) -> str:
        """One try; what was wrong, or nothing."""
        try:
            answer = client.post(
                f"{self._installation.feedback}/v1/{self._subject}/{kind}",
                json={"items": items},
                headers={"authorization": f"Bearer {self._installation.feedback_token}"},
            )
        except httpx.HTTPError as error:
            return f"no answer, {type(error).__name__}: {error}"
        return f"{answer.status_code}: {answer.text[:300]}" if answer.status_code >= 300 else ""
