"""The way to Prometheus: what is sent, and what becomes of answers of every kind."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from switchyard_operator.adapters.prometheus import HttpPrometheus
from switchyard_operator.domain.outside import Inquiry
from switchyard_operator.errors import EvidenceUnavailable, QueryRefused
from switchyard_operator.settings import Settings

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
START = NOON.timestamp()
ASKED = Inquiry(
    query='max(load{pod="a"}[20s])',
    entered=NOON - timedelta(seconds=20),
    first=NOON,
    every=timedelta(seconds=10),
    looks=3,
    window=timedelta(seconds=20),
)
Respond = Callable[[httpx.Request], httpx.Response]


def prometheus(
    respond: Respond,
    *,
    folder: Path = Path("/nowhere"),
    url: str = "http://prom:9090/",
    monotonic: Callable[[], float] = time.monotonic,
) -> HttpPrometheus:
    return HttpPrometheus(
        url=url,
        folder=str(folder),
        ca_file="",
        timeout=timedelta(seconds=10),
        clock=lambda: NOON,
        connect=lambda _: httpx.Client(transport=httpx.MockTransport(respond)),
        monotonic=monotonic,
    )


def matrix(*series: list[tuple[float, str]], **more: Any) -> httpx.Response:
    found = [{"metric": {"pod": str(index)}, "values": values} for index, values in enumerate(series)]
    return httpx.Response(200, json={"status": "success", "data": {"resultType": "matrix", "result": found}, **more})


def test_all_looks_are_one_question() -> None:
    asked: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return matrix([(START, "0.5"), (START + 10, "1e3"), (START + 20, "-2")])

    found = prometheus(respond, url="https://metrics.example.com/prom").looks(ASKED)
    assert found.values == (0.5, 1000.0, -2.0)
    assert found.asked == ASKED
    assert str(asked[0].url).startswith("https://metrics.example.com/prom/api/v1/query_range?")
    assert dict(asked[0].url.params) == {
        "query": ASKED.query,
        "start": f"{START:.3f}",
        "end": f"{START + 20:.3f}",
        "step": "10",
        "timeout": "10s",
        "lookback_delta": "20",
        "partial_response": "false",
    }
    assert "authorization" not in asked[0].headers


@pytest.mark.parametrize(
    ("series", "values"),
    [
        pytest.param([], (None, None, None), id="no series at all"),
        pytest.param([[(START + 10, "4")]], (None, 4.0, None), id="a series that came and went"),
        pytest.param([[(START + 20.0004, "4")]], (None, None, 4.0), id="times are as exact as Prometheus' own"),
    ],
)
def test_a_look_without_a_value_is_none(series: list[Any], values: tuple[float | None, ...]) -> None:
    assert prometheus(lambda _: matrix(*series)).looks(ASKED).values == values


def test_what_is_no_number_is_handed_on_as_such() -> None:
    answer = matrix([(START, "NaN"), (START + 10, "+Inf"), (START + 20, "-Inf")])
    first, *others = prometheus(lambda _: answer).looks(ASKED).values
    assert first is not None
    assert math.isnan(first)
    assert others == [math.inf, -math.inf]


@pytest.mark.parametrize(
    ("files", "sent"),
    [
        pytest.param({"token": "secret\n"}, "Bearer secret", id="a token"),
        pytest.param({"username": "ada", "password": "pw"}, "Basic YWRhOnB3", id="a name and a password"),
        pytest.param({"token": "t", "username": "ada"}, "Bearer t", id="the token comes first"),
        pytest.param({}, None, id="nobody has to say who asks"),
    ],
)
def test_who_asks_is_read_anew_for_each_question(files: dict[str, str], sent: str | None, tmp_path: Path) -> None:
    seen: list[str | None] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return matrix()

    asker = prometheus(respond, folder=tmp_path)
    asker.looks(ASKED)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    asker.looks(ASKED)
    assert seen == [None, sent]


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def hang(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("silent")


def distrust(request: httpx.Request) -> httpx.Response:
    try:
        raise ssl.SSLCertVerificationError(1, "self-signed certificate")
    except ssl.SSLError as error:
        raise httpx.ConnectError("tls") from error


def failing(status: int, kind: str = "", words: str = "") -> Respond:
    body = {"status": "error", "errorType": kind, "error": words} if kind else {}
    return lambda _: httpx.Response(status, json=body)


def dated(ahead: int) -> Respond:
    at = NOON + timedelta(seconds=ahead)
    body = {"status": "success", "data": {"resultType": "matrix", "result": []}}
    return lambda _: httpx.Response(200, json=body, headers={"Date": format_datetime(at, usegmt=True)})


@pytest.mark.parametrize(
    ("respond", "words"),
    [
        pytest.param(refuse, r"cannot be asked \(ConnectError\); is operator.prometheus.url right", id="it is away"),
        pytest.param(hang, r"within 10 s; make the query cheaper.*operator.prometheus.timeout", id="it hangs"),
        pytest.param(distrust, "operator.prometheus.caSecret name a Secret", id="a certificate of nobody"),
        pytest.param(failing(401), "answers 401; the Secret of operator.prometheus.existingSecret", id="no token"),
        pytest.param(failing(403), "answers 403; the Secret of operator.prometheus.existingSecret", id="no right"),
        pytest.param(failing(404), "answers 404; is the path in operator.prometheus.url right", id="another path"),
        pytest.param(failing(429), "answers 429: Too Many Requests", id="too many questions"),
        pytest.param(failing(503, "timeout", "query timed out"), "503: query timed out", id="it gave up"),
        pytest.param(failing(422, "execution", "a store is away"), "422: a store is away", id="a store is away"),
        pytest.param(
            lambda _: httpx.Response(302, headers={"Location": "/login"}), "points elsewhere, as a login", id="a login"
        ),
        pytest.param(lambda _: httpx.Response(200, text="<html>"), "does not answer as Prometheus does", id="a page"),
        pytest.param(lambda _: httpx.Response(200, json=[1]), "does not answer as Prometheus does", id="another JSON"),
        pytest.param(lambda _: httpx.Response(200, content=b"x" * 2_000_000), "more than 1 MiB", id="endless"),
        pytest.param(
            lambda _: matrix(warnings=["remote read: a store is away"]), "may be incomplete: remote read", id="parts"
        ),
        pytest.param(lambda _: matrix([(START, "four")]), "numbers that cannot be read", id="no number at all"),
        pytest.param(dated(60), "has a clock 60 s ahead of the operator's", id="a clock that is ahead"),
        pytest.param(dated(-60), "has a clock 60 s behind the operator's", id="a clock that is behind"),
    ],
)
def test_no_answer_is_an_outage_that_names_the_remedy(respond: Respond, words: str) -> None:
    with pytest.raises(EvidenceUnavailable, match=rf"^Prometheus at prom .*{words}"):
        prometheus(respond).looks(ASKED)


@pytest.mark.parametrize(
    "respond",
    [
        pytest.param(dated(9), id="a clock that is a little ahead"),
        pytest.param(lambda _: matrix(warnings=["PromQL info: no counter"]), id="a hint among the warnings"),
        pytest.param(lambda _: matrix(infos=["PromQL info: no counter"]), id="a hint"),
    ],
)
def test_what_is_harmless_is_passed_over(respond: Respond) -> None:
    assert prometheus(respond).looks(ASKED).values == (None, None, None)


@pytest.mark.parametrize(
    ("respond", "words"),
    [
        pytest.param(failing(400, "bad_data", "parse error: x"), "refuses the query: parse error: x", id="no PromQL"),
        pytest.param(
            lambda _: matrix([(START, "1")], [(START, "2")], [(START, "3")]),
            r'gives 3 series \(\{"pod": "0"\}, \{"pod": "1"\}, …\), and one number is wanted; aggregate',
            id="several series",
        ),
        pytest.param(
            lambda _: httpx.Response(
                200,
                json={
                    "status": "success",
                    "data": {"resultType": "matrix", "result": [{"metric": {}, "histograms": []}]},
                },
            ),
            "gives a histogram",
            id="a histogram",
        ),
        pytest.param(
            lambda _: httpx.Response(200, json={"status": "success", "data": {"resultType": "string", "result": []}}),
            "something that is no number",
            id="a text",
        ),
    ],
)
def test_a_query_at_fault_is_told_from_an_outage(respond: Respond, words: str) -> None:
    with pytest.raises(QueryRefused, match=words):
        prometheus(respond).looks(ASKED)


def test_an_answer_that_drips_is_late() -> None:
    ticks = iter(range(0, 100, 4))

    def drip(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Drops())

    with pytest.raises(EvidenceUnavailable, match="within 10 s"):
        prometheus(drip, monotonic=lambda: float(next(ticks))).looks(ASKED)


class Drops(httpx.SyncByteStream):
    """An answer that never ends."""

    def __iter__(self) -> Any:
        while True:
            yield b" "


def test_an_authority_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("no certificate", encoding="utf-8")
    for path in (tmp_path / "ca.crt", tmp_path / "missing.crt"):
        asker = HttpPrometheus(
            url="https://prom",
            folder=str(tmp_path),
            ca_file=str(path),
            timeout=timedelta(seconds=1),
            clock=lambda: NOON,
        )
        with pytest.raises(EvidenceUnavailable, match=r"must have the key ca\.crt"):
            asker.looks(ASKED)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("URL", "prometheus:9090", id="no scheme"),
        pytest.param("URL", "http://ada:pw@prometheus:9090", id="a password in the address"),
        pytest.param("URL", "http://prometheus:9090/?tenant=a", id="a query"),
        pytest.param("TIMEOUT", "2m", id="longer than a pass may wait"),
        pytest.param("TIMEOUT", "10", id="no unit"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_when_it_starts(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match="write"):
        Settings.from_env({f"OPERATOR_PROMETHEUS_{name}": value})


@pytest.mark.parametrize("url", ["", "http://prometheus:9090", "https://[fd00::1]:9090/prom/", "http://a.b.svc/x"])
def test_an_address_of_a_prometheus_is_taken(url: str) -> None:
    assert Settings.from_env({"OPERATOR_PROMETHEUS_URL": url}).prometheus_url == url
