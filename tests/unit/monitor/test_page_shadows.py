"""What the page says of shadows: how each stands, what its pairs came to, and what happened, from the records alone."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from switchyard_contracts.topics import RolloutRecord, ShadowRecord
from switchyard_testkit.monitor_world import NOON, SUBJECT
from switchyard_testkit.page_world import NEW, OLD, PageWorld, rollout_record, verdict

HOME = "http://monitor"
BESIDE = "flight-delay-5ad0e1"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PageWorld]:
    made = PageWorld(tmp_path)
    made.publish(SUBJECT, stable=OLD, versions={OLD: "1.0.0"})
    yield made
    made.close()


def page(world: PageWorld) -> str:
    browser = TestClient(world.app(), base_url=HOME)
    browser.post("/page/login", data={"token": "all"}, headers={"origin": HOME})
    answer = browser.get("/page/deployments/demo/flight-delay")
    assert answer.status_code == 200
    return answer.text


def words(text: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", text))).strip()


def section(text: str) -> str:
    """That of the shadows."""
    return text.partition('<section id="shadows"')[2].partition("</section>")[0]


def steps(text: str) -> list[str]:
    """Their timeline, newest first."""
    return [
        words(item) for item in re.findall(r'<li class="(?:good|going|waiting|bad|none)">.*?</p>', section(text), re.S)
    ]


def shadow(**said: Any) -> ShadowRecord:
    """One that is compared; each test says only what differs."""
    facts: dict[str, Any] = {
        "name": "deeper",
        "revision": BESIDE,
        "version": "3.0.0",
        "state": "Comparing",
        "sample": "10%",
        "against": OLD,
        "since": NOON,
        "pairs": 1240,
    }
    return ShadowRecord.model_validate(facts | said)


def record(id: str, minute: float, *shadows: ShadowRecord, **said: Any) -> RolloutRecord:
    return rollout_record(id, at=NOON + timedelta(minutes=minute), shadows=list(shadows), **said)


STARTING = shadow(
    state="Provisioning", sample="", since=None, pairs=0, reason="WaitingForPods", message="0 of 1 pod ready"
)
CRASHED = STARTING.model_copy(update={"message": "0 of 1 pod ready; pod a: CrashLoopBackOff: exit code 3"})
OUTCOME = {"role": "decide", "paired": True, "samples": 1200, "value": 7.07, "against": 10.0}
PASSED = shadow(verdict="Pass", verdicts=[verdict("outcome", "outcome.rmse", "Pass", **OUTCOME)])


def test_a_shadow_is_shown_with_its_verdict_and_the_numbers_of_its_pairs(world: PageWorld) -> None:
    world.happen(record("a", 0, STARTING), record("b", 1, shadow()), record("c", 9, PASSED))
    text = words(section(page(world)))
    assert "deeper, 3.0.0 Comparing Pass" in text
    assert "Sample 10 % of stable's requests Compared with 1.0.0 Since 2026-03-01 12:00:00 UTC" in text
    assert "Requests both answered 1,240" in text
    assert "outcome outcome.rmse decide Pass 7.07 10 1,200" in text


def test_what_happened_is_said_newest_first_and_once(world: PageWorld) -> None:
    said = [record("a", 0, STARTING), record("b", 1, CRASHED), record("c", 2, shadow()), record("d", 9, PASSED)]
    world.happen(*said, record("e", 12))
    assert [line.split(" ", 2)[1:] for line in steps(page(world))] == [
        ["12:12:00", "Ended it is compared no more"],
        ["12:02:00", "Comparing 3.0.0, 10 % of stable's requests, beside 1.0.0"],
        ["12:00:00", "Provisioning 3.0.0"],
    ]
    text = section(page(world))
    assert "CrashLoopBackOff: exit code 3" in words(text)
    assert "outcome: Pass" in words(text)
    assert "deeper, 3.0.0 Ended Pass" in words(text)
    assert "<article" not in text, "what is over is folded"


def test_compared_with_another_it_begins_another_line(world: PageWorld) -> None:
    world.happen(record("a", 0, PASSED), record("b", 5, shadow(against=NEW)))
    assert [line.rpartition(" ")[2] for line in steps(page(world))] == ["2.0.0", "1.0.0"]


def test_that_a_shadow_stands_otherwise_is_no_news_of_the_rollout(world: PageWorld) -> None:
    done: dict[str, Any] = {"phase": "Completed", "reason": "Promoted", "weight_bp": 10_000, "step": "full"}
    started, gone = done | {"traffic": 5}, done | {"traffic": 6}
    world.happen(record("a", 0, **done), record("b", 30, shadow(), **started), record("c", 60, PASSED, **started))
    world.happen(record("d", 80, **started), record("e", 90, **gone))
    text = page(world).partition('<section id="shadows"')[0]
    assert len(re.findall(r'<li class="good">', text)) == 1
    assert "Last news 2026-03-01 12:00:00" in words(text)


def test_what_is_said_of_shadows_pushes_no_rollout_off_the_page(world: PageWorld) -> None:
    first = record("first", 0, rollout=f"{OLD}.1", revision=OLD, version="1.0.0")
    beside = [record(f"b{index}", 1 + index, (STARTING, PASSED)[index % 2]) for index in range(200)]
    world.happen(first, *beside)
    text = page(world)
    assert f"{OLD}.1" in text
    assert "Older entries of the timeline" not in text


def test_of_a_deployment_that_is_gone_no_shadow_is_compared(tmp_path: Path) -> None:
    world = PageWorld(tmp_path)
    world.happen(record("a", 0, shadow()))
    assert "deeper, 3.0.0 Ended" in words(section(page(world)))
    world.close()


def test_without_shadows_the_page_says_nothing_of_them(world: PageWorld) -> None:
    world.happen(record("a", 0))
    assert "shadows" not in page(world).lower()


def test_what_comes_from_outside_is_text(world: PageWorld) -> None:
    hostile = "<script>alert(1)</script>"
    facts = dict.fromkeys(
        ("name", "revision", "version", "state", "sample", "against", "reason", "message", "verdict"), hostile
    )
    world.happen(record("a", 0, shadow(**facts)))
    assert "<script" not in page(world)
