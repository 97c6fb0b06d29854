"""Envoy's configuration and its start, as far as they can be judged without Envoy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_testkit.envoy import data_plane

bootstrap, start, drain = data_plane("bootstrap"), data_plane("start"), data_plane("drain")
BOOT = "1795330517801090924"


def test_settings_come_from_the_environment() -> None:
    settings = bootstrap.Settings.from_env(
        {"ENVOY_NODE": "gateway-1", "ENVOY_CONCURRENCY": "4", "ENVOY_CAPTURE": "false", "PATH": "/bin"}
    )
    assert (settings.node, settings.concurrency, settings.capture) == ("gateway-1", 4, False)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        pytest.param({"ENVOY_CONCURENCY": "4"}, "ENVOY_CONCURENCY is no setting", id="misspelt"),
        pytest.param({"ENVOY_PORT": "http"}, "ENVOY_PORT is 'http'; give a whole number", id="no number"),
        pytest.param({"ENVOY_PORT": "-1"}, "give a whole number", id="negative"),
        pytest.param({"ENVOY_CAPTURE": "yes"}, "give true or false", id="no switch"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_it(environ: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        bootstrap.Settings.from_env(environ)


@given(st.text(alphabet="revisonxy-", max_size=12))
def test_all_but_one_name_is_stripped(end: str) -> None:
    pattern = bootstrap.all_but("x-switchyard-", "revision")
    assert bool(re.fullmatch(pattern, f"x-switchyard-{end}")) is (end != "revision")
    assert re.fullmatch(pattern, f"x-other-{end}") is None


def named(content: Any, name: str) -> list[Any]:
    """All values of that key, however deep."""
    found = []
    if isinstance(content, dict):
        found += [content[name]] if name in content else []
        found += [value for child in content.values() for value in named(child, name)]
    elif isinstance(content, list):
        found += [value for child in content for value in named(child, name)]
    return found


def test_the_configuration_is_plain_json_and_the_same_each_time() -> None:
    settings = bootstrap.Settings()
    first = json.dumps(bootstrap.bootstrap(settings, boot=BOOT), sort_keys=True)
    assert json.dumps(bootstrap.bootstrap(settings, boot=BOOT), sort_keys=True) == first


def test_secrets_are_in_no_field_of_the_record() -> None:
    content = bootstrap.bootstrap(bootstrap.Settings(), boot=BOOT)
    formats = [str(each).lower() for each in named(content, "json_format")]
    assert len(formats) == 4, "two listeners, each with a record and a form of its own answers"
    for word in ("authorization", "cookie", ":path", "query"):
        assert not any(word in each for each in formats)


def test_nobody_but_the_pod_reaches_admin_and_mirror() -> None:
    content = bootstrap.bootstrap(bootstrap.Settings(), boot=BOOT)
    assert content["admin"]["address"].keys() == {"pipe"}
    product, mirror = (each["address"]["socket_address"] for each in content["static_resources"]["listeners"])
    assert (product["address"], mirror["address"]) == ("0.0.0.0", "127.0.0.1")


def test_the_mirror_listener_keeps_ids_and_takes_the_timeout_that_a_request_brings() -> None:
    content = bootstrap.bootstrap(bootstrap.Settings(), boot=BOOT)
    product, mirror = (
        each["filter_chains"][0]["filters"][0]["typed_config"] for each in named(content, "listeners")[0]
    )
    assert mirror["preserve_external_request_id"]
    assert "preserve_external_request_id" not in product
    assert [each["name"] for each in mirror["http_filters"][1:]] == [each["name"] for each in product["http_filters"]]
    first = json.dumps(mirror["http_filters"][0])
    assert "x-envoy-upstream-rq-timeout-ms" in first
    assert "%REQ(X-SWITCHYARD-MIRROR-TIMEOUT-MS)%" in first


@pytest.mark.parametrize("overflow", ["upstream_rq_pending_overflow", "upstream_rq_active_overflow"])
def test_envoy_keeps_the_counters_of_what_could_not_be_mirrored(overflow: str) -> None:
    patterns = [each["safe_regex"]["regex"] for each in bootstrap.stats_kept() if "safe_regex" in each]
    assert any(re.match(pattern, f"cluster.flights/delay-2/mirror.{overflow}") for pattern in patterns)


def test_the_first_routes_are_waited_for_without_limit() -> None:
    content = bootstrap.bootstrap(bootstrap.Settings(), boot=BOOT)
    assert named(content, "initial_fetch_timeout") == ["0s"] * 3


def test_capture_can_be_off_from_the_start() -> None:
    content = bootstrap.bootstrap(bootstrap.Settings(capture=False), boot=BOOT)
    assert content["layered_runtime"]["layers"][0]["static_layer"][bootstrap.CAPTURE_KEY] == 0
    environment = start.for_capture(bootstrap.Settings(capture=False), Path("/x"))
    assert environment["SWITCHYARD_CAPTURE_BYTES"] == "0"


def test_a_start_puts_away_what_the_last_one_left(tmp_path: Path) -> None:
    settings = bootstrap.Settings(spool_dir=str(tmp_path / "spool"), run_dir=str(tmp_path / "run"))
    start.prepare(settings, now_ns=5)
    log = tmp_path / "spool" / "active" / "exchanges.log"
    assert not log.exists()
    log.write_text("torn")
    configuration, environment = start.prepare(settings, now_ns=7)
    assert not log.exists()
    assert (tmp_path / "spool" / "active" / f"left-over-{7:019d}.log").read_text() == "torn"
    assert [path.name for path in sorted((tmp_path / "spool" / "boots").iterdir())] == [f"{5:019d}", f"{7:019d}"]
    assert environment["SWITCHYARD_ANSWERS_DIR"] == str(tmp_path / "spool" / "boots" / f"{7:019d}")
    assert set(named(json.loads(configuration.read_text()), "boot")) == {f"{7:019d}"}


def test_the_command_line_sets_how_much_a_kill_may_lose() -> None:
    settings = bootstrap.Settings(flush_interval_ms=30, flush_min_size_kb=8)
    line = start.command("/usr/bin/envoy", settings, Path("/c"))
    assert line[line.index("--file-flush-interval-msec") + 1] == "30"
    assert line[line.index("--file-flush-min-size-kb") + 1] == "8"


def test_requests_under_way_are_read_from_envoys_text() -> None:
    counts = {"http.admin": 1, "http.product": 3, "http.mirror": 2}
    text = "".join(f"{name}.downstream_rq_active: {value}\n" for name, value in counts.items())
    assert drain.under_way(text) == 5
    assert drain.under_way("") == 0


def test_only_the_products_listener_has_the_script_that_draws_and_no_request_runs_it_unasked() -> None:
    content = bootstrap.bootstrap(bootstrap.Settings(), boot=BOOT)
    product, mirror = (
        each["filter_chains"][0]["filters"][0]["typed_config"] for each in named(content, "listeners")[0]
    )
    (own,) = (each["typed_config"] for each in product["http_filters"] if each["name"] == bootstrap.LUA_FILTER)
    assert own["default_source_code"]["filename"].endswith("capture.lua")
    assert list(own["source_codes"]) == ["draws"]
    script = own["source_codes"]["draws"]["inline_string"]
    assert script.index("function envoy_on_response") < script.index("half_sip_hash"), "it captures, and then draws"
    assert not named(mirror, "source_codes")
