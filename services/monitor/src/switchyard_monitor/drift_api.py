"""The API of profiles and drift: what X and Y look like, and whether that differs from the reference by too much."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import AwareDatetime
from starlette.concurrency import run_in_threadpool
from switchyard_contracts.windows import SECOND_US
from switchyard_profile.errors import UnreadableProfile
from switchyard_profile.reference import DAY_SECONDS, Reference

from switchyard_monitor import drift_answers
from switchyard_monitor.desk import DEPLOYMENT, AtDesk, Desk, Revision, Subject
from switchyard_monitor.domain.profiling import Span, misfits
from switchyard_monitor.domain.watermark import watermark

MOST_BASELINE = 8 * 2**20
"""Bytes of a reference profile; one of 500 features and a year of days has as many."""

drifting = APIRouter(prefix=DEPLOYMENT)


@drifting.put("/baseline", status_code=201)
async def hand_over(desk: AtDesk, subject: Subject, request: Request) -> drift_answers.Baseline:
    """Take in the reference profile that the deployment names: what `switchyard-profile` wrote, as it is.

    Only that one is taken, so what may be kept here is decided where the resource is written.
    """
    if int(request.headers.get("content-length", MOST_BASELINE + 1)) > MOST_BASELINE:
        raise HTTPException(413, f"a profile has at most {MOST_BASELINE} bytes, and says how many in Content-Length")
    body = await request.body()
    return await run_in_threadpool(_take_in, desk, subject, body)


@drifting.get("/baseline")
def baseline(desk: AtDesk, subject: Subject) -> Response:
    """The reference profile that the deployment is held against."""
    return Response(_reference(desk, subject).to_bytes(), media_type="application/json")


@drifting.get("/profile")
def profile(
    desk: AtDesk, subject: Subject, since: AwareDatetime | None = None, until: AwareDatetime | None = None
) -> list[drift_answers.ProfileAnswer]:
    """Counts, shares, means and quantiles of X and Y by revision and role: of the last day read, or as said."""
    reference = _reference(desk, subject)
    end = round(until.timestamp() * SECOND_US) if until else (watermark(desk.store.positions()) or 0)
    begin = round(since.timestamp() * SECOND_US) if since else end - DAY_SECONDS * SECOND_US
    span = Span(subject=subject, baseline=reference.digest, since_us=begin, until_us=end, length_us=max(1, end))
    found = desk.store.profiles(span)
    return drift_answers.profiles(reference, found, since_us=begin, until_us=end)


@drifting.get("/drift")
def drift(
    desk: AtDesk,
    subject: Subject,
    revision: Revision,
    windows: Annotated[int, Query(ge=1, le=90, description="so many of the last, as long as the baseline's")] = 14,
    order: Annotated[drift_answers.Order, Query(description="of findings; weight is drift × importance")] = (
        drift_answers.Order.FEATURE
    ),
) -> drift_answers.DriftAnswer:
    """Whether X and Y differ from the baseline by more than is usual, in each window that is over."""
    reference = _known(desk, subject)
    if isinstance(reference, str):
        return drift_answers.DriftAnswer(revision=revision, waiting_for=reference)
    mark = watermark(desk.store.positions()) or 0
    span = Span.of_windows(subject, reference, mark_us=mark, windows=windows, revision=revision)
    monitoring = desk.models.monitoring(subject)
    return drift_answers.drift(
        desk.baselines.yardstick(reference),
        revision,
        desk.store.profiles(span),
        misfits=misfits(monitoring, reference) if monitoring else (),
        order=order,
    )


def _known(desk: Desk, subject: str) -> Reference | str:
    """What a deployment is held against, or why it is held against nothing."""
    return desk.baselines.known(subject, desk.models.record(subject))


def _reference(desk: Desk, subject: str) -> Reference:
    reference = _known(desk, subject)
    if isinstance(reference, str):
        raise HTTPException(404, reference)
    return reference


def _take_in(desk: Desk, subject: str, body: bytes) -> drift_answers.Baseline:
    try:
        reference = Reference.of_bytes(body)
    except UnreadableProfile as error:
        raise HTTPException(422, str(error)) from error
    monitoring = desk.models.monitoring(subject)
    named = monitoring.reference if monitoring else None
    if named != reference.digest:
        raise HTTPException(
            409, f"monitoring.reference of {subject} names {named or 'no profile'}, and this is {reference.digest}"
        )
    if monitoring and (found := misfits(monitoring, reference)):
        raise HTTPException(409, "; ".join(found))
    desk.store.keep_baseline(reference.digest, reference.to_bytes())
    return drift_answers.handed_over(reference)
