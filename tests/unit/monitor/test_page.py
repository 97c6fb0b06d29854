"""What the page says: facts of the story, its units, its words where there is nothing, and what it must not run."""

from __future__ import annotations

import html
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event
from switchyard_contracts.model_route import Route
from switchyard_contracts.topics import RolloutRecord
from switchyard_monitor.page import units
from switchyard_testkit.monitor_world import NOON, NOON_US, REFERENCE, SUBJECT, WATCHED, inference
from switchyard_testkit.page_story import Story, tell
from switchyard_testkit.page_world import NEW, OLD, PageWorld, encoded, rollout_record, verdict

HOME = "http://monitor"
DEPLOYMENT = "/page/deployments/demo/flight-delay"
HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"


def enter(world: PageWorld, secret: str = "all") -> TestClient:
    """A browser that is logged in."""
    browser = TestClient(world.app(), base_url=HOME)
    browser.post("/page/login", data={"token": secret}, headers={"origin": HOME})
    return browser


def words(page: str) -> str:
    """What a person reads, spaces made plain."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page)))


def table(page: str, caption: str) -> list[list[str]]:
    """The rows of the table under a caption that begins so, its headings first."""
    found = next(
        held for held in re.findall(r"<table.*?</table>", page, re.S) if words(held).strip().startswith(caption)
    )
    return [
        [words(cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)]
        for row in re.findall(r"<tr.*?</tr>", found, re.S)
    ]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    made = PageWorld(tmp_path_factory.mktemp("story"))
    yield tell(made)
    made.close()


@pytest.fixture(scope="module")
def told(story: Story) -> str:
    answer = enter(story.page).get(DEPLOYMENT)
    assert answer.status_code == 200
    return answer.text


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PageWorld]:
    made = PageWorld(tmp_path)
    yield made
    made.close()


def test_the_overview_says_of_each_deployment_how_it_is(story: Story) -> None:
    headings, flights, turnaround, additives = table(enter(story.page).get("/page/").text, "3 deployments")
    assert headings[:3] == ["Deployment", "Stable", "Rollout"]
    said = clock(story.records[-1])
    assert flights[:3] == ["demo/ flight-delay", "1.0.0", f"Progressing 2.0.0 at 50 % said {said}"]
    requests = sum(cell.sums.get("requests", 0) for cell in stable_cells(story.page))
    assert flights[3] == f"{requests:,}"
    assert turnaround[1] == "3.2.1"
    assert turnaround[2].startswith("Completed 3.2.1 at 100 %")
    assert int(turnaround[3]) > 100, "what has all of the traffic has had some"
    assert additives[1:] == ["none yet", "none yet", "no request to the stable revision yet"]


def stable_cells(world: PageWorld) -> list[Any]:
    totals = world.world.store.totals(world.world.store.arms(SUBJECT))
    return [cell for cell in totals if cell.arm.role == "stable"]


def clock(record: RolloutRecord) -> str:
    return record.at.strftime("%Y-%m-%d %H:%M:%S")


def test_who_answers_now(story: Story, told: str) -> None:
    _, *rows = table(told, "Who answers now")
    assert rows == [
        ["1.0.0", "50 %", "nothing", "stable", story.revisions["1.0.0"]],
        ["2.0.0", "50 %", "50 %", "candidate", story.revisions["2.0.0"]],
    ]


def steps(page: str) -> list[str]:
    """The timeline, newest first."""
    found = re.findall(r'<li class="(?:good|going|waiting|bad|none)">.*?</li>\n(?=<li class="|</ol>)', page, re.S)
    return [words(item).strip() for item in found]


def test_the_timeline_says_what_was_decided_when_and_why(told: str) -> None:
    lines = steps(told)
    decided = [re.findall(r"(\w+) at (\S+ %)(?:, step (\w+))?", line)[0] for line in lines[:10]]
    assert decided[::-1] == [
        ("WaitingForPods", "0 %", ""),
        ("Stepped", "0 %", ""),
        ("Holding", "0 %", "shadow"),
        ("AwaitingEvidence", "0 %", "shadow"),
        ("Stepped", "0 %", "shadow"),
        ("Holding", "5 %", "five"),
        ("Stepped", "5 %", "five"),
        ("Holding", "25 %", "quarter"),
        ("Stepped", "25 %", "quarter"),
        ("Holding", "50 %", "half"),
    ]
    assert re.search(r"generation 4 outcome: RMSE .* over [0-9,]+ judged pairs in .*; 1,500 are needed", lines[6])
    assert "AnalysisFailed" in lines[10]
    assert "errors: Fail" in lines[10]


def test_of_verdicts_that_change_within_a_step_only_the_new_ones_are_said_with_their_time(told: str) -> None:
    assert re.search(
        r"step quarter is held for 3m errors: NoData latency: NoData outcome: Pass"
        r" (\d\d:\d\d:\d\d) errors: Inconclusive latency: Inconclusive"
        r" (?!\1)(\d\d:\d\d:\d\d) errors: Pass latency: Pass$",
        steps(told)[2],
    )


def test_verdicts_have_units_and_say_what_they_still_need(story: Story, told: str) -> None:
    last = story.records[-1]
    _, errors, latency, outcome = table(told, f"Verdicts as last said, {clock(last)}")
    samples = [f"{item.samples:,}" for item in last.verdicts]
    assert errors[2:7] == ["Pass", "0 %", "1 %", samples[0], "none"]
    assert latency[2:7] == ["Pass", "0 % slow", "1 % slow", samples[1], "none"]
    assert outcome[1:3] == ["decide", "Pass"]
    assert outcome[5:7] == [samples[2], "none"]
    *_, undecided = table(told.partition("Earlier rollouts")[2], "Verdicts as last said")
    assert undecided[:3] == ["outcome outcome.rmse", "decide", "Inconclusive"]
    assert sum(int(number.replace(",", "")) for number in undecided[5:7]) == 1500, "as minSamples asks for"


def test_a_shadow_is_left_when_its_pairs_have_decided_and_each_weight_after_it_has_pairs(
    story: Story, told: str
) -> None:
    mine = [record for record in story.records if record.version == "2.0.0"]
    outcomes = [(record, item) for record in mine for item in record.verdicts if item.name == "outcome"]
    assert {item.paired for _, item in outcomes if item.samples} == {True}
    assert not any("of stable" in item.message for _, item in outcomes), "those are the words of the split"
    *_, left = (item for record, item in outcomes if record.step == "shadow")
    assert left.verdict == "Pass"
    counted = [item.samples for _, item in outcomes]
    assert counted == sorted(counted)
    entered = {record.step: item.samples for record, item in outcomes}
    assert len(set(entered.values())) == 4, "while time goes on, pairs come"
    rows = table(told, "Requests that two revisions answered")[1:]
    assert [row[2] for row in rows] == ["7", "6", "5", "4"]
    judged = [int(row[3].replace(",", "")) for row in table(told, "Who was right, on the same requests")[1:]]
    assert counted[-1] <= sum(judged)


def test_an_earlier_rollout_says_how_it_ended(story: Story, told: str) -> None:
    earlier = words(re.findall(r'<details class="card">.*?</summary>', told, re.S)[0])
    said = [record for record in story.records if record.revision == story.revisions["1.1.0"]]
    assert "1.1.0 RolledBack AnalysisFailed" in earlier
    assert words(f"took {units.span((said[-1].at - said[0].at).total_seconds())}") in earlier
    assert story.revisions["1.1.0"] in told


def test_no_number_parts_from_its_unit(told: str) -> None:
    shown = html.unescape(re.sub(r"<[^>]*>", "", told))
    assert "the limit is 1\u00a0%" in shown, "in the operator's own words too"
    assert re.findall(r"\S*[0-9] (?:%|µs|ms|s|min|h|d)\b.{9}|[0-9] %", shown) == []


def test_the_numbers_are_those_of_the_api(story: Story, told: str) -> None:
    api = TestClient(story.page.app(), headers={"Authorization": "Bearer all"})
    (said,) = (row for row in table(told, "Requests, errors")[1:] if row[1] == "stable")
    counts = [line for line in api.get("/v1/deployments/demo/flight-delay/counts").json() if line["role"] == "stable"]
    assert said[0] == f"1.0.0 · {story.revisions['1.0.0'].rpartition('-')[2]}"
    assert said[2:4] == [f"{sum(line[name] for line in counts):,}" for name in ("requests", "errors")]
    (quality,) = (row for row in table(told, "Quality")[1:] if row[1] == "stable")
    (line,) = (line for line in api.get("/v1/deployments/demo/flight-delay/quality").json() if line["role"] == "stable")
    assert quality[2:6] == [
        f"{line['predictions']:,}",
        f"{line['judged']:,}",
        f"{line['coverage'] * 100:.1f} %",
        f"{line['atAge']['rmse']:.2f}",
    ]
    assert quality[6] == f"{line['atAge']['rmseLower']:.2f} to {line['atAge']['rmseUpper']:.2f}"
    pairs = table(told, "Requests that two revisions answered")[1:]
    found = api.get("/v1/deployments/demo/flight-delay/pairs").json()
    assert [row[2:4] for row in pairs[::-1]] == [[str(line["traffic"]), f"{line['pairs']:,}"] for line in found]
    (event_row,) = table(told, "Events of all deployments")[1:]
    books = api.get("/v1/deployments/demo/flight-delay/ledger").json()
    assert event_row[1] == f"{books['partitions'][0]['read']:,}"
    assert "Every event that was read is accounted for." in told


def test_who_was_right_is_said_for_those_who_differed(story: Story, told: str) -> None:
    headings, *rows = table(told, "Who was right, the model or who decided")
    assert headings[3:5] == ["Outcome known", "Followed it"]
    (stable,) = [row for row in rows if row[1] == "stable"]
    known, same, differ, model, decider = (int(stable[at].replace(",", "")) for at in (3, 4, 6, 7, 8))
    assert known == same + differ > 500
    assert differ == model + decider, "of a yes and a no one is right"
    assert stable[9] == units.percent(model / differ).replace(units.GAP, " ")
    lower, upper = (float(end.removesuffix(" %")) for end in stable[10].split(" to "))
    assert lower < 100 * model / differ < upper
    assert stable[2] == "human"


def test_every_chart_has_words_and_numbers_for_those_who_cannot_see_it(told: str) -> None:
    figures = re.findall(r"<figure.*?</figure>", told, re.S)
    assert len(figures) == 9  # three rollouts, requests, errors, latency, drift, quality, coverage
    for figure in figures:
        (names,) = re.findall(r'role="img" aria-labelledby="([^"]+)"', figure)
        assert all(figure.count(f'id="{name}"') == 1 for name in names.split())
        assert words(re.findall(r"<desc.*?</desc>", figure)[0]).strip()
        assert len(re.findall(r"<tr>", figure)) > 1
    weights = next(figure for figure in figures if "Weight of 2.0.0" in figure)
    assert "2.0.0: from 0 % to 50 %, at the end 50 %." in words(weights)


def test_ids_and_landmarks_are_said_once_and_tables_have_captions(told: str) -> None:
    ids = re.findall(r' id="([^"]+)"', told)
    assert len(ids) == len(set(ids))
    assert (told.count("<main"), told.count("<h1"), told.count("<header")) == (1, 1, 1)
    assert told.count("<table") == told.count("<caption")
    assert "<script" not in told
    assert " style=" not in told


def test_what_comes_from_outside_is_text_and_nothing_else(world: PageWorld) -> None:
    world.publish(SUBJECT, stable=OLD, versions={OLD: HOSTILE})
    world.world.say(inference("p1", revision=HOSTILE))
    hostile = verdict(HOSTILE, HOSTILE, "Fail", reason=HOSTILE, message=HOSTILE)
    facts = dict.fromkeys(("rollout", "revision", "version", "phase", "step", "reason", "message"), HOSTILE)
    world.happen(rollout_record("a", verdicts=[hostile], **facts))
    world.health.trouble = HOSTILE
    browser = enter(world)
    for path in (
        DEPLOYMENT,
        "/page/",
        f"/page/?find={HOSTILE}",
        f"/page/nothing/{HOSTILE}",
        f"/page/login?next={HOSTILE}",
    ):
        page = browser.get(path).text
        assert "<script" not in page, path
        assert "49" not in words(page).replace("%49", ""), path
    assert html.escape("<script>alert(1)</script>") in browser.get(DEPLOYMENT).text


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        pytest.param("/page/", "The monitor knows no deployment that this token may see.", id="no deployment"),
        pytest.param("/page/?find=x", "has “x” in its name", id="nothing found"),
        pytest.param("/page/?after=zzz", "There are no more deployments.", id="past the last"),
    ],
)
def test_an_empty_overview_says_what_to_do(world: PageWorld, path: str, sentence: str) -> None:
    assert sentence in words(enter(world).get(path).text)


def test_a_deployment_without_anything_says_so_in_each_place(world: PageWorld) -> None:
    world.publish("plant/additives")
    world.catch_up()
    page = words(enter(world).get("/page/deployments/plant/additives").text)
    for sentence in (
        "No version is stable yet.",
        "Nothing is known of a rollout of this deployment yet.",
        "No request to this deployment has been read yet.",
        "No prediction has been read yet",
        "No request has been answered by two revisions.",
        "No decision or outcome has come for this deployment yet.",
    ):
        assert sentence in page


def test_what_the_operator_no_longer_publishes_is_still_shown(world: PageWorld) -> None:
    world.happen(rollout_record("a"))
    page = words(enter(world).get(DEPLOYMENT).text)
    assert "The operator no longer publishes this deployment" in page
    assert "5 % of the requests" in page


def test_traffic_long_ago_is_counted_and_not_drawn(world: PageWorld) -> None:
    world.publish(SUBJECT)
    world.world.say(inference("p1"))
    world.catch_up()
    world.world.pass_time(7200)
    world.catch_up()
    page = words(enter(world).get(DEPLOYMENT).text)
    assert "No request was read in the last 10 min up to 2026-03-01 14:00:00 UTC" in page


@pytest.mark.parametrize(
    ("hurt", "sentence"),
    [
        pytest.param({"trouble": "Kafka is away"}, "is not reading events: Kafka is away.", id="no events"),
        pytest.param({"timeline": "no topic"}, "The timeline of rollouts may be old: no topic.", id="no timeline"),
    ],
)
def test_what_may_be_old_is_said_on_top(world: PageWorld, hurt: dict[str, str], sentence: str) -> None:
    for name, value in hurt.items():
        setattr(world.health, name, value)
    assert sentence in words(enter(world).get("/page/").text)


def test_a_database_that_is_away_is_a_sentence_and_not_a_trace(world: PageWorld) -> None:
    browser = enter(world)
    with sqlite3.connect(world.world.path / "monitor.db") as connection:
        connection.execute("DROP TABLE rule")
    for path in ("/page/", DEPLOYMENT):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert "Nothing is lost" in answer.text


def test_what_a_rollout_waits_for_is_said_with_its_time(world: PageWorld) -> None:
    waits = "outcome: at least 520 more judged pairs needed, about 2 min at this rate"
    world.publish(SUBJECT, stable=OLD)
    world.happen(rollout_record("a", phase="AwaitingEvidence", waiting_for=waits))
    assert f"Waited at 2026-03-01 12:00:00 for {waits} ." in words(enter(world).get(DEPLOYMENT).text)


def after(minutes: float) -> dict[str, Any]:
    return {"at": NOON + timedelta(minutes=minutes)}


def test_a_thing_said_again_is_one_entry_with_both_times(world: PageWorld) -> None:
    world.happen(rollout_record("a"), rollout_record("a", **after(2), message="now 5 %"))
    page = words(enter(world).get(DEPLOYMENT).text)
    assert "said again 2026-03-01 12:02:00" in page
    assert "now 5 %" in page
    assert "5 % of the requests" not in page


def test_what_was_said_between_a_thing_and_the_same_thing_again_stands_between_them(world: PageWorld) -> None:
    paused: dict[str, Any] = {"phase": "Paused", "reason": "Paused", "message": "lunch"}
    again = rollout_record("a", **after(2), message="on again", verdicts=[verdict("errors", "error_rate", "Pass")])
    world.happen(rollout_record("a"), rollout_record("b", **after(1), **paused), again)
    world.world.pass_time(180)
    page = enter(world).get(DEPLOYMENT).text
    times = [line.split()[1:3] for line in steps(page)]
    assert times == [["12:02:00", "Progressing"], ["12:01:00", "Paused"], ["12:00:00", "Progressing"]]
    assert "Progressing" in words(page.partition("</h3>")[0])
    assert table(page, "Verdicts as last said, 2026-03-01 12:02:00")[1][2] == "Pass"
    assert page.count("on again") == 2, "in the heading and at its own time, not at the first"


def test_what_a_clock_ahead_says_at_once_keeps_its_order(world: PageWorld) -> None:
    stepped = rollout_record("z", **after(1.0), weight_bp=0, traffic=3, reason="Stepped")
    holding = rollout_record("a", **after(1.001), weight_bp=500, traffic=4, reason="Holding")
    for record in (stepped, holding):
        world.rollouts.append(encoded(record), broker_us=NOON_US)
    world.catch_up()
    world.world.pass_time(120)
    page = enter(world).get(DEPLOYMENT).text
    assert [re.findall("Stepped|Holding", line) for line in steps(page)] == [["Holding"], ["Stepped"]]


FOLLOWED = [
    pytest.param("Progressing", "Superseded", id="on its way"),
    pytest.param("Watching", "Completed", id="promoted and watched"),
    pytest.param("RollingBack", "RolledBack", id="on its way home"),
    pytest.param("Refused", "Refused", id="over already"),
]


@pytest.mark.parametrize(("phase", "became"), FOLLOWED)
def test_a_rollout_that_another_followed_is_over(world: PageWorld, phase: str, became: str) -> None:
    newer: dict[str, Any] = {"rollout": f"{NEW}.2", "message": "the second"}
    world.happen(rollout_record("a", phase=phase), rollout_record("b", **after(3), **newer))
    world.world.pass_time(300)
    page = enter(world).get(DEPLOYMENT).text
    assert "2.0.0, attempt 2 Progressing" in words(page)
    earlier = words(re.findall(r"<summary>(<strong>.*?)</summary>", page, re.S)[0])
    assert earlier.startswith(f" 2.0.0 {became}")
    assert "took 3 min" in earlier or phase == "Refused"


def test_a_rollout_of_a_deployment_that_is_gone_is_not_under_way(world: PageWorld) -> None:
    world.happen(rollout_record("a"))
    world.world.pass_time(86_400)
    page = words(enter(world).get(DEPLOYMENT).text)
    assert "Took 0 s" in page
    assert "Under way for" not in page


def test_an_end_that_is_said_once_more_does_not_make_a_rollout_longer(world: PageWorld) -> None:
    world.publish(SUBJECT, stable=OLD)
    ended: dict[str, Any] = {"phase": "RolledBack", "reason": "Aborted", "weight_bp": 0, "step": ""}
    routes = [rollout_record(str(number), **after(number), **ended, traffic=number) for number in (5, 60)]
    world.happen(rollout_record("a"), *routes)
    page = words(enter(world).get(DEPLOYMENT).text)
    assert "Took 5 min" in page
    assert "generations 5 to 60" in page


def test_a_long_watch_does_not_hide_the_steps_before_it(world: PageWorld) -> None:
    world.publish(SUBJECT, stable=NEW)
    watched: dict[str, Any] = {"phase": "Watching", "step": "full", "weight_bp": 10_000}
    world.happen(rollout_record("a"), rollout_record("b", **after(10), **watched))
    world.world.pass_time(5 * 86_400)
    page = enter(world).get(DEPLOYMENT).text
    assert "Nothing changed after 2026-03-01 12:10:00." in words(page)
    assert "M72.0" in page
    assert re.findall(r'd="M72.0 \S+H(\d+\.\d)V', page)[0] > "300", "the step is not at the left edge"


def test_many_deployments_come_a_page_at_a_time_by_addresses_that_can_be_shared(world: PageWorld) -> None:
    for number in range(120):
        world.publish(f"demo/m{number:03}")
    world.catch_up()
    browser = enter(world)
    seen: list[str] = []
    path: str | None = "/page/?find=m"
    while path:
        page = browser.get(path).text
        seen += re.findall(r"/page/deployments/(demo/m\d+)", page)
        (path,) = re.findall(r'href="([^"]+)" rel="next"', page) or [None]
        path = path and html.unescape(path)
    assert seen == [f"demo/m{number:03}" for number in range(120)]


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of the database meanwhile, transactions' own words left out."""
    asked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith("BEGIN"):
            asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def count(do: Callable[[], object]) -> int:
    with statements() as asked:
        do()
    return len(asked)


def test_a_page_asks_the_database_as_often_however_much_there_is(story: Story, world: PageWorld) -> None:
    world.world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    world.publish(SUBJECT, WATCHED)
    world.world.say(inference("p1"))
    world.world.pass_time(86_400)  # the reference's windows are days
    world.catch_up()
    world.catch_up()
    one = f"{DEPLOYMENT}/feature?name=prediction"
    for path, most in ((DEPLOYMENT, 14), (f"{DEPLOYMENT}/features", 4), (one, 4), ("/page/", 4)):
        small, large = enter(world), enter(story.page)
        few, many = count(lambda: small.get(path)), count(lambda: large.get(path))  # noqa: B023
        assert few == many <= most, path


def test_old_generations_make_no_page_larger(world: PageWorld) -> None:
    world.publish(SUBJECT, stable="stable-1")
    for generation in range(1, 101):
        world.world.say(inference(f"p{generation}", traffic=generation, at=generation), at=generation)
    world.world.pass_time(120)
    world.catch_up()
    page = enter(world).get(DEPLOYMENT).text
    ((_, _, requests, *_),) = table(page, "Requests, errors")[1:]
    assert requests == "24", "those of the newest 24 generations"
    assert "add up generations 77 to 100 of its route; older ones are left out." in words(page)


def test_a_shadow_with_a_sample_of_its_own_is_shown_with_what_it_is_a_part_of(world: PageWorld) -> None:
    common = {"port": 3000, "version": "1.0.0"}
    stable = Route.model_validate(
        {"revision": OLD, "role": "stable", "weightBp": 10_000, "service": OLD, **common},
    )
    shadow = Route.model_validate(
        {"revision": NEW, "role": "shadow", "weightBp": 0, "sampleBp": 250, "service": NEW, **common},
    )
    world.publish("demo/flight-delay", stable=OLD, traffic=6, routes=[stable, shadow])
    world.catch_up()
    page = words(enter(world).get(DEPLOYMENT).text)
    assert "2.5 % of stable's" in page
