"""`ledger` adds up every account, and one that does not close is exit code 1; `lint` and `plan` say what rows take."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from switchyard_cli.errors import CliError
from switchyard_cli.ledgers import accounts
from switchyard_cli.monitor import HttpMonitor
from switchyard_cli.storage import size
from switchyard_contracts import acceptance
from switchyard_contracts.retention import Storage, kept
from switchyard_monitor.api import create_app
from switchyard_monitor.auth import Token, Tokens
from switchyard_monitor.health import Health
from switchyard_testkit.cli_world import Said, Shell, document
from switchyard_testkit.monitor_world import SUBJECT, World, inference, outcome
from switchyard_testkit.rollout_world import CANARY_SPEC, PAIRED_SPEC, SPEC, Simulation

BOOKS: dict[str, Any] = {
    "partitions": [
        {"partition": 0, "read": 1234, "columns": {"stored": 1200, "late": 0, "held": 34}, "closes": True, "skewed": 9},
        {"partition": 1, "read": 0, "columns": {}, "closes": True, "skewed": 0},
    ],
    "labels": {"received": 10, "joined": 5, "orphan": 2, "expired": 2, "deleted": 1, "closes": True},
}


def asked(handler: Callable[[httpx.Request], httpx.Response], *words: str) -> Said:
    """The verb, with a monitor that answers so."""

    @contextmanager
    def monitors(url: str, *, token: str) -> Iterator[HttpMonitor]:
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(transport=httpx.MockTransport(handler), headers=headers) as client:
            yield HttpMonitor(client, url)

    return Shell(Simulation({}), monitors=monitors)("ledger", *words)


def answering(body: Any, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json=body)


def test_accounts_that_close() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=BOOKS)

    said = asked(answer, "demo/flight-delay", "--monitor", "http://m:1", "--token", "secret")
    assert (said.code, said.out.splitlines()) == (
        0,
        [
            "events, partition 0: 1,234 read = 1,200 stored + 34 held; it closes",
            "events, partition 1: 0 read = 0; it closes",
            "labels of demo/flight-delay: 10 received = 5 joined + 2 orphan + 2 expired + 1 deleted; it closes",
        ],
    )
    (request,) = requests
    assert str(request.url) == "http://m:1/v1/deployments/demo/flight-delay/ledger"
    assert request.headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        pytest.param({"received": 12}, "it does not close: 2 nowhere", id="some are lost"),
        pytest.param({"received": 9}, "it does not close: 1 too many", id="some are counted twice"),
    ],
)
def test_an_account_that_does_not_close_is_exit_code_1_whatever_the_monitor_says_of_it(
    labels: dict[str, int], says: str
) -> None:
    said = asked(answering({**BOOKS, "labels": {**BOOKS["labels"], **labels}}), "demo/m")
    assert said.code == 1
    assert said.out.splitlines()[-1].endswith(says)


def test_a_column_of_a_newer_release_counts() -> None:
    body = {**BOOKS, "labels": {"received": 3, "joined": 2, "thinned": 1, "closes": False}}
    assert [account.missing for account in accounts(body, subject="a/b")] == [0, 0, 0]


@pytest.mark.parametrize(
    ("handler", "words", "says"),
    [
        pytest.param(answering({}), ["flight-delay"], "write it as NAMESPACE/NAME", id="no namespace"),
        pytest.param(answering({"detail": "no"}, 401), ["a/b"], "does not let us read it: no; --token", id="no token"),
        pytest.param(answering({"detail": "none here"}, 404), ["a/b"], "none here", id="no such deployment"),
        pytest.param(answering({"detail": "it is away"}, 503), ["a/b"], "503: it is away; try again", id="no database"),
        pytest.param(answering([]), ["a/b"], "answers no JSON object; is it the monitor?", id="something else"),
        pytest.param(answering({"labels": {}}), ["a/b"], "is no ledger; is it the monitor", id="another answer"),
        pytest.param(lambda _: httpx.Response(200, text="<p>"), ["a/b"], "no JSON object", id="a page"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(
    handler: Callable[[httpx.Request], httpx.Response], words: list[str], says: str
) -> None:
    said = asked(handler, *words)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: ")
    assert says in said.err


def test_a_monitor_that_is_not_there_is_a_sentence_that_says_how_to_come_to_it() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 111] Connection refused")

    said = asked(refuse, "a/b")
    assert said.code == 1
    assert "the monitor at http://localhost:8081 does not answer ([Errno 111] Connection refused)" in said.err
    assert "port-forward service/switchyard-monitor 8081:8080" in said.err


def test_the_monitors_own_answer_is_understood(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.teach()
    world.say(inference("a"))
    world.say(outcome("a", 1.0))
    world.say(outcome("nobody", 1.0))
    world.run()
    tokens = Tokens([Token(name="t", sha256=hashlib.sha256(b"secret").hexdigest(), deployments=["*"])])
    health = Health(lambda: 0.0)
    app = create_app(store=world.store, models=world.models, tokens=tokens, health=health, registry=CollectorRegistry())
    with TestClient(app, headers={"authorization": "Bearer secret"}) as client:
        found = accounts(HttpMonitor(client, "").ledger(SUBJECT), subject=SUBJECT)
        with pytest.raises(CliError, match="no deployment demo/other is known"):
            HttpMonitor(client, "").ledger("demo/other")
    assert [str(account) for account in found] == [
        "events, partition 0: 3 read = 3 stored; it closes",
        "labels of demo/flight-delay: 2 received = 1 joined + 1 orphan; it closes",
    ]
    world.store.close()


@pytest.mark.parametrize(
    ("horizon", "rows", "days"),
    [(1, 30, 30), (90, 30, 91), (1, 0, 8), (9, 0, 10)],
    ids=["as long as people look", "as long as outcomes take", "as long as events come again", "and a day"],
)
def test_how_long_rows_are_kept(horizon: int, rows: int, days: int) -> None:
    assert kept(timedelta(days=horizon), rows=timedelta(days=rows)) == timedelta(days=days)


def spec(**changes: Any) -> dict[str, Any]:
    outcome = {**PAIRED_SPEC["monitoring"]["outcome"], "horizon": "89d", "judgedAfter": "1h"}
    monitoring = {"prediction": PAIRED_SPEC["monitoring"]["prediction"], "outcome": outcome}
    return {**SPEC, "monitoring": monitoring, **changes}


def test_what_rows_take_by_what_was_measured() -> None:
    found = Storage.of(acceptance.read(spec()), 100)
    assert (found.daily, found.whole) == ((72 + 117) * 100 * 86_400, pytest.approx(147e9, rel=1e-2))


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (999_500, "1 MB"), (93_312e6, "93.3 GB")],
)
def test_sizes(count: float, words: str) -> None:
    assert size(count) == words


def test_lint_and_plan_say_what_rows_take_at_a_rate(tmp_path: Path) -> None:
    file = tmp_path / "delay.yaml"
    file.write_text(yaml.safe_dump(document(spec())), encoding="utf-8")
    words = (
        "at 100 requests a second the monitor keeps 1.63 GB of rows a day (72 bytes a prediction, 117 bytes a decision"
        " or outcome), and 147 GB in the 90d that they stay (longer if monitor.retention.rows says so); a SQLite file"
        " stops at 50 GB: name a PostgreSQL in monitor.database, where they take about 294 GB"
    )
    said = Shell(Simulation({}))("lint", str(file), "--rate", "100")
    assert said.code == 0
    note = f"note: {file}:{_line(file)}: document 1 (ModelDeployment delay): spec.monitoring: {words}"
    assert note in said.err.splitlines()
    assert "bytes" not in Shell(Simulation({}))("lint", str(file)).err
    shell = Shell(Simulation({}), width=500)
    assert words in shell("plan", str(file), "--rate", "100").flat
    assert "bytes" not in shell("plan", str(file)).flat


def test_a_small_rate_needs_no_server(tmp_path: Path) -> None:
    file = tmp_path / "delay.yaml"
    file.write_text(yaml.safe_dump(document(CANARY_SPEC)), encoding="utf-8")
    said = Shell(Simulation({}))("lint", str(file), "--rate", "1").err
    assert "MB of rows a day" in said
    assert "SQLite" not in said


def _line(file: Path) -> int:
    return file.read_text(encoding="utf-8").splitlines().index("  monitoring:") + 1
