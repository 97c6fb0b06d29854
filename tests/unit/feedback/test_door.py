"""The door over HTTP: what is taken, what is refused and how it says so."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import generate_latest
from switchyard_contracts.events import EventType, Label
from switchyard_feedback.metrics import MOST_DEPLOYMENTS, Metrics
from switchyard_feedback.ports import Answer
from switchyard_testkit.feedback import MemoryLog, MemoryMonitor, application, token_entry, write_tokens

OUTCOMES = "/v1/shop/delay/outcomes"
RIGHT = {"authorization": "Bearer right"}
ITEM = {"predictionId": "1772452800000-7f", "value": 12.5, "at": "2026-03-02T11:00:00Z"}


def item(**changes: Any) -> dict[str, Any]:
    """A valid outcome; each test says only what differs. None takes a field away."""
    return {key: value for key, value in (ITEM | changes).items() if value is not None}


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def client(tmp_path, log):
    with TestClient(application(tmp_path, events=log), headers=RIGHT) as client:
        yield client


def test_one_outcome_becomes_one_event(client, log):
    response = client.post(OUTCOMES, json=item(row=3, actor={"kind": "human", "id": "anna"}, revision=2))
    assert response.status_code == 202
    (event,) = log.events
    assert response.json() == {"accepted": 1, "events": [event.id]}
    assert (event.type, event.subject, event.source) == (EventType.OUTCOME, "shop/delay", "/switchyard/feedback")
    assert event.time.isoformat() == "2026-03-02T11:00:00+00:00"
    label = event.payload()
    assert isinstance(label, Label)
    assert (label.prediction_id, label.row, label.value, label.revision) == ("1772452800000-7f", 3, 12.5, 2)
    assert (label.actor.kind, label.actor.id, label.token) == ("human", "anna", "till")
    assert log.records[0].key == b"shop/delay/1772452800000-7f"


def test_a_list_of_decisions_becomes_as_many_events_in_their_order(client, log):
    items = [item(predictionId=f"p-{i}", value=bool(i % 2)) for i in range(1000)]
    response = client.post("/v1/shop/delay/decisions", json={"items": items})
    assert (response.status_code, response.json()["accepted"]) == (202, 1000)
    assert [event.data["predictionId"] for event in log.events] == [f"p-{i}" for i in range(1000)]
    assert {event.type for event in log.events} == {EventType.DECISION}
    assert response.json()["events"] == [event.id for event in log.events]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(0, id="zero"),
        pytest.param(False, id="no"),
        pytest.param("", id="an empty text"),
        pytest.param({"delay": [1.5, None]}, id="a record"),
        pytest.param("Zürich → 東京", id="any letters"),
    ],
)
def test_a_value_is_any_json_but_null(client, log, value):
    assert client.post(OUTCOMES, json=item(value=value)).status_code == 202
    assert log.events[0].data["value"] == value


def test_the_same_item_sent_again_is_the_same_event(client, log):
    for at in ("2026-03-02T11:00:00Z", "2026-03-02T12:00:00+01:00"):  # the same moment
        assert client.post(OUTCOMES, json=item(at=at)).status_code == 202
    first, second = log.events
    assert first.id == second.id
    assert first == second


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"value": 13}, id="value"),
        pytest.param({"predictionId": "other"}, id="prediction"),
        pytest.param({"row": 1}, id="row"),
        pytest.param({"at": "2026-03-02T11:00:01Z"}, id="time"),
        pytest.param({"revision": 1}, id="revision"),
        pytest.param({"actor": {"kind": "robot"}}, id="actor"),
    ],
)
def test_what_differs_is_another_event(client, log, changes):
    client.post(OUTCOMES, json=item())
    client.post(OUTCOMES, json=item(**changes))
    first, second = log.events
    assert first.id != second.id


def test_a_decision_and_an_outcome_of_the_same_words_are_two_events(client, log):
    client.post(OUTCOMES, json=item())
    client.post("/v1/shop/delay/decisions", json=item())
    assert len({event.id for event in log.events}) == 2


BAD = [
    pytest.param(item(predictionId=None), "predictionId", "missing", id="no id"),
    pytest.param(item(predictionId="a b"), "predictionId", "a b", id="a space in the id"),
    pytest.param(item(predictionId="x" * 129), "predictionId", "x" * 80 + "…", id="too long an id"),
    pytest.param(item(predictionId=7), "predictionId", "7", id="a number for an id"),
    pytest.param({**ITEM, "value": None}, "value", "null", id="null"),
    pytest.param(item(value=None), "value", "missing", id="no value"),
    pytest.param(item(value="x" * 70_000), "value", "x" * 80 + "…", id="too large a value"),
    pytest.param(item(row=-1), "row", "-1", id="a row below 0"),
    pytest.param(item(row="1"), "row", "1", id="a row in quotes"),
    pytest.param(item(row=True), "row", "true", id="true for a row"),
    pytest.param(item(row=1.5), "row", "1.5", id="half a row"),
    pytest.param(item(at=None), "at", "missing", id="no time"),
    pytest.param(item(at="2026-03-02T11:00:00"), "at", "2026-03-02T11:00:00", id="a time without a zone"),
    pytest.param(item(at="yesterday"), "at", "yesterday", id="a word for a time"),
    pytest.param(item(at=1772452800), "at", "1772452800", id="seconds since 1970"),
    pytest.param(item(at="1772452800"), "at", "1772452800", id="seconds since 1970 in quotes"),
    pytest.param(item(at="0001-01-01T00:00:00+05:00"), "at", "0001-01-01T00:00:00+05:00", id="before all zones"),
    pytest.param(item(actor="anna"), "actor", "anna", id="a name for an actor"),
    pytest.param(item(actor={"kind": "A B"}), "actor.kind", "A B", id="not a kind of actor"),
    pytest.param(item(actor={"kind": "human", "name": "anna"}), "actor.name", "anna", id="misspelt in actor"),
    pytest.param(item(revision=-1), "revision", "-1", id="a revision below 0"),
    pytest.param(item(revison=1), "revison", "1", id="a misspelt field"),
    pytest.param([], "the body", "[]", id="a bare list"),
    pytest.param("late", "the body", "late", id="a bare text"),
    pytest.param({"items": []}, "items", "[]", id="no items"),
    pytest.param({"items": "all"}, "items", "all", id="items that are no list"),
    pytest.param({"items": [ITEM], "dryRun": True}, "dryRun", "true", id="something beside items"),
    pytest.param({"items": [ITEM, 5]}, "items[1]", "5", id="an item that is no object"),
    pytest.param({"items": [ITEM, item(at="now")]}, "items[1].at", "now", id="the second of two"),
]


@pytest.mark.parametrize(("body", "field", "value"), BAD)
def test_a_bad_item_is_refused_with_field_value_and_remedy_and_nothing_is_taken(client, log, body, field, value):
    response = client.post(OUTCOMES, json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    (fault,) = problem["errors"]
    assert (fault["field"], fault["value"]) == (field, value)
    assert len(fault["remedy"]) > 10
    assert problem["status"] == 422
    assert problem["detail"].startswith(f"{field}: {value!r}; {fault['remedy']}")
    assert problem["detail"].endswith("Nothing of the request was taken.")
    assert log.records == []


def test_many_faults_are_told_up_to_a_bound(client, log):
    response = client.post(OUTCOMES, json={"items": [item(at="now")] * 500})
    assert len(response.json()["errors"]) == 20
    assert "and 499 more faults" in response.json()["detail"]
    assert log.records == []


def test_more_than_a_thousand_items_are_too_many(client, log):
    response = client.post(OUTCOMES, json={"items": [item()] * 1001})
    assert response.status_code == 413
    assert "at most 1000" in response.json()["detail"]
    assert log.records == []


@pytest.mark.parametrize(
    ("raw", "status", "says"),
    [
        pytest.param(b"", 400, "not JSON", id="nothing"),
        pytest.param(b"{", 400, "not JSON", id="half an object"),
        pytest.param(b"\xff\xfe", 400, "not JSON", id="no UTF-8"),
        pytest.param(json.dumps(item(value=5)).replace("5,", "NaN,", 1).encode(), 400, "NaN is not JSON", id="NaN"),
        pytest.param(b"[" * 100_000, 400, "nested too deep", id="a thousand brackets"),
        pytest.param(json.dumps(item(value="V")).replace('"V"', "1e999").encode(), 422, "value", id="past any number"),
        pytest.param(json.dumps(item(value="\ud800")).encode(), 422, "value", id="half a letter"),
        pytest.param(
            json.dumps(item(value="V")).replace('"V"', "[" * 40 + "]" * 40).encode(), 422, "32 levels", id="deep"
        ),
        pytest.param(
            json.dumps(item(row="V")).replace('"V"', "[" * 900 + "]" * 900).encode(), 422, "row", id="deep in row"
        ),
    ],
)
def test_what_is_no_json_is_said_to_be_none(client, log, raw, status, says):
    response = client.post(OUTCOMES, content=raw, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert says in response.json()["detail"]
    assert log.records == []


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        pytest.param({"content-type": "text/plain"}, "content-type is text/plain; send application/json", id="text"),
        pytest.param({}, "content-type is missing", id="unsaid"),
        pytest.param(
            {"content-type": "application/json", "content-encoding": "gzip"}, "content-encoding is gzip", id="packed"
        ),
    ],
)
def test_other_media_are_refused(client, headers, says):
    response = client.post(OUTCOMES, content=b"{}", headers=headers)
    assert response.status_code == 415
    assert says in response.json()["detail"]


def test_too_large_a_body_is_refused_by_its_length_and_without_one(tmp_path, log):
    with TestClient(application(tmp_path, events=log, max_body=2000), headers=RIGHT) as client:
        said = {"content-type": "application/json"}
        assert client.post(OUTCOMES, content=b" " * 3000, headers=said).status_code == 413
        response = client.post(OUTCOMES, content=(b" " * 500 for _ in range(6)), headers=said)
        assert response.status_code == 413
        assert "more than 2000 bytes" in response.json()["detail"]


@pytest.mark.parametrize(
    ("authorization", "status", "says"),
    [
        pytest.param(None, 401, "send a known token", id="no token"),
        pytest.param("Bearer wrong", 401, "send a known token", id="an unknown token"),
        pytest.param("Basic right", 401, "send a known token", id="another scheme"),
        pytest.param("Bearer", 401, "send a known token", id="a scheme alone"),
    ],
)
def test_without_a_token_nothing_is_taken(client, log, authorization, status, says):
    headers = {"authorization": authorization or ""}
    for send in (
        lambda: client.post(OUTCOMES, json=item(), headers=headers),
        lambda: client.delete("/v1/shop/delay/predictions/p-1", headers=headers),
        lambda: client.get("/v1/shop/delay/predictions/p-1", headers=headers),
    ):
        response = send()
        assert response.status_code == status
        assert response.headers["www-authenticate"] == "Bearer"
        assert says in response.json()["detail"]
    assert log.records == []


def test_a_token_speaks_only_about_its_deployments(client, log):
    response = client.post("/v1/shop/price/outcomes", json=item())
    assert response.status_code == 403
    assert response.json()["detail"] == (
        "the token 'till' may not speak about shop/price; add it to the token's deployments"
    )
    assert log.records == []


def test_tokens_change_without_a_restart_and_a_slip_keeps_those_of_before(client, tmp_path):
    path = tmp_path / "tokens.json"
    write_tokens(path, token_entry("till", "newer", "shop/*"))
    assert client.post(OUTCOMES, json=item()).status_code == 401
    newer = {"authorization": "Bearer newer"}
    assert client.post(OUTCOMES, json=item(), headers=newer).status_code == 202
    path.write_text("{")
    assert client.post(OUTCOMES, json=item(), headers=newer).status_code == 202
    path.unlink()
    assert client.post(OUTCOMES, json=item(), headers=newer).status_code == 202
    write_tokens(path)
    assert client.post(OUTCOMES, json=item(), headers=newer).status_code == 401


def test_kafkas_silence_is_a_503_that_says_so(client, log):
    log.silent = True
    response = client.post(OUTCOMES, json={"items": [item(), item(row=1)]})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    problem = response.json()
    assert (problem["accepted"], problem["unconfirmed"]) == ([], [0, 1])
    assert problem["detail"].startswith("0 of 2 are safely stored")


def test_what_is_half_accepted_is_said_item_by_item_and_a_retry_completes_it(client, log):
    items = {"items": [item(row=row) for row in range(5)]}
    log.takes = 2
    problem = client.post(OUTCOMES, json=items).json()
    assert (problem["accepted"], problem["unconfirmed"]) == ([0, 1], [2, 3, 4])
    log.takes = None
    assert client.post(OUTCOMES, json=items).status_code == 202
    assert len({event.id for event in log.events}) == 5


def test_a_deletion_is_one_event_however_often_it_is_asked(client, log):
    for _ in range(2):
        assert client.delete("/v1/shop/delay/predictions/p-1").status_code == 202
    first, second = log.events
    assert first.id == second.id
    assert (first.type, first.data["predictionId"], first.data["token"]) == (EventType.DELETION, "p-1", "till")
    assert log.records[0].key == b"shop/delay/p-1"


KNOWN = {
    "predictionId": "p-1",
    "row": 2,
    "arrived": True,
    "joined": True,
    "erased": False,
    "predictions": [{"value": 9.75}],
    "outcome": {"value": 12.5, "at": "2026-03-02T11:00:00Z", "receivedAt": "2026-03-02T11:00:01Z", "versions": 1},
}


def test_what_became_of_a_prediction_is_told_without_its_values(tmp_path):
    monitor = MemoryMonitor(Answer(200, KNOWN))
    with TestClient(application(tmp_path, monitor=monitor), headers=RIGHT) as client:
        response = client.get("/v1/shop/delay/predictions/p-1?row=2")
    assert monitor.asked == [("shop/delay", "p-1", 2)]
    assert response.status_code == 200
    assert response.json()["arrived"] is response.json()["joined"] is True
    assert response.json()["outcome"] == {
        "at": "2026-03-02T11:00:00Z",
        "receivedAt": "2026-03-02T11:00:01Z",
        "versions": 1,
    }
    assert "9.75" not in response.text
    assert "12.5" not in response.text


@pytest.mark.parametrize(
    ("monitor", "status", "says"),
    [
        pytest.param(None, 501, "FEEDBACK_MONITOR_URL", id="no monitor is set"),
        pytest.param(MemoryMonitor(None), 503, "does not answer", id="the monitor is away"),
        pytest.param(MemoryMonitor(Answer(403, {})), 503, "answered 403", id="our token is not the monitor's"),
        pytest.param(MemoryMonitor(Answer(404, {})), 404, "knows no deployment shop/delay", id="unknown to it"),
    ],
)
def test_when_the_monitor_cannot_say(tmp_path, monitor, status, says):
    with TestClient(application(tmp_path, monitor=monitor), headers=RIGHT) as client:
        response = client.get("/v1/shop/delay/predictions/p-1")
    assert response.status_code == status
    assert says in response.json()["detail"]
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        pytest.param("GET", "/v1/shop/delay/outcomes", 405, "use POST", id="GET of outcomes"),
        pytest.param("POST", "/v1/shop/delay", 404, "is nothing here", id="no such path"),
        pytest.param("POST", "/v1/SHOP/delay/outcomes", 422, "namespace: 'SHOP'", id="not a namespace"),
        pytest.param("DELETE", "/v1/shop/delay/predictions/a%20b", 422, "x-prediction-id", id="not an id"),
        pytest.param("GET", "/v1/shop/delay/predictions/a?row=x", 422, "row: 'x'", id="not a row"),
    ],
)
def test_what_is_nothing_here_is_said_to_be_nothing(client, method, path, status, says):
    response = client.request(method, path, json=item() if method == "POST" else None)
    assert response.status_code == status
    assert says in response.json()["detail"]
    assert response.headers["content-type"] == "application/problem+json"


def test_probes_and_metrics_need_no_token_and_tell_nothing_of_callers_predictions_and_values(client, log):
    client.post(OUTCOMES, json=item())
    client.post(OUTCOMES, json=item(at="now"))
    log.silent = True
    client.post(OUTCOMES, json=item())
    anonymous = {"authorization": ""}
    assert client.get("/healthz", headers=anonymous).status_code == 200
    assert client.get("/readyz", headers=anonymous).status_code == 200
    text = client.get("/metrics", headers=anonymous).text
    assert 'switchyard_feedback_items_total{kind="outcome",result="accepted"} 1.0' in text
    assert 'switchyard_feedback_items_total{kind="outcome",result="unconfirmed"} 1.0' in text
    assert 'switchyard_feedback_items_total{kind="outcome",result="refused"} 1.0' in text
    assert 'switchyard_feedback_responses_total{deployment="shop/delay",status="503"} 1.0' in text
    assert 'switchyard_feedback_responses_total{deployment="",status="200"} 2.0' in text
    assert "till" not in text
    assert item()["predictionId"] not in text


def test_a_deployment_that_a_token_does_not_cover_gives_no_series_of_its_own(client):
    client.post("/v1/elsewhere/delay/outcomes", json=item())
    client.post("/v1/elsewhere/delay/outcomes", json=item(), headers={"authorization": "Bearer guessed"})
    text = client.get("/metrics").text
    assert 'switchyard_feedback_responses_total{deployment="",status="403"} 1.0' in text
    assert 'switchyard_feedback_responses_total{deployment="",status="401"} 1.0' in text
    assert "elsewhere" not in text


def test_deployments_without_end_are_counted_together():
    metrics = Metrics()
    for number in range(MOST_DEPLOYMENTS + 3):
        metrics.answered(f"shop/model-{number}", 202)
    metrics.answered("shop/model-1", 202)
    lines = generate_latest(metrics.registry).decode().splitlines()
    told = [line for line in lines if line.startswith("switchyard_feedback_responses_total{")]
    assert len(told) == MOST_DEPLOYMENTS + 1
    assert 'switchyard_feedback_responses_total{deployment="others",status="202"} 3.0' in told
    assert 'switchyard_feedback_responses_total{deployment="shop/model-1",status="202"} 2.0' in told


def test_the_log_is_closed_when_the_application_ends(tmp_path, log):
    with TestClient(application(tmp_path, events=log)):
        assert not log.closed
    assert log.closed
