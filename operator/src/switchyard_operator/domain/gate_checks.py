"""Gates that are answered by what is known already: provenance, the version, a person's approval."""

from __future__ import annotations

import re
from functools import total_ordering

from switchyard_contracts.gates import ApprovalGate, Gate, ProvenanceGate
from switchyard_contracts.judgement import counted, noun
from switchyard_contracts.model import SEMANTIC_VERSION, Provenance
from switchyard_contracts.quantities import format_duration

from switchyard_operator.domain.gates import Answer, State


def provenance(gate: Gate, recorded: Provenance | None, said: Provenance | None) -> Answer:
    """Whether it is known what the model was made of: as recorded at first sight, and where that is silent as now."""
    fields = (gate.provenance or ProvenanceGate()).fields
    known = {**(said.to_json() if said else {}), **(recorded.to_json() if recorded else {})}
    missing = [field for field in fields if not str(known.get(field, "")).strip()]
    if not missing:
        return Answer(State.PASSED, f"{', '.join(fields)} are said" if len(fields) > 1 else f"{fields[0]} is said")
    names = ", ".join(f"spec.model.provenance.{field}" for field in missing)
    lacks = f"{len(missing)} of {counted(len(fields), 'fact')} {noun(len(missing), 'is', 'are')} missing"
    return Answer(State.FAILED, f"{lacks}; set {names}, and retry the revision")


@total_ordering
class Precedence:
    """A semantic version as semver.org orders them: build metadata does not count, a pre-release comes before."""

    def __init__(self, version: str) -> None:
        core, _, pre = version.partition("+")[0].partition("-")
        self._core = tuple(int(part) for part in core.split("."))
        self._pre = tuple(_identifier(part) for part in pre.split(".")) if pre else ()

    @property
    def _key(self) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
        return self._core, not self._pre, self._pre

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Precedence) and self._key == other._key

    def __lt__(self, other: Precedence) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)


def _identifier(text: str) -> tuple[bool, int, str]:
    """Numbers come before words, and by their value."""
    return (False, int(text), "") if text.isdigit() else (True, 0, text)


def version(candidate: str, stable: str | None) -> Answer:
    """Whether the version rises; `stable` is None where nothing serves yet."""
    if not candidate:
        return Answer(State.WAITING, "neither spec.model.version nor the pod's /docs.json says a version; set it")
    if not _semantic(candidate):
        return Answer(State.FAILED, f"{candidate!r} is not a semantic version; write three numbers, such as 1.3.0")
    if stable is None:
        return Answer(State.PASSED, f"{candidate} is the first version")
    if not _semantic(stable):
        return Answer(State.PASSED, f"stable's version {stable or '(unknown)'} is not semantic, and {candidate} is")
    if Precedence(candidate) > Precedence(stable):
        return Answer(State.PASSED, f"{candidate} is above stable's {stable}")
    return Answer(
        State.FAILED, f"{candidate} is not above stable's {stable}; set a higher spec.model.version, and retry"
    )


def _semantic(text: str) -> bool:
    return re.fullmatch(SEMANTIC_VERSION, text) is not None


def approval(gate: Gate) -> Answer:
    """What is said while nobody has approved; a person's word is remembered by `approvals`."""
    who = (gate.approval or ApprovalGate()).approvers
    by = f" by {' or '.join(who)}" if who else ""
    return Answer(
        State.WAITING,
        f"waits for a ModelCommand approve{by} that names gate {gate.name}, for at most"
        f" {format_duration(gate.deadline)}",
    )
