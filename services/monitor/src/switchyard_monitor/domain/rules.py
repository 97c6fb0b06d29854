"""What a deployment's monitoring block means for one event: where Y, Y′ and X′ stand, and how they are compared.

A rule is frozen into the sums it made: a changed rule starts sums of its own, because errors in other units, or
windows of another length, cannot be added up.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

from switchyard_contracts import retention, windows
from switchyard_contracts.canonical import digest
from switchyard_contracts.loss import OUTCOME, PREDICTION, SCORE
from switchyard_contracts.loss import read as read_loss
from switchyard_contracts.model_deployment import Prediction
from switchyard_contracts.quantities import Threshold
from switchyard_contracts.topics import ModelRecord

from switchyard_monitor.domain import segments
from switchyard_monitor.domain.scores import ONE, parts
from switchyard_monitor.domain.segments import Segment

Value = float | str
"""A number (regression), or the name of a class."""

MAX_AGE_US = retention.MAX_AGE // timedelta(microseconds=1)
"""An X or Y that comes later than this after its own time is late."""
DEFAULT_HORIZON_US = retention.HORIZON // timedelta(microseconds=1)
DEFAULT_WINDOW_US = windows.WINDOW // timedelta(microseconds=1)
UNIT = 1 << 20
"""Parts of one `scale` to which errors are exact."""
CLIP = 1 << 31

ADDED = ("answers", "inputs", "classes", "positive", "score", "segments", "loss", "loss_scale")
"""Fields that rules once did not have: a rule that says nothing of them is the one it was, and keeps its sums."""

Path = tuple[str | int, ...]
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[([0-9]+)\]|\['([^']+)'\]")


def steps(path: str) -> Path:
    """An RFC 9535 singular path as the keys to follow."""
    return tuple(int(index) if index else name or quoted for name, index, quoted in _STEP.findall(path[1:]))


def follow(path: Path, document: Any) -> Any:
    """The one value a path names; None where it names nothing."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                return None
            document = document[step]
        else:
            if not isinstance(document, dict):
                return None
            document = document.get(step)
    return document


def as_number(value: Any) -> float | None:
    """A finite number, or None; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_class(value: Any) -> str | None:
    """The name of a class; 1, 1.0 and "1" are the same one."""
    if isinstance(value, str):
        # Not every database keeps a NUL in a text, and sums must not depend on which one it is.
        return None if "\0" in value else value
    if isinstance(value, bool):
        return "true" if value else "false"
    number = as_number(value)
    if number is None:
        return None
    return str(int(number)) if number == int(number) else repr(number)


@dataclass(frozen=True, slots=True)
class Rule:
    """How one deployment's events are read and compared. Times are in microseconds."""

    subject: str
    window_us: int = DEFAULT_WINDOW_US
    task: Literal["regression", "classification", "ranking"] | None = None
    prediction: str = "$"
    scale: int = 1
    outcome: str | None = None
    judged_after_us: int = 0
    horizon_us: int = DEFAULT_HORIZON_US
    decision: str | None = None
    tolerance: float = 0.0
    relative: bool = False
    threshold: float | None = None
    answers: str | None = None
    """Where a request carries many rows: the list of their answers, in the response."""
    inputs: str | None = None
    """The list of the rows, in the request."""
    classes: tuple[str, ...] | None = None
    """The classes that are told apart; what is none of them is one more."""
    positive: str | None = None
    score: str | None = None
    """Where the probability of the positive class stands, or that of what was said."""
    segments: tuple[Segment, ...] | None = None
    """By which parts of X it is judged too."""
    loss: str | None = None
    """What a judged prediction costs: an expression. Another text is another loss, and starts sums of its own."""
    loss_scale: int | None = None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Rule:
        """A rule from its JSON."""
        classes, segments = body.get("classes"), body.get("segments")
        held = [Segment(one["name"], one["path"], tuple(one["values"]), tuple(one["edges"])) for one in segments or ()]
        lists = {"classes": None if classes is None else tuple(classes), "segments": tuple(held) or None}
        return cls(**{**body, **lists})

    @classmethod
    def of(cls, record: ModelRecord) -> Rule:
        """The rule that a deployment's record asks for."""
        monitoring = record.monitoring
        if monitoring is None:
            return cls(record.subject)
        outcome, decision = monitoring.outcome, monitoring.decision
        tolerance = decision.tolerance if decision else Threshold(0.0, "", "0")
        rows = monitoring.rows
        return cls(
            record.subject,
            window_us=_us(monitoring.window),
            task=monitoring.prediction.task.value,
            prediction=monitoring.prediction.path,
            scale=monitoring.prediction.scale,
            outcome=outcome.path if outcome else None,
            judged_after_us=_us(outcome.judged_after) if outcome else 0,
            horizon_us=_us(outcome.horizon) if outcome else DEFAULT_HORIZON_US,
            decision=decision.path if decision else None,
            tolerance=tolerance.value,
            relative=tolerance.unit == "%",
            threshold=decision.threshold.value if decision and decision.threshold else None,
            answers=rows.response if rows else None,
            inputs=rows.request if rows else None,
            classes=_classes(monitoring.prediction),
            positive=monitoring.prediction.positive,
            score=monitoring.prediction.score,
            segments=tuple(
                Segment(one.name, one.path, tuple(one.values or ()), tuple(one.edges or ()))
                for one in monitoring.segments
            )
            or None,
            loss=monitoring.loss.expression if monitoring.loss else None,
            loss_scale=monitoring.loss.scale if monitoring.loss else None,
        )

    @property
    def body(self) -> dict[str, Any]:
        """The rule as JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None or name not in ADDED}

    @property
    def digest(self) -> str:
        """A hash of all that matters, which sums are kept by."""
        return digest({name: str(value) for name, value in self.body.items()})[:16]

    @property
    def unit(self) -> float:
        """The size of one part, in the unit of Y."""
        return self.scale / UNIT

    @property
    def measured(self) -> tuple[str | None, str, str | None]:
        """What is held against what; of rules that differ in it, losses are of different things."""
        return self.task, self.prediction, self.outcome

    @property
    def loss_unit(self) -> float:
        """The size of one part of a loss."""
        return (self.loss_scale or 1) / UNIT

    def window(self, at_us: int) -> int:
        """The start of the window that a time lies in."""
        return windows.start(at_us, self.window_us)

    def value(self, raw: Any) -> Value | None:
        """A Y in the task's own form; None where it has none."""
        if self.task is None:
            return None
        if self.task == "ranking":
            place = as_number(raw)
            return place if place is not None and place >= 1.0 and place == int(place) else None
        return as_number(raw) if self.task == "regression" else as_class(raw)

    def happened(self, raw: Any) -> Value | None:
        """An X′: as Y, or whether it was clicked as 1 and 0."""
        return _yes_or_no(raw) if self.task == "ranking" else self.value(raw)

    def decided(self, raw: Any) -> Value | None:
        """A Y′: as Y, or yes and no as 1 and 0 where a threshold is set."""
        if self.threshold is None:
            return self.value(raw)
        return _yes_or_no(raw)

    def agrees(self, said: Value, decided: Value) -> bool:
        """Whether a decision follows the prediction."""
        if isinstance(said, str) or isinstance(decided, str):
            return said == decided
        if self.threshold is not None:
            return (said >= self.threshold) == bool(decided)
        return abs(said - decided) <= self.tolerance * (abs(said) if self.relative else 1.0)

    def alike(self, said: Value, stable: Value) -> bool:
        """Whether two Ys are the same answer: by the measure by which a decision follows a prediction."""
        if isinstance(said, str) or isinstance(stable, str):
            return said == stable
        if self.threshold is not None:
            return (said >= self.threshold) == (stable >= self.threshold)
        return abs(said - stable) <= self.tolerance * (abs(stable) if self.relative else 1.0)

    def nearer(self, said: Value, decided: Value, happened: Value) -> list[str]:
        """Which of a prediction and of a decision that differs from it was right: `model`, `decider`, or neither.

        Where a decision says yes or no, and of classes, that is who said what happened; of other numbers, who was
        nearer to it.
        """
        if isinstance(said, str) or isinstance(decided, str) or isinstance(happened, str):
            model, decider = said == happened, decided == happened
        elif self.threshold is not None:
            came = happened >= self.threshold
            model, decider = (said >= self.threshold) == came, bool(decided) == came
        else:
            far, other = abs(said - happened), abs(decided - happened)
            model, decider = far < other, other < far
        return [name for name, right in (("model", model), ("decider", decider)) if right]

    def place(self, value: str) -> int:
        """The number of a class; all that are not told apart have the one after the last."""
        classes = self.classes or ()
        return classes.index(value) if value in classes else len(classes)

    def error(self, said: float, happened: float) -> int:
        """Y − X′ in whole parts of the scale, not yet clipped; one too large to be a number is as large as can be."""
        parts = (said - happened) / self.scale * UNIT
        return round(parts) if math.isfinite(parts) else (CLIP + 1 if parts > 0 else -CLIP - 1)

    def cost(self, said: Value, happened: Value, *, score: int | None) -> int | None:
        """What a prediction cost in whole parts of the loss's scale, not yet clipped; None where it comes to no number,
        or to less than nothing. Only where a loss is said."""
        expression = read_loss(self.loss or "", task=self.task or "", scored=self.score is not None)
        sure = None if score is None else score / ONE
        found = expression.of({PREDICTION: said, OUTCOME: happened, SCORE: sure})
        if found is None or found < 0.0:
            return None
        parts = found / (self.loss_scale or 1) * UNIT
        return round(parts) if math.isfinite(parts) else CLIP + 1


@dataclass(frozen=True, slots=True)
class Known:
    """A rule that is in force, with its row's id and its paths taken apart."""

    id: int
    rule: Rule
    prediction: Path
    outcome: Path | None
    decision: Path | None
    answers: Path | None
    inputs: Path | None
    score: Path | None
    segments: tuple[tuple[Segment, Path], ...]

    @classmethod
    def of(cls, rule_id: int, rule: Rule) -> Known:
        """Prepare a rule."""
        return cls(
            rule_id,
            rule,
            steps(rule.prediction),
            _steps(rule.outcome),
            _steps(rule.decision),
            _steps(rule.answers),
            _steps(rule.inputs),
            _steps(rule.score),
            tuple((segment, steps(segment.path)) for segment in rule.segments or ()),
        )

    def said(self, answer: Any) -> Value | None:
        """The Y of an answer; None where it holds none."""
        return self.rule.value(follow(self.prediction, answer))

    def segment(self, given: Any) -> int | None:
        """The parts of X that one lies in; None where none are told apart."""
        if not self.segments:
            return None
        found = [(segment, follow(path, given)) for segment, path in self.segments]
        digits = [segment.digit(as_class(raw), as_number(raw)) for segment, raw in found]
        return segments.number(self.rule.segments or (), digits)

    def scored(self, answer: Any) -> int | None:
        """How sure it was of it, in parts; None where it does not say."""
        return None if self.score is None else parts(as_number(follow(self.score, answer)))


def _steps(path: str | None) -> Path | None:
    return None if path is None else steps(path)


def _yes_or_no(raw: Any) -> float | None:
    number = float(raw) if isinstance(raw, bool) else as_number(raw)
    return number if number in (0.0, 1.0) else None


def _classes(prediction: Prediction) -> tuple[str, ...] | None:
    """One that is positive is told from all others also where no classes are named."""
    if prediction.classes is None:
        return None if prediction.positive is None else (prediction.positive,)
    return tuple(prediction.classes)


def _us(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1_000_000)
