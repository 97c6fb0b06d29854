"""Notifications: who is told what, once each, whatever dies or is away; and that no rollout notices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from switchyard_contracts.model_deployment import Phase
from switchyard_contracts.notifications import Event, Notification, Receiver
from switchyard_operator.domain import kinds, letters
from switchyard_operator.domain.tidings import MOST_TOLD, remember
from switchyard_operator.settings import Settings
from switchyard_testkit.rollout_world import AB_SPEC, CANARY_SPEC, KEY, SHADOW_SPEC, SPEC, Model, Simulation
from switchyard_testkit.telling import Told

ONE, TWO = "models/delay:1", "models/delay:2"
FIRST, BETTER = Model(version="1.0.0", loss=100.0), Model(version="2.0.0", loss=50.0)
FAILING = Model(version="2.0.0", loss=50.0, failing=0.2)
BY_HAND = SPEC | {"strategy": {"type": "BlueGreen", "blueGreen": {"autoPromote": False}}}
MINUTE = timedelta(minutes=1)


def deployed(second: Model = BETTER, spec: dict[str, Any] = CANARY_SPEC, **words: Any) -> Told:
    """The first model serves, and what was told of that is forgotten."""
    world = Told({ONE: FIRST, TWO: second}, **words)
    world.deploy(spec, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.run_for(timedelta(seconds=2))
    for inbox in world.inboxes.values():
        inbox.received.clear()
    return world


def canary(second: Model = BETTER, spec: dict[str, Any] = CANARY_SPEC, **words: Any) -> Told:
    world = deployed(second, spec, **words)
    world.deploy(spec, image=TWO)
    return world


def promoted() -> Told:
    world = canary()
    world.run(lambda: world.phase is Phase.COMPLETED and world.status.rollout is not None)
    world.run(lambda: world.phase is not Phase.COMPLETED)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def taken_back() -> Told:
    world = canary(FAILING)
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    return world


def refused() -> Told:
    world = Told({ONE: Model(starts=False)})
    world.deploy(CANARY_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.REFUSED)
    return world


def refused_spec() -> Told:
    world = deployed()
    world.deploy(CANARY_SPEC | {"strategy": {"type": "Bandit"}})
    return world


def refused_newer() -> Told:
    world = canary(spec=CANARY_SPEC | {"onSpecChange": "Reject"})
    world.run(lambda: world.status.rollout is not None and world.status.rollout.step == "five")
    world.deploy(CANARY_SPEC | {"onSpecChange": "Reject"}, image="models/delay:3")
    return world


def waits_for_a_person() -> Told:
    world = canary(spec=BY_HAND)
    world.run(lambda: world.phase is Phase.PAUSED)
    return world


def waits_for_evidence() -> Told:
    world = canary()
    world.run(lambda: world.status.rollout is not None and world.status.rollout.step == "five")
    world.monitor.down = "the monitor does not answer: ConnectError"
    world.run_for(4 * MINUTE)
    return world


def compared() -> Told:
    world = canary(spec=SHADOW_SPEC)
    world.run(lambda: world.status.rollout is not None and world.status.rollout.reason == "ShadowEnded")
    return world


def tried() -> Told:
    stop = AB_SPEC["strategy"]["abTest"] | {"whenWon": "stop"}
    world = canary(spec=AB_SPEC | {"strategy": {"type": "ABTest", "abTest": stop}})
    world.run(lambda: world.status.rollout is not None and world.status.rollout.reason == "TrialEnded")
    return world


def aborted() -> Told:
    world = canary()
    world.run(lambda: world.status.rollout is not None and world.status.rollout.step == "five")
    assert world.status.rollout
    world.command("abort", rollout=world.status.rollout.id, reason="the wrong file")
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    return world


@pytest.mark.parametrize(
    ("situation", "event", "reason", "words"),
    [
        pytest.param(promoted, Event.PROMOTED, "Promoted", "", id="promoted"),
        pytest.param(taken_back, Event.ROLLED_BACK, "AnalysisFailed", "errors", id="taken back by a guard"),
        pytest.param(aborted, Event.ROLLED_BACK, "Aborted", "the wrong file", id="aborted"),
        pytest.param(refused, Event.REFUSED, "NeverReady", "0 of 2 pods", id="a first revision that is never ready"),
        pytest.param(refused_spec, Event.REFUSED, "Invalid", "Bandit", id="a spec that cannot be honoured"),
        pytest.param(refused_newer, Event.REFUSED, "RolloutUnderWay", "onSpecChange", id="a newer one, by Reject"),
        pytest.param(waits_for_a_person, Event.HELD, "AwaitingPromote", "by hand", id="it waits for a person"),
        pytest.param(waits_for_evidence, Event.HELD, "EvidenceUnavailable", "monitor", id="evidence cannot be had"),
        pytest.param(compared, Event.COMPARED, "ShadowEnded", "compared", id="a shadow that ends"),
        pytest.param(tried, Event.COMPARED, "TrialEnded", "tried on users", id="a test that ends"),
    ],
)
def test_what_happens_is_told_once_with_its_numbers(
    situation: Callable[[], Told], event: Event, reason: str, words: str
) -> None:
    world = situation()
    world.run_for(2 * MINUTE if event is not Event.REFUSED else MINUTE)
    told = world.inboxes["desk"].received
    assert [(item.event, item.reason) for item in told] == [(event, reason)]
    assert words in told[0].message
    assert world.status.notifications
    assert world.status.notifications.waiting == [], "what was received is owed no more"


def test_the_numbers_are_those_of_the_verdicts() -> None:
    told = taken_back().inboxes["desk"].received[0]
    errors = next(figure for figure in told.figures if figure.name == "errors")
    assert (errors.verdict, errors.metric, errors.role) == ("Fail", "error_rate", "guard")
    assert errors.samples >= 25
    assert errors.message in told.message
    assert (told.step, told.weight, told.version) == ("five", "5%", "2.0.0")


def test_a_promotion_is_told_with_what_it_was_proven_by() -> None:
    told = promoted().inboxes["desk"].received[0]
    assert {figure.verdict for figure in told.figures if figure.role != "observe"} == {"Pass"}
    assert all(figure.samples >= 25 for figure in told.figures if figure.role != "observe")


def test_evidence_that_is_only_slow_is_not_told_as_a_hold() -> None:
    world = canary(held_after=timedelta(hours=1))
    world.run(lambda: world.phase is Phase.AWAITING_EVIDENCE)
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.inboxes["desk"].events == [Event.PROMOTED]


@pytest.mark.parametrize(
    ("receiver", "hears"),
    [
        pytest.param({}, [Event.PROMOTED], id="everybody hears of everything"),
        pytest.param({"deployments": ["airport/*"]}, [Event.PROMOTED], id="its namespace"),
        pytest.param({"deployments": ["airport/delay"]}, [Event.PROMOTED], id="its name"),
        pytest.param({"deployments": ["harbour/*", "airport/fuel"]}, [], id="another's"),
        pytest.param({"on": ["RolledBack", "Held"]}, [], id="of other things only"),
    ],
)
def test_a_receiver_hears_what_it_asked_for(receiver: dict[str, Any], hears: list[Event]) -> None:
    world = canary(receivers=({"name": "desk"} | receiver,))
    world.run(lambda: world.phase is Phase.WATCHING)
    world.run_for(5 * timedelta(seconds=1))
    assert world.inboxes["desk"].events == hears


def told_in_the_end(world: Told) -> list[tuple[Event, str]]:
    return [(item.event, item.id) for item in world.inboxes["desk"].received]


def test_a_receiver_that_is_away_is_told_later_by_another_operator() -> None:
    world = canary()
    world.inboxes["desk"].away = "desk.example answered 503"
    world.run(lambda: world.phase is Phase.WATCHING)
    assert world.inboxes["desk"].tried > 0
    for _ in range(3):
        world.run_for(timedelta(seconds=20))
        world.restart()
    assert world.inboxes["desk"].events == []
    world.inboxes["desk"].away = ""
    world.run_for(timedelta(seconds=2))
    assert world.inboxes["desk"].events == [Event.PROMOTED]


def test_an_operator_that_dies_after_any_write_tells_the_same_and_under_the_same_ids() -> None:
    whole = canary(FAILING)
    before = len(whole.cluster.writes)
    whole.run(lambda: whole.phase is Phase.ROLLED_BACK)
    whole.run_for(MINUTE)
    expected = told_in_the_end(whole)
    assert [event for event, _ in expected] == [Event.ROLLED_BACK]
    for write in range(before + 1, len(whole.cluster.writes) + 1):
        world = canary(FAILING)
        world.cluster.crash_after = write
        world.run(lambda: world.phase is Phase.ROLLED_BACK)  # noqa: B023
        world.run_for(MINUTE)
        assert world.cluster.crash_after is None, f"nothing struck write {write}"
        assert set(told_in_the_end(world)) == set(expected), f"after write {write}"


def test_who_is_told_twice_knows_it_by_the_id() -> None:
    """The receipt comes, and the operator dies before the status knows of it."""
    world = canary()
    world.run(lambda: bool(world.inboxes["desk"].received))
    assert world.status.notifications
    assert world.status.notifications.waiting, "the status still owes it"
    world.restart()
    world.run_for(timedelta(seconds=5))
    first, second = world.inboxes["desk"].received
    assert (first.event, first.id) == (second.event, second.id) == (Event.PROMOTED, first.id)


def test_one_who_never_takes_it_is_given_up_and_counted() -> None:
    world = canary(give_up=timedelta(minutes=5))
    world.inboxes["desk"].away = "desk.example answered 500"
    world.run(lambda: world.phase is Phase.WATCHING)
    world.run_for(15 * MINUTE)
    assert world.results[-1] == ("desk", "gave-up")
    assert world.status.notifications
    assert world.status.notifications.waiting == []
    assert 5 <= world.inboxes["desk"].tried <= 12, "the time between tries doubles"


def test_a_receiver_that_is_away_keeps_no_other_one_waiting() -> None:
    world = canary(receivers=({"name": "desk"}, {"name": "away"}))
    world.inboxes["away"].away = "no route"
    world.run(lambda: world.phase is Phase.WATCHING)
    world.run_for(timedelta(seconds=5))
    assert world.inboxes["desk"].events == [Event.PROMOTED]
    assert world.status.notifications
    assert [item.to for item in world.status.notifications.waiting] == [["away"]]


def test_a_receiver_that_is_taken_out_of_the_values_is_owed_nothing() -> None:
    world = canary(receivers=({"name": "desk"}, {"name": "away"}))
    world.inboxes["away"].away = "no route"
    world.run(lambda: world.phase is Phase.WATCHING)
    world.hearers = world.hearers[:1]
    world.restart()
    world.run_for(timedelta(seconds=5))
    assert world.status.notifications
    assert world.status.notifications.waiting == []


def test_a_hold_is_told_once_whatever_else_is_told_while_it_lasts() -> None:
    world = waits_for_a_person()
    world.run_for(MINUTE)
    held = world.inboxes["desk"].received[-1]
    assert held.event is Event.HELD
    flood = [held.model_copy(update={"id": str(number), "event": Event.SHADOW}) for number in range(3 * MOST_TOLD)]
    said = world.status.notifications
    for each in flood:
        said = remember(said, [held, each], subject="airport/delay", audience=world.audience, done=())
    assert said
    assert [item.id for item in said.waiting].count(held.id) == 0
    assert said.told == [held.id, *(each.id for each in flood[1 - MOST_TOLD :])]


def course(world: Simulation, second: Phase) -> dict[str, Any]:
    """How the rollout went, by itself."""
    world.run(lambda: world.phase is second)
    began = world.clock.now
    world.run_for(MINUTE)
    rollout = world.status.rollout
    assert rollout
    return {
        "weights": world.weights,
        "steps": rollout.steps_done,
        "message": rollout.message,
        "route": world.route,
        "at": began,
    }


@pytest.mark.parametrize(
    ("model", "end"),
    [
        pytest.param(BETTER, Phase.WATCHING, id="one that is promoted"),
        pytest.param(FAILING, Phase.ROLLED_BACK, id="one that is taken back"),
    ],
)
@pytest.mark.parametrize("away", ["", "it hangs"])
def test_no_rollout_notices_its_receivers(model: Model, end: Phase, away: str) -> None:
    alone = Simulation({ONE: FIRST, TWO: model})
    alone.deploy(CANARY_SPEC, image=ONE)
    alone.run(lambda: alone.phase is Phase.COMPLETED)
    alone.run_for(timedelta(seconds=2))
    alone.deploy(CANARY_SPEC, image=TWO)
    world = canary(model)
    world.inboxes["desk"].away = away
    assert course(world, end) == course(alone, end)
    assert world.inboxes["desk"].tried > 0


def test_without_receivers_the_status_says_nothing_of_them() -> None:
    world = Simulation({ONE: FIRST})
    world.deploy(CANARY_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    body = world.cluster.read(kinds.MODEL_DEPLOYMENT, *KEY)
    assert body
    assert "notifications" not in body["status"]


def test_an_installation_that_gets_its_first_receiver_tells_no_old_news() -> None:
    world = Told({ONE: FIRST, TWO: BETTER})
    hearers, world.hearers = world.hearers, ()
    world.restart()
    world.deploy(CANARY_SPEC, image=ONE)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.hearers = hearers
    world.restart()
    world.run_for(MINUTE)
    assert world.inboxes["desk"].received == []


def test_a_restore_without_statuses_makes_no_news_of_what_is_old() -> None:
    world = canary()
    world.run(lambda: world.phase is Phase.WATCHING)
    world.run(lambda: world.phase is Phase.COMPLETED)
    world.clock.now += timedelta(days=3)
    world.inboxes["desk"].received.clear()
    for body in world.cluster.find(kinds.MODEL_DEPLOYMENT) + world.cluster.find(kinds.MODEL_REVISION):
        world.cluster.objects[body["kind"], KEY[0], body["metadata"]["name"]].pop("status", None)
    world.restart()
    world.run_for(MINUTE)
    assert world.inboxes["desk"].received == []


def test_what_a_deleted_deployment_owes_is_told_all_the_same() -> None:
    world = canary(FAILING)
    world.inboxes["desk"].away = "no route"
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.cluster.take(kinds.MODEL_DEPLOYMENT, *KEY)
    world.run_for(timedelta(seconds=5))
    world.inboxes["desk"].away = ""
    world.run_for(5 * MINUTE)
    assert world.inboxes["desk"].events == [Event.ROLLED_BACK]
    assert world.courier.done(KEY) == frozenset()


NOTE = Notification.model_validate(
    {
        "id": "5f0c",
        "event": "RolledBack",
        "rollout": "delay-0a1b.1",
        "revision": "delay-0a1b",
        "version": "2.0.0",
        "at": "2026-01-01T12:00:00Z",
        "step": "five",
        "weight": "5%",
        "reason": "AnalysisFailed",
        "message": "taken back at 5%: errors: 20 of 100 & more <failed>",
        "figures": [
            {
                "name": "errors",
                "metric": "error_rate",
                "role": "guard",
                "verdict": "Fail",
                "message": "20 of 100 failed",
                "samples": 1200,
                "needed": 800,
            }
        ],
        "to": ["desk"],
    }
)


def test_a_chat_is_told_a_sentence_with_its_numbers() -> None:
    text = letters.slack("airport/delay", NOTE)["text"]
    assert text.splitlines() == [
        ":rewind: *airport/delay*: 2.0.0 was taken back at step five (5%)",
        "AnalysisFailed: taken back at 5%: errors: 20 of 100 &amp; more &lt;failed&gt;",
        "• errors (guard): Fail, 1,200 samples, 800 more needed: 20 of 100 failed",
        "`delay-0a1b.1`",
    ]


def test_a_machine_is_told_a_document_and_not_who_else_is() -> None:
    found = letters.document("airport/delay", NOTE)
    assert (found["kind"], found["id"], found["event"]) == ("Notification", "5f0c", "RolledBack")
    assert found["deployment"] == {"namespace": "airport", "name": "delay"}
    assert found["figures"][0]["samples"] == 1200
    assert "to" not in found


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param({}, "exactly one of webhook and kafka", id="no way"),
        pytest.param({"webhook": {"url": "https://a.example/"}, "kafka": {}}, "exactly one", id="two ways"),
        pytest.param({"webhook": {}}, "name a Secret with the key url", id="no address"),
        pytest.param({"webhook": {"url": "ftp://a"}}, "pattern", id="another protocol"),
        pytest.param({"webhook": {"url": "https://a/", "timeout": "2m"}}, "100ms to 30s", id="too patient"),
        pytest.param({"kafka": {}, "on": ["Begun"]}, "Promoted", id="an event that there is not"),
        pytest.param({"kafka": {}, "deployments": ["a/b/c"]}, "pattern", id="a scope that names nothing"),
        pytest.param({"kafka": {}, "when": []}, "Extra inputs", id="a misspelt field"),
    ],
)
def test_a_receiver_that_could_not_be_told_is_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Receiver.model_validate({"name": "desk"} | said)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        pytest.param({"OPERATOR_NOTIFICATIONS": "[{}]"}, "0.name: Field required", id="no name"),
        pytest.param(
            {"OPERATOR_NOTIFICATIONS": '[{"name": "a", "kafka": {}}]'}, "OPERATOR_KAFKA_SERVERS", id="no brokers"
        ),
        pytest.param(
            {"OPERATOR_NOTIFICATIONS": '[{"name": "a", "kafka": {}}, {"name": "a", "kafka": {}}]'},
            "names of receivers must differ",
            id="a name twice",
        ),
    ],
)
def test_settings_name_the_receiver_that_is_wrong(environ: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings.from_env(environ)
