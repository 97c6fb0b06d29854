"""Images by digest: where a file names one, and the same text with nothing but that value changed.

Comments, order, quotes and line ends stay as they are, since the value alone is replaced where it stands.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, TextIO

import yaml

from switchyard_cli import documents, images, linting
from switchyard_cli.documents import Document, Source
from switchyard_cli.errors import Unfit, Unreadable
from switchyard_cli.images import Image
from switchyard_cli.ports import Registry

PLACE = ("spec", "model", "image")
"""Of the model; each of `spec.shadows` has one too, below its own `model`."""
QUOTES = {None: "", "'": "'", '"': '"'}
"""How a value may stand: plain, or in quotes. A block has no place to put another value."""


@dataclass(frozen=True, slots=True)
class Named:
    """An image in a text."""

    file: str
    line: int
    document: str
    path: str
    image: Image
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.document}: {self.path}"


def find(text: str, *, file: str) -> list[Named]:
    """Every image of a ModelDeployment, in the order of the text; one that several share by an anchor is one."""
    found = {}
    for document in documents.parse(text, file=file):
        if document.kind != "ModelDeployment" or not linting.ours(document):
            continue
        for path, node in _places(document.node):
            if isinstance(node, yaml.ScalarNode):
                named = _named(document, path, node, text)
                found[named.start] = named
    return [found[start] for start in sorted(found)]


def _places(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node | None]]:
    """Where a ModelDeployment may name images."""
    yield ".".join(PLACE), _value(node, PLACE)
    shadows = _value(node, ("spec", "shadows"))
    for index, shadow in enumerate(shadows.value if isinstance(shadows, yaml.SequenceNode) else ()):
        yield f"spec.shadows[{index}].model.image", _value(shadow, PLACE[1:])


def _named(document: Document, path: str, node: yaml.ScalarNode, text: str) -> Named:
    line = node.start_mark.line + 1
    where = f"{document.file}:{line}: {document.title}: {path}"
    image = images.parse(node.value)
    if image is None:
        raise Unreadable(f"{where}: {node.value!r} is not an image; see `kubectl switchyard lint`")
    quote = QUOTES.get(node.style)
    written = None if quote is None else f"{quote}{node.value}{quote}"
    if written is None or not text[: node.end_mark.index].endswith(written):
        raise Unreadable(f"{where}: the value is written over several lines or escaped; write it on one, then pin")
    end = node.end_mark.index - len(quote or "")
    return Named(document.file, line, document.title, path, image, end - len(node.value), end)


def _value(node: yaml.Node | None, path: Sequence[str]) -> yaml.Node | None:
    """What stands at a path; of a key that a merge brought too, the document's own, which comes last."""
    for step in path:
        if not isinstance(node, yaml.MappingNode):
            return None
        node = next((value for key, value in reversed(node.value) if key.value == step), None)
    return node


def unpinned(found: Sequence[Named]) -> list[Named]:
    """Those without a digest."""
    return [named for named in found if not named.image.digest]


@dataclass(frozen=True, slots=True)
class Text:
    """A file with what it names."""

    source: Source
    images: tuple[Named, ...]


def read(names: Sequence[str], *, stdin: TextIO) -> list[Text]:
    """Files, folders, or `-`; without any ModelDeployment there is nothing to pin."""
    found = [
        Text(source, tuple(find(source.text, file=source.file))) for source in documents.sources(names, stdin=stdin)
    ]
    if not any(text.images for text in found):
        raise Unfit("there is no ModelDeployment with an image in these files; pin is about nothing else")
    return found


def pin(text: Text, registry: Registry, *, update: bool) -> tuple[Source, list[tuple[Named, Image]]]:
    """The text with a digest at each image that has none, or at every one that has a tag; and what changed."""
    chosen = text.images if update else unpinned(text.images)
    new = {named: named.image.pinned(registry.digest(named.image)) for named in chosen if _has_tag(named.image)}
    changes = [(named, image) for named, image in new.items() if image != named.image]
    source = text.source
    return replace(source, text=rewrite(source.text, changes, file=source.file)), changes


def _has_tag(image: Image) -> bool:
    return bool(image.tag) or not image.digest


def rewrite(text: str, changes: Sequence[tuple[Named, Image]], *, file: str) -> str:
    """The text with these images; anything else that would change with them is refused."""
    parts, at = [], 0
    for named, image in changes:
        parts += [text[at : named.start], str(image)]
        at = named.end
    new = "".join([*parts, text[at:]])
    if list(_bodies(text, file=file)) != list(_bodies(new, file=file)):
        raise Unreadable(f"{file}: an image there is used for something else too (by an anchor?); pin it by hand")
    return new


def write(source: Source, out: IO[str]) -> None:
    """Replace the file in one move, with its own permissions; standard input goes to standard output."""
    if source.path is None:
        out.write(source.text)
        return
    path = source.path.resolve()
    try:
        if path.read_bytes() == source.text.encode():
            return
        beside = path.with_name(f".{path.name}.pin")
        beside.write_bytes(source.text.encode())
        shutil.copymode(path, beside)
        beside.replace(path)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from error


def _bodies(text: str, *, file: str) -> Iterator[Any]:
    """The documents, but for the images that may change."""
    for document in documents.parse(text, file=file):
        body = document.body
        if document.kind == "ModelDeployment" and isinstance(body, dict) and isinstance(body.get("spec"), dict):
            spec = _without_image(body["spec"])
            if isinstance(spec.get("shadows"), list):
                spec = {**spec, "shadows": [_without_image(shadow) for shadow in spec["shadows"]]}
            body = {**body, "spec": spec}
        yield body


def _without_image(owner: Any) -> Any:
    """What has a model, without its image."""
    if not documents.value_at(owner, "model.image"):
        return owner
    return {**owner, "model": {**owner["model"], "image": ""}}
