"""What may be asked of the user's Prometheus, and what is refused with which words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from switchyard_contracts.model_deployment import Analysis, Metric
from switchyard_contracts.promql import Placeholder, PromQL, faults, render
from switchyard_contracts.quantities import format_duration
from switchyard_contracts.verdicts import budget

MEMORY = 'max(max_over_time(container_memory_working_set_bytes{namespace="$namespace", pod=~"$candidate-.+"}[$window]))'


def metric(**changes: Any) -> Metric:
    usual = {"name": "memory", "metric": "promql", "role": "guard", "max": "900000000", "promql": {"query": MEMORY}}
    return Metric.model_validate({key: value for key, value in (usual | changes).items() if value is not None})


def test_a_query_is_enough() -> None:
    said = metric().promql
    assert said
    assert [format_duration(span) for span in (said.window, said.pace, said.patience)] == ["1m", "1m", "3m"]
    assert said.looks == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"promql": None}, "do not belong together", id="no query"),
        pytest.param({"metric": "error_rate", "max": "1%"}, "do not belong together", id="a query for another metric"),
        pytest.param({"role": "decide"}, "no error budget could hold; use role: guard", id="nothing is decided by it"),
        pytest.param({"max": None, "maxIncrease": "5%"}, r"compare with \$stable in the query", id="against stable"),
        pytest.param({"max": None}, "exactly one of max", id="no limit"),
        pytest.param({"minSamples": 500}, "write promql.looks", id="requests are not counted"),
        pytest.param({"maxWait": "2m"}, "is over before so many looks are taken .3m.; raise it", id="no time to look"),
        pytest.param({"promql": {"query": MEMORY, "window": "1s"}}, "not from 5s to 1d", id="a window of nothing"),
        pytest.param({"promql": {"query": MEMORY, "every": "2m"}}, "would be seen by no look", id="blind between"),
        pytest.param({"promql": {"query": MEMORY, "looks": 0}}, "looks", id="no look"),
        pytest.param({"promql": {"query": MEMORY, "address": "http://a"}}, "address", id="a misspelt field"),
        pytest.param({"promql": {"query": "up"}}, "has no", id="no window"),
    ],
)
def test_what_cannot_be_asked_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        metric(**changes)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        pytest.param(MEMORY, "", id="a gauge over the window"),
        pytest.param('sum(rate(a{code=~"5.."}[$window])) / sum(rate(a[ $window ]))', "", id="a share"),
        pytest.param('sum(rate(a{path=~"^/x$|^/y$"}[$window]))', "", id="a dollar that ends a pattern"),
        pytest.param('rate(a{b="[5m] offset 1d @ 3"}[$window])', "", id="words of a label"),
        pytest.param("rate(a[$window]) # not [5m], don't\n", "", id="a comment with an apostrophe"),
        pytest.param("sum by (offset) (rate(kafka_consumer_offset[$window]))", "", id="names like a modifier's"),
        pytest.param("rate(a[5m])", r"[5m] may reach back to before the step", id="a range of its own"),
        pytest.param("max_over_time(rate(a[$window])[$window:])", r"[$window:] may reach back", id="a subquery"),
        pytest.param("a", "it has no [$window]", id="no range at all"),
        pytest.param('a{b="[$window]"}', "it has no [$window]", id="a window that is only a text"),
        pytest.param("rate(a[$__rate_interval])", "$__rate_interval is not known", id="Grafana's own"),
        pytest.param('rate(a{b="$pod"}[$window])', "$pod is not known", id="a placeholder of nobody"),
        pytest.param("rate(a[$window] offset 5m)", "offset looks at another time", id="an earlier time"),
        pytest.param("rate(a[$window] offset -5m)", "offset looks at another time", id="a later time"),
        pytest.param("rate(a[$window] @ start())", "@ looks at another time", id="a fixed time"),
    ],
)
def test_a_query_speaks_of_the_step_alone(query: str, words: str) -> None:
    assert words in faults(query)
    assert bool(faults(query)) is bool(words)


def test_every_placeholder_is_filled() -> None:
    values = {placeholder: f"<{placeholder.value}>" for placeholder in Placeholder}
    text = " ".join(f"${placeholder.value}" for placeholder in Placeholder)
    assert render(text, values) == "<namespace> <deployment> <candidate> <stable> <window>"
    assert render('{a=~"^b$"}', values) == '{a=~"^b$"}'


@given(st.text(max_size=80))
def test_any_text_is_judged_and_none_breaks_the_judge(text: str) -> None:
    said = faults(text)
    if not said:
        assert "$" not in render(text, dict.fromkeys(Placeholder, "")) or "[$window]" in text


def test_no_part_of_the_error_budget_is_a_number_from_outside() -> None:
    errors = Metric.model_validate({"name": "errors", "metric": "error_rate", "max": "1%", "role": "guard"})
    with_it, without = Analysis(metrics=[errors, metric()]), Analysis(metrics=[errors])
    rest: dict[str, Any] = {"steps": 3, "attempt": 1, "paired": False}
    assert budget(with_it, **rest) == budget(without, **rest)
    named = [["errors", "memory"], ["memory"]]
    assert budget(with_it, **rest, named=named) == budget(without, **rest, named=named)


def test_what_is_written_is_read_again() -> None:
    said = PromQL.model_validate({"query": MEMORY, "window": "90s", "every": "30s", "looks": 5})
    assert PromQL.model_validate(said.to_json()) == said
