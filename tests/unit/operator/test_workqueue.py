"""The queue: twice is once, one worker at a time, later is later."""

from __future__ import annotations

from switchyard_operator.workqueue import WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def queue() -> tuple[WorkQueue[str], Clock]:
    clock = Clock()
    return WorkQueue[str](clock), clock


def test_the_same_key_waiting_twice_is_once() -> None:
    work, _ = queue()
    work.add("a")
    work.add("b")
    work.add("a")
    assert [work.get(0), work.get(0), work.get(0)] == ["a", "b", None]


def test_a_key_is_with_one_worker_at_a_time_and_comes_again_after_it() -> None:
    work, _ = queue()
    work.add("a")
    assert work.get(0) == "a"
    work.add("a")
    assert work.get(0) is None
    work.done("a")
    assert work.get(0) == "a"


def test_later_is_later_and_the_earliest_wins() -> None:
    work, clock = queue()
    work.add_after("a", 10)
    work.add_after("a", 5)
    work.add_after("a", 20)
    assert work.get(0) is None
    clock.now = 6
    assert work.get(0) == "a"
    work.done("a")
    clock.now = 30
    assert work.get(0) is None


def test_a_pass_that_comes_sooner_is_the_one_that_was_asked_for_later() -> None:
    work, clock = queue()
    work.add_after("a", 5)
    work.add("a")
    assert work.get(0) == "a"
    work.add_after("a", 20)
    work.done("a")
    clock.now = 6
    assert work.get(0) is None, "the answer of the newest pass counts"
    clock.now = 21
    assert work.get(0) == "a"


def test_a_closed_queue_sends_its_workers_home() -> None:
    work, _ = queue()
    work.add("a")
    work.close()
    assert work.get(10) is None
