"""Alarms: what one rule makes of its windows, and what is said of a whole deployment's rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_contracts.alarm_records import AlarmEvent, AlarmRecord, DriftedFeature, Standing
from switchyard_monitor.domain.alarms import Reading, State, Step, Terms, advance
from switchyard_monitor.domain.roster import Asked, Judged, Retraining, Roster, state

HOUR = 3_600_000_000
LATE = 100 * HOUR
"""A watermark by which every window of these tests can be judged."""


def terms(**changes: Any) -> Terms:
    """At most 10, cleared at 8, two of three windows of an hour; each test says only what differs."""
    return Terms(
        **{
            "name": "worse",
            "metric": "outcome.rmse",
            "high": 10.0,
            "clear": 8.0,
            "limit": "max 10",
            "window_us": HOUR,
            "cooldown_us": 24 * HOUR,
        }
        | changes
    )


B, C, M, N = 12.0, 5.0, 9.0, None
"""Beyond the limit, within what clears it, in between, and nothing to be said."""


def steps(rule: Terms, values: Sequence[float | None]) -> list[Step]:
    """The looks at these windows, one after another."""
    held, found = State(rule.definition, "r1", 0), []
    for value in values:
        found.append(advance(rule, held, Reading(value, 100), event=f"event-{held.next_us // HOUR}"))
        held = found[-1].state
    return found


def told(rule: Terms, values: Sequence[float | None]) -> list[str]:
    """What came of each window: `fired`, `recovered`, or nothing."""
    return ["fired" if step.fired else "recovered" if step.recovered else "" for step in steps(rule, values)]


@pytest.mark.parametrize(
    ("rule", "values", "says"),
    [
        pytest.param(terms(), [B], [""], id="one breach is not two"),
        pytest.param(terms(), [B, B], ["", "fired"], id="two of three"),
        pytest.param(terms(), [B, C, B], ["", "", "fired"], id="with a clear one in between"),
        pytest.param(terms(), [B, C, C, B], ["", "", "", ""], id="two of four are not two of three"),
        pytest.param(terms(), [B, N, N, B], ["", "", "", ""], id="a breach grows old while nothing can be said"),
        pytest.param(terms(), [N] * 6, [""] * 6, id="no data fires nothing"),
        pytest.param(terms(silence_fires=True), [N, N], ["", "fired"], id="no data fires where the rule says so"),
        pytest.param(terms(silence_fires=True), [N, B], ["", "fired"], id="and counts among the breaches"),
        pytest.param(terms(), [B, B, C, C], ["", "fired", "", "recovered"], id="two clear ones of three"),
        pytest.param(terms(), [B, B, M, M, M], ["", "fired", "", "", ""], id="within the limit is not yet clear"),
        pytest.param(terms(), [B, B, N, N, N], ["", "fired", "", "", ""], id="no data clears nothing"),
        pytest.param(terms(), [B, B, C, M, C], ["", "fired", "", "", "recovered"], id="two clear ones in three"),
        pytest.param(
            terms(breaches=1), [B, C, C, C], ["fired", "", "", "recovered"], id="one of three lasts for three"
        ),
        pytest.param(
            terms(breaches=3), [B, B, B, C, C, C], ["", "", "fired", "", "", "recovered"], id="three of three"
        ),
        pytest.param(
            terms(high=None, low=10.0, clear=11.0), [9, 9, 10, 11, 12], ["", "fired", "", "", "recovered"], id="a floor"
        ),
    ],
)
@pytest.mark.rule("alarm-history")
def test_a_rule_and_its_windows(rule: Terms, values: list[float | None], says: list[str]) -> None:
    assert told(rule, values) == says


@pytest.mark.rule("alarm-cool-down")
def test_after_a_recovery_it_does_not_fire_again_before_the_cool_down_is_over() -> None:
    rule = terms(breaches=1, of=1, cooldown_us=5 * HOUR)
    assert told(rule, [B, C, B, B, B, B, B]) == ["fired", "recovered", "", "", "", "fired", ""]


def test_the_limit_itself_is_no_breach_and_what_clears_is_itself_clear() -> None:
    assert terms().stand(Reading(10.0)) is Standing.BETWEEN
    assert terms().stand(Reading(8.0)) is Standing.CLEAR
    assert terms(high=None, low=0.8, clear=0.8).stand(Reading(0.8)) is Standing.CLEAR


def drifted(*names: str) -> Reading:
    features = [DriftedFeature(feature=name, side="X", aspect="distribution", effect=1.0, usual=0.1) for name in names]
    return Reading(float(len(names)), 100, features=tuple(features))


@pytest.mark.parametrize(
    ("most", "windows", "fires"),
    [
        pytest.param(0.0, [["a"], ["b"], ["c"]], False, id="another feature each day"),
        pytest.param(0.0, [["a"], [], ["a", "b"]], True, id="the same one twice"),
        pytest.param(1.0, [["a", "b"], ["a", "c"]], False, id="one lasts where one may"),
        pytest.param(1.0, [["a", "b"], ["a", "b"]], True, id="two last where one may"),
    ],
)
def test_drift_lasts_in_the_same_feature(most: float, windows: list[list[str]], fires: bool) -> None:
    rule = terms(metric="drift", high=most, clear=most)
    held = State(rule.definition, "r1", 0)
    fired = False
    for names in windows:
        step = advance(rule, held, drifted(*names), event="e")
        held, fired = step.state, fired or step.fired
    assert fired is fires


def test_a_state_that_was_written_down_is_the_same() -> None:
    rule = terms(metric="drift", high=0.0, clear=0.0)
    held = State(rule.definition, "r1", 0)
    for reading in (drifted("a", "b"), Reading(None, words="12 of 100 rows"), drifted("a")):
        held = advance(rule, held, reading, event="e").state
    assert State.decode(held.encode()) == held
    assert held.firing


# --- laws ------------------------------------------------------------------------------------------------------------

VALUES = st.sampled_from([B, C, M, N])
RULES = st.builds(
    lambda of, breaches, cooldown, age, silence: terms(
        of=of, breaches=min(breaches, of), cooldown_us=cooldown * HOUR, age_us=age * HOUR // 2, silence_fires=silence
    ),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 6),
    st.integers(0, 5),
    st.booleans(),
)
WINDOWS = st.lists(VALUES, max_size=40)


@given(RULES, WINDOWS)
@pytest.mark.rule("alarm-cool-down")
def test_it_fires_at_most_once_in_a_cool_down(rule: Terms, values: list[float | None]) -> None:
    fired = [step.at_us for step in steps(rule, values) if step.fired]
    assert all(later - earlier >= rule.cooldown_us for earlier, later in pairwise(fired))


@given(RULES, WINDOWS)
def test_firing_and_recovering_take_turns_and_firing_comes_first(rule: Terms, values: list[float | None]) -> None:
    said = [word for word in told(rule, values) if word]
    assert said == ["fired", "recovered"] * (len(said) // 2) + ["fired"] * (len(said) % 2)


@given(RULES, WINDOWS)
@pytest.mark.rule("alarm-history")
def test_it_fires_and_recovers_only_by_enough_of_the_last_windows(rule: Terms, values: list[float | None]) -> None:
    for step in steps(rule, values):
        last = [look.standing for look in step.state.looks[-rule.of :]]
        broken = last.count(Standing.BREACH) + (last.count(Standing.NO_DATA) if rule.silence_fires else 0)
        if step.fired:
            assert broken >= rule.breaches
        if step.recovered:
            assert last.count(Standing.CLEAR) >= rule.breaches > broken


@given(RULES, st.lists(st.sampled_from([C, M, N]), max_size=40))
def test_what_is_never_broken_never_fires(rule: Terms, values: list[float | None]) -> None:
    assert rule.silence_fires or not any(told(rule, values))


# --- a deployment's rules ---------------------------------------------------------------------------------------------

Truth = Mapping[int, float | None]


def roster(*rules: Terms, **changes: Any) -> Roster:
    return Roster(**{"subject": "demo/delay", "terms": rules, "revision": "r1", "version": "1.0.0"} | changes)


class Windows:
    """What windows say, by their number since 1970; and which were looked at."""

    def __init__(
        self, values: Sequence[float | None], *, after: Callable[[Terms, int], None] = lambda *_: None
    ) -> None:
        self.values = values
        self.seen: list[tuple[str, int]] = []
        self._after = after

    def __call__(self, rule: Terms, revision: str, start_us: int) -> Reading:
        number = start_us // rule.window_us
        self._after(rule, start_us)
        self.seen.append((rule.name, number))
        value = self.values[number] if 0 <= number < len(self.values) else None
        return Reading(value, 100 if value is not None else 0)


def events(judged: Judged) -> list[tuple[str, str]]:
    return [(record.event.value, record.alarm) for record in judged.records]


def test_a_rule_that_is_new_looks_back_as_far_as_it_takes_to_fire() -> None:
    windows = Windows([C, C, B, B])
    judged = roster(terms()).judge({}, Asked(), watermark_us=4 * HOUR, read=windows)
    assert windows.seen == [("worse", 1), ("worse", 2), ("worse", 3)]
    assert events(judged) == [("Fired", "worse")]


@pytest.mark.rule("alarm-maturity")
def test_the_window_that_is_not_over_is_not_looked_at() -> None:
    windows = Windows([B, B, B])
    judged = roster(terms(of=1, breaches=1)).judge({}, Asked(), watermark_us=3 * HOUR - 1, read=windows)
    assert windows.seen == [("worse", 1)]
    again = roster(terms(of=1, breaches=1)).judge(judged.states, Asked(), watermark_us=3 * HOUR - 1, read=windows)
    assert (again.looks, again.records) == (0, ())


@pytest.mark.rule("alarm-maturity")
def test_labels_are_waited_for() -> None:
    windows = Windows([B, B, B])
    rule = terms(of=1, breaches=1, age_us=12 * HOUR)
    assert roster(rule).judge({}, Asked(), watermark_us=14 * HOUR - 1, read=windows).looks == 1
    assert windows.seen == [("worse", 0)]


def test_a_record_says_what_it_rests_on() -> None:
    judged = roster(terms()).judge({}, Asked(), watermark_us=4 * HOUR, read=Windows([C, B, C, B]))
    (record,) = judged.records
    assert (record.namespace, record.name, record.alarm, record.revision, record.version) == (
        "demo",
        "delay",
        "worse",
        "r1",
        "1.0.0",
    )
    assert [look.standing.value for look in record.looks] == ["Breach", "Clear", "Breach"]
    assert (record.value, record.limit, record.samples, record.window_seconds) == (B, "max 10", 100, 3600)
    assert record.message == (
        "outcome.rmse is 12.0 in the window of 1h from 1970-01-01T03:00:00+00:00 (max 10); 2 of the last 3 windows are"
        " beyond it"
    )


def fired_state(rule: Terms) -> Mapping[str, State]:
    return roster(rule).judge({}, Asked(), watermark_us=4 * HOUR, read=Windows([C, C, B, B])).states


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param({"revision": "r2"}, "Superseded", id="another revision serves"),
        pytest.param({"terms": (terms(high=20.0),)}, "RuleChanged", id="the rule was changed"),
        pytest.param({"terms": ()}, "RuleRemoved", id="the rule was taken out"),
    ],
)
def test_what_fired_and_is_no_more_is_closed_once(changed: dict[str, Any], reason: str) -> None:
    held, now = fired_state(terms()), replace(roster(terms()), **changed)
    judged = now.judge(held, Asked(), watermark_us=4 * HOUR, read=Windows([C] * 4))
    assert [(record.event, record.reason, record.alarm) for record in judged.records] == [
        (AlarmEvent.CLOSED, reason, "worse")
    ]
    assert judged.records[0].cause == held["worse"].event
    assert not now.judge(judged.states, Asked(), watermark_us=4 * HOUR, read=Windows([])).records


def test_an_edit_of_the_count_or_the_cool_down_keeps_the_history() -> None:
    held = fired_state(terms())
    judged = roster(terms(of=5, breaches=3, cooldown_us=HOUR)).judge(
        held, Asked(), watermark_us=4 * HOUR, read=Windows([])
    )
    assert judged.states == held
    assert not judged.records


def test_before_the_first_promotion_only_silence_is_looked_at() -> None:
    windows = Windows([0.0] * 4)
    silent = terms(name="silent", metric="requests", high=None, low=1.0, clear=1.0, limit="min 1")
    judged = roster(terms(), silent, revision="").judge({}, Asked(), watermark_us=4 * HOUR, read=windows)
    assert {name for name, _ in windows.seen} == {"silent"}
    assert events(judged) == [("Fired", "silent")]
    assert judged.records[0].revision == ""


def test_silence_goes_on_when_another_revision_serves() -> None:
    silent = terms(name="silent", metric="requests", high=None, low=1.0, clear=1.0, limit="min 1")
    held = roster(silent).judge({}, Asked(), watermark_us=4 * HOUR, read=Windows([0.0] * 9)).states
    judged = roster(silent, revision="r2").judge(held, Asked(), watermark_us=5 * HOUR, read=Windows([0.0] * 9))
    assert (judged.looks, judged.records) == (1, ())


RETRAIN = Retraining(frozenset({"worse"}), cooldown_us=10 * HOUR)


@pytest.mark.rule("alarm-cool-down")
def test_retraining_is_asked_for_while_an_alarm_fires_once_in_a_cool_down() -> None:
    rule = terms(of=1, breaches=1)
    watched = roster(rule, retraining=RETRAIN)
    judged = watched.judge({}, Asked(), watermark_us=HOUR, read=Windows([C] + [B] * 30))
    for watermark in range(2, 31):
        later = watched.judge(judged.states, judged.asked, watermark_us=watermark * HOUR, read=Windows([C] + [B] * 30))
        judged = replace(later, records=judged.records + later.records)
    assert [(record.event.value, record.at.hour + 24 * (record.at.day - 1)) for record in judged.records] == [
        ("Fired", 2),
        ("RetrainRequested", 2),
        ("RetrainRequested", 12),
        ("RetrainRequested", 22),
    ]
    fired, *requests = judged.records
    assert {request.cause for request in requests} == {fired.id}
    assert len({record.id for record in judged.records}) == 4
    assert judged.asked.request == requests[-1].id


def test_what_nothing_is_known_of_or_is_clear_again_asks_for_no_retraining() -> None:
    watched = roster(terms(), retraining=Retraining(frozenset({"worse"}), cooldown_us=0))
    judged = watched.judge({}, Asked(), watermark_us=3 * HOUR, read=Windows([C, B, B, N, M, C]))
    later = watched.judge(judged.states, judged.asked, watermark_us=6 * HOUR, read=Windows([C, B, B, N, M, C]))
    assert (events(judged), events(later)) == ([("Fired", "worse"), ("RetrainRequested", "worse")], [])
    assert later.states["worse"].firing


def test_an_alarm_that_is_not_named_asks_for_no_retraining() -> None:
    other = terms(name="slow", metric="latency_p99")
    judged = roster(other, retraining=RETRAIN).judge({}, Asked(), watermark_us=4 * HOUR, read=Windows([B] * 4))
    assert events(judged) == [("Fired", "slow")]


def test_how_a_rule_stands_is_told_before_its_first_look_too() -> None:
    assert state(terms(), None).message == "no window was judged yet"
    held = fired_state(terms())["worse"]
    told_of = state(terms(), held)
    assert (told_of.firing, told_of.event, told_of.value) == (True, held.event, B)


ROSTERS = st.builds(
    lambda one, other, on: roster(
        replace(one, name="worse"),
        replace(other, name="slow", metric="latency_p99", window_us=2 * HOUR),
        retraining=Retraining(frozenset({"worse", "slow"}) if on else frozenset(), 7 * HOUR),
    ),
    RULES,
    RULES,
    st.booleans(),
)


def played(watched: Roster, values: Sequence[float | None], watermarks: Sequence[int]) -> Judged:
    """Judged as the watermark comes to each of these hours."""
    judged = Judged({}, Asked())
    for watermark in watermarks:
        later = watched.judge(
            judged.states, judged.asked, watermark_us=LATE + watermark * HOUR, read=Windows([C] * 95 + list(values))
        )
        judged = replace(later, records=judged.records + later.records)
    return judged


@given(ROSTERS, WINDOWS, st.lists(st.integers(1, 40), max_size=8))
@pytest.mark.rule("alarm-once")
def test_the_end_is_the_same_however_many_windows_are_judged_at_once(
    watched: Roster, values: list[float | None], stops: list[int]
) -> None:
    """A member that was away judges many at once; one that dies before its commit judges the same again."""
    often = played(watched, values, [0, *sorted(stops), 45])
    at_once = played(watched, values, [0, 45])
    assert (often.states, often.asked, often.records) == (at_once.states, at_once.asked, at_once.records)
    ids = [record.id for record in often.records]
    assert len(set(ids)) == len(ids)


@given(ROSTERS, WINDOWS)
@pytest.mark.rule("alarm-maturity")
def test_nothing_is_looked_at_before_it_is_old_enough(watched: Roster, values: list[float | None]) -> None:
    def old_enough(rule: Terms, start_us: int) -> None:
        assert start_us + rule.window_us + rule.age_us <= watermark

    judged = Judged({}, Asked())
    for hour in range(30):
        watermark = LATE + hour * HOUR + HOUR // 2
        read = Windows([C] * 95 + list(values), after=old_enough)
        judged = watched.judge(judged.states, judged.asked, watermark_us=watermark, read=read)
        assert all(record.at.timestamp() * 1e6 <= watermark for record in judged.records)


@given(ROSTERS, WINDOWS)
@pytest.mark.rule("alarm-cool-down")
def test_requests_to_retrain_keep_their_cool_down_over_all_rules(watched: Roster, values: list[float | None]) -> None:
    asked = [r.at for r in played(watched, values, [0, 45]).records if r.event is AlarmEvent.RETRAIN_REQUESTED]
    assert all((later - earlier).total_seconds() * 1e6 >= 7 * HOUR for earlier, later in pairwise(asked))


@pytest.mark.rule("alarm-cool-down")
def test_a_deployment_s_rule_fires_once_in_its_cool_down() -> None:
    rule = terms(breaches=1, of=1, cooldown_us=5 * HOUR)
    judged = played(roster(rule), [C] * 5 + [B, C, B, C, B, C, B, C], [0, 8])
    assert [(record.event.value, record.at.hour) for record in judged.records] == [
        ("Fired", 5),
        ("Recovered", 6),
        ("Fired", 11),
        ("Recovered", 12),
    ]


def test_the_windows_of_a_long_absence_are_not_all_listed_to_judge_the_first() -> None:
    listed: list[int] = []

    class Counting(Terms):
        """Remembers which windows it was asked about."""

        def at(self, start_us: int) -> int:
            listed.append(start_us)
            return super().at(start_us)

    rule = Counting(**{each.name: getattr(terms(), each.name) for each in fields(Terms)} | {"window_us": HOUR // 3600})
    held = roster(rule).judge({}, Asked(), watermark_us=HOUR, read=Windows([])).states
    judged = roster(rule).judge(held, Asked(), watermark_us=100 * HOUR, read=Windows([]))
    assert (judged.looks, judged.more) == (500, True)
    assert len(listed) < 5000, "of 356,400 that are due"


def test_so_many_windows_at_once_and_the_rest_in_the_next_go() -> None:
    rule = terms(window_us=HOUR // 60)
    judged = roster(rule).judge({}, Asked(), watermark_us=HOUR, read=Windows([C] * 60))
    judged = roster(rule).judge(judged.states, Asked(), watermark_us=20 * HOUR, read=Windows([C] * 1200))
    assert (judged.looks, judged.more) == (500, True)
    rest = roster(rule).judge(judged.states, Asked(), watermark_us=20 * HOUR, read=Windows([C] * 1200))
    rest = roster(rule).judge(rest.states, Asked(), watermark_us=20 * HOUR, read=Windows([C] * 1200))
    assert (rest.looks, rest.more) == (140, False)


def test_a_record_is_the_same_after_a_trip_as_json() -> None:
    judged = roster(terms()).judge({}, Asked(), watermark_us=4 * HOUR, read=Windows([C, C, B, B]))
    assert AlarmRecord.model_validate_json(judged.records[0].model_dump_json(by_alias=True)) == judged.records[0]
