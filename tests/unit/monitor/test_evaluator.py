"""The evaluator: rules about what is really counted, judged once each, by one member, and told at least once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from switchyard_contracts.alarm_records import AlarmBook, AlarmEvent
from switchyard_monitor.adapters import tables
from switchyard_monitor.adapters.alarms import SqlAlarms
from switchyard_monitor.domain.leases import owner
from switchyard_monitor.domain.roster import Judged
from switchyard_monitor.errors import StoreUnavailable
from switchyard_monitor.ports import Turn
from switchyard_operator.adapters.monitor import HttpMonitor
from switchyard_testkit.alarm_world import LABELS, WINDOW, AlarmWorld, rule
from switchyard_testkit.databases import SqliteFiles
from switchyard_testkit.monitor_world import REFERENCE, SECOND, SUBJECT, World, inference

BASE = f"/v1/deployments/{SUBJECT}"
WORSE = rule("worse", "outcome.rmse", max="3")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SqliteFiles:
    return SqliteFiles(tmp_path_factory.mktemp("databases"))


@pytest.fixture
def watched(tmp_path: Path, files: SqliteFiles) -> Iterator[AlarmWorld]:
    url = files.up_to_date()
    made = AlarmWorld(World(tmp_path, url=url), url)
    yield made
    made.close()


def standings(watched: AlarmWorld) -> dict[str, list[str]]:
    """What was made of each rule's windows, oldest first."""
    said = watched.client().get(f"{BASE}/alarms").json()["alarms"]
    return {alarm["alarm"]: [look["standing"] for look in alarm["looks"]] for alarm in said}


@pytest.mark.parametrize(
    ("said", "good", "bad"),
    [
        pytest.param(rule("r", "error_rate", max="20%"), {"failing": 2}, {"failing": 3}, id="failed requests"),
        pytest.param(
            rule("r", "latency_p99", max="20ms"), {"latencyUs": 5_000}, {"latencyUs": 50_000}, id="slow answers"
        ),
        pytest.param(rule("r", "requests", min=5), {"requests": 6}, {"requests": 4}, id="too few requests"),
        pytest.param(rule("r", "outcome.rmse", max="3"), {"error": 2.0}, {"error": 4.0}, id="large errors"),
        pytest.param(rule("r", "outcome.bias", max="3"), {"error": -2.0}, {"error": -4.0}, id="errors to one side"),
        pytest.param(rule("r", "outcome.mae", max="3"), {"error": 2.0}, {"error": -4.0}, id="errors to either side"),
        pytest.param(rule("r", "outcome.loss", max="3.6"), {"error": 20.0}, {"error": -5.0}, id="a loss of one's own"),
        pytest.param(rule("r", "outcome.coverage", min="90%"), {}, {"error": None}, id="outcomes that stay away"),
        pytest.param(
            rule("r", "decision.agreement", min="80%"), {"agreed": 9}, {"agreed": 2}, id="people who disagree"
        ),
    ],
)
def test_each_metric_fires_by_its_own_number(
    watched: AlarmWorld, said: Mapping[str, Any], good: dict[str, Any], bad: dict[str, Any]
) -> None:
    later = LABELS if said["metric"].startswith(("outcome", "decision")) else 0.0
    watched.teach(said, loss={"expression": "max(0.9*(outcome-prediction), 0.1*(prediction-outcome))"})
    watched.serve(0, **good)
    watched.until(WINDOW + later)
    assert (standings(watched), watched.events()) == ({"r": ["Clear"]}, [])
    watched.serve(9, **bad)
    watched.until(10 * WINDOW + later)
    assert (standings(watched), watched.events()) == ({"r": ["Breach"]}, [("r", "Fired")])


def test_days_that_become_worse_fire_by_what_they_have_added_up_to(watched: AlarmWorld) -> None:
    said = rule("r", "outcome.cusum", max="4")
    del said["window"]
    watched.teach(said)
    of_a_day = round(86_400 / WINDOW)
    errors = [1.0, 1.2, 1.1, 1.4] * 4 + [9.0, 9.0]
    for day, error in enumerate(errors):
        watched.serve(day * of_a_day, error=error, requests=30)
        watched.until((day + 1) * 86_400.0)  # the day was over at midnight
        assert watched.events() == ([("r", "Fired")] if day + 1 == len(errors) else [])
    (record,) = watched.records()
    assert record.samples == 30
    assert standings(watched)["r"][-1] == "Breach"


def test_no_window_is_judged_before_its_labels_are_old_enough(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=9.0)
    assert watched.until(WINDOW + LABELS - 1) == 1, "the window before noon, in which nobody served"
    assert watched.events() == []
    assert watched.until(WINDOW + LABELS) == 1
    assert watched.events() == [("worse", "Fired")]
    assert watched.until(WINDOW + LABELS) == 0, "each window once"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [pytest.param({}, 0.5, id="a tenth of the window"), pytest.param({"after": "12s"}, 12.0, id="as it is said")],
)
def test_decisions_without_an_outcome_are_waited_for(watched: AlarmWorld, said: dict[str, Any], seconds: float) -> None:
    watched.teach(rule("trust", "decision.agreement", min="80%", **said), outcome=None)
    watched.serve(0, agreed=2, error=None)
    watched.until(WINDOW + seconds - 0.25)
    assert watched.events() == []
    watched.until(WINDOW + seconds + 1)
    assert watched.events() == [("trust", "Fired")]


def test_what_is_still_on_its_way_is_waited_for(watched: AlarmWorld) -> None:
    watched.teach(rule("silent", "requests", min=1, after="3s"))
    watched.serve(0)
    watched.until(WINDOW)
    late = inference("late", at=2 * WINDOW - 0.1)
    watched.until(2 * WINDOW + 2)
    watched.world.say(late, at=2 * WINDOW + 2)
    watched.until(2 * WINDOW + 3)
    assert watched.events() == []
    watched.until(3 * WINDOW + 3)
    assert watched.events() == [("silent", "Fired")]


@pytest.mark.parametrize(
    ("served", "words"),
    [
        pytest.param({"requests": 4}, "4 of 5 judged predictions", id="few"),
        pytest.param({"requests": 0}, "0 of 5 judged predictions", id="none"),
        pytest.param({"failing": 10}, "0 of 5 judged predictions", id="none but failures"),
    ],
)
def test_what_too_little_is_known_of_neither_fires_nor_clears(
    watched: AlarmWorld, served: dict[str, Any], words: str
) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    watched.serve(5, **{"error": 9.0, **served})
    watched.until(6 * WINDOW + LABELS)
    alarm = watched.client().get(f"{BASE}/alarms").json()["alarms"][0]
    assert (alarm["firing"], alarm["looks"][-1]["standing"], alarm["looks"][-1]["message"]) == (True, "NoData", words)


def test_labels_of_half_of_the_predictions_judge_nothing(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=9.0, requests=6)
    watched.serve(0, error=None, requests=6, revision="stable-1", traffic=4)
    watched.until(WINDOW + LABELS)
    alarm = watched.client().get(f"{BASE}/alarms").json()["alarms"][0]
    assert alarm["looks"][-1]["message"] == "50 % of 12 predictions have an outcome at age L, and it takes 80 %"


def test_silence_is_told_of_who_was_asked_before_and_of_nobody_else(watched: AlarmWorld) -> None:
    watched.teach(rule("silent", "requests", min=1, breaches=2, of=2))
    watched.until(10 * WINDOW)
    assert standings(watched) == {"silent": ["NoData", "NoData"]}, "it was never asked"
    watched.serve(10)
    watched.until(13 * WINDOW)
    assert (standings(watched), watched.events()) == ({"silent": ["Breach", "Breach"]}, [("silent", "Fired")])
    watched.serve(13)
    watched.serve(14)
    watched.until(15 * WINDOW)
    assert watched.events() == [("silent", "Fired"), ("silent", "Recovered")]


def test_who_does_not_serve_is_not_looked_at(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=1.0)
    watched.serve(0, error=9.0, revision="next-2", role="candidate")
    watched.serve(0, error=9.0, revision="stable-1", role="preview")
    watched.until(WINDOW + LABELS)
    assert standings(watched) == {"worse": ["Clear"]}


def test_another_stable_revision_closes_the_alarm_and_is_judged_by_its_own(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    watched.teach(WORSE, stable="next-2")
    watched.serve(1, error=9.0, revision="next-2")
    watched.until(2 * WINDOW + LABELS)
    assert watched.events() == [("worse", "Fired"), ("worse", "Closed"), ("worse", "Fired")]
    fired, closed, again = watched.records()
    assert (closed.reason, closed.cause, closed.revision) == ("Superseded", fired.id, "stable-1")
    assert again.revision == "next-2"


@pytest.mark.parametrize(
    "gone",
    [
        pytest.param(lambda watched: watched.teach(), id="the rule"),
        pytest.param(lambda watched: watched.world.broker.teach(SUBJECT, None), id="the deployment"),
    ],
)
def test_what_is_deleted_closes_its_alarms_and_is_forgotten(watched: AlarmWorld, gone: Any) -> None:
    watched.teach(WORSE)
    watched.world.teach(subject="demo/other")
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    gone(watched)
    watched.until(2 * WINDOW + LABELS)
    assert watched.events()[-1] == ("worse", "Closed")
    assert watched.alarms.subjects() == []
    watched.until(9 * WINDOW + LABELS)
    assert len(watched.records()) == 2


def test_a_rule_that_is_edited_there_and_back_is_told_again(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    for later, rules in enumerate(([WORSE | {"max": "99"}], [WORSE], [], [WORSE]), start=1):
        watched.teach(*rules)
        watched.until(WINDOW + LABELS + later)
    fired, closed, again, gone, last = watched.records()
    assert watched.events() == [("worse", event) for event in ("Fired", "Closed", "Fired", "Closed", "Fired")]
    assert (closed.cause, gone.cause) == (fired.id, again.id)
    book = watched.client().get(f"{BASE}/alarms").json()
    assert (book["alarms"][0]["firing"], book["alarms"][0]["event"]) == (True, last.id)


@pytest.mark.parametrize("metric", ["outcome.rmse", "error_rate"])
def test_silence_from_before_it_was_watched_fires_nobody(watched: AlarmWorld, metric: str) -> None:
    limit = {"max": "3"} if metric == "outcome.rmse" else {"max": "3%"}
    silent = rule("silent", metric, onNoData="fire", breaches=2, of=3, **limit)
    watched.until(20 * WINDOW)
    watched.teach(silent)
    watched.serve(20)
    watched.until(21 * WINDOW)
    assert watched.events() == [], "it was asked nothing while nobody watched it"
    watched.serve(21)
    watched.until(22 * WINDOW)
    watched.teach(silent, stable="next-2")
    for window in (22, 23, 24):
        watched.serve(window, revision="next-2")
        watched.until((window + 1) * WINDOW)
    assert watched.events() == [], "nor was the revision that serves now"
    watched.until(28 * WINDOW + (LABELS if metric == "outcome.rmse" else 0))
    assert watched.events() == [("silent", "Fired")]
    (record,) = watched.records()
    assert record.looks[-1].start.second == (25 + 1) * WINDOW % 60


def test_a_topic_of_models_that_is_not_there_yet_closes_nothing(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    watched.world.broker._models.clear()
    watched.restart()
    watched.until(2 * WINDOW + LABELS)
    assert watched.events() == [("worse", "Fired")]


def test_what_is_missing_of_x_is_looked_at_once_its_reference_is_there(watched: AlarmWorld) -> None:
    watched.teach(rule("gaps", "data.missing", max="10%"), reference=REFERENCE.digest)
    watched.serve(0)
    watched.until(WINDOW)
    alarm = watched.client().get(f"{BASE}/alarms").json()["alarms"][0]
    assert alarm["looks"][0]["message"] == f"nobody has handed over {REFERENCE.digest} yet"
    watched.world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    watched.world.pass_time(10)
    watched.serve(9, request={"encoding": "json", "value": {"tail": "N1"}})
    watched.until(10 * WINDOW)
    (record,) = watched.records()
    assert (record.event, record.value, record.baseline) == (AlarmEvent.FIRED, 1.0, REFERENCE.digest)
    assert [(one.feature, one.aspect) for one in record.features] == [("x", "missing")]


def test_drift_against_a_reference_without_windows_of_its_own_fires_nobody(watched: AlarmWorld) -> None:
    watched.world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    watched.teach({"name": "drifted", "metric": "drift", "minSamples": 5, "after": "0s"}, reference=REFERENCE.digest)
    watched.serve(0, request={"encoding": "json", "value": {"x": 9999}})
    watched.until(86_400.0)
    alarm = watched.client().get(f"{BASE}/alarms").json()["alarms"][0]
    assert alarm["message"].startswith("drift cannot be told (the reference has 0 windows, and what is usual takes 20)")
    assert (alarm["looks"][-1]["standing"], alarm["looks"][-1]["message"]) == (
        "NoData",
        "the reference has 0 windows, and what is usual takes 20",
    )


# --- retraining ------------------------------------------------------------------------------------------------------


def test_retraining_is_asked_for_with_its_evidence(watched: AlarmWorld) -> None:
    watched.teach(WORSE, retrain={"alarms": ["worse"], "cooldown": "20s", "job": {"image": "train:1"}})
    for window in range(6):
        watched.serve(window, error=9.0)
        watched.until((window + 1) * WINDOW + LABELS)
    assert watched.events() == [("worse", "Fired"), ("worse", "RetrainRequested"), ("worse", "RetrainRequested")]
    fired, first, second = watched.records()
    assert first.cause == second.cause == fired.id
    assert (second.at - first.at).total_seconds() == 20.0
    assert (first.value, first.limit, first.samples, len(first.looks)) == (9.0, "max 3", 10, 1)
    assert watched.client().get(f"{BASE}/alarms").json()["request"]["id"] == second.id


# --- what a newer release left behind ---------------------------------------------------------------------------------


def test_what_a_newer_release_wrote_is_passed_over_and_the_rule_begins_anew(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=1.0)
    watched.until(WINDOW + LABELS)
    foretold = {
        "subject": SUBJECT,
        "id": "f" * 32,
        "event": "Foretold",
        "alarm": "worse",
        "body": '{"event": "Foretold"}',
    }
    with watched.alarms._writer.begin() as connection:
        connection.execute(tables.alarm.update().values(body='{"looks": [["not", "ours"]]}'))
        connection.execute(tables.alarm_record.insert().values(foretold))
    watched.serve(1, error=9.0)
    watched.until(2 * WINDOW + LABELS)
    assert watched.evaluator.trouble == ""
    assert watched.events() == [("worse", "Fired")]
    assert 'alarm="worse"' in watched.client().get("/metrics").text


def test_an_operator_of_before_hears_what_it_can_read(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    book = watched.client().get(f"{BASE}/alarms").json()
    newer = book | {
        "records": [book["records"][0] | {"event": "Foretold"}, *book["records"]],
        "alarms": [*book["alarms"], book["alarms"][0] | {"alarm": "other", "looks": [{"standing": "Foretold"}]}],
        "request": book["records"][0] | {"event": "Foretold"},
    }
    read = AlarmBook.model_validate(newer)
    assert ([said.alarm for said in read.alarms], len(read.records), read.request) == (["worse"], 1, None)


# --- told at least once, under one id ---------------------------------------------------------------------------------


def test_what_is_said_is_sent_once_and_answered(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    assert watched.sent() == watched.sent() == watched.records()
    letter = watched.world.broker.sent[0]
    assert (letter.topic, letter.key) == ("switchyard.alarms", SUBJECT.encode())
    assert dict(letter.headers)["idempotency-key"] == watched.records()[0].id.encode()
    heads = watched.client().get("/v1/alarms").json()
    assert heads == [{"deployment": SUBJECT, "newest": watched.records()[0].id, "firing": 1}]


def test_the_operator_reads_what_is_answered(watched: AlarmWorld) -> None:
    watched.teach(WORSE, retrain={"alarms": ["worse"]})
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    fired, request = watched.records()
    monitor = HttpMonitor(watched.client(), url="http://testserver", token=lambda: "all")
    assert monitor.heads() == {SUBJECT: request.id}
    book = monitor.alarms(SUBJECT)
    assert (book.records, book.request) == ([request, fired], request)
    assert [(state.alarm, state.firing, state.event) for state in book.alarms] == [("worse", True, fired.id)]


def test_prometheus_is_told_how_each_rule_stands(watched: AlarmWorld) -> None:
    watched.teach(WORSE, rule("slow", "latency_p99", max="1s"), retrain={"alarms": ["worse"]})
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    text = watched.client().get("/metrics").text
    labels = f'alarm="worse",deployment="{SUBJECT}",metric="outcome.rmse"'
    assert f"switchyard_alarm_firing{{{labels}}} 1.0" in text
    assert f"switchyard_alarm_value{{{labels}}} 9.0" in text
    assert f'switchyard_alarm_firing{{alarm="slow",deployment="{SUBJECT}",metric="latency_p99"}} 0.0' in text
    assert f'switchyard_retrain_requested_timestamp_seconds{{deployment="{SUBJECT}"}}' in text


class Dying(SqlAlarms):
    """A process that dies in the middle of its commit: nothing of it was written."""

    dies = True

    def keep(self, turn: Turn, judged: Judged, *, now_us: int, ttl_us: int, topic: str) -> int:
        self.judged = judged
        if self.dies:
            raise StoreUnavailable("it died")
        return super().keep(turn, judged, now_us=now_us, ttl_us=ttl_us, topic=topic)


@pytest.mark.rule("alarm-once")
def test_what_was_judged_and_not_written_is_judged_again_to_the_same_end(watched: AlarmWorld) -> None:
    watched.teach(WORSE, retrain={"alarms": ["worse"], "cooldown": "10s"})
    dying = Dying(watched.url)
    watched.evaluator = watched.member("monitor-0", alarms=dying)
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    lost = dying.judged
    assert (watched.records(), watched.sent(), watched.evaluator.trouble) == ([], [], "it died")
    watched.restart()
    watched.until(WINDOW + LABELS + 1)
    assert watched.records() == list(lost.records)
    assert watched.sent() == list(lost.records)
    dying.close()


@pytest.mark.rule("alarm-once")
def test_one_member_evaluates_and_another_takes_over_when_it_is_gone(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.world.run()
    beside = [name for name in ("a", "b", "c", "d") if owner(SUBJECT, [name, "monitor-0"]) == name]
    first = str(owner(SUBJECT, beside))
    second = str(owner(SUBJECT, set(beside) - {first}))
    for name in (first, second):
        watched.world.store.announce(name, now_us=watched.world.now_us, ttl_us=1000 * SECOND)
    watched.serve(0, error=9.0)
    watched.evaluator = watched.member(second)
    assert watched.until(WINDOW + LABELS) == 0, "it is the other's turn"
    watched.evaluator = watched.member(first)
    assert watched.judge() == 1
    watched.world.store.leave(first)
    watched.serve(5, error=1.0)
    watched.evaluator = watched.member(second)
    assert watched.until(6 * WINDOW + LABELS - 1) == 0, "the other's turn has not run out"
    assert watched.until(6 * WINDOW + LABELS + 10) == 7
    assert watched.events() == [("worse", "Fired"), ("worse", "Recovered")]


def test_a_member_that_was_frozen_while_it_judged_says_nothing(watched: AlarmWorld) -> None:
    class Frozen(SqlAlarms):
        """Another member takes over and judges, before this one commits."""

        def keep(self, turn: Turn, judged: Judged, *, now_us: int, ttl_us: int, topic: str) -> int:
            watched.world.pass_time(60)
            other = watched.alarms.take(SUBJECT, "monitor-9", now_us=watched.world.now_us, ttl_us=SECOND)
            assert other is not None
            watched.alarms.keep(other, judged, now_us=watched.world.now_us, ttl_us=SECOND, topic="other")
            return super().keep(turn, judged, now_us=now_us, ttl_us=ttl_us, topic=topic)

    frozen = Frozen(watched.url)
    watched.teach(WORSE)
    watched.evaluator = watched.member("monitor-0", alarms=frozen)
    watched.serve(0, error=9.0)
    assert watched.until(WINDOW + LABELS) == 0
    assert watched.events() == [("worse", "Fired")], "what the other said, once"
    assert [letter.topic for letter in watched.world.store.outbox(10)] == ["other"]
    frozen.close()


def test_a_stopped_topic_of_alarms_keeps_no_dead_letter_waiting(watched: AlarmWorld) -> None:
    watched.teach(WORSE)
    watched.serve(0, error=9.0)
    watched.until(WINDOW + LABELS)
    watched.world.broker.closed.add("switchyard.alarms")
    watched.world.say(b"no event", at=WINDOW + LABELS)
    watched.world.run()
    assert {letter.topic for letter in watched.world.broker.sent} == {"switchyard.deadletter"}
    assert (watched.world.reader.dead_letters, watched.world.reader.dead_letters_waiting) == (1, False)
    watched.world.broker.closed.clear()
    watched.world.pass_time(60)
    assert [record.event for record in watched.sent()] == [AlarmEvent.FIRED]
