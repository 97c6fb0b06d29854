"""The door: POST Y′ and X′, DELETE a prediction, GET what became of one.

A request's items are all right, or none is taken (422 names each fault). What is answered with 202 is in Kafka, on
every replica. When Kafka does not confirm in time the answer is 503 and says which items are in it; sending the same
request again is safe, because the same item is the same event.
"""

# No `from __future__ import annotations` here: FastAPI reads the handlers' annotations, some of which are local names.

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from switchyard_contracts.events import CloudEvent, EventType

from switchyard_feedback import labels
from switchyard_feedback.errors import Fault, MonitorUnavailable, Refused
from switchyard_feedback.items import read
from switchyard_feedback.metrics import Metrics
from switchyard_feedback.ports import Log, Monitor
from switchyard_feedback.problems import problem
from switchyard_feedback.tokens import Tokens

log = logging.getLogger(__name__)

RETRY_AFTER = "5"
"""Seconds after which a client may try again when Kafka is silent."""

Namespace = Annotated[str, Path(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Name = Annotated[str, Path(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
PredictionPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
PATH_REMEDIES = {
    "namespace": "use the namespace of a ModelDeployment: a-z 0-9 -",
    "name": "use the name of a ModelDeployment: a-z 0-9 -",
    "prediction_id": "use the x-prediction-id of the answer: 1 to 128 of the characters A-Z a-z 0-9 . _ : -",
    "row": "write a whole number from 0 to 1000000",
}


class Accepted(BaseModel):
    """What was taken: how many items, and the id of each one's event, in their order."""

    accepted: int
    events: list[str]


class Caller(BaseModel):
    """Who speaks, and about which deployment."""

    subject: str
    token: str


def create_app(
    *,
    tokens: Tokens,
    events: Log,
    monitor: Monitor | None,
    metrics: Metrics,
    max_body: int,
    now: Callable[[], datetime],
) -> FastAPI:
    """The application; all that it needs is passed in."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await events.close()
        if monitor is not None:
            await monitor.close()

    app = FastAPI(
        title="Switchyard feedback",
        version="1",
        description=__doc__ or "",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )

    def caller(request: Request, namespace: Namespace, name: Name) -> Caller:
        """The caller, if its token may speak about this deployment."""
        scheme, _, presented = request.headers.get("authorization", "").partition(" ")
        token = tokens.find(presented.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise Refused(401, "Unauthorized", "send a known token as `Authorization: Bearer …`")
        subject = f"{namespace}/{name}"
        if not token.covers(subject):
            raise Refused(
                403,
                "Forbidden",
                f"the token {token.name!r} may not speak about {subject}; add it to the token's deployments",
            )
        request.state.deployment = subject
        return Caller(subject=subject, token=token.name)

    allowed = Annotated[Caller, Depends(caller)]

    async def publish(envelopes: Sequence[CloudEvent], *, kind: str) -> Response:
        began = time.monotonic()
        with metrics.waiting.track_inprogress():
            kept = await events.append([labels.record(envelope) for envelope in envelopes])
        metrics.kafka_seconds.observe(time.monotonic() - began)
        metrics.items.labels(kind, "accepted").inc(sum(kept))
        metrics.items.labels(kind, "unconfirmed").inc(len(kept) - sum(kept))
        if all(kept):
            accepted = Accepted(accepted=len(kept), events=[envelope.id for envelope in envelopes])
            return JSONResponse(accepted.model_dump(), status_code=202)
        return problem(
            503,
            "Kafka does not confirm",
            f"{sum(kept)} of {len(kept)} are safely stored, the others may be or not; send the same request again after"
            f" {RETRY_AFTER} s: the same item is the same event and is counted once",
            headers={"Retry-After": RETRY_AFTER},
            accepted=[index for index, each in enumerate(kept) if each],
            unconfirmed=[index for index, each in enumerate(kept) if not each],
        )

    async def take(request: Request, who: Caller, kind: EventType, name: str) -> Response:
        try:
            items = read(await _body(request, max_body))
        except Refused:
            metrics.items.labels(name, "refused").inc()
            raise
        envelopes = [labels.label(item, kind=kind, subject=who.subject, token=who.token) for item in items]
        return await publish(envelopes, kind=name)

    answers: dict[int | str, dict[str, Any]] = {202: {"model": Accepted}}

    @app.post("/v1/{namespace}/{name}/decisions", status_code=202, responses=answers, openapi_extra=_BODY)
    async def decisions(request: Request, who: allowed) -> Response:
        """Y′: what the human or the product really did."""
        return await take(request, who, EventType.DECISION, "decision")

    @app.post("/v1/{namespace}/{name}/outcomes", status_code=202, responses=answers, openapi_extra=_BODY)
    async def outcomes(request: Request, who: allowed) -> Response:
        """X′: the state of the world afterwards."""
        return await take(request, who, EventType.OUTCOME, "outcome")

    @app.delete("/v1/{namespace}/{name}/predictions/{prediction_id}", status_code=202, responses=answers)
    async def erase(prediction_id: PredictionPath, who: allowed) -> Response:
        """Erase a prediction's payload and labels; sums stay, and what comes later for this id is refused."""
        envelope = labels.deletion(prediction_id, subject=who.subject, token=who.token, now=now())
        return await publish([envelope], kind="deletion")

    @app.get("/v1/{namespace}/{name}/predictions/{prediction_id}")
    async def became(
        prediction_id: PredictionPath, who: allowed, row: Annotated[int, Query(ge=0, le=1_000_000)] = 0
    ) -> Response:
        """Whether a prediction arrived and was joined. Its values are the monitor's to show, to its own callers."""
        if monitor is None:
            raise Refused(
                501,
                "No monitor",
                "feedback was installed without a way to the monitor; set FEEDBACK_MONITOR_URL and"
                " FEEDBACK_MONITOR_TOKEN_FILE",
            )
        answer = await monitor.prediction(subject=who.subject, prediction_id=prediction_id, row=row)
        if answer.status == 200:
            return JSONResponse(_without_values(answer.body))
        if answer.status == 404:
            raise Refused(404, "Not found", f"the monitor knows no deployment {who.subject}")
        raise MonitorUnavailable(f"the monitor answered {answer.status}")

    _add_probes(app, metrics)
    _add_errors(app)
    _add_counting(app, metrics)
    return app


_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "example": {
                    "items": [{"predictionId": "1772452800000-7f…", "value": 12.5, "at": "2026-03-02T12:00:00Z"}]
                }
            }
        },
    }
}


async def _body(request: Request, most: int) -> bytes:
    """The body, if it is JSON and not too large; what is too large is not read to its end."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise Refused(
            415,
            "Not JSON",
            f"content-type is {media or 'missing'}; send application/json",
            (_header("content-type", media),),
        )
    if encoding := request.headers.get("content-encoding", ""):
        raise Refused(
            415,
            "Encoded",
            f"content-encoding is {encoding}; send the body as it is",
            (Fault("content-encoding", encoding, "leave it out"),),
        )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def _header(name: str, value: str) -> Fault:
    return Fault(name, value or "missing", "send application/json")


def _too_large(most: int) -> Refused:
    return Refused(413, "Too large", f"the body has more than {most} bytes; send fewer items in a request")


def _without_values(state: Any) -> dict[str, Any]:
    """What became of a prediction, without X, Y, Y′ and X′ themselves."""
    told = {key: state.get(key) for key in ("predictionId", "row", "arrived", "joined", "erased")}
    for kind in ("decision", "outcome"):
        label = state.get(kind)
        told[kind] = {key: label.get(key) for key in ("at", "receivedAt", "versions")} if label else None
    return told


def _add_probes(app: FastAPI, metrics: Metrics) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> dict[str, str]:
        """Ready while it can answer. Kafka's silence is answered with 503 and a Retry-After, which no pod out of the
        Service could say."""
        return {"status": "ok"}

    @app.get("/metrics", include_in_schema=False)
    async def show() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
        return problem(error.status, error.title, error.detail, faults=error.faults, headers=headers)

    @app.exception_handler(MonitorUnavailable)
    async def unavailable(request: Request, error: MonitorUnavailable) -> Response:
        asked = request.path_params
        names = {
            "deployment": f"{asked.get('namespace')}/{asked.get('name')}",
            "prediction": asked.get("prediction_id"),
        }
        log.warning("%s", error, extra=names)
        detail = f"{error}; try again in {RETRY_AFTER} s"
        return problem(503, "No answer from the monitor", detail, headers={"Retry-After": RETRY_AFTER})

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        faults = []
        for each in error.errors():
            field = str(each["loc"][-1])
            faults.append(Fault(field, str(each.get("input"))[:80], PATH_REMEDIES.get(field, "correct it")))
        detail = f"{faults[0].field}: {faults[0].value!r}; {faults[0].remedy}"
        return problem(422, "Not a valid request", detail, faults=faults)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        if error.status_code in (404, 405):
            detail = (
                f"{request.method} {request.url.path[:200]} is nothing here; use POST /v1/<namespace>/<name>/decisions"
                " or /outcomes, GET or DELETE /v1/<namespace>/<name>/predictions/<id>"
            )
        return problem(error.status_code, "Not found" if error.status_code == 404 else "Refused", detail)


def _add_counting(app: FastAPI, metrics: Metrics) -> None:
    @app.middleware("http")
    async def count(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        metrics.answered(getattr(request.state, "deployment", ""), response.status_code)
        return response
