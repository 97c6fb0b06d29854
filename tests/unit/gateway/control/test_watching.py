"""Following the API server through everything it may do, with a source that plays a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from switchyard_gateway.control.errors import SourceError
from switchyard_gateway.control.ports import Gone, Listing, Mark, Put
from switchyard_gateway.control.watching import LONGEST_WAIT, Follower


class EndOfScript(Exception):
    """The test has seen what it came for."""


@dataclass
class Script:
    """A source that answers each question with the next line of its script."""

    lines: list[object]
    kind: str = "things"
    asked: list[str] = field(default_factory=list)

    def _next(self, question: str) -> object:
        self.asked.append(question)
        if not self.lines:
            raise EndOfScript
        line = self.lines.pop(0)
        if isinstance(line, Exception):
            raise line
        return line

    async def list(self) -> Listing[str]:
        line = self._next("list")
        assert isinstance(line, Listing)
        return line

    async def watch(self, place: str) -> AsyncIterator[Put[str] | Gone | Mark]:
        line = self._next(f"watch from {place}")
        assert isinstance(line, list)
        for each in line:
            if isinstance(each, Exception):
                raise each
            yield each


def follow(*lines):
    """Play a script; what was asked, what was heard, how long was waited."""
    script, heard, waits, contact = Script([*lines]), [], [], []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    follower = Follower(script, heard.append, heard.append, contact.append, sleep=sleep)
    with pytest.raises(EndOfScript):
        asyncio.run(follower.run())
    return script.asked, heard, waits, contact


LIST = Listing(("a",), "1")


def test_a_watch_goes_on_where_the_last_one_ended():
    asked, heard, _, _ = follow(LIST, [Put("b", "2"), Gone("ns", "a", "3")], [Mark("7")], [])
    assert asked == ["list", "watch from 1", "watch from 3", "watch from 7", "watch from 7"]
    assert heard == [LIST, Put("b", "2"), Gone("ns", "a", "3")]


def test_a_lost_place_means_a_new_list():
    asked, heard, _, _ = follow(LIST, [SourceError("410", expired=True)], Listing((), "9"), [])
    assert asked == ["list", "watch from 1", "list", "watch from 9", "watch from 9"]
    assert heard == [LIST, Listing((), "9")]


def test_other_failures_keep_the_place():
    asked, heard, _, _ = follow(LIST, [Put("b", "2"), SourceError("cut")], [Put("c", "4")])
    assert asked == ["list", "watch from 1", "watch from 2", "watch from 4"]
    assert heard == [LIST, Put("b", "2"), Put("c", "4")]


def test_failures_are_met_with_longer_and_longer_waits_but_not_for_ever_longer():
    _, _, waits, _ = follow(*[SourceError("500")] * 12)
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == LONGEST_WAIT


def test_the_server_may_ask_for_a_longer_wait():
    _, _, waits, _ = follow(SourceError("429", retry_after=30))
    assert waits == [30]


def test_news_end_the_long_waits():
    script = [LIST, *[SourceError("500")] * 5, [Put("b", "2"), SourceError("500")]]
    _, _, waits, _ = follow(*script)
    assert waits[-1] == waits[0]


def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_hot_loop():
    _, _, waits, _ = follow(LIST, [], [], [])
    assert waits == [0.05] * 3


def test_trouble_is_said_and_its_end_too():
    _, _, _, contact = follow(SourceError("no answer"), LIST, [])
    assert contact[:2] == ["no answer", ""]


def test_a_bug_is_not_swallowed():
    script = Script([ValueError("a bug")])
    follower = Follower(script, print, print, print)
    with pytest.raises(ValueError, match="a bug"):
        asyncio.run(follower.run())
