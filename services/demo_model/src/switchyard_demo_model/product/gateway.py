"""The two calls a product makes: ask the gateway, tell the feedback service. No call is ever made twice.

A client that retries hides exactly what the demo wants to see, so what fails here stays failed.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from switchyard_demo_model.product.ledger import Answer
from switchyard_demo_model.serving.flight import Flight

ACCEPTED = 202


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the deployment answers, and where feedback goes."""

    predict: str  # http://<gateway>/<namespace>/<name>/predict
    feedback: str  # http://<feedback>/v1/<namespace>/<name>
    token: str  # bearer token of the feedback service


class CallFailed(Exception):
    """A call did not go as it must; the message says how."""


async def ask(session: aiohttp.ClientSession, addresses: Addresses, flight: Flight, *, number: int) -> Answer:
    """One prediction, checked: status, id, revision and version, and a finite number."""
    started, at = time.perf_counter(), time.time()
    try:
        async with session.post(addresses.predict, json={"flight": flight.model_dump()}) as response:
            body = await response.read()
            status, headers = response.status, response.headers
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CallFailed(f"{type(error).__name__}: {error}") from error
    seconds = time.perf_counter() - started
    if status != 200:
        raise CallFailed(f"status {status}: {body[:200].decode(errors='replace')}")
    return Answer(
        number=number,
        prediction_id=header(headers, "x-prediction-id"),
        version=header(headers, "x-model-version"),
        revision=header(headers, "x-model-revision"),
        delay=delay_in(body),
        seconds=seconds,
        at=at,
    )


def header(headers: Mapping[str, str], name: str) -> str:
    """The header's value, which must be there."""
    value = headers.get(name)
    if not value:
        raise CallFailed(f"the answer has no {name}")
    return value


def delay_in(body: bytes) -> float:
    """The number in the answer, which must be finite."""
    try:
        delay = json.loads(body)["delay"]
    except (ValueError, KeyError, TypeError) as error:
        raise CallFailed(f"the answer is not a delay: {body[:200].decode(errors='replace')}") from error
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not math.isfinite(delay):
        raise CallFailed(f"the delay in the answer is {delay!r}, not a finite number")
    return float(delay)


async def tell(
    session: aiohttp.ClientSession, addresses: Addresses, what: str, items: Sequence[Mapping[str, Any]]
) -> None:
    """Send decisions or outcomes in one batch."""
    try:
        async with session.post(
            f"{addresses.feedback}/{what}",
            json={"items": list(items)},
            headers={"authorization": f"Bearer {addresses.token}"},
        ) as response:
            body = await response.read()
            status = response.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CallFailed(f"{type(error).__name__}: {error}") from error
    if status not in (200, ACCEPTED):
        raise CallFailed(f"status {status}: {body[:300].decode(errors='replace')}")
