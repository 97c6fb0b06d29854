"""The log of every part: JSON lines that can be searched, sentences at a terminal, and nothing that was not named."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from switchyard_contracts import logs

PARTS = {
    "OPERATOR": ("switchyard_operator", {"OPERATOR_PORTS": "1"}),
    "FEEDBACK": ("switchyard_feedback", {"FEEDBACK_PORTS": "1"}),
    "MONITOR": ("switchyard_monitor", {"MONITOR_PORTS": "1"}),
}


class Terminal(io.StringIO):
    """A stream at whose end a person sits."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    logging.getLogger("switchyard.test.chatty").setLevel(logging.NOTSET)


def said(stream: io.StringIO) -> dict[str, Any]:
    """The one line that was written."""
    (line,) = stream.getvalue().splitlines()
    document: dict[str, Any] = json.loads(line)
    return document


def test_a_line_is_one_object_with_time_level_logger_sentence_and_the_names_of_what_it_is_about() -> None:
    stream = io.StringIO()
    logs.configure("", quiet={}, stream=stream)
    before = datetime.now(UTC)
    names = {"deployment": "demo/flights", "rollout": "flights-1a2b.1", "traffic": 7, "revision": "", "step": None}
    logging.getLogger("switchyard.test").info("%s: taken back at %s", "demo/flights", "5%", extra=names)
    line = said(stream)
    assert before <= datetime.fromisoformat(line.pop("time")) <= datetime.now(UTC)
    assert line == {
        "level": "INFO",
        "logger": "switchyard.test",
        "message": "demo/flights: taken back at 5%",
        "deployment": "demo/flights",
        "rollout": "flights-1a2b.1",
        "traffic": 7,
    }


def test_the_first_partition_and_the_first_offset_are_numbers_like_any_other() -> None:
    stream = io.StringIO()
    logs.configure("json", quiet={}, stream=stream)
    logging.getLogger("switchyard.test").warning("stopped", extra={"partition": 0, "offset": 0})
    assert (said(stream)["partition"], said(stream)["offset"]) == (0, 0)


def test_what_is_not_named_is_not_written() -> None:
    stream = io.StringIO()
    logs.configure("json", quiet={}, stream=stream)
    logging.getLogger("a.library").error("refused", extra={"headers": {"authorization": "Bearer s3cret"}, "body": "X"})
    assert sorted(said(stream)) == ["level", "logger", "message", "time"]


def test_a_traceback_stays_in_its_line() -> None:
    stream = io.StringIO()
    logs.configure("json", quiet={}, stream=stream)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("switchyard.test").exception("the pass failed", extra={"deployment": "demo/flights"})
    line = said(stream)
    assert "ValueError: two\nlines" in line["exc_info"]
    assert line["deployment"] == "demo/flights"


@pytest.mark.parametrize(
    ("wanted", "stream", "json_lines"),
    [
        pytest.param("auto", io.StringIO, True, id="a pipe is read by machines"),
        pytest.param("auto", Terminal, False, id="a terminal by people"),
        pytest.param("json", Terminal, True, id="JSON at a terminal when it is asked for"),
        pytest.param("text", io.StringIO, False, id="text in a pipe when it is asked for"),
        pytest.param("yaml", io.StringIO, True, id="what it does not know is refused by the settings, in a line"),
    ],
)
def test_the_format_follows_the_setting_and_the_reader(
    wanted: str, stream: type[io.StringIO], json_lines: bool
) -> None:
    written = stream()
    logs.configure(wanted, quiet={}, stream=written)
    logging.getLogger("switchyard.test").info(
        "demo/flights: held", extra={"deployment": "demo/flights", "step": "five"}
    )
    line = written.getvalue().strip()
    assert line.startswith("{") is json_lines
    assert json_lines or line.endswith("INFO switchyard.test demo/flights: held (step=five)")


def test_chatty_libraries_are_heard_from_their_level_on() -> None:
    stream = io.StringIO()
    logs.configure("json", quiet={"switchyard.test.chatty": logging.ERROR}, stream=stream)
    logging.getLogger("switchyard.test.chatty").warning("again")
    assert not stream.getvalue()


@pytest.mark.parametrize("prefix", PARTS)
def test_a_part_says_in_a_line_which_of_its_settings_is_wrong(prefix: str) -> None:
    module, environ = PARTS[prefix]
    environ = {**environ, f"{prefix}_LOG_FORMAT": "yaml", "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    ended = subprocess.run([sys.executable, "-m", module], env=environ, capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert ended.returncode == 2
    assert not ended.stdout
    words = " ".join(line["message"] for line in lines).lower()
    assert "ports" in words
    assert "log_format" in words
