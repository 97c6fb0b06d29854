"""Who may look at the page, and what a browser must never be made to do there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from switchyard_monitor.auth import Token, TokenFile, Tokens
from switchyard_monitor.page.app import COOKIE
from switchyard_monitor.page.forms import MOST_FORM_BYTES
from switchyard_monitor.page.sessions import IDLE_SECONDS, MOST_SECONDS, MOST_SESSIONS, Sessions
from switchyard_testkit.page_world import PageWorld, token

HOME = "http://monitor"
OURS = {"origin": HOME}
DEPLOYMENT = "/page/deployments/demo/flight-delay"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageWorld]:
    made = PageWorld(tmp_path_factory.mktemp("page"))
    made.publish("demo/flight-delay", stable="flight-delay-1", versions={"flight-delay-1": "1.0.0"})
    made.publish("x/other")
    made.catch_up()
    yield made
    made.close()


@pytest.fixture
def browser(world: PageWorld) -> TestClient:
    return TestClient(world.app(), base_url=HOME, follow_redirects=False)


def log_in(browser: TestClient, secret: str, **fields: str) -> httpx.Response:
    return browser.post("/page/login", data={"token": secret, **fields}, headers=OURS)


def form_word(page: str) -> str:
    return page.split('name="form" value="')[1].split('"')[0]


def test_the_root_leads_to_the_page_and_the_page_to_the_login(browser: TestClient) -> None:
    assert browser.get("/").headers["location"] == "/page/"
    assert browser.get("/page/").headers["location"] == "/page/login"


def test_a_shared_address_leads_through_the_login_and_back(browser: TestClient) -> None:
    sent = browser.get(DEPLOYMENT)
    assert (sent.status_code, sent.headers["location"]) == (303, "/page/login?next=deployments/demo/flight-delay")
    assert 'name="next" value="deployments/demo/flight-delay"' in browser.get(sent.headers["location"]).text
    entered = log_in(browser, "demo", next="deployments/demo/flight-delay")
    assert (entered.status_code, entered.headers["location"]) == (303, DEPLOYMENT)
    assert browser.get(DEPLOYMENT).status_code == 200


def test_a_search_survives_the_login(browser: TestClient) -> None:
    sent = browser.get("/page/?find=delay")
    assert sent.headers["location"] == "/page/login?next=%3Ffind%3Ddelay"
    assert log_in(browser, "all", next="?find=delay").headers["location"] == "/page/?find=delay"


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param("//evil.example/", id="another host"),
        pytest.param("https://evil.example/", id="a whole address"),
        pytest.param("\\\\evil.example", id="backslashes"),
        pytest.param("deployments/demo/../../../v1", id="a way out"),
        pytest.param("login?next=login", id="a ring"),
        pytest.param("deployments/demo/flight-delay\r\nSet-Cookie: a=b", id="a header"),
        pytest.param("?find=a\r\nSet-Cookie: a=b", id="a header in the query"),
    ],
)
def test_the_login_leads_nowhere_else(browser: TestClient, wanted: str) -> None:
    assert log_in(browser, "all", next=wanted).headers["location"] == "/page/"


def test_the_cookie_is_kept_from_scripts_other_sites_and_the_api(browser: TestClient) -> None:
    cookie = log_in(browser, "all").headers["set-cookie"]
    parts = {part.strip().lower() for part in cookie.split(";")}
    assert {"httponly", "samesite=strict", "path=/page", f"max-age={MOST_SECONDS:.0f}"} <= parts
    assert "secure" not in parts, "over plain HTTP a browser would drop it"
    encrypted = browser.post("/page/login", data={"token": "all"}, headers={**OURS, "x-forwarded-proto": "https"})
    assert "secure" in encrypted.headers["set-cookie"].lower()


def test_the_cookie_holds_no_token_and_opens_no_api(browser: TestClient) -> None:
    log_in(browser, "all")
    held = browser.cookies[COOKIE]
    assert held != "all"
    assert browser.get("/v1/deployments", headers={"cookie": f"{COOKIE}={held}"}).status_code == 401


def test_a_token_in_the_address_is_of_no_use(browser: TestClient) -> None:
    assert browser.get("/page/?token=all").status_code == 303
    assert browser.get("/page/login?token=all").text.count('value="all"') == 0


@pytest.mark.parametrize("secret", ["", "wrong", "all ish", "é\u0000", "a" * 4000])
def test_an_unknown_token_is_refused_in_a_sentence_and_never_shown_again(browser: TestClient, secret: str) -> None:
    refused = log_in(browser, secret)
    assert refused.status_code == 401
    assert "Nobody knows this token" in refused.text
    assert "set-cookie" not in refused.headers
    assert not secret or f'value="{secret}"' not in refused.text


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="from nowhere"),
        pytest.param({"origin": "https://evil.example"}, id="from another site"),
        pytest.param({"origin": "null"}, id="from a sandbox"),
        pytest.param({"origin": "http://["}, id="from a broken address"),
        pytest.param({"origin": HOME, "sec-fetch-site": "cross-site"}, id="from another site, says the browser"),
        pytest.param({"origin": HOME, "sec-fetch-site": "same-site"}, id="from a neighbour, says the browser"),
    ],
)
@pytest.mark.parametrize("path", ["/page/login", "/page/logout"])
def test_forms_of_other_sites_are_refused(browser: TestClient, path: str, headers: dict[str, str]) -> None:
    log_in(browser, "all")
    refused = browser.post(path, data={"token": "all"}, headers=headers)
    assert (refused.status_code, "another site" in refused.text) == (403, True)
    assert browser.get("/page/").status_code == 200, "the session still stands"


def test_logging_out_takes_the_word_of_a_page_of_the_session_and_ends_it_here(browser: TestClient) -> None:
    log_in(browser, "all")
    kept = browser.cookies[COOKIE]
    word = form_word(browser.get("/page/").text)
    assert browser.post("/page/logout", data={"form": "guess"}, headers=OURS).status_code == 403
    assert browser.get("/page/").status_code == 200
    left = browser.post("/page/logout", data={"form": word}, headers=OURS)
    assert left.headers["location"] == "/page/login"
    assert COOKIE not in browser.cookies
    browser.cookies.set(COOKIE, kept, path="/page")
    assert browser.get("/page/").status_code == 303, "a stolen cookie is worth nothing any more"


def test_logging_out_by_a_link_is_not_possible(browser: TestClient) -> None:
    assert browser.get("/page/logout").status_code == 405


def test_a_second_login_ends_the_first_session(browser: TestClient) -> None:
    log_in(browser, "all")
    first = browser.cookies[COOKIE]
    log_in(browser, "demo")
    assert browser.cookies[COOKIE] != first
    browser.cookies.clear()
    browser.cookies.set(COOKIE, first, path="/page")
    assert browser.get("/page/").status_code == 303


def test_a_session_sees_the_deployments_of_its_token_and_no_others(browser: TestClient) -> None:
    log_in(browser, "demo")
    page = browser.get("/page/").text
    assert "/page/deployments/demo/flight-delay" in page
    assert "x/other" not in page.replace('<span class="quiet">', "").replace("</span>", "")
    for path in ("/page/deployments/x/other", "/page/deployments/x/never-was"):
        refused = browser.get(path)
        assert (refused.status_code, "may not look" in refused.text) == (403, True)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("/page/deployments/demo/never-was", "knows no deployment demo/never-was", id="unknown"),
        pytest.param("/page/deployments/Demo/x", "No deployment can have this name", id="no name"),
        pytest.param("/page/deployments/demo/%3Cscript%3E", "No deployment can have this name", id="hostile"),
        pytest.param("/page/nothing", "There is no such page", id="no such page"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(browser: TestClient, path: str, words: str) -> None:
    log_in(browser, "all")
    missing = browser.get(path)
    assert missing.status_code == 404
    assert words in missing.text
    assert "<script" not in missing.text


def test_a_link_on_another_site_is_followed_once_more_before_anybody_is_asked_to_log_in(browser: TestClient) -> None:
    led = browser.get(DEPLOYMENT, headers={"sec-fetch-site": "cross-site"})
    assert led.status_code == 200
    assert f'<meta http-equiv="refresh" content="0; url={DEPLOYMENT}">' in led.text
    assert browser.get(DEPLOYMENT, headers={"sec-fetch-site": "same-origin"}).status_code == 303


def test_a_form_of_too_many_fields_is_refused(browser: TestClient) -> None:
    many = {f"f{number}": "x" for number in range(20)}
    assert browser.post("/page/login", data=many, headers=OURS).status_code == 413


def test_a_form_that_is_too_large_is_not_read(browser: TestClient) -> None:
    assert log_in(browser, "a" * MOST_FORM_BYTES).status_code == 413


@pytest.mark.parametrize("path", ["/page/", "/page/login", "/page/nothing", DEPLOYMENT, "/page/static/icon.svg"])
def test_every_answer_forbids_scripts_frames_and_strangers(browser: TestClient, path: str) -> None:
    headers = browser.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert not any(word in policy for word in ("script-src", "unsafe", "http:", "https:", "data:", "*"))
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert ("no-store" in headers["cache-control"]) == ("/static/" not in path)


def test_the_api_is_as_it_was(browser: TestClient) -> None:
    refused = browser.get("/v1/deployments")
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    assert "content-security-policy" not in refused.headers
    assert browser.get("/v1/nothing").headers["content-type"] == "application/problem+json"


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def sessions(clock: Clock, *held: Token) -> Sessions:
    numbers = iter(range(10_000))
    return Sessions(tokens=Tokens(held), clock=clock, draw=lambda: f"s{next(numbers)}")


def test_a_session_ends_when_nobody_looks_for_an_hour() -> None:
    clock = Clock()
    held = sessions(clock, token("a", "a", "*"))
    secret = held.open("a")
    assert secret is not None
    clock.now += IDLE_SECONDS
    assert held.find(secret)
    clock.now += IDLE_SECONDS + 1
    assert held.find(secret) is None


def test_a_session_ends_after_twelve_hours_however_busy() -> None:
    clock = Clock()
    held = sessions(clock, token("a", "a", "*"))
    secret = held.open("a")
    assert secret is not None
    while clock.now <= MOST_SECONDS:
        assert held.find(secret)
        clock.now += IDLE_SECONDS / 2
    assert held.find(secret) is None


def test_too_many_sessions_end_the_one_used_longest_ago() -> None:
    clock = Clock()
    held = sessions(clock, token("a", "a", "*"))
    first, second = held.open("a"), held.open("a")
    assert first is not None
    assert second is not None
    held.find(first)
    for _ in range(MOST_SESSIONS - 1):
        held.open("a")
    assert held.find(first)
    assert held.find(second) is None


def test_a_token_taken_out_of_the_file_ends_its_sessions_at_once(tmp_path: Path) -> None:
    def write(scope: str) -> None:
        new = tmp_path / "new.yaml"
        new.write_text(
            f"- {{name: a, sha256: {hashlib.sha256(b'a').hexdigest()}, deployments: [{scope}]}}\n" if scope else "[]"
        )
        new.replace(tmp_path / "tokens.yaml")

    write("demo/a")
    held = Sessions(tokens=TokenFile(tmp_path / "tokens.yaml"), clock=Clock(), draw=iter("abcdef").__next__)
    secret = held.open("a")
    assert secret is not None
    before = held.find(secret)
    assert before is not None
    assert not before.token.may("demo/b")
    write("demo/b")
    after = held.find(secret)
    assert after is not None
    assert after.token.may("demo/b")
    write("")
    assert held.find(secret) is None
