"""The story: what it promises, what it applies, what it says when the system does something else."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from switchyard_contracts.alarm_records import AlarmBook
from switchyard_contracts.conditions import Condition
from switchyard_contracts.model_deployment import (
    MetricVerdict,
    ModelDeploymentSpec,
    ModelDeploymentStatus,
    Phase,
    Role,
    RolloutStatus,
    Served,
    StepRecord,
)
from switchyard_demo_model.product.ledger import Errors, Failure, Statistics
from switchyard_demo_model.story.expectations import Expectation, Figure, Script
from switchyard_demo_model.story.figures import (
    Account,
    Quality,
    Read,
    Serving,
    Switch,
    Told,
    Topic,
    figures,
    per_version,
    tables,
)
from switchyard_demo_model.story.fourth import Telling
from switchyard_demo_model.story.narrator import Narrator
from switchyard_demo_model.story.plot import Chapter, Ending, Story, chapters, deployment
from switchyard_demo_model.story.summer import LEAP, SPRING
from switchyard_demo_model.story.teller import Teller, broken, refusal
from switchyard_demo_model.story.watched import Training, Window
from switchyard_demo_model.world.schedule import Pace
from switchyard_profile.reference import Reference
from switchyard_profile.training import reference
from switchyard_testkit import summer

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
IDS = frozenset(f"id-{n}" for n in range(20_000))
MIRRORED = Counter(f"id-{n}" for n in range(5_000))
REFERENCE = reference({"hour": [1, 2, 3]})


# --- what is promised -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("promise", "value", "held"),
    [
        pytest.param({"is": 0}, 0, True, id="exactly nothing"),
        pytest.param({"is": 0}, 1, False, id="not exactly nothing"),
        pytest.param({"is": "promoted"}, "promoted", True, id="a word"),
        pytest.param({"is": "promoted"}, "taken back", False, id="another word"),
        pytest.param({"atLeast": 5}, 5, True, id="at least, at the limit"),
        pytest.param({"atLeast": 5}, 4.9, False, id="at least, below it"),
        pytest.param({"atMost": 5}, 5, True, id="at most, at the limit"),
        pytest.param({"atMost": 5}, 5.1, False, id="at most, above it"),
        pytest.param({"atMost": 5}, "five", False, id="a word is no number"),
        pytest.param({"below": 0.5, "of": "other"}, 4.9, True, id="below half of the other"),
        pytest.param({"below": 0.5, "of": "other"}, 5.0, False, id="exactly half is not below it"),
        pytest.param({"below": 0.5, "of": "unknown"}, 0.0, False, id="the other is not known"),
    ],
)
def test_a_promise(promise: dict[str, Any], value: Figure, held: bool) -> None:
    expectation = Expectation.model_validate({"says": "it", "figure": "it", **promise})
    assert expectation.check({"it": value, "other": 10.0}, short=False).held is held


def test_a_figure_that_was_not_read_breaks_its_promise() -> None:
    promise = Expectation.model_validate({"says": "it", "figure": "it", "atMost": 5})
    found = promise.check({}, short=False)
    assert not found.held
    assert found.found == "not known"


def test_the_short_story_has_its_own_least_number() -> None:
    promise = Expectation.model_validate({"says": "it", "figure": "it", "atLeast": 10, "short": 3})
    assert promise.check({"it": 5}, short=True).held
    assert not promise.check({"it": 5}, short=False).held


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({}, id="no relation"),
        pytest.param({"is": 0, "atMost": 1}, id="two relations"),
        pytest.param({"below": 0.5}, id="below without of"),
        pytest.param({"atMost": 5, "of": "x"}, id="of without below"),
        pytest.param({"atMost": 5, "short": 3}, id="short without atLeast"),
        pytest.param({"atLeats": 5}, id="a misspelt word"),
    ],
)
def test_a_promise_that_says_nothing_clear_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Expectation.model_validate({"says": "it", "figure": "it", **wrong})


def test_a_mistake_in_the_file_is_found_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "story.yaml"
    file.write_text("pace: {rate: fast}\n")
    with pytest.raises(ValidationError):
        Script.read(file)


# --- what is applied --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", Story)
def test_every_file_of_every_story_is_a_legal_model_deployment(story: Story) -> None:
    for chapter in chapters(story):
        body = deployment(
            chapter, image="r/x@sha256:" + "0" * 64, provenance={"gitCommit": "abc"}, namespace="f", pace=Pace()
        )
        spec = ModelDeploymentSpec.model_validate(body["spec"])
        assert spec.model.version == chapter.version
        assert spec.monitoring
        assert spec.monitoring.outcome
        assert spec.analysis.block == spec.monitoring.outcome.judged_after == timedelta(seconds=Pace().day_seconds)


def test_between_the_files_only_the_model_and_its_way_differ() -> None:
    first, *others = [
        deployment(chapter, image=chapter.recipe, provenance={}, namespace="f", pace=Pace())["spec"]
        for chapter in chapters(Story.MAIN)
    ]
    differing = [{key for key in first if first[key] != other[key]} for other in others]
    assert differing == [{"model", "strategy"}, {"model"}]


def test_only_the_second_version_is_a_shadow_first() -> None:
    types = {
        chapter.version: deployment(chapter, image="i", provenance={}, namespace="f", pace=Pace())["spec"]["strategy"]
        for chapter in chapters(Story.MAIN)
    }
    assert {version: strategy["type"] for version, strategy in types.items()} == {
        "1.0.0": "Canary",
        "2.0.0": "Shadow",
        "3.0.0": "Canary",
    }
    assert types["3.0.0"]["canary"]["mirror"] == 0


def test_the_stories_promise_the_same_and_offer_something_else() -> None:
    told = {story: chapters(story) for story in Story}
    assert len({tuple(c.expected for c in three) for three in told.values()}) == 1
    assert [c.version for c in told[Story.NO_DIFFERENCE]] == [c.version for c in told[Story.MAIN]]
    assert [c.recipe for c in told[Story.SWAPPED]] == ["1.0.0", "3.0.0", "2.0.0"]
    assert len({tuple(c.recipe for c in three) for three in told.values()}) == 3


# --- what is figured out ----------------------------------------------------------------------------------------------


def quality(version: str, **changes: Any) -> Quality:
    """A revision that served a thousand flights; each test says only what differs."""
    usual = {
        "revision": f"r-{version}",
        "predictions": 1000,
        "labelled": 970,
        "rmse": 40.0,
        "decisions": 1000,
        "agreed": 900,
    }
    return Quality(version=version, **(usual | changes))


STATISTICS = Statistics(
    asked=20_000,
    answered=20_000,
    failed={},
    in_flight=0,
    decisions=20_000,
    outcomes=19_400,
    versions={"1.0.0": 10_000, "2.0.0": 9_000, "3.0.0": 1_000},
    rmse={"1.0.0": 40.0, "2.0.0": 17.0, "3.0.0": 900.0},
    p50=0.004,
    p99=0.02,
    behind=0.1,
)


def read(**changes: Any) -> Read:
    """A story that went as promised; each test says only what differs."""
    usual: dict[str, Any] = {
        "product": STATISTICS,
        "served_ids": IDS,
        "topic": Topic(primary=Counter(IDS), mirrored=MIRRORED),
        "quality": [
            quality("1.0.0", predictions=10_000, labelled=9_700),
            quality("2.0.0", predictions=9_000, labelled=8_730, rmse=17.0),
            quality("3.0.0", rmse=900.0),
        ],
        "account": Account(served=20_000, delivered=20_000, open=0),
        "serving": Serving("2.0.0", 10_000),
        "told": TOLD,
        "watched": summer.summer(),
    }
    return Read(**(usual | changes))


def outcome(verdict: Any, **changes: Any) -> MetricVerdict:
    """The verdict on outcomes."""
    facts = {"name": "outcome", "metric": "outcome.rmse", "role": Role.DECIDE, "reason": "r", "samples": 240}
    return MetricVerdict(**(facts | {"verdict": verdict} | changes))


FIRST, SECOND, THIRD = chapters(Story.MAIN)
PAIRED = outcome("Pass", samples=4_000, paired=True)
SWITCHES = (Switch("fifth", 2000, 0.2), Switch("half", 5000, 0.3))
WAY = (
    Switch("shadow", 0, 0.2, mirrored=True),
    Switch("twentieth", 500, 0.2, mirrored=True),
    Switch("quarter", 2500, 0.2, mirrored=True),
    Switch("half", 5000, 0.3, mirrored=True),
    Switch("full", 10_000, 0.2),
)
TOLD = (
    Told(FIRST, Ending.PROMOTED, 30.0),
    Told(SECOND, Ending.PROMOTED, 70.0, verdict=PAIRED, peak_bp=10_000, given_in_shadow=0, switches=WAY),
    Told(THIRD, Ending.TAKEN_BACK, 60.0, verdict=outcome("Fail"), peak_bp=5000, switches=SWITCHES),
)


def second_by(*way: Switch) -> dict[str, Any]:
    """The second version came another way."""
    return {"told": (TOLD[0], replace(TOLD[1], switches=way), TOLD[2])}


def test_a_story_that_went_as_promised_breaks_no_promise() -> None:
    held = Script.read().check(figures(read()), short=False)
    assert [one.says for one in held if not one.held] == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"product": replace(STATISTICS, failed={"predict": 1})}, "no request", id="a request failed"),
        pytest.param({"product": replace(STATISTICS, in_flight=1)}, "no request", id="a request was never answered"),
        pytest.param({"product": replace(STATISTICS, failed={"outcomes": 1})}, "was refused", id="feedback failed"),
        pytest.param({"product": replace(STATISTICS, behind=9.0)}, "kept its pace", id="the driver was late"),
        pytest.param(
            {"topic": Topic(Counter(list(IDS)[1:]), MIRRORED)}, "account closes", id="an answer without an event"
        ),
        pytest.param({"topic": Topic(Counter([*IDS, "id-0"]), MIRRORED)}, "twice", id="an event twice"),
        pytest.param({"topic": Topic(Counter([*IDS, "x"]), MIRRORED)}, "did not ask for", id="an event of nobody"),
        pytest.param({"topic": Topic(Counter(IDS), Counter())}, "answered to copies", id="nothing was mirrored"),
        pytest.param({"topic": Topic(Counter(IDS), MIRRORED + Counter(["x"]))}, "beside the answer", id="a lone copy"),
        pytest.param({"topic": Topic(Counter(IDS), MIRRORED + Counter(["id-0"]))}, "none of it", id="a copy twice"),
        pytest.param(
            {"told": (TOLD[0], replace(TOLD[1], given_in_shadow=1), TOLD[2])}, "no user", id="a shadow that was seen"
        ),
        pytest.param(
            {"told": (TOLD[0], replace(TOLD[1], given_in_shadow=None), TOLD[2])}, "no user", id="no shadow at all"
        ),
        pytest.param(
            {"told": (TOLD[0], replace(TOLD[1], verdict=outcome("Pass", samples=4_000)), TOLD[2])},
            "of pairs",
            id="promoted by the split",
        ),
        pytest.param(second_by(WAY[0], WAY[-1]), "left out no step", id="from the shadow to all of the traffic"),
        pytest.param(
            second_by(*WAY[:2], replace(WAY[2], routed=False), *WAY[3:]),
            "left out no step",
            id="a step that no route carried",
        ),
        pytest.param(
            second_by(WAY[0], *(replace(step, mirrored=False) for step in WAY[1:])),
            "given copies",
            id="weights without copies",
        ),
        pytest.param({"account": Account(20_000, 19_999, open=1)}, "shipper's own", id="the account is open"),
        pytest.param({"serving": Serving("3.0.0", 10_000)}, "serves in the end", id="the wrong model serves"),
        pytest.param({"serving": Serving("2.0.0", 8_000)}, "alone", id="somebody else serves too"),
        pytest.param({"quality": []}, "clearly better", id="the monitor knows nothing"),
        pytest.param({"told": TOLD[:2]}, "3.0.0 was taken back", id="the third chapter was never told"),
        pytest.param(
            {"told": (*TOLD[:2], replace(TOLD[2], peak_bp=10_000))}, "more than half", id="taken back too late"
        ),
        pytest.param(
            {"told": (*TOLD[:2], replace(TOLD[2], switches=(Switch("half", 5000, None),)))},
            "reached the gateways",
            id="a switch that nobody acknowledged",
        ),
        pytest.param(
            {"told": (TOLD[0], replace(TOLD[1], verdict=outcome("Inconclusive")), TOLD[2])},
            "by outcomes",
            id="promoted without proof",
        ),
    ],
)
def test_each_promise_can_be_broken(change: dict[str, Any], says: str) -> None:
    held = Script.read().check(figures(read(**change)), short=False)
    assert any(says in one.says for one in broken(held)), [one.says for one in broken(held)]


def test_a_monitor_that_sees_another_error_than_the_product_is_found_out() -> None:
    off = [quality("1.0.0", rmse=41.0), quality("2.0.0", rmse=17.0), quality("3.0.0", rmse=900.0)]
    held = Script.read().check(figures(read(quality=off)), short=False)
    assert "the monitor's error of 1.0.0 is the one the product saw" in [one.says for one in broken(held)]


def test_the_error_of_a_version_is_put_together_over_its_roles() -> None:
    lines = [quality("2.0.0", labelled=300, rmse=10.0), quality("2.0.0", labelled=100, rmse=20.0)]
    together = per_version(lines)["2.0.0"]
    assert together.rmse == pytest.approx(((300 * 100 + 100 * 400) / 400) ** 0.5)
    assert (together.labelled, together.predictions, together.agreement) == (400, 2000, 0.9)


def test_a_revision_without_outcomes_has_no_error_and_hides_none() -> None:
    lines = [quality("2.0.0", labelled=0, rmse=None), quality("2.0.0", labelled=100, rmse=20.0)]
    assert per_version(lines)["2.0.0"].rmse == pytest.approx(20.0)
    assert per_version(lines[:1])["2.0.0"].rmse is None


def test_the_tables_name_every_decision_with_its_numbers() -> None:
    found = {title: rows for title, _, rows in tables(read())}
    assert [row[:5] for row in found["Decisions"]][1] == ("2.0.0", "promoted", "Pass", "–", "4,000 pairs")
    assert ("2.0.0", "twentieth", "5 %", "0.20 s") in found["Changes of weights"]
    assert ("3.0.0", "fifth", "20 %", "0.20 s") in found["Changes of weights"]


# --- how it is told ---------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def steps_of(body: Mapping[str, Any], phase: Phase, *, left_out: Sequence[str]) -> list[StepRecord]:
    """The steps that a rollout has taken: a shadow's own, all of the file's, and when it is promoted the last."""
    strategy = body["spec"]["strategy"]
    shadow = strategy.get("shadow")
    steps = (shadow["thenPromote"] if shadow else strategy["canary"])["steps"] if phase is not Phase.SHADOWING else []
    way = [("shadow", 0)] * bool(shadow) + [(step["name"], step["weight"] * 100) for step in steps]
    way += [("full", 10_000)] if phase is Phase.WATCHING else []
    return [
        StepRecord(
            name=name,
            weight_bp=weight,
            generations=[number],
            mirrored=[number] if shadow and weight < 10_000 else [],
            started_at=NOON,
            synced_at=NOON + timedelta(seconds=0.4),
        )
        for number, (name, weight) in enumerate(way, start=2)
        if name not in left_out
    ]


@dataclass
class FakeSystem:
    """A cluster whose operator does in each chapter what the test says, some seconds after the file was applied."""

    clock: Clock
    endings: Mapping[str, Ending | None]  # by recipe; None: nothing is ever decided
    namespace: str = "flights-test"
    applied: list[dict[str, Any]] = field(default_factory=list)
    at: float = 0.0
    rooms: int = 0
    events: Counter[str] = field(default_factory=lambda: Counter(IDS))
    stable: str = ""
    objection: str = ""
    left_out: Sequence[str] = ()
    """Steps that its operator jumps over."""
    watching: bool = True
    """Whether its monitor takes the reference."""
    leapt_at: float | None = None
    handed_over: list[str] = field(default_factory=list)

    def make_room(self) -> None:
        self.rooms += 1

    def image(self, recipe: str) -> str:
        return f"registry/demo@{recipe}"

    def provenance(self, recipe: str) -> Mapping[str, str]:
        return {"gitCommit": recipe}

    def apply(self, body: Mapping[str, Any]) -> int:
        self.applied.append(dict(body))
        self.at = self.clock()
        return len(self.applied)

    def status(self) -> ModelDeploymentStatus:
        if not self.applied:
            return ModelDeploymentStatus()
        passed, generation = self.clock() - self.at, len(self.applied)
        if passed < 1.0:  # the operator has not looked yet: the last chapter's status still stands
            generation -= 1
        if not generation:
            return ModelDeploymentStatus()
        if self.objection:
            refused = Condition(
                type="Accepted", status="False", reason="Invalid", message=self.objection, last_transition_time=NOON
            )
            return ModelDeploymentStatus(observed_generation=generation, conditions=[refused])
        recipe = self.applied[generation - 1]["spec"]["model"]["image"].rpartition("@")[2]
        ending = self.endings[recipe]
        strategy = self.applied[generation - 1]["spec"]["strategy"]["type"]
        shadow = strategy == "Shadow" and passed < 10.0
        phase = Phase.SHADOWING if shadow else Phase.PROGRESSING
        if passed >= 20.0 or generation < len(self.applied):
            phase = {Ending.PROMOTED: Phase.WATCHING, Ending.TAKEN_BACK: Phase.ROLLED_BACK, None: phase}[ending]
        revision = f"flight-delay-{recipe}"
        if phase is Phase.WATCHING:
            self.stable = revision
        weight = {Phase.WATCHING: 10_000, Phase.ROLLED_BACK: 0, Phase.SHADOWING: 0}.get(phase, 2000)
        return ModelDeploymentStatus(
            observed_generation=generation,
            stable=Served(revision=self.stable) if self.stable else None,
            conditions=[
                Condition(type=kind, status="True", reason="r", last_transition_time=NOON)
                for kind in ("Available", "TrafficSynced")
            ],
            rollout=RolloutStatus(
                id=f"{revision}.1",
                revision=revision,
                phase=phase,
                step="fifth",
                steps=2,
                weight_bp=weight,
                reason="Because",
                message="of that",
                waiting_for="137 more outcomes",
                steps_done=steps_of(self.applied[generation - 1], phase, left_out=self.left_out),
                verdicts=[
                    outcome(
                        {Ending.PROMOTED: "Pass", Ending.TAKEN_BACK: "Fail"}.get(ending, "Inconclusive"),  # type: ignore[arg-type]
                        samples=4_000,
                        paired=strategy == "Shadow",
                    )
                ],
            ),
        )

    def serving(self) -> Serving:
        return Serving("2.0.0", 10_000)

    def quality(self) -> list[Quality]:
        return list(read().quality)

    def topic(self) -> Topic:
        return Topic(self.events, MIRRORED)

    def account(self) -> Account:
        return read().account

    def hand_over(self, reference: Reference) -> str:
        if not self.watching or self.clock() - self.at < 3.0:
            return "monitoring.reference names no profile"
        self.handed_over.append(reference.digest)
        return ""

    def alarms(self) -> AlarmBook:
        told = self.leapt_at is not None and self.clock() - self.leapt_at > 20.0
        return summer.TOLD if told else summer.book(calm=self.clock() - self.at > 25.0)

    def drift(self) -> list[Window]:
        return summer.windows()

    def trainings(self) -> list[Training]:
        return [summer.TRAINING] if self.alarms().request else []


class FakeProduct:
    """A product that saw what the ledger says; of the second version nothing before it had traffic."""

    def __init__(
        self, system: FakeSystem, statistics: Statistics, failures: list[Failure], *, seen: int, spring: int
    ) -> None:
        self._system, self._statistics, self._failures, self._seen = system, statistics, failures, seen
        self._spring = spring

    def statistics(self) -> Statistics:
        rollout = self._system.status().rollout
        if rollout and rollout.phase is Phase.SHADOWING:
            return replace(self._statistics, versions={**self._statistics.versions, "2.0.0": self._seen})
        return self._statistics

    def failures(self) -> list[Failure]:
        return self._failures

    def served_ids(self) -> frozenset[str]:
        return IDS

    def leap(self, to: date, *, every: int) -> float:
        assert every == 2
        if to == SPRING:
            return summer.starts(self._spring)[0].timestamp()
        assert to == LEAP
        self._system.leapt_at = self._system.clock()
        return summer.LEAPT.timestamp()

    def errors_of(self, version: str, *, since: float, until: float) -> Errors:
        assert version == "2.0.0"
        if not since:
            return summer.summer().spring
        return summer.summer().own[datetime.fromtimestamp(since, UTC)]


def tell(
    story: Story,
    endings: Mapping[str, Ending | None],
    *,
    failures: list[Failure] | None = None,
    events: Counter[str] | None = None,
    objection: str = "",
    seen: int = 0,
    left_out: Sequence[str] = (),
    watching: bool = True,
    spring: int = -4,
) -> tuple[list[str], str, FakeSystem]:
    """Tell it; the promises that broke, what was said, and the system after it. `spring` is its first window's."""
    clock, out = Clock(), io.StringIO()
    system = FakeSystem(clock, endings, objection=objection, left_out=left_out, watching=watching)
    if events is not None:
        system.events = events
    statistics = replace(STATISTICS, failed={"predict": len(failures)}) if failures else STATISTICS

    @contextmanager
    def traffic() -> Iterator[FakeProduct]:
        yield FakeProduct(system, statistics, failures or [], seen=seen, spring=spring)

    telling = Telling(story, short=False, pace=Pace(day_seconds=4.0), reference=REFERENCE)
    narrator = Narrator(out, clock=clock)
    held = Teller(system, narrator, Script.read(), telling=telling, clock=clock, sleep=clock.sleep).tell(traffic)
    return [one.says for one in broken(held)], out.getvalue(), system


AS_PROMISED: Mapping[str, Ending | None] = {
    "1.0.0": Ending.PROMOTED,
    "2.0.0": Ending.PROMOTED,
    "3.0.0": Ending.TAKEN_BACK,
}


def test_the_main_story_on_a_system_that_works() -> None:
    false, said, system = tell(Story.MAIN, AS_PROMISED)
    assert false == []
    assert [body["spec"]["model"]["version"] for body in system.applied] == ["1.0.0", "2.0.0", "3.0.0", "2.0.0"]
    assert system.rooms == 1
    assert system.handed_over == [REFERENCE.digest] == [system.applied[-1]["spec"]["monitoring"]["reference"]]
    assert "the world's clock goes to 20 March" in said
    assert said.index("the world's clock goes to 20 March") < said.index("the world's clock leaps to 8 July")
    assert "Fired: drifted (departure_delay): it is beyond its limit" in said
    assert "3.0.0 is taken back: Because. of that" in said
    assert "137 more outcomes" in said
    assert "BROKEN" not in said


def test_days_before_the_calendar_was_set_do_not_count_as_calm() -> None:
    _, said, system = tell(Story.MAIN, AS_PROMISED, spring=-3)
    assert "3 windows in a row by which neither alarm is broken have not come" in said
    assert system.leapt_at is None


def test_a_monitor_that_takes_no_reference_breaks_the_fourth_chapter_alone() -> None:
    false, said, _ = tell(Story.MAIN, AS_PROMISED, watching=False)
    assert "the monitor has not taken the reference: monitoring.reference names no profile" in said
    promises = {one.says: one.figure for one in Script.read().expectations}
    assert {promises[one].partition(".")[0] for one in false} == {"fourth"}
    assert len(false) == sum(figure.startswith("fourth.") for figure in promises.values())


def test_a_second_version_that_is_never_promoted_breaks_the_story_and_ends_it() -> None:
    endings = {**AS_PROMISED, "2.0.0-nodifference": None}
    false, said, system = tell(Story.NO_DIFFERENCE, endings)
    assert "2.0.0 was promoted" in false
    assert "by outcomes" in false
    assert len(system.applied) == 2, "the third chapter is not told after the second one failed"
    assert "nothing was decided; it waits for: 137 more outcomes" in said


def test_the_swapped_story_breaks_where_the_second_version_is_taken_back() -> None:
    false, said, system = tell(Story.SWAPPED, AS_PROMISED)
    assert "2.0.0 was promoted" in false
    assert "the story promised that 3.0.0 is promoted, but it was taken back" in said
    assert [body["spec"]["model"]["version"] for body in system.applied] == ["1.0.0", "3.0.0"]


def test_a_first_deployment_that_never_serves_breaks_every_promise() -> None:
    false, _, system = tell(Story.MAIN, {**AS_PROMISED, "1.0.0": None})
    assert len(false) == len(Script.read().expectations)
    assert len(system.applied) == 1


def test_a_file_that_is_not_accepted_ends_the_story_with_the_operators_own_words() -> None:
    false, said, system = tell(Story.MAIN, AS_PROMISED, objection="spec.model.image: no")
    assert len(false) == len(Script.read().expectations)
    assert "it was refused: spec.model.image: no" in said
    assert system.clock() < 10


def test_a_revision_on_its_way_back_is_not_taken_for_a_file_that_was_refused() -> None:
    leaving = Condition(
        type="Accepted",
        status="False",
        reason="RolledBackRevision",
        message="flight-delay-1 was taken back",
        last_transition_time=NOON,
    )
    wrong = leaving.model_copy(update={"reason": "Invalid", "message": "spec.model.image: no"})
    assert refusal(ModelDeploymentStatus(observed_generation=3, conditions=[leaving]), 3) == ""
    assert refusal(ModelDeploymentStatus(observed_generation=3, conditions=[wrong]), 3) == "spec.model.image: no"
    assert refusal(ModelDeploymentStatus(observed_generation=2, conditions=[wrong]), 3) == ""


def test_a_broken_third_version_that_is_promoted_breaks_the_story() -> None:
    false, _, _ = tell(Story.MAIN, {**AS_PROMISED, "3.0.0": Ending.PROMOTED})
    assert "3.0.0 was taken back" in false


def test_a_shadow_whose_answers_users_were_given_breaks_the_story() -> None:
    false, said, _ = tell(Story.MAIN, AS_PROMISED, seen=3)
    assert false == ["while it was a shadow no user was given an answer of it"]
    assert "2.0.0 comes by shadow, then by canary" in said


def test_a_way_that_jumps_over_steps_breaks_the_story() -> None:
    false, _, _ = tell(Story.MAIN, AS_PROMISED, left_out=("twentieth", "quarter"))
    assert false == [
        "it left out no step on its way to all of the traffic",
        "and in each of them but the last it was given copies",
    ]


def test_failed_requests_are_told_with_their_details() -> None:
    false, said, _ = tell(
        Story.MAIN, AS_PROMISED, failures=[Failure(12.5, "predict", "status 503: no healthy upstream")]
    )
    assert "no request of the product failed" in false
    assert "failed at 12.5 s: predict: status 503: no healthy upstream" in said


def test_an_event_that_never_arrives_is_not_waited_for_without_end() -> None:
    false, _, system = tell(Story.MAIN, AS_PROMISED, events=Counter(list(IDS)[5:]))
    assert any("account closes" in one for one in false)
    assert system.clock() < 600


def test_a_chapter_is_named_by_its_version_and_its_place() -> None:
    assert Chapter("second", "2.0.0-nodifference", Ending.PROMOTED).version == "2.0.0"
