"""X and Y on the page: windows against the reference, the worst first, and each feature over time."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from switchyard_monitor.domain.drift import Finding
from switchyard_monitor.domain.drift_book import FeatureDrift
from switchyard_monitor.domain.usual import ENOUGH, Aspect, Usual
from switchyard_monitor.page import drifts, units
from switchyard_profile import training
from switchyard_profile.binning import Side
from switchyard_profile.profile import FeatureSums
from switchyard_testkit.monitor_world import MONITORING, SUBJECT, inference
from switchyard_testkit.page_features import DELAY, SPREAD, WINDOW_SECONDS, Flights, reference
from switchyard_testkit.page_world import PageWorld

HOME = "http://monitor"
DEPLOYMENT = f"/page/deployments/{SUBJECT}"
WINDOWS, ODD = 6, 3
"""So many windows are told, odd from this one on; NOON begins one of them."""
ROWS = 360
REFERENCE = reference()
HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}/ü"


def watching(digest: str) -> dict[str, Any]:
    return MONITORING | {"reference": digest, "window": "10s"}


def ask(world: PageWorld, second: float, name: str, row: dict[str, Any], **facts: Any) -> None:
    """One request, with an answer as in training."""
    request, answer = {"encoding": "json", "value": row}, random.Random(name).gauss(DELAY, SPREAD)
    world.world.say(inference(name, y=answer, at=second, request=request, **facts), at=second)


def later(world: PageWorld, seconds: float) -> None:
    """After so long, everything is read, and known to be."""
    world.world.pass_time(seconds)
    world.catch_up()
    world.catch_up()


def told(world: PageWorld) -> None:
    """Windows of flights to one revision, the later ones odd."""
    world.world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    world.publish(SUBJECT, watching(REFERENCE.digest), stable="stable-1", versions={"stable-1": "1.0.0"})
    flights = Flights(odd_from=ODD * WINDOW_SECONDS)
    for number in range(WINDOWS * ROWS):
        second = number * WINDOW_SECONDS / ROWS
        ask(world, second, f"p{number}", flights.at(second))
    later(world, WINDOWS * WINDOW_SECONDS)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageWorld]:
    made = PageWorld(tmp_path_factory.mktemp("features"))
    told(made)
    yield made
    made.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PageWorld]:
    made = PageWorld(tmp_path)
    yield made
    made.close()


def enter(world: PageWorld, secret: str = "all") -> TestClient:
    browser = TestClient(world.app(), base_url=HOME)
    browser.post("/page/login", data={"token": secret}, headers={"origin": HOME})
    return browser


def look(world: PageWorld, path: str, **asked: str) -> str:
    answer = enter(world).get(f"{DEPLOYMENT}{path}", params=asked)
    assert answer.status_code == 200
    return answer.text


def words(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page)))


def cards(page: str) -> list[str]:
    return [words(card).strip() for card in re.findall(r'<li class="card.*?</li>', page, re.S)]


def table(page: str, caption: str) -> dict[str, list[str]]:
    """Its rows, by their headings."""
    found = next(
        held for held in re.findall(r"<table.*?</table>", page, re.S) if words(held).strip().startswith(caption)
    )
    rows = [[words(cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)] for row in found.split("<tr")]
    return {row[0]: row[1:] for row in rows if row}


def drift(world: PageWorld) -> dict[str, Any]:
    """What the API says of the last window, by feature and aspect."""
    client = TestClient(world.app(), base_url=HOME)
    path = f"/v1/deployments/{SUBJECT}/drift"
    said = client.get(path, params={"revision": "stable-1"}, headers={"authorization": "Bearer all"}).json()
    return {f"{one['feature']}.{one['aspect']}": one for one in said["windows"][-1]["findings"]}


def test_the_worst_come_first_with_how_they_are(full: PageWorld) -> None:
    found = cards(look(full, "/features"))
    assert len(found) == 7
    assert all("Drifted in 2 of 3 windows" in card for card in found[:3])
    assert {card.split()[0] for card in found[:3]} == {"wind", "carrier", "temperature"}
    assert found[0].startswith("wind X, number"), "of those that drifted, the one with the largest effect"
    assert all("As usual" in card for card in found[3:])


def test_the_numbers_are_those_of_the_api(full: PageWorld) -> None:
    said, found = drift(full), cards(look(full, "/features"))
    for card in found:
        name = card.split()[0]
        one = said[f"{name}.distribution"]
        usual = units.number(round(one["usual"], 4))
        assert f"PSI {units.number(round(one['effect'], 4))} , usual up to {usual} ; {ROWS} rows" in card.replace(
            f"{usual};", f"{usual} ;"
        )
    missing, unseen = said["temperature.missing"]["effect"], said["carrier.unseen"]["effect"]
    assert f"missing {units.share(missing)}".replace(units.GAP, " ") in next(one for one in found if "temper" in one)
    assert f"unseen {units.share(unseen)}".replace(units.GAP, " ") in next(one for one in found if "carrier" in one)


def test_a_features_shares_are_of_all_rows_and_add_up(full: PageWorld) -> None:
    rows = table(look(full, "/feature", name="temperature"), "Shares of all rows")
    rows.pop("Values")
    assert rows["missing"][0] == "0 %"
    for column in (0, 1):
        assert sum(float(row[column].split()[0]) for row in rows.values()) == pytest.approx(100, abs=0.5)


def test_a_feature_is_read_beside_the_reference(full: PageWorld) -> None:
    client = TestClient(full.app(), base_url=HOME)
    until = "2026-03-01T12:06:00Z"
    asked = {"since": "2026-03-01T12:05:00Z", "until": until}
    said = client.get(
        f"/v1/deployments/{SUBJECT}/profile", params=asked, headers={"authorization": "Bearer all"}
    ).json()
    (wind,) = [one for one in said[0]["features"] if one["name"] == "wind"]
    rows = table(look(full, "/feature", name="wind"), "The window beside the reference")
    assert rows["Rows"] == ["16,200", str(ROWS)]
    assert rows["Mean"][1] == units.number(wind["mean"])
    assert rows["Median"][1] == units.number(wind["quantiles"]["0.5"])
    assert rows["99 % below"][1] == units.number(wind["quantiles"]["0.99"])


def test_drift_over_time_says_from_when_on_and_what_is_usual(full: PageWorld) -> None:
    page = look(full, "/feature", name="wind")
    rows = table(page, "Distribution: PSI against the reference")
    times = [f"2026-03-01 12:0{minute}:00" for minute in range(WINDOWS)]
    assert list(rows) == ["Window from (UTC)", *times]
    psi, usual = ([float(rows[at][column]) for at in times] for column in (0, 1))
    assert [value > limit for value, limit in zip(psi, usual, strict=True)] == [False] * ODD + [True] * ODD
    assert page.count('class="sign diamond"') == 1, "the first window that drifted"
    assert page.count('class="sign cross"') == ODD - 1, "those after which it lasts"
    assert '<path class="band" d="M' in page
    assert "12:03: PSI" in words(page)


def test_the_deployments_page_shows_y_and_the_worst_of_x(full: PageWorld) -> None:
    page = look(full, "")
    names = [card.split()[0] for card in cards(page) if ", number" in card or "string" in card or "boolean" in card]
    assert names[0] == "prediction"
    assert len(names) == 6
    assert 'href="/page/deployments/demo/flight-delay/features?revision=stable-1"' in page
    rows = table(page, "Features that drifted, by window")
    assert [rows[f"2026-03-01 12:0{minute}:00"] for minute in range(WINDOWS)] == [["0"]] * ODD + [["3"]] * ODD


def test_an_address_names_its_window_and_leads_to_those_beside_it(full: PageWorld) -> None:
    page = look(full, "/features", window="2026-03-01T12:02:00Z")
    assert "from 2026-03-01 12:02 to 2026-03-01 12:03" in words(page)
    assert all("As usual" in card for card in cards(page))
    assert "window=2026-03-01T12%3A01%3A00Z" in page
    assert "window=2026-03-01T12%3A03%3A00Z" in page
    first = look(full, "/feature", name="wind", window="2026-03-01T12:00:00Z")
    assert "Window before" not in first
    assert "Window after" in first


@pytest.mark.parametrize("asked", [{"window": "yesterday"}, {"revision": "nobody"}, {"page": "0"}, {"page": "x" * 99}])
def test_what_an_address_asks_for_in_vain_is_chosen(full: PageWorld, asked: dict[str, str]) -> None:
    assert cards(look(full, "/features", **asked)) == cards(look(full, "/features"))


def test_a_name_is_found_and_an_order_kept(full: PageWorld) -> None:
    page = look(full, "/features", find="R", sort="name")
    assert [card.split()[0] for card in cards(page)] == ["carrier", "hour", "prediction", "rain", "temperature"]
    assert "5 features with “R” in the name" in words(page)
    assert "No feature has “zzz” in its name" in words(look(full, "/features", find="zzz"))


def test_features_are_ordered_by_drift_and_importance_and_say_how_much_they_explain(full: PageWorld) -> None:
    page = look(full, "/features", sort="weight")
    assert "by drift × importance" in words(page)
    first = cards(page)[0]
    assert re.search(r"explains \S+ ?% of the answer", first), first
    assert cards(page)[-1].split()[0] == "prediction", "which explains itself, and so says nothing"
    name = first.split()[0]
    one = table(look(full, "/feature", name=name), "The window beside the reference")
    assert one["Explains of the answer (ε²)"][0].endswith("%")


def test_late_rows_are_judged_with_the_window_they_belong_to(world: PageWorld) -> None:
    told(world)
    before = table(look(world, "/feature", name="hour"), "The window beside the reference")["Rows"]
    ask(world, (WINDOWS - 1) * WINDOW_SECONDS + 1.0, "late", Flights().at(0.0))
    later(world, 60)
    page = look(world, "/feature", name="hour")
    assert before[1] == str(ROWS)
    assert table(page, "The window beside the reference")["Rows"][1] == str(ROWS + 1)
    assert drift(world)["hour.distribution"]["rows"] == ROWS + 1


def test_revisions_are_told_apart(world: PageWorld) -> None:
    world.world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    world.publish(SUBJECT, watching(REFERENCE.digest), stable="stable-1", versions={"stable-1": "1.0.0"})
    for number in range(60):
        ask(world, number, f"s{number}", Flights().at(0.0))
        ask(world, number, f"c{number}", Flights().at(0.0), revision="next-2", role="candidate")
        ask(world, number, f"m{number}", Flights().at(0.0), revision="copy-3", role="shadow")
    later(world, 2 * WINDOW_SECONDS)
    page = look(world, "/features")
    assert "Version 1.0.0 , 60 rows" in words(page)
    assert re.findall(r'<option value="([^"]*-\d)"', page) == ["next-2", "stable-1"], "what only answers copies is none"
    assert "Version next-2 , 60 rows" in words(look(world, "/features", revision="next-2"))


def many(count: int) -> Callable[[PageWorld], None]:
    """A deployment of so many features, asked once a second for a day in a reference without windows."""
    columns: dict[str, list[Any]] = {f"f{number:03}": [0.0, 1.0] * 25 for number in range(count)}
    made = training.reference(columns | {"y": [1.0, 2.0] * 25}, options=training.Options(prediction="y"))

    def tell(world: PageWorld) -> None:
        world.world.store.keep_baseline(made.digest, made.to_bytes())
        world.publish(SUBJECT, watching(made.digest), stable="stable-1")
        for number in range(20):
            ask(world, number, f"p{number}", {name: 9.0 if name == "f007" else 1.0 for name in columns})
        later(world, 86_400)

    return tell


def test_many_features_come_a_page_at_a_time(world: PageWorld) -> None:
    many(59)(world)
    pages = [look(world, "/features", page=str(number)) for number in (1, 2, 3)]
    assert [len(cards(page)) for page in pages] == [24, 24, 12]
    assert cards(pages[0])[0].startswith("f007"), "the worst is on the first page"
    assert "60 features, page 2 of 3" in words(pages[1])
    names = {card.split()[0] for page in pages for card in cards(page)}
    assert len(names) == 60, "each is on one page"
    assert cards(look(world, "/features", page="99")) == cards(pages[2])


def test_without_windows_of_the_reference_nothing_is_said_to_have_drifted(world: PageWorld) -> None:
    many(3)(world)
    assert "Differs; what is usual is not known" in cards(look(world, "/features"))[0]


def finding(aspect: Aspect, *, drifted: bool, windows: int) -> Finding:
    usual = Usual(windows=windows, rows=1.0)
    return Finding("f", Side.X, aspect, 100, 0.5, 0.0, usual, 0.0, drifted=drifted)


def line_of(at: int, *findings: Finding) -> FeatureDrift:
    return FeatureDrift.of(at, "f", FeatureSums((1, 0)), findings)


def test_what_lasts_in_an_aspect_that_nobody_knows_the_usual_of_is_a_guess() -> None:
    known = finding(Aspect.MISSING, drifted=False, windows=ENOUGH)
    lines = [line_of(at, finding(Aspect.DISTRIBUTION, drifted=True, windows=2), known) for at in range(3)]
    assert drifts.state(lines[-1], lines) is drifts.GUESSED
    over = [*lines[:2], line_of(2, finding(Aspect.DISTRIBUTION, drifted=False, windows=2), known)]
    assert drifts.state(over[-1], over) is drifts.GUESSED
    sure = [line_of(at, finding(Aspect.DISTRIBUTION, drifted=True, windows=ENOUGH), known) for at in range(3)]
    assert drifts.state(sure[-1], sure) is drifts.LASTS
    now = line_of(
        2, finding(Aspect.DISTRIBUTION, drifted=True, windows=2), finding(Aspect.MISSING, drifted=True, windows=ENOUGH)
    )
    assert drifts.state(now, [now]) is drifts.DRIFTED
    assert drifts.state(now, [*lines[:2], now]) is drifts.DRIFTED, "what lasts is a guess, and what is sure is new"


def test_of_a_reference_with_few_windows_it_is_said_what_that_is_worth(world: PageWorld) -> None:
    many(3)(world)
    for path in ("", "/features", "/feature"):
        page = look(world, path, name="f001")
        assert "has no windows of its own, and it takes 20 to know what is usual" in words(page), path
        assert "Features that drifted" not in page, path
    assert "Features that differ, by window" in look(world, "/features")
    found = table(look(world, "/feature", name="f001"), "How it was judged")
    assert {row[-1] for row in list(found.values())[1:]} <= {"differs", "as usual"}


def test_of_a_reference_with_enough_windows_nothing_more_is_said(full: PageWorld) -> None:
    assert "to know what is usual" not in words(look(full, "/features"))


def test_a_very_long_name_is_cut_where_it_is_shown_and_not_where_it_is_asked_for(world: PageWorld) -> None:
    long, value = "n" * 256, "v" * 5_000
    made = training.reference({long: [value, "b"] * 25, "y": [1.0, 2.0] * 25}, options=training.Options(prediction="y"))
    world.world.store.keep_baseline(made.digest, made.to_bytes())
    world.publish(SUBJECT, watching(made.digest), stable="stable-1")
    ask(world, 0.0, "p", {long: value})
    later(world, 86_400)
    page = look(world, "/feature", name=long)
    assert "v" * 100 not in page
    assert "v" * 20 in page
    assert len(look(world, "/features")) < 40_000


def test_looking_for_a_name_stays_in_the_window(full: PageWorld) -> None:
    page = look(full, "/features", window="2026-03-01T12:02:00Z")
    assert '<input type="hidden" name="window" value="2026-03-01T12:02:00Z">' in page
    assert 'name="window"' not in look(full, "/features"), "the newest stays the newest"


def test_why_nothing_is_shown_is_said(world: PageWorld) -> None:
    world.publish(SUBJECT)
    world.catch_up()
    nothing = "Nothing is shown of X and Y: no baseline yet: the stable revision has served 0 of 7 full days"
    for path in ("", "/features"):
        assert nothing in words(look(world, path))
    world.publish(SUBJECT, watching(REFERENCE.digest))
    world.catch_up()
    assert f"nobody has handed over {REFERENCE.digest} yet; PUT it" in words(look(world, "/features"))
    world.world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    assert "no window of 1 min is over yet" in words(look(world, "/features"))


def test_a_profile_of_another_model_is_said(world: PageWorld) -> None:
    world.world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    more = {"features": [{"name": "colour", "path": "$.colour"}]}
    world.publish(SUBJECT, watching(REFERENCE.digest) | more)
    world.catch_up()
    assert "monitoring.features: colour is not in the profile" in words(look(world, "/features"))


def test_a_feature_that_is_not_there_is_not_found(full: PageWorld) -> None:
    browser = enter(full)
    for name in ("none", "", "x" * 300):
        assert browser.get(f"{DEPLOYMENT}/feature", params={"name": name}).status_code == 404


@pytest.mark.parametrize("path", ["/features", "/feature?name=wind"])
def test_another_teams_features_are_not_shown(full: PageWorld, path: str) -> None:
    assert enter(full, "other").get(f"{DEPLOYMENT}{path}").status_code == 403


def test_a_features_name_is_text_and_nothing_else(world: PageWorld) -> None:
    columns: dict[str, list[Any]] = {HOSTILE: [HOSTILE, "b"] * 25, "y": [1.0, 2.0] * 25}
    made = training.reference(columns, options=training.Options(prediction="y"))
    world.world.store.keep_baseline(made.digest, made.to_bytes())
    world.publish(SUBJECT, watching(made.digest), stable="stable-1")
    ask(world, 0.0, "p", {HOSTILE: HOSTILE})
    later(world, 86_400)
    page = look(world, "/features")
    assert "<script" not in page
    (address,) = {at for at in re.findall(r'href="(/page/[^"]*/feature\?[^"]*)"', page) if "script" in at}
    browser = enter(world)
    answer = browser.get(html.unescape(address))
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert HOSTILE in html.unescape(answer.text)
    stranger = TestClient(world.app(), base_url=HOME)
    assert stranger.get(html.unescape(address), follow_redirects=False).status_code == 303
    form = stranger.get(html.unescape(address)).text
    (wanted,) = re.findall(r'name="next" value="([^"]*)"', form)
    back = stranger.post("/page/login", data={"token": "all", "next": html.unescape(wanted)}, headers={"origin": HOME})
    assert HOSTILE in html.unescape(back.text), "a shared address leads through the login and back"
