"""What texts say is read once, as long as there is room for it."""

from __future__ import annotations

from switchyard_monitor.adapters.remembered import Remembered
from switchyard_monitor.domain.sums import Sums, decode


class Counted:
    """Reads, and says how often it did."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, text: str) -> Sums:
        self.times += 1
        return decode(text)


def test_a_text_is_read_once_and_another_by_itself() -> None:
    held, read = Remembered(100), Counted()
    assert held.of('{"a":1}', read, "all") == {"a": 1}
    assert held.of("".join(['{"a"', ":1}"]), read, "all") == {"a": 1}
    assert held.of('{"a":2}', read, "all") == {"a": 2}
    assert read.times == 2


def test_another_reading_of_the_same_text_is_another() -> None:
    held, read = Remembered(100), Counted()
    assert held.of('{"a":1}', lambda _: {}, "nothing") == {}
    assert held.of('{"a":1}', lambda _: {}, "nothing") == {}
    assert held.of('{"a":1}', read, "all") == {"a": 1}


def test_what_was_not_asked_for_longest_goes_first() -> None:
    held, read = Remembered(4), Counted()
    first, second, third = (f'{{"a":{number},"b":1}}' for number in (1, 2, 3))
    for text in (first, second, first, third):
        held.of(text, read, "all")
    assert (len(held), read.times) == (4, 3)
    held.of(first, read, "all")
    assert read.times == 3, "it was asked for again meanwhile"
    held.of(second, read, "all")
    assert read.times == 4


def test_one_that_is_larger_than_the_room_is_read_all_the_same() -> None:
    held, read = Remembered(1), Counted()
    assert held.of('{"a":1,"b":1}', read, "all") == {"a": 1, "b": 1}
    assert held.of('{"c":1}', read, "all") == {"c": 1}
    assert len(held) == 1
