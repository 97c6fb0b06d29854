"""What the operator really says of rollouts, as people read it on the monitor's page: no word of it is lost or bent."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.topics import RolloutRecord
from switchyard_monitor.page.rollouts import kind
from switchyard_testkit.page_world import PageWorld
from switchyard_testkit.rollout_world import CANARY_SPEC, NAME, NAMESPACE, PAIRED_SPEC, Model, Simulation, shadow

ONE, TWO, THREE, FOUR, FIVE = (f"models/delay:{number}" for number in range(1, 6))
MODELS = {
    ONE: Model(version="1.0.0", loss=100.0),
    TWO: Model(version="2.0.0", loss=50.0),
    THREE: Model(version="3.0.0", failing=0.2),
}
HOME = "http://monitor"


@dataclass(frozen=True)
class Read:
    """One rollout as the page shows it."""

    title: str
    """Version, attempt, phase."""
    text: str


@dataclass(frozen=True)
class Told:
    """What the operator said, and what the page makes of it."""

    records: list[RolloutRecord]
    page: str
    rollouts: list[Read]


def words(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page))).strip().replace(" ,", ",")


def live(simulation: Simulation) -> str:
    rollout = simulation.status.rollout
    assert rollout
    return rollout.id


def at_step(simulation: Simulation, step: str) -> None:
    simulation.run(lambda: bool(simulation.status.rollout and simulation.status.rollout.step == step))


def story() -> Simulation:
    """Deployed; aborted; retried, paused, promoted; a spec refused; one superseded, then taken back by its guard."""
    simulation = Simulation(MODELS)
    simulation.deploy(CANARY_SPEC)
    simulation.run(lambda: simulation.phase is Phase.COMPLETED)
    simulation.deploy(CANARY_SPEC, image=TWO)
    at_step(simulation, "five")
    simulation.command("abort", rollout=live(simulation), reason="nonsense")
    simulation.run(lambda: simulation.phase is Phase.ROLLED_BACK)
    simulation.command("retry", revision=simulation.revision(TWO))
    at_step(simulation, "half")
    simulation.command("pause", rollout=live(simulation), reason="lunch")
    simulation.run(lambda: simulation.phase is Phase.PAUSED)
    simulation.command("resume", rollout=live(simulation))
    simulation.run(lambda: simulation.phase is Phase.WATCHING)
    simulation.deploy(CANARY_SPEC, image=TWO, strategy={"type": "Bandit"})
    simulation.run_for(timedelta(seconds=10))
    simulation.deploy(CANARY_SPEC, image=THREE)
    at_step(simulation, "five")
    simulation.deploy(CANARY_SPEC, image=TWO)
    simulation.run_for(timedelta(seconds=20))
    simulation.deploy(CANARY_SPEC, image=THREE)
    simulation.run(lambda: simulation.phase is Phase.ROLLED_BACK)
    return simulation


def shown(world: PageWorld, simulation: Simulation) -> Told:
    """The records through the topic onto the page; as many milliseconds apart as they are passes."""
    records = [
        record.model_copy(update={"at": record.at + timedelta(milliseconds=number)})
        for number, record in enumerate(simulation.bus.rollouts)
    ]
    last = simulation.bus.models[-1]
    world.world.broker.teach(last.subject, last.model_dump_json(by_alias=True).encode())
    world.happen(*records)
    browser = TestClient(world.app(), base_url=HOME)
    browser.post("/page/login", data={"token": "all"}, headers={"origin": HOME})
    answer = browser.get(f"/page/deployments/{NAMESPACE}/{NAME}")
    assert answer.status_code == 200
    cards = re.findall(
        r'<article class="card.*?</article>|<details class="card">.*?</ol>\s*</details>', answer.text, re.S
    )
    titles = [re.findall(r"<h3.*?</h3>|<summary>.*?<span class=\"quiet\">", card, re.S)[0] for card in cards]
    read = [Read(words(title), words(card)) for title, card in zip(titles, cards, strict=True)]
    return Told(records, answer.text, read)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    world = PageWorld(tmp_path_factory.mktemp("page"))
    yield shown(world, story())
    world.close()


def test_each_rollout_is_there_with_its_attempt_and_its_end(told: Told) -> None:
    assert [rollout.title for rollout in told.rollouts] == [
        "3.0.0 RolledBack",
        "2.0.0, attempt 2 Completed",
        "2.0.0 RolledBack",
        "1.0.0 Completed",
    ]


def test_each_reason_and_message_is_there_as_it_was_said(told: Told) -> None:
    by_rollout: Mapping[str, str] = {
        re.findall(r"Rollout (\S+\.\d+)", rollout.text)[0]: rollout.text for rollout in told.rollouts
    }
    for record in told.records:
        assert kind(record.phase) != "none", record.phase
        assert record.phase in by_rollout[record.rollout]
        assert record.reason in by_rollout[record.rollout]
        assert words(record.message) in by_rollout[record.rollout]
        for item in record.verdicts:
            assert f"{item.name}: {item.verdict}" in by_rollout[record.rollout]
    assert "aborted by ada: nonsense" in told.rollouts[2].text
    assert "paused by ada: lunch" in told.rollouts[1].text


def test_the_chart_takes_the_weights_of_the_route_one_by_one(told: Told) -> None:
    figure = re.findall(r"<figure.*?</figure>", told.page, re.S)[1]
    rows = [words(row).rsplit(" ", 2)[-2:] for row in re.findall(r"<tr>.*?</tr>", figure, re.S)[1:]]
    weights = [row[0] for row in rows if row[-1] == "%"]
    changes = [one for number, one in enumerate(weights) if not number or one != weights[number - 1]]
    assert changes[:5] == ["0", "5", "25", "50", "100"]


def test_while_another_rollout_had_the_traffic_the_line_is_broken(told: Told) -> None:
    figure = re.findall(r"<figure.*?</figure>", told.page, re.S)[0]
    (line,) = re.findall(r'<path class="line s1" d="(M[^"]*V[^"]*)"', figure)
    assert line.count("M") == 2


def test_of_a_guard_that_failed_the_numbers_have_their_units(told: Told) -> None:
    assert "errors error_rate guard Fail 20 % 1 % 25 none 20 % of 25 requests failed" in told.rollouts[0].text


def test_a_rollout_that_waits_says_for_what(tmp_path: Path) -> None:
    world = PageWorld(tmp_path)
    simulation = Simulation(MODELS | {TWO: Model(version="2.0.0", loss=111.0)})
    simulation.deploy(CANARY_SPEC)
    simulation.run(lambda: simulation.phase is Phase.COMPLETED)
    simulation.deploy(CANARY_SPEC, image=TWO)
    at_step(simulation, "half")
    simulation.run(lambda: simulation.phase is Phase.AWAITING_EVIDENCE)
    waits = simulation.bus.rollouts[-1].waiting_for
    (rollout, *_) = shown(world, simulation).rollouts
    assert "more" in waits
    assert waits in rollout.text
    assert rollout.title == "2.0.0 AwaitingEvidence"
    world.close()


def test_each_shadow_is_there_as_the_operator_saw_it(tmp_path: Path) -> None:
    """One is proven better and taken out, one worse, one never starts; beside them a rollout goes its way."""
    world = PageWorld(tmp_path)
    simulation = Simulation(MODELS | {FOUR: Model(version="4.0.0", loss=400.0), FIVE: Model(starts=False)})
    beside = [shadow("better", TWO, sample="50%"), shadow("worse", FOUR, sample="20%"), shadow("broken", FIVE)]
    simulation.deploy(PAIRED_SPEC | {"shadows": beside})
    simulation.run(lambda: {item.verdict for item in simulation.status.shadows} == {"Pass", "Fail", ""})
    simulation.deploy(PAIRED_SPEC | {"shadows": beside[1:]})
    simulation.run_for(timedelta(minutes=2))
    told = shown(world, simulation)
    page = words(told.page.partition('<section id="shadows"')[2].partition("</section>")[0])
    worse, broken, better = (page[page.index(title) :] for title in ("worse, 4.0.0 ", "broken, ", "better, 2.0.0 "))
    assert worse.startswith(
        "worse, 4.0.0 Comparing Fail Sample 20 % of stable's requests Compared with 1.0.0 Since 2026"
    )
    assert "Provisioning" in broken.split("Sample")[0]
    assert "CrashLoopBackOff: Error with exit code 3: no such file: model.json" in broken
    assert better.startswith("better, 2.0.0 Ended Pass Sample 50 % of stable's requests Compared with 1.0.0 Since 2026")
    assert "Ended it is compared no more" in better
    for record in told.records:
        for item in record.shadows:
            assert item.state in page
            for found in item.verdicts:
                assert f"{found.name}: {found.verdict}" in page
    (rollout,) = (read for read in told.rollouts if read.title == "1.0.0 Completed")
    assert "Fail" not in rollout.text
    world.close()
