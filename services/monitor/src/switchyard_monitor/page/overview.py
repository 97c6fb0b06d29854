"""The overview: each deployment in a line, a page of them at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from switchyard_contracts.model_route import RouteRole
from switchyard_contracts.topics import ModelRecord

from switchyard_monitor import answers
from switchyard_monitor.domain.entries import NO_FOLD, Cell
from switchyard_monitor.domain.rollouts import Happening
from switchyard_monitor.page import units
from switchyard_monitor.page.rollouts import kind

PAGE = 50
GENERATIONS = 8
"""Of the newest ModelRoute generations; a line says how a deployment is, not how it was."""


@dataclass(frozen=True, slots=True)
class Line:
    """One deployment."""

    namespace: str
    name: str
    stable: str
    phase: str
    kind: str
    rollout: str
    said: str
    """When that was said."""
    requests: str
    """Empty where there was none, and so nothing to say in the columns after it."""
    errors: str
    latency: str
    quality: str
    coverage: str


@dataclass(frozen=True, slots=True)
class Overview:
    """One page of deployments."""

    lines: Sequence[Line]
    total: int
    find: str
    after: str
    """From where the next page goes on; empty on the last."""
    first: bool


def choose(subjects: Sequence[str], *, find: str, after: str) -> tuple[list[str], int, str]:
    """The subjects of one page, how many there are in all, and where the next page begins."""
    fitting = sorted(subject for subject in subjects if find.lower() in subject)
    rest = [subject for subject in fitting if subject > after]
    chosen = rest[:PAGE]
    return chosen, len(fitting), chosen[-1] if len(rest) > PAGE else ""


def line(subject: str, *, record: ModelRecord | None, newest: Happening | None, cells: Sequence[Cell]) -> Line:
    """What stands in a deployment's line."""
    namespace, _, name = subject.partition("/")
    said = newest.record if newest else None
    stable = record.stable if record else ""
    mine = [cell for cell in cells if cell.arm.role == RouteRole.STABLE and cell.arm.revision == stable]
    (counted, *_) = (*answers.counts(together(mine)), None)
    (judged, *_) = (*answers.quality(mine), None)
    versions: Mapping[str, str] = record.versions if record else {}
    error_rate = counted.errors / counted.requests if counted and counted.requests else None
    return Line(
        namespace=namespace,
        name=name,
        stable=versions.get(stable) or stable or ("none yet" if record else "no longer published"),
        phase=said.phase if said else "",
        kind=kind(said.phase) if said else "none",
        rollout=f"{said.version or said.revision} at{units.GAP}{units.weight(said.weight_bp)}"
        if said and said.revision
        else "",
        said=units.clock(newest.last_us) if newest else "",
        requests=units.count(counted.requests) if counted else "",
        errors=units.percent(error_rate),
        latency=units.seconds(counted.latency_p95) if counted else units.NOTHING,
        quality=_quality(judged),
        coverage=units.percent(judged.coverage) if judged else units.NOTHING,
    )


def together(cells: Sequence[Cell]) -> list[Cell]:
    """The same revisions and roles as one, whatever generation, weight or rule they had."""
    return [
        replace(cell, arm=replace(cell.arm, rule=0, traffic=0, weight_bp=0, assignment="", fold=NO_FOLD))
        for cell in cells
    ]


def _quality(judged: answers.RevisionQuality | None) -> str:
    if judged is None or not judged.at_age.n:
        return units.NOTHING
    if judged.at_age.accuracy is not None:
        return f"accuracy {units.percent(judged.at_age.accuracy)}"
    return f"RMSE {units.number(judged.at_age.rmse)}"
