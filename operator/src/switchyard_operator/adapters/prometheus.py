"""The user's Prometheus, or whatever speaks its API (Thanos, Mimir, VictoriaMetrics), over HTTP.

One range query answers for all looks. A redirect is not followed, what the answer says is read within one deadline, and
what is not surely a whole answer to the question is no answer: a warning that parts are missing, a clock that differs
from ours. Everything that could be wrong is told with the value of the chart that mends it.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Lock
from typing import Any

import httpx

from switchyard_operator.domain.outside import Inquiry, Looks
from switchyard_operator.errors import EvidenceUnavailable, QueryRefused

MOST_BYTES = 1_048_576
"""Of an answer: a few numbers are wanted."""
MOST_LOOKBACK = timedelta(minutes=5)
"""How far back Prometheus looks by itself for a series without a range."""
SKEW = timedelta(seconds=10)
"""How far its clock may be from ours."""
HARMLESS = "PromQL info:"
"""Some releases put what is only a hint among the warnings."""
OF_THE_QUERY = "bad_data"
"""The kind of error that the query itself has made; what goes wrong in carrying it out may be gone tomorrow."""

Connect = Callable[[ssl.SSLContext | None], httpx.Client]


def connect(trust: ssl.SSLContext | None) -> httpx.Client:
    """A client of its own: it may trust another authority than the rest of the operator."""
    return httpx.Client(trust_env=False, verify=trust or True, limits=httpx.Limits(max_connections=8))


class HttpPrometheus:
    """`GET <url>/api/v1/query_range`; who may ask, and whom to trust, is read anew, as Secrets are renewed."""

    def __init__(
        self,
        *,
        url: str,
        folder: str,
        ca_file: str,
        timeout: timedelta,
        clock: Callable[[], datetime],
        connect: Connect = connect,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`folder` holds the files `token`, or `username` and `password`, if any."""
        self._url = f"{url.rstrip('/')}/api/v1/query_range"
        self._host = httpx.URL(url).host
        self._folder = Path(folder)
        self._ca_file = ca_file
        self._timeout = timeout
        self._clock = clock
        self._connect = connect
        self._monotonic = monotonic
        self._lock = Lock()
        self._trusted: str | None = None
        self._http: httpx.Client | None = None

    def looks(self, asked: Inquiry) -> Looks:
        """One value for each look; `EvidenceUnavailable`, or `QueryRefused` where only an edit of the query helps."""
        http, began = self._client(), self._monotonic()
        seconds = self._timeout.total_seconds()
        try:
            with http.stream(
                "GET",
                self._url,
                params=_query(asked, self._timeout),
                auth=self._auth(),
                headers={"Accept": "application/json", "User-Agent": "switchyard-operator"},
                timeout=httpx.Timeout(seconds, connect=min(seconds, 3.0)),
                follow_redirects=False,
            ) as response:
                text = self._read(response, until=began + seconds)
        except httpx.TimeoutException as error:
            raise self._unavailable(
                f"has not answered within {seconds:g} s; make the query cheaper, as by a recording rule, or have"
                " operator.prometheus.timeout raised"
            ) from error
        except httpx.HTTPError as error:
            if _is_distrust(error):
                raise self._unavailable(
                    "shows a certificate that is not trusted; have operator.prometheus.caSecret name a Secret with the"
                    " ca.crt that signed it"
                ) from error
            raise self._unavailable(
                f"cannot be asked ({type(error).__name__}); is operator.prometheus.url right, and does the network"
                " (networkPolicy.prometheus) let the operator reach it?"
            ) from error
        return self._understood(asked, response, text)

    def _client(self) -> httpx.Client:
        """The client, made anew when the authority's certificate is."""
        try:
            wanted = Path(self._ca_file).read_text(encoding="utf-8") if self._ca_file else ""
            with self._lock:
                if self._http is None or wanted != self._trusted:
                    self._http = self._connect(ssl.create_default_context(cadata=wanted) if wanted else None)
                    self._trusted = wanted
                return self._http
        except (OSError, ssl.SSLError) as error:
            raise self._unavailable(
                f"cannot be trusted: {self._ca_file} holds no certificate; the Secret of operator.prometheus.caSecret"
                " must have the key ca.crt, in PEM"
            ) from error

    def _auth(self) -> httpx.Auth | None:
        said = {name: self._file(name) for name in ("token", "username", "password")}
        if said["token"]:
            return _Bearer(said["token"])
        return httpx.BasicAuth(said["username"], said["password"]) if said["username"] else None

    def _file(self, name: str) -> str:
        path = self._folder / name
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def _read(self, response: httpx.Response, *, until: float) -> bytes:
        found = b""
        for chunk in response.iter_bytes():
            found += chunk
            if len(found) > MOST_BYTES:
                raise self._unavailable("answers with more than 1 MiB where a few numbers were asked for")
            if self._monotonic() > until:
                raise httpx.ReadTimeout("the answer takes too long")
        return found

    def _understood(self, asked: Inquiry, response: httpx.Response, text: bytes) -> Looks:
        """The looks, or what is wrong with the answer."""
        status, said = response.status_code, _document(text)
        if said.get("status") == "error" and said.get("errorType") == OF_THE_QUERY:
            raise QueryRefused(f"Prometheus refuses the query: {str(said.get('error'))[:512]}; mend promql.query")
        if status in (401, 403):
            raise self._unavailable(
                f"answers {status}; the Secret of operator.prometheus.existingSecret must have a token (or username and"
                " password) that may query it"
            )
        if response.is_redirect:
            raise self._unavailable(f"answers {status} and points elsewhere, as a login page does; give its own URL")
        if status == httpx.codes.NOT_FOUND:
            raise self._unavailable("answers 404; is the path in operator.prometheus.url right?")
        if not response.is_success:
            raise self._unavailable(f"answers {status}: {str(said.get('error') or response.reason_phrase)[:512]}")
        if said.get("status") != "success":
            raise self._unavailable("does not answer as Prometheus does; is operator.prometheus.url right?")
        if missing := [words for words in said.get("warnings") or [] if not str(words).startswith(HARMLESS)]:
            raise self._unavailable(f"warns that its answer may be incomplete: {str(missing[0])[:512]}")
        self._check_clock(response)
        try:
            return Looks(asked, _values(asked, said.get("data")))
        except (TypeError, ValueError) as error:
            raise self._unavailable("answers with numbers that cannot be read") from error

    def _check_clock(self, response: httpx.Response) -> None:
        """What it calls the time of a step has to be the time of the step."""
        text = response.headers.get("Date", "")
        try:
            ahead = parsedate_to_datetime(text).astimezone(UTC) - self._clock()
        except ValueError:
            return
        if abs(ahead) > SKEW:
            seconds, way = round(abs(ahead).total_seconds()), "ahead of" if ahead > timedelta(0) else "behind"
            raise self._unavailable(
                f"has a clock {seconds} s {way} the operator's, so what it saw may not be of this step; set the clocks"
            )

    def _unavailable(self, words: str) -> EvidenceUnavailable:
        return EvidenceUnavailable(f"Prometheus at {self._host} {words}")


class _Bearer(httpx.Auth):
    """A token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _query(asked: Inquiry, timeout: timedelta) -> dict[str, str]:
    """Servers pass over what they do not know: Prometheus `lookback_delta` before 2.43, `partial_response` always."""
    return {
        "query": asked.query,
        "start": f"{asked.first.timestamp():.3f}",
        "end": f"{asked.last.timestamp():.3f}",
        "step": f"{asked.every.total_seconds():g}",
        "timeout": f"{timeout.total_seconds():g}s",
        "lookback_delta": f"{min(asked.window, MOST_LOOKBACK).total_seconds():g}",
        "partial_response": "false",
    }


def _document(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _values(asked: Inquiry, data: Any) -> tuple[float | None, ...]:
    """The one series' value at each look."""
    found = data.get("result") if isinstance(data, dict) else None
    if not isinstance(found, list) or data.get("resultType") != "matrix":
        raise QueryRefused("Prometheus answers with something that is no number; mend promql.query")
    if len(found) > 1:
        told = ", ".join(json.dumps(series.get("metric", {})) for series in found[:2])
        raise QueryRefused(
            f"the query gives {len(found)} series ({told}{', …' if len(found) > 2 else ''}), and one number is wanted;"
            " aggregate them, as by sum(…) or max(…)"
        )
    if found and "values" not in found[0]:
        raise QueryRefused("the query gives a histogram, and one number is wanted; use histogram_quantile(…)")
    pairs = found[0]["values"] if found else []
    at = {round(float(moment) * 1000): float(value) for moment, value in pairs}
    return tuple(at.get(round(moment.timestamp() * 1000)) for moment in asked.times)


def _is_distrust(error: BaseException | None) -> bool:
    """Whether TLS is what failed, however deep it lies."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
