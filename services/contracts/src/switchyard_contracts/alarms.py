"""Alarms: rules by which the revision that serves is watched. What is said of them: `alarm_records`.

A rule looks at one number of one window after another. It is judged when the window is over and, where the number rests
on outcomes, when these are old enough; it fires when enough of the last windows are beyond its limit, and recovers when
enough of them are within the limit that clears it. What there is no data about neither fires nor clears.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from switchyard_contracts.base import Message, ResourceName, Shape, Status, Timestamp
from switchyard_contracts.quantities import Duration, Threshold, format_duration, parse_duration

DRIFT = "drift"
REQUESTS = "requests"
CUSUM = "outcome.cusum"
LOSS = "outcome.loss"
ALARM_PATTERN = (
    r"^(error_rate|requests|latency_p(50|90|95|99)|outcome\.(rmse|mse|mae|bias|accuracy|coverage|cusum|loss)|decision\.agreement"
    r"|drift|data\.(missing|unseen|outside|wrong))$"
)
LIMITS: dict[str, tuple[str, str]] = {
    "error_rate": ("max", "%"),
    "latency": ("max", "s"),
    REQUESTS: ("min", ""),
    "outcome.rmse": ("max", ""),
    "outcome.mse": ("max", ""),
    "outcome.mae": ("max", ""),
    "outcome.bias": ("max", ""),
    "outcome.accuracy": ("min", "%"),
    "outcome.coverage": ("min", "%"),
    CUSUM: ("max", ""),
    LOSS: ("max", ""),
    "decision.agreement": ("min", "%"),
    DRIFT: ("max", ""),
    "data": ("max", "%"),
}
"""By what a metric is held, and in which unit; a latency and a share of rows by the first half of their names."""
UNITS = {"%": 'a share, such as "5%"', "s": 'a time, such as "200ms"', "": "a plain number"}
OF_LABELS = ("outcome.", "decision.")
"""Metrics that wait for what is learnt later."""
OF_REGRESSION = frozenset({"outcome.rmse", "outcome.mse", "outcome.mae", "outcome.bias"})

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONGEST_WINDOW, LONGEST_COOLDOWN = timedelta(days=30), timedelta(days=90)
MOST_AFTER, LONGEST_AFTER = timedelta(minutes=5), timedelta(days=7)
MOST_ALARMS = 32
MOST_LOOKS = 30


class WithoutData(StrEnum):
    """What a window means about which nothing can be said."""

    HOLD = "hold"
    FIRE = "fire"


class Alarm(Shape):
    """One rule about the revision that serves."""

    name: ResourceName
    """The rule's name, by which alarms and `retrain.alarms` speak of it."""
    metric: Annotated[str, StringConstraints(pattern=ALARM_PATTERN, max_length=64)]
    """What is watched: error_rate; latency_p50, _p90, _p95 or _p99; requests, of all who serve, for silence;
    outcome.rmse, .mse, .mae, .bias (its size), .accuracy, .coverage, .cusum (whether days become worse) or .loss (the
    mean of monitoring.loss); decision.agreement; drift, of X and Y against the reference; data.missing, .unseen,
    .outside or .wrong, a share of the rows of X."""
    feature: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """For drift and data.*: which feature, by its name in the reference; prediction is Y. Where it is not said, drift
    counts the features that drifted, and data.* is that of the worst one."""
    max: Threshold | None = None
    """The most it may be: a share (1%), a time (200ms), or a number. Of drift, how many features may drift; none where
    it is not said."""
    min: Threshold | None = None
    """The least it may be."""
    clear: Threshold | None = None
    """What it has to come back to before the alarm recovers; the limit itself where it is not said."""
    window: Duration | None = None
    """How long a window is: a multiple of monitoring.window, at most 30d. Where it is not said, 1h, and 1d for outcomes
    and decisions. Drift is judged in the windows of the reference."""
    after: Duration | None = None
    """How long after its end a window is judged, each once: what comes later does not count. Where it is not said, a
    tenth of the window, and at most 5m. Outcomes are judged at outcome.judgedAfter; decisions as well, where there is
    an outcome and this is not said."""
    breaches: Annotated[int, Field(ge=1, le=MOST_LOOKS)] = 2
    """How many of the last windows must be beyond the limit before it fires, and cleared before it recovers."""
    of: Annotated[int, Field(ge=1, le=MOST_LOOKS)] = 3
    """How many windows these are."""
    min_samples: Annotated[int, Field(ge=1, le=100_000_000)] = 100
    """How many requests, judged predictions, decisions or rows a window needs before it says anything. Of requests
    themselves none are needed: that there are none is what they say."""
    cooldown: Duration = parse_duration("24h")
    """How long it does not fire again; at most 90d."""
    on_no_data: WithoutData = WithoutData.HOLD
    """What a window means about which nothing can be said: hold takes it neither for broken nor for cleared, fire takes
    it for broken."""

    @property
    def kind(self) -> str:
        """The metric as `LIMITS` names it."""
        return self.metric if self.metric in LIMITS else self.metric.partition("_p")[0].partition(".")[0]

    @property
    def waits_for_labels(self) -> bool:
        """Whether what is learnt later counts."""
        return self.metric.startswith(OF_LABELS)

    @property
    def needs_reference(self) -> bool:
        """Whether X and Y are held against a profile."""
        return self.kind in (DRIFT, "data")

    def span(self, base: timedelta) -> timedelta | None:
        """How long its windows are, with base windows of that length; None where the reference says it."""
        if self.metric == DRIFT:
            return None
        if self.metric == CUSUM:
            return DAY
        return self.window or max(base, DAY if self.waits_for_labels else HOUR)

    def settled(self, window: timedelta) -> timedelta:
        """How long after the end of a window of that length it is judged, where labels do not say it."""
        return min(window / 10, MOST_AFTER) if self.after is None else self.after

    @model_validator(mode="after")
    def _limit_fits(self) -> Self:
        field, unit = LIMITS[self.kind]
        said: dict[str, Threshold] = {
            name: limit for name, limit in (("max", self.max), ("min", self.min)) if limit is not None
        }
        if set(said) - {field} or (field not in said and self.metric != DRIFT):
            raise ValueError(f"an alarm on {self.metric} is held to {field}; set that, and nothing else")
        for name, limit in {**said, **({"clear": self.clear} if self.clear else {})}.items():
            if limit.unit != unit:
                raise ValueError(f"{name}: {limit.text!r} must be {UNITS[unit]}")
        limit = said.get(field, Threshold(0.0, "", "0"))
        beyond = self.clear and (self.clear.value > limit.value if field == "max" else self.clear.value < limit.value)
        if beyond and self.clear:
            word = "below" if field == "max" else "above"
            raise ValueError(f"clear: {self.clear.text} is itself beyond {field} ({limit.text}); write one {word} it")
        return self

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.feature and not self.needs_reference:
            raise ValueError(f"feature: may be set only for drift and data.*, and this is {self.metric}")
        if self.feature and self.metric == DRIFT and self.max:
            raise ValueError("max: says how many features may drift, and feature names one; leave one of them out")
        if self.breaches > self.of:
            raise ValueError(f"breaches: {self.breaches} of {self.of} windows can never be; raise of, or lower it")
        if self.metric == DRIFT and self.window:
            raise ValueError("window: drift is judged in the windows of the reference; leave it out")
        if self.metric == CUSUM and self.window:
            raise ValueError(f"window: {CUSUM} is judged by days; leave it out")
        if self.after is not None and self.metric.startswith("outcome."):
            raise ValueError(f"after: {self.metric} is judged at outcome.judgedAfter; leave it out")
        if self.after is not None and self.after > LONGEST_AFTER:
            raise ValueError(f"after: {format_duration(self.after)} is longer than 7d; write one such as 5m")
        if self.window is not None and not timedelta(0) < self.window <= LONGEST_WINDOW:
            raise ValueError(f"window: {format_duration(self.window)} is not within 30d; write one such as 1d")
        if self.cooldown > LONGEST_COOLDOWN:
            raise ValueError(f"cooldown: {format_duration(self.cooldown)} is longer than 90d; write one such as 24h")
        return self


def fit(
    alarms: Sequence[Alarm],
    *,
    base: timedelta,
    regression: bool,
    outcome: bool,
    decision: bool,
    reference: bool,
    loss: bool = False,
) -> None:
    """Whether a deployment's rules fit what else it says of its monitoring; ValueError by the field's path if not."""
    for index, alarm in enumerate(alarms):
        place, span = f"alarms[{index}]", alarm.span(base)
        if alarm.name in [other.name for other in alarms[:index]]:
            raise ValueError(f"{place}.name: {alarm.name!r} is taken; the names of alarms must differ")
        if span is not None and (span < base or span % base):
            raise ValueError(
                f"{place}.window: {format_duration(span)} is no multiple of monitoring.window"
                f" ({format_duration(base)}), of which it is made; write one that is"
            )
        for wanted, there, field in (
            (alarm.metric.startswith("outcome."), outcome, "outcome"),
            (alarm.metric.startswith("decision."), decision, "decision"),
            # One that is learnt of a week says what is missing, but not what of a distribution is usual.
            (alarm.metric == DRIFT, reference, "reference"),
            (alarm.metric == LOSS, loss, "loss"),
        ):
            if wanted and not there:
                raise ValueError(f"{place}.metric: {alarm.metric} needs monitoring.{field}, which is not set")
        if (alarm.metric in OF_REGRESSION and not regression) or (alarm.metric == "outcome.accuracy" and regression):
            task = "regression" if regression else "classification or ranking"
            raise ValueError(f"{place}.metric: {alarm.metric} is not known of a {task} (monitoring.prediction.task)")


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    Alarm: [
        {
            "rule": "self.breaches <= self.of",
            "message": "breaches cannot be more than of; raise of, or lower breaches",
            "fieldPath": ".breaches",
        },
        {
            "rule": "self.metric == 'drift' ? !has(self.min) : has(self.max) != has(self.min)",
            "message": "set exactly one of max and min; drift takes max alone, or neither",
        },
        {
            "rule": "(self.metric in ['requests', 'outcome.accuracy', 'outcome.coverage', 'decision.agreement'])"
            " == has(self.min)",
            "message": "requests, outcome.accuracy, outcome.coverage and decision.agreement are held to min, all others"
            " to max",
        },
        {
            "rule": "!has(self.feature) || self.metric == 'drift' || self.metric.startsWith('data.')",
            "message": "feature may be set only for drift and data.*",
            "fieldPath": ".feature",
        },
        {
            "rule": "!has(self.window) || self.metric != 'drift'",
            "message": "drift is judged in the windows of the reference; leave window out",
            "fieldPath": ".window",
        },
        {
            "rule": "!has(self.window) || self.metric != 'outcome.cusum'",
            "message": "outcome.cusum is judged by days; leave window out",
            "fieldPath": ".window",
        },
        {
            "rule": "!has(self.after) || !self.metric.startsWith('outcome.')",
            "message": "outcomes are judged at outcome.judgedAfter; leave after out",
            "fieldPath": ".after",
        },
        {
            "rule": "!(has(self.feature) && has(self.max)) || self.metric != 'drift'",
            "message": "max says how many features may drift, and feature names one; leave one of them out",
            "fieldPath": ".max",
        },
    ],
}
"""What the API server itself checks of an alarm."""


class FiringAlarm(Status):
    """A rule that is broken now."""

    alarm: str
    metric: str
    revision: str = ""
    since: Timestamp | None = None
    """By the events' own clock."""
    message: Message = ""


class AlarmsStatus(Status):
    """What the monitor says of the alarms, as the operator heard it last."""

    newest: str = ""
    """The id of the newest record that was heard; what is newer is told."""
    firing: list[FiringAlarm] = []
