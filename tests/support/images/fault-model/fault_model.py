"""A model for the cluster tests that speaks BentoML's surface and misbehaves as its environment says.

`POST /predict` with `{"flight": {"distance": 500, "departure_delay": 3}}` answers `{"delay": 23, "version": …}`: a
minute for each 25 miles, and the delay at departure. So a test knows what is right, and `BIAS` is the answer's error.
Both features may be absent or null. The server is uvicorn, as in a Bento, and as hasty to close idle connections.
"""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with this model. Nothing, by default."""

    version: str = "1.0.0"  # what /docs.json says
    fail_rate: float = 0.0  # share of predictions answered with 500, spread evenly and not by chance
    delay_ms: float = 0.0  # added to every prediction
    bias: float = 0.0  # added to every answer
    crash: bool = False  # exits at once with code 3
    never_ready: bool = False  # alive, but /readyz says 503 for good
    port: int = 3000

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Faults":
        """Read VERSION, FAIL_RATE, DELAY_MS, BIAS, CRASH, NEVER_READY and PORT; what is not set is not wrong."""
        healthy = cls()
        return cls(
            version=environ.get("VERSION", healthy.version),
            fail_rate=float(environ.get("FAIL_RATE", healthy.fail_rate)),
            delay_ms=float(environ.get("DELAY_MS", healthy.delay_ms)),
            bias=float(environ.get("BIAS", healthy.bias)),
            crash=environ.get("CRASH") == "1",
            never_ready=environ.get("NEVER_READY") == "1",
            port=int(environ.get("PORT", healthy.port)),
        )


def prediction(flight: Mapping[str, Any], bias: float) -> float:
    """The right answer, and then the bias."""
    distance, late = (
        0.0 if flight.get(name) is None else float(flight[name]) for name in ("distance", "departure_delay")
    )
    return distance / 25 + late + bias


def flight_of(body: bytes) -> Mapping[str, Any]:
    """The flight of a request; raises ValueError where there is none, which is the caller's mistake."""
    request = json.loads(body)
    flight = request.get("flight") if isinstance(request, dict) else None
    if not isinstance(flight, dict):
        raise ValueError('the body must be {"flight": {…}}')
    return flight


def fails(request: int, rate: float) -> bool:
    """Whether the n-th prediction, from 1, is one of the failures: exactly `rate` of a long run, at even distances."""
    return int(request * rate) > int((request - 1) * rate)


def surface(version: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """`/docs.json` and `/schema.json`, as far as anybody reads them."""
    number = {"type": "number", "nullable": True}
    flight = {"type": "object", "properties": {"distance": number, "departure_delay": number}}
    features = {"type": "object", "required": ["flight"], "properties": {"flight": flight}}
    answer = {"type": "object", "properties": {"delay": {"type": "number"}, "version": {"type": "string"}}}
    operation = {
        "x-bentoml-name": "predict",
        "operationId": "fault_model__predict",
        "requestBody": {"required": True, "content": {"application/json": {"schema": features}}},
        "responses": {"200": {"description": "A prediction", "content": {"application/json": {"schema": answer}}}},
    }
    docs = {
        "openapi": "3.0.2",
        "info": {"title": "fault_model", "version": version},
        "servers": [{"url": "."}],
        "paths": {
            "/predict": {"post": operation},
            "/livez": {"get": {"responses": {"200": {"description": "Alive"}}}},
            "/readyz": {"get": {"responses": {"200": {"description": "Ready"}}}},
        },
    }
    schema = {
        "name": "fault_model",
        "type": "service",
        "routes": [{"name": "predict", "route": "/predict", "batchable": False, "input": features, "output": answer}],
        "paths": {"/predict": {"mounted": False}},
    }
    return docs, schema


def application(faults: Faults) -> Starlette:
    """The model as an ASGI application."""
    docs, schema = surface(faults.version)
    requests = count(1)

    async def livez(_: Request) -> Response:
        return PlainTextResponse("\n")

    async def readyz(_: Request) -> Response:
        return PlainTextResponse("\n", status_code=503 if faults.never_ready else 200)

    async def predict(request: Request) -> Response:
        try:
            flight = flight_of(await request.body())
            answer = prediction(flight, faults.bias)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        await asyncio.sleep(faults.delay_ms / 1000)
        if fails(next(requests), faults.fail_rate):
            return JSONResponse({"error": "this model fails as FAIL_RATE says"}, status_code=500)
        return JSONResponse({"delay": answer, "version": faults.version})

    async def docs_json(_: Request) -> Response:
        return JSONResponse(docs)

    async def schema_json(_: Request) -> Response:
        return JSONResponse(schema)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/healthz", livez),
            Route("/readyz", readyz),
            Route("/docs.json", docs_json),
            Route("/schema.json", schema_json),
            Route("/predict", predict, methods=["POST"]),
        ]
    )


def main() -> int:
    """Serve until told to stop, or not at all."""
    faults = Faults.from_env(os.environ)
    if faults.crash:
        print("fault-model: CRASH=1, so it ends here", file=sys.stderr)
        return 3
    uvicorn.run(application(faults), host="0.0.0.0", port=faults.port, log_level="warning", access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
