"""Webhooks of gates and of trainers: one POST, signed where the operator was given a key. A gate's answer decides.

The signature is `sha256=` and the HMAC-SHA-256, in hex, of `<timestamp>.<body>`; the timestamp is sent beside it, so
that whoever is asked can refuse what is old. A redirect is not followed: who decides is who the spec names.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import datetime, timedelta

import httpx
from switchyard_contracts.alarm_records import AlarmRecord
from switchyard_contracts.canonical import canonical

from switchyard_operator.domain import reviews
from switchyard_operator.domain.gates import Answer, State
from switchyard_operator.domain.reviews import Review

MOST_BYTES = 65_536
"""Of an answer; what is longer is no decision."""
NO_ADDRESS = (httpx.InvalidURL, UnicodeError)
"""Raised for a URL that has the form of one and names no host that can be: an empty label, or one of 64 letters."""


class HttpWebhooks:
    """`ports.Webhooks` over HTTP."""

    def __init__(self, http: httpx.Client, *, key: Callable[[], str], clock: Callable[[], datetime]) -> None:
        """`key` is read anew for each question; empty where nothing is signed."""
        self._http = http
        self._key = key
        self._clock = clock

    def ask(self, url: str, review: Review, *, timeout: timedelta) -> Answer:
        """One try."""
        body = canonical(review.body)
        seconds, host = timeout.total_seconds(), url
        try:
            host = httpx.URL(url).host
            with self._http.stream(
                "POST",
                url,
                content=body,
                headers=headers(review.key, body, key=self._key(), now=self._clock()),
                timeout=httpx.Timeout(seconds, connect=min(seconds, 3.0)),
                follow_redirects=False,
            ) as response:
                text = self._read(response, within=timeout)
                return reviews.answered(response.status_code, _document(text), host=host)
        except httpx.ConnectTimeout:
            return Answer(State.ERROR, f"{host} cannot be reached: it does not take the connection")
        except httpx.TimeoutException:
            return Answer(State.WAITING, f"{host} has not answered within {seconds:g}s")
        except httpx.HTTPError as error:
            return Answer(State.ERROR, f"{host} cannot be asked: {type(error).__name__}")
        except NO_ADDRESS as error:
            return Answer(State.ERROR, f"webhook.url: {url} is no address ({error}); mend it")

    def _read(self, response: httpx.Response, *, within: timedelta) -> bytes:
        """The whole answer; one that drips for longer than it may is as late as one that never began."""
        began, found = self._clock(), b""
        for chunk in response.iter_bytes():
            found += chunk
            if len(found) > MOST_BYTES:
                return b""
            if self._clock() - began > within:
                raise httpx.ReadTimeout("the answer takes too long")
        return found


class HttpTrainers:
    """`ports.Trainers` over HTTP: a POST of the request as the topic has it, signed as a gate's question is."""

    def __init__(self, http: httpx.Client, *, key: Callable[[], str], clock: Callable[[], datetime]) -> None:
        """`key` is read anew for each try; empty where nothing is signed."""
        self._http = http
        self._key = key
        self._clock = clock

    def tell(self, url: str, request: AlarmRecord, *, timeout: timedelta) -> str:
        """One try."""
        body = canonical(request.model_dump(mode="json", by_alias=True))
        seconds, host = timeout.total_seconds(), url
        try:
            host = httpx.URL(url).host
            with self._http.stream(
                "POST",
                url,
                content=body,
                headers=headers(request.id, body, key=self._key(), now=self._clock()),
                timeout=httpx.Timeout(seconds, connect=min(seconds, 3.0)),
                follow_redirects=False,
            ) as response:
                return "" if response.is_success else f"{host} answered {response.status_code}"
        except httpx.TimeoutException:
            return f"{host} has not answered within {seconds:g}s"
        except httpx.HTTPError as error:
            return f"{host} cannot be told: {type(error).__name__}"
        except NO_ADDRESS as error:
            return f"monitoring.retrain.webhook.url: {url} is no address ({error}); mend it"


def headers(idempotency: str, body: bytes, *, key: str, now: datetime) -> dict[str, str]:
    """What is sent beside a body: the name by which it is known when it comes twice and, with a key, who says it."""
    found = {"Content-Type": "application/json", "Idempotency-Key": idempotency, "User-Agent": "switchyard-operator"}
    if not key:
        return found
    sent = str(int(now.timestamp()))
    mac = hmac.new(key.encode(), f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
    return found | {"X-Switchyard-Timestamp": sent, "X-Switchyard-Signature": f"sha256={mac}"}


def _document(text: bytes) -> object:
    try:
        found: object = json.loads(text)
    except ValueError:
        return None
    return found
