"""What is wrong with a file, before anything is sent: the operator's own acceptance, and what the API server would say.

Only what the contracts know is judged here; `plan` asks the API server itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from switchyard_contracts import acceptance
from switchyard_contracts.acceptance import SpecRejected
from switchyard_contracts.base import API_VERSION, GROUP, NAME_PATTERN
from switchyard_contracts.crd import KINDS
from switchyard_contracts.judgement import count
from switchyard_contracts.model_command import ModelCommandSpec, Verb
from switchyard_contracts.profile_fit import Profiled
from switchyard_contracts.quantities import format_duration

from switchyard_cli import profiled, storage
from switchyard_cli.course import Way, outside, plot
from switchyard_cli.documents import Document, value_at

LONGEST = {kind.kind: kind.max_name for kind in KINDS}
WRITTEN_BY_PEOPLE = ("ModelDeployment", "ModelCommand")
TOP = ("apiVersion", "kind", "metadata", "spec", "status")
NEEDS_ROLLOUT = (Verb.PROMOTE, Verb.ABORT, Verb.PAUSE, Verb.RESUME, Verb.APPROVE)
NEEDS_REVISION = (Verb.RETRY, Verb.ROLLBACK)


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: where it stands, and a sentence that says what is there and what helps."""

    file: str
    line: int
    document: str
    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.document}: {self.path}: {self.sentence}"


def ours(document: Document) -> bool:
    """Whether it is one of our resources, or means to be."""
    return document.group == GROUP or document.kind in LONGEST


def lint(documents: Iterable[Document]) -> list[Finding]:
    """Every fault of every document of ours, in the order of the files."""
    kept = [document for document in documents if ours(document)]
    found = [finding for document in kept for finding in check(document)]
    return found + _twice(kept)


def notes(
    documents: Iterable[Document], *, profile: Profiled | None = None, rate: float | None = None
) -> list[Finding]:
    """What is no fault, and has to be known; of documents without faults.

    A profile is held against all of them. At a rate, what their rows take.
    """
    found = []
    for document in documents:
        if document.kind == "ModelDeployment" and ours(document):
            spec = acceptance.read(document.body.get("spec"))
            for place, words in outside(spec):
                found.append(_finding(document, f"spec.analysis.metrics[{place}].promql: {words}"))
            if said := spec.strategy.ab_test:
                (step,) = plot(spec, Way.NEW).steps
                for need in (need for need in step.needs if need.outcomes):
                    text = (
                        f"{need.metric.name!r} needs {count(need.samples)} judged predictions of the candidate in"
                        f" {format_duration(step.horizon)} to find {said.effect} with a power of {said.power}; `plan"
                        " --rate` says whether it has them by then"
                    )
                    found.append(_finding(document, f"spec.strategy.abTest: {text}"))
            if spec.monitoring is not None:
                found += [_finding(document, sentence) for sentence in profiled.notes(spec.monitoring, profile)]
            if spec.judged_by_pairs and spec.block > spec.analysis.block:
                text = f"monitoring.window is longer, so that pairs are compared by {format_duration(spec.block)}"
                found.append(_finding(document, f"spec.analysis.block: {text}; shorten that too if it is meant"))
            if rate is not None:
                about = "spec.monitoring" if spec.monitoring else "spec"
                found.append(_finding(document, f"{about}: {storage.sentence(spec, rate=rate)}"))
    return found


def check(document: Document) -> list[Finding]:
    """The faults of one document."""
    sentences: list[str] = []
    for path, line in document.duplicates:
        sentences.append(f"{path}: stands twice (again in line {line}), so one would be lost; remove one")
    sentences.extend(_envelope(document))
    if document.kind == "ModelDeployment":
        sentences.extend(_deployment(document.body.get("spec")))
    elif document.kind == "ModelCommand":
        sentences.extend(_command(document.body.get("spec")))
    return [_finding(document, sentence) for sentence in sentences]


def _finding(document: Document, sentence: str) -> Finding:
    path, _, rest = sentence.partition(": ")
    value = value_at(document.body, path)
    if isinstance(value, str | int | float) and not _names(rest, value):
        rest = f"{rest} (it is {value!r})"
    return Finding(document.file, document.line_of(path), document.title, path, rest)


def _names(sentence: str, value: object) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(str(value))}(?![\w])", sentence) is not None


def _envelope(document: Document) -> list[str]:
    body: Any = document.body
    if not isinstance(body, dict):
        return ["apiVersion: this is no object"]
    found = []
    if body.get("apiVersion") != API_VERSION:
        found.append(f"apiVersion: {body.get('apiVersion')!r} is not served; write {API_VERSION}")
    if document.kind not in WRITTEN_BY_PEOPLE:
        known = " or ".join(WRITTEN_BY_PEOPLE)
        by_operator = document.kind in LONGEST
        why = "is written by the operator, not by people; remove it" if by_operator else f"is not known; write {known}"
        found.append(f"kind: {document.kind!r} {why}")
    found.extend(f"{key}: there is no such field; check its spelling or remove it" for key in body if key not in TOP)
    if body.get("spec") is None and document.kind in WRITTEN_BY_PEOPLE:
        found.append("spec: this field is required")
    return found + _metadata(body.get("metadata"), document.kind)


def _metadata(metadata: Any, kind: str) -> list[str]:
    if not isinstance(metadata, dict):
        return ["metadata: this field is required; write at least a name"]
    name = metadata.get("name")
    if name is None and kind == "ModelCommand" and metadata.get("generateName"):
        return []
    if not isinstance(name, str) or not name:
        return ["metadata.name: this field is required"]
    if not re.fullmatch(NAME_PATTERN, name):
        return [f"metadata.name: {name!r} is not {acceptance.REMEDIES[NAME_PATTERN]}"]
    longest = LONGEST.get(kind, 63)
    if len(name) > longest:
        return [f"metadata.name: {name!r} has {len(name)} characters; at most {longest} are allowed"]
    return []


def _deployment(spec: Any) -> Sequence[str]:
    if spec is None:
        return ()
    try:
        acceptance.read(spec)
    except SpecRejected as error:
        return error.sentences
    return ()


def _command(raw: Any) -> Sequence[str]:
    if raw is None:
        return ()
    try:
        spec = ModelCommandSpec.model_validate(raw)
    except ValidationError as error:
        return acceptance.sentences(error)
    if spec.gate is not None and spec.verb is not Verb.APPROVE:
        return (f"spec.gate: may be set only for approve; {spec.verb.value} knows no gate",)
    if spec.verb in NEEDS_ROLLOUT and spec.rollout is None:
        return (f"spec.rollout: {spec.verb.value} needs the rollout it is meant for (status.rollout.id)",)
    if spec.verb in NEEDS_REVISION and spec.revision is None:
        return (f"spec.revision: {spec.verb.value} needs the revision it is meant for",)
    return _override(spec) if spec.override else ()


def _override(spec: ModelCommandSpec) -> Sequence[str]:
    if spec.verb is not Verb.PROMOTE or spec.step is not None:
        return ("spec.override: it is for a promote of every step; leave spec.step out, or override",)
    return () if spec.reason else ("spec.reason: an override needs a reason, which is recorded",)


def _twice(documents: Sequence[Document]) -> list[Finding]:
    """Two documents of one name in a file: the second would replace the first."""
    first: dict[tuple[str, ...], Document] = {}
    found = []
    for document in documents:
        if not document.name or not isinstance(document.body, dict):
            continue
        place = str(document.body["metadata"].get("namespace", ""))
        key = document.file, document.kind, place, document.name
        other = first.setdefault(key, document)
        if other is not document:
            sentence = f"metadata.name: {document.name!r} is document {other.index} too; give each its own"
            found.append(_finding(document, sentence))
    return found
