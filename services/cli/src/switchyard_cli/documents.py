"""YAML files as people write them: several documents each, with the line on which each field stands.

Read as kubectl reads them: a key that stands twice is an error, since one of the two would silently be lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import yaml

from switchyard_cli.errors import Unreadable

SUFFIXES = (".yaml", ".yml", ".json")
STEP = re.compile(r"\.?([^.\[\]]+)|\[([0-9]+)\]")
MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file."""

    file: str
    index: int
    """From 1."""
    body: Any
    node: yaml.Node | None
    duplicates: tuple[tuple[str, int], ...] = ()
    """Paths of keys that stand twice, and where the second one stands."""

    @property
    def kind(self) -> str:
        """What it says it is."""
        return str(self.body.get("kind", "")) if isinstance(self.body, dict) else ""

    @property
    def group(self) -> str:
        """The API group it names."""
        text = str(self.body.get("apiVersion", "")) if isinstance(self.body, dict) else ""
        return text.partition("/")[0]

    @property
    def name(self) -> str:
        """`metadata.name`, or the empty string."""
        metadata = self.body.get("metadata") if isinstance(self.body, dict) else None
        return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

    @property
    def title(self) -> str:
        """How a person finds it: its place in the file, and what it is."""
        what = " ".join(word for word in (self.kind, self.name) if word)
        return f"document {self.index}{f' ({what})' if what else ''}"

    def line_of(self, path: str) -> int:
        """The line of a field, or of the nearest one above it that is there."""
        node = self.node
        line = node.start_mark.line + 1 if node else 1
        for step in steps(path):
            found = _inside(node, step)
            if found is None:
                break
            line, node = found
        return line


def steps(path: str) -> list[str | int]:
    """`spec.steps[1].name` → spec, steps, 1, name."""
    return [int(number) if number else word for word, number in STEP.findall(path)]


def value_at(body: Any, path: str) -> Any:
    """What stands there, or None."""
    for step in steps(path):
        if isinstance(step, int):
            body = body[step] if isinstance(body, list) and step < len(body) else None
        else:
            body = body.get(step) if isinstance(body, dict) else None
    return body


def parse(text: str, *, file: str) -> list[Document]:
    """The documents of a text; empty ones are passed over, but counted."""
    found = []
    try:
        loader = yaml.SafeLoader(text)
        try:
            index = 0
            while loader.check_node():
                index += 1
                node = loader.get_node()
                if node is None:
                    continue
                duplicates = tuple(_duplicates(node, ""))
                body = loader.construct_document(node)
                if body is not None:
                    found.append(Document(file, index, body, node, duplicates))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Unreadable(f"{file}{where}: this is no YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"{file}: this is no YAML: {' '.join(str(error).split())}") from error
    return found


def read(names: Sequence[str], *, stdin: TextIO) -> list[Document]:
    """Files, folders (their YAML files, whatever the depth), or `-` for standard input."""
    return [document for source in sources(names, stdin=stdin) for document in parse(source.text, file=source.file)]


@dataclass(frozen=True, slots=True)
class Source:
    """A text, and where it came from."""

    file: str
    text: str
    """As it stands, with its own line ends."""
    path: Path | None = None
    """None for standard input."""


def sources(names: Sequence[str], *, stdin: TextIO) -> Iterator[Source]:
    """The texts of files, folders and standard input."""
    for name in names:
        if name == "-":
            yield Source("standard input", stdin.read())
            continue
        for path in _files(Path(name)):
            yield Source(str(path), _text(path), path)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(item for item in path.rglob("*") if item.suffix in SUFFIXES and item.is_file())
    if not found:
        raise Unreadable(f"{path}: this folder has no file that ends in {', '.join(SUFFIXES)}")
    return found


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Unreadable(f"{path}: larger than {MOST_BYTES // 2**20} MiB; name the file that holds the resource")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error


def _inside(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(step, int):
        if isinstance(node, yaml.SequenceNode) and step < len(node.value):
            item = node.value[step]
            return item.start_mark.line + 1, item
        return None
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark.line + 1, value
    return None


def _duplicates(node: yaml.Node, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _duplicates(item, f"{path}[{index}]")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            here = f"{path}.{name}" if path else name
            if name in seen:
                yield here, key.start_mark.line + 1
            seen.add(name)
            yield from _duplicates(value, here)
