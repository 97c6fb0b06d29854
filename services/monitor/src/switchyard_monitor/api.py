"""The evidence API. Everything below /v1 needs a bearer token whose scope holds the deployment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import CollectorRegistry
from pydantic import AwareDatetime
from starlette.exceptions import HTTPException as AnyHttpError
from starlette.types import ASGIApp
from switchyard_contracts.alarm_records import AlarmBook, AlarmHead
from switchyard_contracts.evidence import Evidence
from switchyard_contracts.quantities import Duration

from switchyard_monitor import answers, segment_answers
from switchyard_monitor.auth import Finder
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.desk import DEPLOYMENT, AtDesk, Caller, Desk, Revision, Subject
from switchyard_monitor.domain import identity
from switchyard_monitor.domain.entries import Cell, PairCell
from switchyard_monitor.domain.evidence import COUNTED, METRICS, NAMES, answer
from switchyard_monitor.domain.paired import PAIRED
from switchyard_monitor.domain.rows import Question
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.drift_api import drifting
from switchyard_monitor.errors import StoreUnavailable
from switchyard_monitor.health import Health
from switchyard_monitor.models import Models, depends_on_decisions
from switchyard_monitor.pair_answers import PairCount, pair_counts
from switchyard_monitor.ports import NoAlarms, SaidAlarms, Store
from switchyard_monitor.rosters import Rosters, book

PROBLEM = "application/problem+json"
EARLIER_ROWS = 4000
"""Of the generations before the rollout, so many rows of sums at most are looked at, the latest generation's first."""

Generations = Annotated[str, Query(pattern=r"^[0-9]{1,12}(,[0-9]{1,12}){0,255}$", description="such as 3,4,5")]


def problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as RFC 9457 writes it."""
    body = {"type": "about:blank", "status": status, "title": title, "detail": detail}
    return JSONResponse(body, status_code=status, media_type=PROBLEM, headers=headers)


def create_app(
    *,
    store: Store,
    models: Models,
    tokens: Finder,
    health: Health,
    registry: CollectorRegistry,
    baselines: Baselines | None = None,
    page: ASGIApp | None = None,
    alarms: SaidAlarms | None = None,
    rosters: Rosters | None = None,
) -> FastAPI:
    """The application; with a page, that is mounted at /page, and / leads there."""
    app = FastAPI(title="Switchyard monitor", version="1", description=__doc__ or "", docs_url=None, redoc_url=None)
    baselines = baselines or Baselines(store)
    rosters = rosters or Rosters(models, baselines)
    app.state.desk = Desk(store, models, tokens, baselines, alarms or NoAlarms(), rosters, health)
    app.include_router(everything)
    app.include_router(deployment)
    app.include_router(drifting)
    _add_probes(app, store=store, health=health, registry=registry)
    _add_errors(app)
    if page is not None:
        app.add_api_route("/", _to_page, include_in_schema=False)
        app.mount("/page", page)
    return app


def _to_page() -> Response:
    return RedirectResponse("/page/", status_code=307)


everything = APIRouter(prefix="/v1")
deployment = APIRouter(prefix=DEPLOYMENT)


@everything.get("/deployments")
def deployments(desk: AtDesk, token: Caller) -> list[answers.Deployment]:
    """Every deployment that the token may ask about."""
    mark = answers.time(watermark(desk.store.positions()))
    known = sorted(set(desk.models.subjects()) | set(desk.store.deployments()))
    return [
        answers.Deployment(
            namespace=subject.partition("/")[0],
            name=subject.partition("/")[2],
            task=rule.task if (rule := desk.models.rule(subject)) else None,
            revisions=sorted({arm.revision for arm in desk.store.arms(subject).values()}),
            watermark=mark,
        )
        for subject in known
        if token.may(subject)
    ]


@everything.get("/alarms")
def alarm_heads(desk: AtDesk, token: Caller) -> list[AlarmHead]:
    """The newest record of alarms of every deployment that has any and that the token may ask about."""
    return [head for head in desk.alarms.heads() if token.may(head.deployment)]


@deployment.get("/alarms")
def alarms(
    desk: AtDesk,
    subject: Subject,
    limit: Annotated[int, Query(ge=1, le=500, description="so many of the newest records")] = 50,
) -> AlarmBook:
    """How each rule stands, what was said of alarms, newest first, and the newest request to retrain."""
    return book(desk.rosters.of(subject), desk.alarms.said(subject, limit=limit))


@deployment.get("/evidence")
def evidence(
    desk: AtDesk,
    subject: Subject,
    metric: Annotated[str, Query(max_length=64)],
    revision: Revision,
    against: Revision,
    traffic: Generations,
    margin: Annotated[float, Query(ge=0, le=100, allow_inf_nan=False)] = 0.0,
    limit: Annotated[float | None, Query(alias="max", gt=0, le=86400, allow_inf_nan=False)] = None,
    block: Annotated[Duration | None, Query(description="of pairs, such as 1d; default: the spec's")] = None,
    mirrored: Annotated[Generations | None, Query(description="in which stable's requests were to be mirrored")] = None,
    since: Annotated[
        AwareDatetime | None, Query(description="when the rollout began; a ModelRoute made anew counts from 1 again")
    ] = None,
) -> Evidence:
    """Sums of mature windows for one metric of one revision against another, in some ModelRoute generations.

    Where stable's requests were mirrored to the revision, `paired` holds the sums of pairs, in complete blocks of time.
    """
    if metric not in METRICS:
        raise HTTPException(422, f"metric: {metric!r} is not known; use one of {', '.join(sorted(METRICS))}")
    generations = _numbers(traffic)
    record = desk.models.record(subject)
    spec_block = record.analysis.block if record else None
    question = Question(
        subject,
        metric,
        revision,
        against,
        generations,
        margin,
        limit,
        block_us=round((block or spec_block or timedelta(days=1)).total_seconds() * 1_000_000),
        mirrored=_numbers(mirrored) if mirrored else (),
    )
    if desk.health.full:
        raise HTTPException(503, f"events are not read to their end, so nothing is judged: {desk.health.room}")
    # The watermark first: what is committed while we look can then only be newer than it says.
    positions = desk.store.positions()
    if stopped := [f"partition {held.partition}: {held.stopped}" for held in positions if held.stopped]:
        # Sums that stand still look like a candidate that nobody asks; it is the evidence that is missing.
        raise HTTPException(503, f"events are not read to their end, so nothing is judged: {'; '.join(stopped)}")
    mark = watermark(positions)
    arms = desk.store.arms(subject)
    asked = [n for n, arm in arms.items() if arm.traffic in generations and arm.revision in (revision, against)]
    earlier = [(arm.traffic, n) for n, arm in arms.items() if arm.traffic < generations[0] and arm.revision == against]
    before = [n for _, n in sorted(earlier, reverse=True)]
    since_us = round(since.timestamp() * 1_000_000) if since else 0
    # An earlier life of the deployment may have had the same generations.

    def of_this_life(cell: Cell | PairCell) -> bool:
        return cell.start_us + cell.rule.window_us > since_us

    names = NAMES.get(metric, COUNTED)
    own, earlier_cells = desk.store.cells(asked, names=names), desk.store.cells(before, limit=EARLIER_ROWS, names=names)
    cells = [*filter(of_this_life, own), *earlier_cells]
    comparable = metric in PAIRED and not depends_on_decisions(record)
    numbers = [
        n
        for n, pair in desk.store.pairs(subject).items()
        if comparable and (pair.stable, pair.mirrored) == (against, revision) and pair.traffic in generations
    ]
    pair_cells = [*filter(of_this_life, desk.store.pair_cells(numbers))]
    found = answer(question, cells=cells, watermark_us=mark, pair_cells=pair_cells)
    return found if comparable else found.model_copy(update={"paired": None})


@deployment.get("/pairs")
def pairs(
    desk: AtDesk,
    subject: Subject,
    revision: Revision | None = None,
    against: Revision | None = None,
    traffic: Generations | None = None,
) -> list[PairCount]:
    """What mirrored revisions said beside stable, by revision and generation; immature windows too."""
    generations = set(_numbers(traffic)) if traffic else None
    pair_totals = desk.store.pair_totals(
        number
        for number, pair in desk.store.pairs(subject).items()
        if generations is None or pair.traffic in generations
    )
    lines = pair_counts(pair_totals, desk.cells(subject, None, traffic))
    return [line for line in lines if revision in (None, line.revision) and against in (None, line.against)]


@deployment.get("/counts")
def counts(
    desk: AtDesk, subject: Subject, revision: Revision | None = None, traffic: Generations | None = None
) -> list[answers.Count]:
    """Requests, errors, predictions and latency, by revision, role and generation; immature windows too."""
    return answers.counts(desk.cells(subject, revision, traffic))


@deployment.get("/quality")
def quality(
    desk: AtDesk, subject: Subject, revision: Revision | None = None, traffic: Generations | None = None
) -> list[answers.RevisionQuality]:
    """Errors against X′, agreement with Y′, coverage and delay of labels, by revision and role."""
    lines = answers.quality(desk.cells(subject, revision, traffic), desk.days(subject, revision, traffic))
    return answers.without_right(lines) if depends_on_decisions(desk.models.record(subject)) else lines


@deployment.get("/segments")
def segments(
    desk: AtDesk, subject: Subject, revision: Revision | None = None, traffic: Generations | None = None
) -> list[segment_answers.RevisionSegments]:
    """Quality by parts of X, judged at age L; by revision, role and feature."""
    return segment_answers.segments(desk.segments(subject, revision, traffic), desk.models.rule(subject))


@deployment.get("/ledger")
def ledger(desk: AtDesk, subject: Subject) -> answers.Books:
    """What became of every event read (of all deployments) and of every label (of this one)."""
    return answers.books(desk.store.ledgers(), desk.store.labels(subject))


@deployment.get("/predictions/{prediction_id}")
def prediction(
    desk: AtDesk,
    subject: Subject,
    prediction_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9._:-]{1,128}$")],
    row: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> answers.PredictionState:
    """Whether a prediction arrived and was joined, with its values."""
    entry, erased = desk.store.entry(identity.key(subject, prediction_id, row))
    return answers.prediction(prediction_id, row, entry, erased=erased, arms=desk.store.arms(subject))


def _numbers(generations: str) -> tuple[int, ...]:
    return tuple(sorted({int(number) for number in generations.split(",")}))


def _add_probes(app: FastAPI, *, store: Store, health: Health, registry: CollectorRegistry) -> None:
    @app.get("/healthz", include_in_schema=False)
    def healthz() -> Response:
        if not health.alive:
            return problem(503, "Stuck", "the reader has not come round for a minute")
        return JSONResponse({"status": "ok", "trouble": health.trouble, "room": health.room})

    @app.get("/readyz", include_in_schema=False)
    def readyz() -> Response:
        """Ready when the store answers. Kafka being away, a full database or a stopped partition is said, no more."""
        stopped = {str(held.partition): held.stopped for held in store.positions() if held.stopped}
        said = {"trouble": health.trouble, "room": health.room, "retention": health.retention, "stopped": stopped}
        return JSONResponse({"status": "ok", **said})

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(AnyHttpError)
    async def refused(_: Request, error: AnyHttpError) -> Response:
        titles = {401: "Unauthorized", 403: "Forbidden", 404: "Not found", 405: "Method not allowed", 422: "Invalid"}
        title = titles.get(error.status_code, "Refused")
        return problem(error.status_code, title, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        return problem(422, "Invalid", "; ".join(_sentences(error.errors())))

    @app.exception_handler(StoreUnavailable)
    async def away(_: Request, error: StoreUnavailable) -> Response:
        return problem(503, "Store unavailable", str(error), {"Retry-After": "5"})


def _sentences(errors: Iterable[dict[str, object]]) -> list[str]:
    return [f"{'.'.join(str(part) for part in error['loc'][1:])}: {error['msg']}" for error in errors]  # type: ignore[index]
