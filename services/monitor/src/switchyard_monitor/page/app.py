"""The page's door: addresses, who may look, and what every answer forbids the browser to do.

A person shows a token of the API's once, in a form; the browser then keeps a session's cookie that no script can read,
that no other site can send, and that is good for this page only: the API goes on asking for the token itself. What
changes anything here, logging in and out, comes from a form of this very page or is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from switchyard_contracts.alarm_records import AlarmBook

from switchyard_monitor import answers, segment_answers
from switchyard_monitor.auth import Finder
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.change_answers import ByDay
from switchyard_monitor.domain import cusum
from switchyard_monitor.domain.rollouts import Happening
from switchyard_monitor.domain.rules import DEFAULT_WINDOW_US
from switchyard_monitor.domain.sums import either
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.errors import StoreUnavailable
from switchyard_monitor.health import Health
from switchyard_monitor.models import Models
from switchyard_monitor.page import alarms, drifts, features, forms, overview, units
from switchyard_monitor.page import deployment as single
from switchyard_monitor.page.sessions import MOST_SECONDS, Session, Sessions
from switchyard_monitor.page.templates import ICON, STYLE, Templates
from switchyard_monitor.page.trends import UNSEEN, Period
from switchyard_monitor.ports import DriftBook, Looks, SaidAlarms, Store, Timeline
from switchyard_monitor.rosters import Rosters, book

COOKIE = "switchyard-session"
MOST_FIND = 126
MOST_NAME = 256
"""Characters of a feature's name."""
DAYS_AND_SEGMENTS = either(cusum.NAMES, segment_answers.NAMES)
HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not `no-referrer`: a form would then say that it comes from nowhere, and we ask where it comes from.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Page:
    """What the pages are made of."""

    store: Store
    timeline: Timeline
    looks: Looks
    book: DriftBook
    baselines: Baselines
    alarms: SaidAlarms
    rosters: Rosters
    models: Models
    health: Health
    tokens: Finder
    now: Callable[[], float]
    """Seconds since 1970."""
    draw: Callable[[], str]
    """A secret that nobody can guess."""


class Guarded:
    """Sets the headers that forbid, on every answer, so that no answer can forget them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                more = HEADERS if b"cache-control" in names else {**HEADERS, "cache-control": "no-store"}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in more.items()),
                ]
            await send(message)

        await self._app(scope, receive, send_guarded)


def create_page(page: Page) -> Starlette:
    """The page as an application of its own, to be mounted at /page."""
    doors = _Doors(page)
    return Starlette(
        routes=[
            Route("/", doors.overview),
            Route("/deployments/{namespace}/{name}", doors.deployment),
            Route("/deployments/{namespace}/{name}/features", doors.features),
            Route("/deployments/{namespace}/{name}/feature", doors.feature),
            Route("/login", doors.form),
            Route("/login", doors.login, methods=["POST"]),
            Route("/logout", doors.logout, methods=["POST"]),
            Route("/static/{digest}/style.css", doors.style),
            Route("/static/icon.svg", doors.icon),
        ],
        middleware=[Middleware(Guarded)],
        exception_handlers={HTTPException: doors.refused, StoreUnavailable: doors.away},
    )


class _Doors:
    def __init__(self, page: Page) -> None:
        self._page = page
        self._templates = Templates()
        self._sessions = Sessions(tokens=page.tokens, clock=page.now, draw=page.draw)

    def overview(self, request: Request) -> Response:
        """All deployments that the session's token may ask about."""
        session = self._session(request)
        if session is None:
            return self._to_login(request)
        page = self._page
        find, after = (request.query_params.get(name, "")[:MOST_FIND] for name in ("find", "after"))
        known = sorted({*page.models.subjects(), *page.store.deployments()})
        mine = [subject for subject in known if session.token.may(subject)]
        chosen, total, more = overview.choose(mine, find=find.strip(), after=after)
        newest = page.timeline.latest(chosen) if chosen else {}
        cells = page.looks.totals(chosen, generations=overview.GENERATIONS) if chosen else {}
        lines = [
            overview.line(subject, record=page.models.record(subject), newest=newest.get(subject), cells=cells[subject])
            for subject in chosen
        ]
        held = overview.Overview(lines, total, find, more, first=not after)
        mark = watermark(page.store.positions())
        return self._html(
            request, "overview.html", session=session, overview=held, known=len(mine), watermark=_moment(mark)
        )

    def deployment(self, request: Request) -> Response:
        """One deployment."""
        session = self._session(request)
        if session is None:
            return self._to_login(request)
        subject = self._subject(request, session)
        seen = self._see(subject)
        if seen.record is None and not seen.totals and not seen.happenings:
            raise HTTPException(404, f"The monitor knows no deployment {subject}.")
        held = self._against(request, subject, seen.happenings)
        return self._html(
            request,
            "deployment.html",
            session=session,
            deployment=single.deployment(seen),
            alarms=alarms.alarms(self._alarms(subject)),
            against=held,
            features=features.few(held, subject, self._page.book),
            drifted=drifts.drifted_features(held),
        )

    def features(self, request: Request) -> Response:
        """X and Y of one deployment in one window, the worst first."""
        session = self._session(request)
        if session is None:
            return self._to_login(request)
        subject = self._subject(request, session)
        held = self._against(request, subject, self._page.timeline.of(subject, limit=single.HAPPENINGS))
        asked = request.query_params
        number = asked.get("page", "1")
        listed = features.features(
            held,
            subject,
            self._page.book,
            find=asked.get("find", "")[:MOST_NAME].strip(),
            sort=asked.get("sort", ""),
            page=int(number) if number.isdecimal() and len(number) < 6 else 1,
        )
        drifted = drifts.drifted_features(held)
        return self._html(
            request, "features.html", session=session, subject=subject, against=held, features=listed, drifted=drifted
        )

    def feature(self, request: Request) -> Response:
        """One feature of one deployment, over time."""
        session = self._session(request)
        if session is None:
            return self._to_login(request)
        subject = self._subject(request, session)
        held = self._against(request, subject, self._page.timeline.of(subject, limit=single.HAPPENINGS))
        name = request.query_params.get("name", "")[:MOST_NAME]
        one = features.one(held, subject, self._page.book, name)
        if one is None:
            raise HTTPException(404, f"No window of {subject} that is over has a feature of this name.")
        return self._html(request, "feature.html", session=session, subject=subject, against=held, one=one)

    def _subject(self, request: Request, session: Session) -> str:
        """The deployment of an address, if it can be one and the session's token may ask about it."""
        subject = f"{request.path_params['namespace']}/{request.path_params['name']}"
        if not forms.SUBJECT.fullmatch(subject):
            raise HTTPException(404, "No deployment can have this name.")
        if not session.token.may(subject):
            raise HTTPException(403, f"The token {session.token.name!r} may not look at {subject}.")
        return subject

    def _against(self, request: Request, subject: str, happenings: Sequence[Happening]) -> drifts.Against:
        page, asked = self._page, request.query_params
        record = page.models.record(subject)
        told = {one.revision: one.version for one in (said.record for said in reversed(happenings)) if one.version}
        return drifts.against(
            subject,
            page.models,
            page.baselines.known(subject, record),
            page.book,
            drifts.Wanted(asked.get("revision", ""), asked.get("window", "")),
            told | {revision: version for revision, version in (record.versions if record else {}).items() if version},
        )

    def _alarms(self, subject: str) -> AlarmBook:
        said = self._page.alarms.said(subject, limit=alarms.RECORDS)
        return book(self._page.rosters.of(subject), said)

    def _see(self, subject: str) -> single.Seen:
        page = self._page
        ledgers = page.store.ledgers()
        # The watermark first: what is committed while we look can then only be newer than it says.
        mark = watermark(ledger.position for ledger in ledgers)
        rule = page.models.rule(subject)
        period = None if mark is None else Period.until(mark, rule.window_us if rule else DEFAULT_WINDOW_US)
        windows = (
            page.looks.windows(
                subject,
                generations=single.GENERATIONS,
                since_us=period.begin_us,
                limit=single.WINDOW_ROWS,
                without=UNSEEN,
            )
            if period
            else []
        )
        if period and len(windows) == single.WINDOW_ROWS:
            period = period.after(min(cell.start_us for cell in windows))
        days = page.looks.days(
            subject,
            generations=single.GENERATIONS,
            names=DAYS_AND_SEGMENTS if rule and rule.segments else cusum.NAMES,
        )
        happenings = page.timeline.of(subject, limit=single.HAPPENINGS)
        if len(happenings) == single.HAPPENINGS and any(item.record.shadows for item in happenings):
            happenings = page.timeline.of(subject, limit=single.MOST_HAPPENINGS)
        return single.Seen(
            subject=subject,
            record=page.models.record(subject),
            happenings=happenings,
            totals=page.looks.totals([subject], generations=single.GENERATIONS)[subject],
            days=ByDay(
                page.looks.day_totals(subject, generations=single.GENERATIONS),
                days,
                mark,
                page.models.coverage(subject),
                rule,
            ),
            parts=days if rule and rule.segments else [],
            windows=windows,
            pairs=page.looks.pair_totals(subject, generations=single.PAIR_GENERATIONS),
            books=answers.books(ledgers, page.store.labels(subject)),
            period=period,
            watermark_us=mark,
            now=page.now(),
        )

    def form(self, request: Request) -> Response:
        """Where a token is shown."""
        wanted = forms.inside(request.query_params.get("next", ""))
        return self._html(request, "login.html", session=None, wanted=wanted, refused=False)

    async def login(self, request: Request) -> Response:
        """A token was shown: a session is made of it, or the form comes again."""
        forms.must_be_ours(request)
        said = await forms.fields(request)
        wanted = forms.inside(said.get("next", ""))
        secret = self._sessions.open(said.get("token", "").strip())
        if secret is None:
            return self._html(request, "login.html", session=None, wanted=wanted, refused=True, status=401)
        if before := request.cookies.get(COOKIE):
            self._sessions.close(before)
        answer = RedirectResponse(f"{forms.root(request)}/{wanted}", status_code=303)
        answer.set_cookie(COOKIE, secret, max_age=round(MOST_SECONDS), **forms.kept(request))
        return answer

    async def logout(self, request: Request) -> Response:
        """The session ends."""
        forms.must_be_ours(request)
        secret = request.cookies.get(COOKIE, "")
        session = self._sessions.find(secret)
        if session is not None:
            if not session.brings((await forms.fields(request)).get("form", "")):
                raise HTTPException(403, "This form is not of your session. Go back, load the page again, and retry.")
            self._sessions.close(secret)
        answer = RedirectResponse(f"{forms.root(request)}/login", status_code=303)
        answer.delete_cookie(COOKIE, **forms.kept(request))
        return answer

    def style(self, _: Request) -> Response:
        """The style; its address changes with it."""
        return Response(STYLE, media_type="text/css", headers={"cache-control": "public, max-age=31536000, immutable"})

    def icon(self, _: Request) -> Response:
        """The icon."""
        return Response(ICON, media_type="image/svg+xml", headers={"cache-control": "public, max-age=86400"})

    def refused(self, request: Request, error: Exception) -> Response:
        """What cannot be shown, as a sentence."""
        status, words = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
        titles = {403: "Not allowed", 404: "Not found", 405: "Not done this way", 413: "Too much"}
        plain = {404: "There is no such page.", 405: "This address does not take that."}
        words = plain.get(status, words) if words in ("Not Found", "Method Not Allowed") else words
        return self._problem(request, titles.get(status, "Refused"), words, status)

    def away(self, request: Request, error: Exception) -> Response:
        """The database does not answer."""
        words = f"{error}. Nothing is lost; load the page again in a moment."
        answer = self._problem(request, "The monitor's database does not answer", words, 503)
        answer.headers["retry-after"] = "5"
        return answer

    def _problem(self, request: Request, title: str, words: str, status: int) -> Response:
        session = self._session(request)
        return self._html(request, "problem.html", session=session, title=title, words=words, status=status)

    def _session(self, request: Request) -> Session | None:
        secret = request.cookies.get(COOKIE)
        return self._sessions.find(secret) if secret else None

    def _to_login(self, request: Request) -> Response:
        root = forms.root(request)
        wanted = request.url.path.removeprefix(root).removeprefix("/")
        if request.url.query:
            wanted += f"?{request.url.query}"
        wanted = forms.inside(wanted)
        if forms.from_elsewhere(request):
            # The browser kept a strict cookie back, because another site led here. Asked again by us, it sends it.
            return self._html(request, "again.html", session=None, wanted=f"{root}/{wanted}")
        return RedirectResponse(f"{root}/login" + (f"?next={quote(wanted)}" if wanted else ""), status_code=303)

    def _html(
        self, request: Request, template: str, *, session: Session | None, status: int = 200, **values: Any
    ) -> Response:
        health = self._page.health
        troubles = []
        if health.trouble:
            troubles.append(f"The monitor is not reading events: {health.trouble}. What is shown may be old.")
        if health.room:
            troubles.append(f"{health.room[0].upper()}{health.room[1:]}.")
        if health.retention:
            troubles.append(f"What is old is not put away: {health.retention}.")
        if health.timeline:
            troubles.append(f"The timeline of rollouts may be old: {health.timeline}.")
        if health.drift:
            troubles.append(f"Drift may be shown late: {health.drift}.")
        if health.alarms:
            troubles.append(f"Alarms may be late: {health.alarms}.")
        text = self._templates.render(
            template,
            root=forms.root(request),
            session=session,
            troubles=troubles if session else [],
            loaded=units.moment(units.from_us(round(self._page.now() * 1e6))),
            **values,
        )
        return HTMLResponse(text, status_code=status)


def _moment(at_us: int | None) -> str:
    return "" if at_us is None else units.moment(units.from_us(at_us))
