"""The spool: the files between Envoy and Kafka, read in order, never twice and never past a line that is not there yet.

    active/exchanges.log            Envoy appends to it
    active/left-over-<time>.log     a former Envoy's, put aside by the next one's start
    segments/<number>.log           put aside by us; the next number is always larger

Envoy's file counts as the segment that would come next. A file is sealed, nothing more will be appended, once a later
one exists: Envoy closes the old file before it opens the new. Only one process reads a spool.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NUMBER = re.compile(r"([0-9]{12})\.log")
LEFT_OVER = re.compile(r"left-over-[0-9]{19}\.log")
FIRST_LINE = 65_536
COUNTED_AT_ONCE = 1_048_576
START_OF_LINE = re.compile(rb'"start":"([0-9]{16})"')
BOOT_OF_LINE = re.compile(rb'"boot":"([0-9]{19})"')


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Up to where everything is done: a segment's number and a byte in it."""

    number: int = 1
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Some whole lines, and where they end."""

    lines: tuple[bytes, ...]
    end: Position
    torn: int = 0
    """Bytes of a last line that was never finished, because its writer was killed."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the spool."""

    number: int
    path: Path
    size: int


class Spool:
    """The files of one gateway pod."""

    def __init__(self, folder: Path) -> None:
        self._active_folder = folder / "active"
        self._active = self._active_folder / "exchanges.log"
        self._segments = folder / "segments"
        self._active_folder.mkdir(parents=True, exist_ok=True)
        self._segments.mkdir(parents=True, exist_ok=True)
        self._tallies: dict[int, tuple[int, int, str, int]] = {}

    def adopt(self, position: Position) -> int:
        """Make segments of what former Envoys left; returns how many."""
        left_over = sorted(path for path in self._active_folder.iterdir() if LEFT_OVER.fullmatch(path.name))
        for path in left_over:
            path.rename(self._path(self._next(position)))
        return len(left_over)

    def put_aside(self, position: Position) -> bool:
        """Make a segment of Envoy's file; Envoy must then be told to open a new one. False if there was none."""
        try:
            self._active.rename(self._path(self._next(position)))
        except FileNotFoundError:
            return False
        return True

    def active(self) -> os.stat_result | None:
        """Envoy's present file, if it has one."""
        try:
            return self._active.stat()
        except FileNotFoundError:
            return None

    def glance(self) -> tuple[int, ...]:
        """Numbers that change when there is anything new; much cheaper than to look for it."""
        folders = (self._active_folder.stat().st_mtime_ns, self._segments.stat().st_mtime_ns)
        active = self.active()
        return (*folders, active.st_ino, active.st_size) if active else folders

    def segments(self, position: Position) -> list[Segment]:
        """All files that are not done, oldest first, Envoy's own last."""
        found = [
            Segment(number, self._path(number), self._path(number).stat().st_size)
            for number in self._numbers()
            if number >= position.number
        ]
        if active := self.active():
            found.append(Segment(self._next(position), self._active, active.st_size))
        return found

    def size(self, position: Position) -> int:
        """Bytes on the volume, sent and unsent."""
        return sum(segment.size for segment in self.segments(position))

    def read(self, position: Position, *, max_lines: int, max_bytes: int) -> Piece:
        """The next lines. At the end of a sealed file: none, and a later position; with nothing new: neither."""
        present = self.segments(position)
        here = next((segment for segment in present if segment.number == position.number), None)
        later = next((segment for segment in present if segment.number > position.number), None)
        if here is None:
            return Piece((), Position(later.number) if later else position)
        # What comes later was looked for before this is read, so a sealed file is read to its true end.
        lines, end, rest = _lines(here.path, position.offset, max_lines=max_lines, max_bytes=max_bytes)
        if lines or later is None:
            return Piece(lines, Position(here.number, end))
        return Piece((), Position(later.number), torn=rest)

    def forget(self, position: Position) -> None:
        """Remove the segments that are done."""
        for number in self._numbers():
            if number < position.number:
                self._path(number).unlink()
        self._tallies = {number: known for number, known in self._tallies.items() if number >= position.number}

    def let_go(self, position: Position, *, busy: int) -> tuple[bytes, ...] | None:
        """Remove the oldest whole segment that nobody works on, and return its lines; None when there is no such."""
        for number in self._numbers():
            if number > max(position.number, busy):
                path = self._path(number)
                lines, _, _ = _lines(path, 0, max_lines=None, max_bytes=None)
                path.unlink()
                return lines
        return None

    def count(self, position: Position) -> dict[str, int]:
        """How many whole lines are not done, by the start of Envoy that wrote them."""
        counts: dict[str, int] = {}
        for segment in self.segments(position):
            offset = position.offset if segment.number == position.number else 0
            boot, lines = self._tally(segment, offset)
            if lines:
                counts[boot] = counts.get(boot, 0) + lines
        return counts

    def first(self, position: Position) -> bytes | None:
        """The oldest line that is not done."""
        for segment in self.segments(position):
            offset = position.offset if segment.number == position.number else 0
            lines, _, _ = _lines(segment.path, offset, max_lines=1, max_bytes=FIRST_LINE)
            if lines:
                return lines[0]
        return None

    def _tally(self, segment: Segment, offset: int) -> tuple[str, int]:
        """Boot and number of lines; a file has one writer, so its first line says whose all are."""
        known = self._tallies.get(segment.number)
        if known and known[:2] == (segment.size, offset):
            return known[2], known[3]
        boot, lines = "", 0
        with contextlib.suppress(FileNotFoundError), segment.path.open("rb") as file:
            file.seek(offset)
            while block := file.read(COUNTED_AT_ONCE):
                boot = boot or boot_of(block)
                lines += block.count(b"\n")
        if segment.path != self._active:
            self._tallies[segment.number] = (segment.size, offset, boot, lines)
        return boot, lines

    def _next(self, position: Position) -> int:
        return max([position.number - 1, *self._numbers()]) + 1

    def _numbers(self) -> list[int]:
        matches = (NUMBER.fullmatch(path.name) for path in self._segments.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def _path(self, number: int) -> Path:
        return self._segments / f"{number:012d}.log"


def boot_of(line: bytes) -> str:
    """Which start of Envoy wrote the line; the field is ours and its value cannot stand in a body unescaped."""
    match = BOOT_OF_LINE.search(line)
    return match[1].decode() if match else ""


def begun(line: bytes) -> float | None:
    """When the line's exchange began, in seconds since 1970; None when it does not say."""
    match = START_OF_LINE.search(line)
    return int(match[1]) / 1e6 if match else None


def _lines(
    path: Path, offset: int, *, max_lines: int | None, max_bytes: int | None
) -> tuple[tuple[bytes, ...], int, int]:
    """Whole lines from the offset, the byte after them, and how many bytes follow that are no whole line."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read(max_bytes) if max_bytes is not None else file.read()
            if b"\n" not in content and max_bytes is not None and len(content) == max_bytes:
                content += file.readline()  # a line longer than a whole batch
    except FileNotFoundError:
        return (), offset, 0
    end = content.rfind(b"\n") + 1
    lines: Sequence[bytes] = content[: end - 1].split(b"\n") if end else ()
    if max_lines is not None and len(lines) > max_lines:
        lines = lines[:max_lines]
        end = sum(len(line) + 1 for line in lines)
        return tuple(lines), offset + end, 0
    return tuple(lines), offset + end, len(content) - end
