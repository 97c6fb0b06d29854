"""The spool on real files: nothing is read twice, nothing is read half, and nothing is passed over."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from switchyard_gateway.shipper.spool import Piece, Position, Spool, boot_of

START = Position()


def write(folder: Path, text: str) -> None:
    """Envoy appends to its file."""
    with (folder / "active" / "exchanges.log").open("a") as file:
        file.write(text)


def read(spool: Spool, position: Position, *, lines: int = 100, size: int = 10_000) -> Piece:
    return spool.read(position, max_lines=lines, max_bytes=size)


def test_whole_lines_only(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert read(spool, START) == Piece((), START)
    write(tmp_path, "one\ntwo\nthr")
    piece = read(spool, START)
    assert piece == Piece((b"one", b"two"), Position(1, 8))
    assert read(spool, piece.end) == Piece((), Position(1, 8))
    write(tmp_path, "ee\n")
    assert read(spool, piece.end) == Piece((b"three",), Position(1, 14))


def test_no_more_than_asked(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    write(tmp_path, "one\ntwo\nthree\n")
    assert read(spool, START, lines=1) == Piece((b"one",), Position(1, 4))
    assert read(spool, START, size=9) == Piece((b"one", b"two"), Position(1, 8))


def test_a_line_longer_than_a_batch_is_a_batch(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    write(tmp_path, "x" * 50 + "\nnext\n")
    assert read(spool, START, size=10).lines == (b"x" * 50,)


def test_a_file_put_aside_is_read_to_its_end_and_left(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    write(tmp_path, "one\n")
    half = read(spool, START).end
    write(tmp_path, "two\n")
    assert spool.put_aside(half)
    assert read(spool, half) == Piece((b"two",), Position(1, 8))
    # Envoy has not opened a new file yet, so it may still write to this one.
    assert read(spool, Position(1, 8)) == Piece((), Position(1, 8))
    write(tmp_path, "three\n")
    assert read(spool, Position(1, 8)) == Piece((), Position(2, 0))
    assert read(spool, Position(2, 0)) == Piece((b"three",), Position(2, 6))
    spool.forget(Position(2, 0))
    assert [path.name for path in (tmp_path / "segments").iterdir()] == []
    assert spool.put_aside(Position(2, 6))
    assert [path.name for path in (tmp_path / "segments").iterdir()] == ["000000000002.log"]


def test_a_torn_tail_joins_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    write(tmp_path, 'one\n{"torn')
    (tmp_path / "active" / "exchanges.log").rename(tmp_path / "active" / f"left-over-{7:019d}.log")
    write(tmp_path, "two\n")
    assert spool.adopt(START) == 1
    assert read(spool, START).lines == (b"one",)
    torn = read(spool, Position(1, 4))
    assert torn == Piece((), Position(2, 0), torn=6)
    assert read(spool, torn.end).lines == (b"two",)


def test_what_several_envoys_left_is_read_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for time, text in ((30, "c\n"), (4, "a\n"), (5, "b\n")):
        (tmp_path / "active" / f"left-over-{time:019d}.log").write_text(text)
    write(tmp_path, "d\n")
    assert spool.adopt(START) == 3
    found: list[bytes] = []
    position = START
    while (piece := read(spool, position)).end != position:
        found += piece.lines
        position = piece.end
    assert found == [b"a", b"b", b"c", b"d"]


def test_the_oldest_whole_segment_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in (1, 2, 3):
        (tmp_path / "segments" / f"{number:012d}.log").write_text(f"line {number}\nmore\n")
    write(tmp_path, "now\n")
    assert spool.let_go(Position(1, 5), busy=0) == (b"line 2", b"more")
    assert spool.let_go(Position(1, 5), busy=3) is None, "the one that is being sent stays"
    assert spool.let_go(Position(1, 5), busy=1) == (b"line 3", b"more")
    assert spool.let_go(Position(1, 5), busy=1) is None
    assert read(spool, Position(1, 12)) == Piece((), Position(2, 0))
    assert read(spool, Position(2, 0)).lines == (b"now",)


def test_lines_that_wait_are_counted_by_boot(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, second = f"{1:019d}", f"{2:019d}"
    (tmp_path / "segments" / f"{1:012d}.log").write_text(f'{{"boot":"{first}"}}\n' * 5)
    write(tmp_path, f'{{"boot":"{second}"}}\n' * 3 + "half")
    assert spool.count(START) == {first: 5, second: 3}
    assert spool.count(Position(1, len(f'{{"boot":"{first}"}}\n') * 2)) == {first: 3, second: 3}
    write(tmp_path, "\n")
    assert spool.count(START) == {first: 5, second: 4}
    assert boot_of(spool.first(START) or b"") == first
    assert boot_of(spool.first(Position(2, 0)) or b"") == second


@pytest.mark.parametrize("name", ["exchanges.log.bak", "left-over-1.log", "000000000001.log.tmp"])
def test_other_files_are_left_alone(tmp_path: Path, name: str) -> None:
    spool = Spool(tmp_path)
    (tmp_path / "active" / name).write_text("x\n")
    (tmp_path / "segments" / name).write_text("x\n")
    assert spool.adopt(START) == 0
    assert spool.segments(START) == []


@given(st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"")), max_size=30), st.integers(1, 5))
def test_every_line_is_read_once_whatever_it_holds(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], at_once: int
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder)
    (folder / "active" / "exchanges.log").write_bytes(b"".join(line + b"\n" for line in lines))
    found: list[bytes] = []
    position = START
    while (piece := read(spool, position, lines=at_once, size=16)).end != position:
        found += piece.lines
        position = piece.end
    assert found == lines


class SpoolMachine(RuleBasedStateMachine):
    """Envoy writes, is killed, is started again; the reader reads, puts aside, forgets, is killed and starts again."""

    def __init__(self) -> None:
        super().__init__()
        self.keep = tempfile.TemporaryDirectory()
        self.folder = Path(self.keep.name)
        self.spool = Spool(self.folder)
        self.position = START
        self.written: list[bytes] = []
        self.found: list[bytes] = []
        self.number = 0
        self.active = self.folder / "active" / "exchanges.log"
        self.handle = self.active.open("ab", buffering=0)

    @rule(count=st.integers(1, 4))
    def envoy_writes(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.written.append(b"line %d" % self.number)
            self.handle.write(b"line %d\n" % self.number)

    @rule(torn=st.booleans())
    def envoy_is_killed_and_started(self, torn: bool) -> None:
        if torn:
            self.handle.write(b"torn")
        self.handle.close()
        self.number += 1
        if self.active.exists():
            self.active.rename(self.active.with_name(f"left-over-{self.number:019d}.log"))
        self.handle = self.active.open("ab", buffering=0)

    @rule()
    def the_file_is_put_aside(self) -> None:
        self.spool.adopt(self.position)
        if self.spool.put_aside(self.position):
            self.envoy_writes(1)  # what was in Envoy's memory still goes to the old file
            self.handle.close()
            self.handle = self.active.open("ab", buffering=0)

    @rule(lines=st.integers(1, 3))
    def some_is_read(self, lines: int) -> None:
        self.spool.adopt(self.position)
        piece = read(self.spool, self.position, lines=lines)
        self.found += piece.lines
        self.position = piece.end

    @rule()
    def what_is_done_is_forgotten(self) -> None:
        self.spool.forget(self.position)

    @rule()
    def the_reader_is_killed_and_started(self) -> None:
        self.spool = Spool(self.folder)

    @invariant()
    def nothing_is_passed_over_or_read_twice(self) -> None:
        assert self.found == self.written[: len(self.found)]

    def teardown(self) -> None:
        self.spool.adopt(self.position)
        while (piece := read(self.spool, self.position)).end != self.position:
            self.found += piece.lines
            self.position = piece.end
        assert self.found == self.written
        self.handle.close()
        self.keep.cleanup()


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
