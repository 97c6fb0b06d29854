"""The monitor's page in a real browser: light, dark, on a phone, by keyboard, and asking nobody else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser
from switchyard_monitor.page.app import COOKIE
from switchyard_testkit.browser import (
    DESKTOP,
    KINDS,
    PARTS,
    PARTS_OF_KINDS,
    PATHS,
    PHONE,
    PICTURED,
    Look,
    Scheme,
    Watched,
    chromium,
    frame,
    served,
    tab,
)
from switchyard_testkit.page_kinds import tell_kinds
from switchyard_testkit.page_story import tell
from switchyard_testkit.page_world import PageWorld
from switchyard_testkit.waiting import until

LOOKS: list[Any] = [
    pytest.param(scheme, size, id=f"{scheme}, {name}")
    for scheme in ("light", "dark")
    for name, size in (("desktop", DESKTOP), ("phone", PHONE))
] + [pytest.param("light", (width, 1100), id=f"light, {width} wide") for width in (700, 820, 1000)]

CONTRAST = """() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || element.tagName === 'desc' || element.tagName === 'title') continue;
    const style = getComputedStyle(element);
    const ink = light(parse(element.tagName === 'text' ? style.fill : style.color)), paper = light(ground(element));
    const ratio = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
    if (ratio < 4.5) found.push([walker.currentNode.data.trim().slice(0, 40), Math.round(ratio * 100) / 100]);
  }
  return found;
}"""

CLIPPED = """() => [...document.querySelectorAll('svg[role=img]')].flatMap(svg => {
  const frame = (svg.closest('.chart') ?? svg.parentElement).getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBoundingClientRect();
    return box.width && (box.left < frame.left || box.right > frame.right);
  }).map(text => text.textContent);
})"""

LINES = """() => [...document.querySelectorAll('main *')].filter(one => one.checkVisibility()).flatMap(one =>
  [...one.childNodes].filter(node => node.nodeType === 3 && node.data.trim()).flatMap(text => {
    const range = document.createRange();
    range.selectNode(text);
    return [...range.getClientRects()].map(at => [at.top + scrollY, at.bottom + scrollY, text.data.trim()]);
  })
)"""
TOO_WIDE = """() => [...document.querySelectorAll('.wide')].filter(one => one.scrollWidth > one.clientWidth + 1)
  .map(one => one.getAttribute('aria-label'))"""
UNNAMED = """() => [
  ...[...document.querySelectorAll('table')].filter(one => !one.caption?.textContent.trim()),
  ...[...document.querySelectorAll('svg')].filter(
    one => !(one.closest('[aria-hidden=true]') || one.getAttribute('aria-labelledby'))),
  ...[...document.querySelectorAll('[role=region], nav, section')].filter(
    one => !(one.getAttribute('aria-label') || document.getElementById(one.getAttribute('aria-labelledby'))))
].map(one => one.outerHTML.slice(0, 200))"""
SECTIONS = (
    "Rollout",
    "Requests, errors, latency",
    "X and Y against the reference",
    "Quality",
    "Pairs",
    "Ledger",
    "Over time",
)
ON_PHONE = ("Rollout", "Requests, errors, latency", "Quality", "Over time")
"""What a phone's pictures reach."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    world = PageWorld(tmp_path_factory.mktemp("page"))
    tell(world)
    with served(world) as address:
        yield address
    world.close()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    world = PageWorld(tmp_path_factory.mktemp("kinds"))
    tell_kinds(world)
    with served(world) as address:
        yield address
    world.close()


@pytest.fixture
def watched(browser: Browser, base: str) -> Iterator[Watched]:
    with tab(browser, base) as opened:
        yield opened


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_each_page_loads_whole_and_asks_nobody_else(
    browser: Browser, base: str, scheme: Scheme, size: tuple[int, int]
) -> None:
    with tab(browser, base, scheme=scheme, size=size) as watched:
        is_whole(watched, PATHS, size)


@pytest.mark.parametrize(("scheme", "size"), LOOKS)
def test_so_do_those_of_classes_and_rankings_and_where_there_is_nothing(
    browser: Browser, kinds: str, scheme: Scheme, size: tuple[int, int]
) -> None:
    with tab(browser, kinds, scheme=scheme, size=size) as watched:
        is_whole(watched, KINDS, size)
        if size == DESKTOP:
            watched.go(KINDS["classes"])
            assert watched.page.evaluate(TOO_WIDE) == [], "no table has to be moved sideways on a desk"


def is_whole(watched: Watched, paths: Mapping[str, str], size: tuple[int, int]) -> None:
    """Log in, and look at each page."""
    watched.go("/page/")
    watched.log_in()
    for name, path in paths.items():
        assert watched.go(path) == 200
        page = watched.page
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert page.locator("h1").count() == 1, name
        assert page.evaluate("document.scripts.length") == 0
        assert page.evaluate("document.styleSheets.length") == 1, "the style is there"
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], f"{name} does not scroll sideways"
        assert page.evaluate(CONTRAST) == [], f"{name} can be read"
        assert page.evaluate(CLIPPED) == [], f"{name}'s charts show their words whole"
    assert watched.outside == []
    assert watched.complaints == []


@pytest.mark.parametrize(("scheme", "size"), LOOKS[:4])
def test_axe_finds_nothing_that_keeps_anybody_out(
    browser: Browser, base: str, scheme: Scheme, size: tuple[int, int]
) -> None:
    found = []
    with tab(browser, base, scheme=scheme, size=size) as watched:
        for name, path in {"login": "/page/login", **PATHS, "nothing": "/page/deployments/demo/none"}.items():
            watched.go(path)
            if name == "login":
                found += violations(watched, name)
                watched.log_in()
                continue
            found += violations(watched, name)
            watched.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
            found += violations(watched, f"{name}, opened")
        assert watched.outside == []
    assert found == []


@pytest.mark.parametrize(("scheme", "size"), LOOKS[:4])
def test_axe_finds_nothing_in_the_other_kinds_either(
    browser: Browser, kinds: str, scheme: Scheme, size: tuple[int, int]
) -> None:
    found = []
    with tab(browser, kinds, scheme=scheme, size=size) as watched:
        watched.go("/page/")
        watched.log_in()
        for name, path in KINDS.items():
            watched.go(path)
            found += violations(watched, name)
            watched.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
            found += violations(watched, f"{name}, opened")
    assert found == []


def violations(watched: Watched, name: str) -> list[tuple[str, str, str, list[str]]]:
    """What axe objects to, whatever its weight: where, how grave, which rule, and the elements."""
    said = Axe().run(watched.page).response["violations"]
    return [(name, one["impact"], one["id"], [node["html"][:200] for node in one["nodes"]][:5]) for one in said]


def test_the_ground_follows_the_scheme(browser: Browser, base: str) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        with tab(browser, base, scheme=scheme) as watched:
            watched.go("/page/login")
            grounds.append(watched.page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
    assert grounds == ["rgb(246, 247, 249)", "rgb(18, 22, 27)"]


def test_a_shared_address_leads_through_the_form_and_out_again(watched: Watched) -> None:
    watched.go(PATHS["deployment"])
    assert watched.page.url.startswith(f"{watched.base}/page/login?next=")
    watched.log_in("wrong")
    assert "Nobody knows this token" in watched.page.get_by_role("alert").inner_text()
    watched.log_in()
    assert watched.page.url == f"{watched.base}{PATHS['deployment']}"
    (cookie,) = watched.page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (COOKIE, True, "Strict", "/page")
    watched.page.get_by_role("button", name="Log out").click()
    watched.page.wait_for_url("**/page/login")
    watched.go(PATHS["deployment"])
    assert "/page/login" in watched.page.url
    assert not any("all" in url.partition("?")[2] for url in watched.asked), "no token in an address"


def test_a_link_in_a_chat_leads_somebody_who_is_logged_in_straight_to_the_page(watched: Watched) -> None:
    watched.go("/page/")
    watched.log_in()
    watched.go("/page/static/icon.svg")
    watched.page.goto("data:text/html,<a href='" + watched.base + PATHS["deployment"] + "'>look</a>")
    watched.page.get_by_role("link", name="look").click()
    watched.page.wait_for_selector("#ledger")
    assert watched.page.url == f"{watched.base}{PATHS['deployment']}"


def test_everything_is_reached_by_keyboard(watched: Watched) -> None:
    watched.go("/page/")
    watched.page.keyboard.type("all")  # the field has the focus
    watched.page.keyboard.press("Enter")
    watched.page.wait_for_url("**/page/")
    watched.page.keyboard.press("Tab")
    assert watched.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert watched.page.evaluate("document.activeElement.getBoundingClientRect().left >= 0"), (
        "it is seen while it is it"
    )
    watched.page.keyboard.press("Enter")
    for _ in range(10):
        watched.page.keyboard.press("Tab")
        if "flight-delay" in watched.page.evaluate("document.activeElement.textContent"):
            break
    assert watched.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    watched.page.keyboard.press("Enter")
    watched.page.wait_for_url(f"**{PATHS['deployment']}")
    details = watched.page.locator(".chart details").first
    details.locator("summary").focus()
    watched.page.keyboard.press("Enter")
    assert details.get_by_role("table").is_visible()


def test_a_screen_reader_finds_landmarks_headings_tables_and_words_for_charts(watched: Watched) -> None:
    watched.go("/page/")
    watched.log_in()
    watched.go(PATHS["deployment"])
    page = watched.page
    for role in ("main", "banner", "contentinfo"):
        assert page.get_by_role(role).count() == 1, role  # type: ignore[arg-type]
    tree = page.locator("body").aria_snapshot()
    for heading in SECTIONS[:-1]:
        assert f'heading "{heading}" [level=2]' in tree
    charts = page.locator(".chart").get_by_role("img")
    assert charts.count() == 7, "one more is in the details of an earlier rollout"
    assert page.get_by_role("img", name="wind: the window beside the reference. Furthest apart: above").count() == 1
    weight = page.get_by_role("img", name="Weight of 2.0.0 over time 2.0.0: from 0")
    assert weight.count() == 1
    for caption in ("Who answers now", "Requests, errors and latency", "Quality against", "Events of all deployments"):
        assert page.get_by_role("table", name=caption).count() == 1, caption


@pytest.mark.parametrize("name", PATHS)
def test_every_page_is_in_order_for_those_who_hear_it(watched: Watched, name: str) -> None:
    is_in_order(watched, PATHS[name])


@pytest.mark.parametrize("name", KINDS)
def test_those_of_other_kinds_are_too(browser: Browser, kinds: str, name: str) -> None:
    with tab(browser, kinds) as watched:
        is_in_order(watched, KINDS[name])


def is_in_order(watched: Watched, path: str) -> None:
    """Headings, names of tables, pictures and regions, and landmarks."""
    watched.go("/page/")
    watched.log_in()
    watched.go(path)
    page = watched.page
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), "no level is passed over"
    assert page.evaluate(UNNAMED) == [], "each table has a caption, each picture a name, each region a label"
    for role in ("main", "banner", "contentinfo"):
        assert page.get_by_role(role).count() == 1, role  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.lang") == "en"


def test_the_tables_of_classes_are_heard_and_moved_by_keyboard_alone(browser: Browser, kinds: str) -> None:
    with tab(browser, kinds, size=PHONE) as watched:
        watched.go("/page/")
        watched.log_in()
        watched.go(KINDS["classes"])
        page = watched.page
        for caption in ("Classes at age L", "Scores beside", "Quality that scores promise", "Quality by parts of X"):
            assert page.get_by_role("table", name=caption).get_by_role("rowheader").count() >= 2, caption
        assert page.get_by_role("img", name="Accuracy by day, judged at age L 1.4.0: from").count() == 1
        assert page.get_by_role("img", name="CUSUM of the days that are judged").count() == 1
        assert page.get_by_role("cell", name="worse than it was").count() == 1
        assert page.get_by_text("Firing since").count() == 1, "the alarm of it"
        region = page.get_by_role("region", name="Quality by parts of X")
        page.get_by_role("region", name="Quality that scores promise").focus()
        page.keyboard.press("Tab")
        assert region.evaluate("one => one === document.activeElement")
        assert region.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
        page.keyboard.press("ArrowRight")
        until(lambda: region.evaluate("one => one.scrollLeft") > 0, "it moves sideways", seconds=30)


def test_a_feature_and_its_numbers_are_reached_by_keyboard(watched: Watched) -> None:
    watched.go("/page/")
    watched.log_in()
    watched.go(PATHS["features"])
    page = watched.page
    seen: list[str] = []
    while not seen or seen[-1] != "carrier":
        page.keyboard.press("Tab")
        seen.append(page.evaluate("(document.activeElement.textContent || document.activeElement.name).trim()"))
        assert len(seen) < 40, seen
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", seen
    assert seen[0] == "Skip to the content"
    assert seen.index("wind") < seen.index("Numbers of “wind”") < seen.index("carrier"), (
        "in the order in which it is read"
    )
    assert seen.index("Show") < seen.index("wind")
    page.keyboard.press("Enter")
    page.wait_for_url("**/feature?name=carrier*")
    assert (
        page.get_by_role("table", name="Shares of all rows").get_by_role("rowheader", name="any other name").count()
        == 1
    )
    assert page.get_by_role("img", name="Distribution: PSI against the reference PSI: from").count() == 1


def test_the_overview_is_a_table_to_a_screen_reader_on_a_phone_too(browser: Browser, base: str) -> None:
    with tab(browser, base, size=PHONE) as watched:
        watched.go("/page/")
        watched.log_in()
        assert watched.page.get_by_role("table", name="3 deployments").get_by_role("row").count() == 4
        assert watched.page.get_by_role("columnheader", name="Error rate").count() == 1


def test_on_a_phone_weights_and_verdicts_are_seen_without_moving_anything_sideways(browser: Browser, base: str) -> None:
    with tab(browser, base, size=PHONE) as watched:
        watched.go("/page/")
        watched.log_in()
        watched.go(PATHS["deployment"])
        for caption, column in (("Who answers now", "Weight"), ("Verdicts as last said", "Verdict")):
            table = watched.page.get_by_role("table", name=caption).first
            cells = table.locator(f"td[data-label='{column}'] > *").all()
            boxes = [cell.bounding_box() for cell in cells]
            assert boxes, caption
            assert all(box and 0 <= box["x"] <= box["x"] + box["width"] <= PHONE[0] for box in boxes), caption


@pytest.mark.parametrize("look", [pytest.param(look, id=look.name) for look in PICTURED])
def test_the_picture_of_classes_shows_scores_and_cuts_through_no_line(browser: Browser, kinds: str, look: Look) -> None:
    with tab(browser, kinds, scheme=look.scheme, size=look.size) as watched:
        watched.go("/page/")
        watched.log_in()
        (part,) = PARTS_OF_KINDS.values()
        watched.go(part.path)
        begin, end = frame(watched.page, part, most=look.most)
        lines = watched.page.evaluate(LINES)
        assert [line for top, bottom, line in lines if any(top + 1 < at < bottom - 1 for at in (begin, end))] == []
        shown = {line for top, bottom, line in lines if begin <= top and bottom <= end}
        assert {"Quality", "AUROC"} <= shown


@pytest.mark.parametrize("look", [pytest.param(look, id=look.name) for look in PICTURED])
def test_the_pictures_show_the_sections_and_cut_through_no_line(browser: Browser, base: str, look: Look) -> None:
    shown: set[str] = set()
    with tab(browser, base, scheme=look.scheme, size=look.size) as watched:
        watched.go("/page/")
        watched.log_in()
        for part in PARTS.values():
            watched.go(part.path)
            begin, end = frame(watched.page, part, most=look.most)
            assert end - begin <= look.most
            lines = watched.page.evaluate(LINES)
            cut = [line for top, bottom, line in lines if any(top + 1 < at < bottom - 1 for at in (begin, end))]
            assert cut == [], part
            shown |= {line for top, bottom, line in lines if begin <= top and bottom <= end}
    wanted = ON_PHONE if look.size == PHONE else SECTIONS
    assert [name for name in wanted if name not in shown] == []


def test_the_browser_obeys_the_policy_and_runs_no_script(watched: Watched) -> None:
    watched.go("/page/login")
    watched.page.evaluate(
        "() => document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    )
    assert watched.page.evaluate("window.ran === undefined")

    def refused() -> bool:
        watched.page.evaluate("0")  # what the browser says is heard while it is asked something
        return any("Content Security Policy" in complaint for complaint in watched.complaints)

    until(refused, "it was refused by name", seconds=30)
