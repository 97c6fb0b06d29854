"""ModelDeployment: what people and Git write. Which model should serve, and how it may take over.

Only `spec.model.image` is required. A value that cannot be honoured is refused rather than passed over: a limit that
silently does nothing is worse than an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from enum import StrEnum
from ipaddress import ip_network
from itertools import pairwise
from operator import not_
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from switchyard_contracts import alarms, loss, retraining, shadows, volumes
from switchyard_contracts.alarms import MOST_ALARMS, Alarm, AlarmsStatus
from switchyard_contracts.base import JsonPath, Message, ResourceName, Shape, Status, Text, Timestamp
from switchyard_contracts.conditions import Condition
from switchyard_contracts.containers import Resources
from switchyard_contracts.experiments import DAYS, ABTest, Bandit, Trial
from switchyard_contracts.features import Feature, ProfileDigest
from switchyard_contracts.freezes import CEL as FREEZE_CEL
from switchyard_contracts.freezes import Freeze
from switchyard_contracts.gates import CEL as GATE_CEL
from switchyard_contracts.gates import SMOKE, Before, Gate, GateType, GateVerdict
from switchyard_contracts.loss import CEL as LOSS_CEL
from switchyard_contracts.loss import Loss
from switchyard_contracts.model import CEL as MODEL_CEL
from switchyard_contracts.model import Model
from switchyard_contracts.notifications import Notifications
from switchyard_contracts.promql import CEL as PROMQL_CEL
from switchyard_contracts.promql import METRIC as PROMQL_METRIC
from switchyard_contracts.promql import PromQL
from switchyard_contracts.quantities import (
    FULL,
    BasisPoints,
    Duration,
    MirrorShare,
    PodCount,
    Threshold,
    format_duration,
    parse_duration,
)
from switchyard_contracts.retraining import Retrain, TrainingState
from switchyard_contracts.segments import CEL as SEGMENT_CEL
from switchyard_contracts.segments import MOST_SEGMENTS, Segment
from switchyard_contracts.shadows import Shadows
from switchyard_contracts.sticky import CEL as STICKY_CEL
from switchyard_contracts.sticky import Sticky
from switchyard_contracts.volumes import Volumes
from switchyard_contracts.windows import WINDOW

PATH_PATTERN = r"^/[A-Za-z0-9_][A-Za-z0-9_./-]*$"

LabelText = Annotated[str, StringConstraints(max_length=253)]


class Toleration(Shape):
    """A node's taint that the model's pods may live with."""

    key: LabelText | None = None
    """The taint's key; every taint where it is not said and `operator` is Exists."""
    operator: Literal["Exists", "Equal"] | None = None
    """Whether the taint only has to exist, or its value to be equal too."""
    value: LabelText | None = None
    """The taint's value, for Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Which effect of the taint is tolerated; each of them where it is not said."""


class Scheduling(Shape):
    """Where the model's pods may run."""

    node_selector: Annotated[dict[str, LabelText], Field(max_length=16)] = {}
    """Labels that a node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = []
    """Taints that a node may have."""
    priority_class_name: ResourceName | None = None
    """The PriorityClass of the pods."""
    runtime_class_name: ResourceName | None = None
    """How the nodes run the containers, where GPUs need another way than usual."""
    service_account_name: ResourceName | None = None
    """The ServiceAccount of the pods; the namespace's default where it is not said. Its token is not mounted."""


class Warmup(Shape):
    """A request that a pod must answer with 2xx before it gets traffic."""

    path: Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9_./-]*$", max_length=256)]
    """Where it is sent."""
    body: Annotated[str, StringConstraints(max_length=8192)]
    """The JSON that is sent, by POST."""


class Startup(Shape):
    """How long a container may take to load its model before it is started anew; 10 minutes where nothing is said."""

    timeout: Duration
    """From 10s to 24h, and no longer than `readyWithin`."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not timedelta(seconds=10) <= self.timeout <= timedelta(hours=24):
            raise ValueError(f"timeout: {format_duration(self.timeout)} is not from 10s to 24h; write one such as 20m")
        return self


class Autoscaling(Shape):
    """As many pods as the load asks for, by their CPU. In a rollout the candidate's minimum follows its weight."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """The fewest pods at rest."""
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    """The most pods, whatever the load."""
    target_cpu: Annotated[int, Field(ge=1, le=1000, alias="targetCPUUtilization")] = 80
    """Percent of `resources.requests.cpu`, on average over the pods."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"maxReplicas: {self.max_replicas} is below minReplicas ({self.min_replicas}); raise it, or lower that"
            )
        return self


class Egress(Shape):
    """Where a model's pods may connect to, beside asking for names: addresses, and TCP ports if only some."""

    cidr: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:]{2,43}/[0-9]{1,3}$", max_length=47)]
    """A network, such as 10.20.0.0/16."""
    ports: Annotated[list[Annotated[int, Field(ge=1, le=65535)]], Field(max_length=16)] = []
    """TCP ports; every port where none is said."""

    @model_validator(mode="after")
    def _is_a_network(self) -> Self:
        try:
            ip_network(self.cidr)
        except ValueError as error:
            raise ValueError(f"cidr: {self.cidr!r} is no network ({error}); write one such as 10.20.0.0/16") from error
        return self


ServingPath = Annotated[str, StringConstraints(pattern=PATH_PATTERN, max_length=256)]


class Serving(Shape):
    """How the model is served; resources, scheduling, port, startup, warm-up and volumes make a new revision."""

    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many pods a revision has that serves all of the traffic."""
    autoscaling: Autoscaling | None = None
    """In the place of `replicas`."""
    resources: Resources | None = None
    """What each pod asks of its node, and may take at most."""
    scheduling: Scheduling | None = None
    """Where the pods may run."""
    port: Annotated[int, Field(ge=1, le=65535)] = 3000
    """The port on which the container answers."""
    paths: Annotated[list[ServingPath], Field(max_length=32)] = []
    """The paths that the gateway opens, such as /predict; where none is said, those that the Bento itself names."""
    timeout: Duration = parse_duration("60s")
    """How long a request may take before the product is answered 504."""
    ready_within: Duration = parse_duration("10m")
    """How long a revision's pods may take to be ready before a rollout gives up on them."""
    startup: Startup | None = None
    """How long a container may take to load its model."""
    warmup: Warmup | None = None
    """The smoke request: what a pod must answer before its revision gets traffic."""
    volumes: Volumes = []
    """Beside the scratch space at /tmp that every model has. The root is read-only."""
    egress: Annotated[list[Egress], Field(max_length=32)] = []
    """Whom the model itself calls: a feature store, a database. All else is closed where policies are enforced."""

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        volumes.fit(self.volumes)
        if self.autoscaling and self.replicas != 1:
            raise ValueError(f"replicas: {self.replicas} says what autoscaling decides; leave one of them out")
        if self.autoscaling and "cpu" not in (self.resources.requests if self.resources else {}):
            raise ValueError(
                "autoscaling.targetCPUUtilization: it is a share of resources.requests.cpu, which is not set; set it"
            )
        if self.startup and self.startup.timeout > self.ready_within:
            raise ValueError(
                f"startup.timeout: {format_duration(self.startup.timeout)} is longer than readyWithin"
                f" ({format_duration(self.ready_within)}), after which a rollout gives up; raise readyWithin too"
            )
        return self


class CanaryStep(Shape):
    """A weight, and how long it is held at least. A step without a weight only mirrors, or only scales."""

    name: ResourceName
    """The step's name, by which commands, gates and status speak of it."""
    weight: BasisPoints = BasisPoints(0)
    """The candidate's share of the traffic, in percent; it rises from step to step."""
    hold: Duration = parse_duration("1m")
    """How long it lasts at least, from when every gateway has the weight."""
    mirror: MirrorShare | None = None
    """How much of the traffic is sent to the candidate too, out of stable's share of it; nobody is given these answers.
    Where it is not said, `canary.mirror` holds."""
    pause: bool = False
    """Whether it is left only when a person promotes it; guards speak meanwhile."""
    await_outcomes: bool = False
    """Whether every decide metric must pass before it is left, and not only before all of the traffic."""
    analysis: Annotated[list[ResourceName], Field(min_length=1, max_length=16)] | None = None
    """Which of spec.analysis.metrics are judged in it, by their names: of the guards these alone speak, and the decide
    metrics among them must pass before it is left. Where it is not said, every guard speaks. Whatever a step names,
    every decide metric must pass before all of the traffic, and one that is proven worse ends the rollout at once."""
    scale: PodCount | None = None
    """How many pods the candidate has from here on: a number, or a percentage of serving.replicas. Such a step only
    scales, and keeps the weight and the mirror of the step before; it is held from when these pods are ready. A later
    weight that needs more pods gets them first. Until a step says it, the candidate has all of its pods. Not with
    serving.autoscaling, where its least number of pods follows its weight."""


class Canary(Shape):
    """Named steps in rising order; 100 is implicit at the end."""

    steps: Annotated[list[CanaryStep], Field(min_length=1, max_length=20)]
    """The steps before all of the traffic."""
    mirror: MirrorShare | None = None
    """For every step that does not say its own. Where it is not said, `auto` if a decide metric can be judged by
    pairs, else none. Write 0 for a model whose answers have effects of their own."""
    split: Sticky | None = None
    """By what users are told apart, so that each stays with the model that answered first. Where it is not said, each
    request is drawn by itself."""


PREVIEW_STEP = "preview"
"""The name of the strategy BlueGreen's one step."""


SHADOW_STEP = "shadow"
"""The name of the strategy Shadow's own step."""


SHADOW_ENDED = "ShadowEnded"
"""Why a rollout is over whose revision was only to be compared, and was."""


class Shadow(Shape):
    """Stable's requests are mirrored to the candidate, whose answers nobody is given, until it is judged by pairs."""

    mirror: MirrorShare = MirrorShare.parse("auto")
    """How much of the traffic."""
    hold: Duration = parse_duration("1m")
    """How long at least, whatever the pairs say."""
    then_promote: Canary | None = None
    """The steps by which a candidate that passed takes over. Without them the rollout ends there, and stable stays."""


class BlueGreen(Shape):
    """Preview by header, then one switch from 0 to 100."""

    auto_promote: bool = True
    """Whether the switch happens by itself; if not, a promote command makes it."""
    hold: Duration = parse_duration("0s")
    """How long the ready candidate stands in preview before it may switch."""
    mirror: MirrorShare | None = None
    """How much of the traffic is sent to the candidate in preview too; nobody is given these answers. With it decide
    metrics are judged by pairs, and must pass before the switch."""


class StrategyType(StrEnum):
    BLUE_GREEN = "BlueGreen"
    CANARY = "Canary"
    SHADOW = "Shadow"
    AB_TEST = "ABTest"
    BANDIT = "Bandit"


class Capacity(StrEnum):
    """How many pods a rollout may take: the candidate's all beside stable's all, or one more than serve anyway."""

    FULL = "full"
    FRUGAL = "frugal"


class Strategy(Shape):
    """Exactly one way of taking over."""

    type: StrategyType = StrategyType.BLUE_GREEN
    """BlueGreen: one switch. Canary: weights that rise. Shadow: copies of stable's requests. ABTest: users by lot, and
    one reading. Bandit: a weight that follows what is better."""
    capacity: Capacity = Capacity.FULL
    """`full` keeps all of stable's pods beside the candidate's. `frugal` never asks for more than replicas + 1 pods in
    all: weights move a pod at a time, and so does the way back, but for an abort: stable has all of the traffic at
    once, and is short of pods until the candidate's have gone. Not with serving.autoscaling."""
    canary: Canary | None = None
    """For `type: Canary`."""
    blue_green: BlueGreen | None = None
    """For `type: BlueGreen`."""
    shadow: Shadow | None = None
    """For `type: Shadow`."""
    ab_test: ABTest | None = None
    """For `type: ABTest`."""
    bandit: Bandit | None = None
    """For `type: Bandit`."""

    @property
    def sticky(self) -> Sticky | None:
        """By what users are told apart while two models answer them; None: each request is drawn by itself."""
        steps = self.canary or self.ab_test or (self.shadow.then_promote if self.shadow else None)
        return steps.split if steps else None


class Role(StrEnum):
    """What a metric may do: stop a rollout at once, decide it, or only be shown."""

    GUARD = "guard"
    DECIDE = "decide"
    OBSERVE = "observe"


class Missing(StrEnum):
    """What happens when `maxWait` is over without a usable verdict."""

    HOLD = "hold"
    FAIL = "fail"
    PASS = "pass"


METRIC_PATTERN = (
    r"^(error_rate|latency_p(50|90|95|99)|outcome\.(rmse|mse|mae|bias|accuracy|coverage|loss)|decision\.agreement"
    r"|promql)$"
)


class Metric(Shape):
    """One limit, on one measured thing."""

    name: ResourceName
    """The metric's name, by which status and commands speak of it."""
    metric: Annotated[str, StringConstraints(pattern=METRIC_PATTERN, max_length=64)]
    """What is measured: error_rate; latency_p50, _p90, _p95 or _p99; outcome.rmse, .mse, .mae, .bias, .accuracy,
    .coverage or .loss (of monitoring.loss), by what then happened; decision.agreement, with what people decided; or
    promql."""
    role: Role
    """guard: what speaks against the candidate takes it back at once. decide: must be proven before all of the
    traffic. observe: is only shown."""
    max: Threshold | None = None
    """The most it may be: a share (1%), a time (200ms), or a number."""
    min: Threshold | None = None
    """The least it may be."""
    max_increase: Threshold | None = None
    """How much more than stable's it may be, as a percentage of stable's; 0% asks for no worse."""
    max_decrease: Threshold | None = None
    """How much less than stable's it may be, as a percentage of stable's."""
    min_samples: Annotated[int, Field(ge=1, le=100_000_000)] = 200
    """How many are needed before it says anything: requests of the candidate for a guard; judged outcomes, or
    pairs, for decide, where a first look takes 200 whatever is said here. Both are counted when their window
    (monitoring.window) is over."""
    max_wait: Duration = parse_duration("14d")
    """How long it may go without a verdict before `onNoData`, `onInconclusive` or `onUnavailable` applies."""
    on_no_data: Missing = Missing.HOLD
    """What it means that too little was seen by then."""
    on_inconclusive: Missing = Missing.HOLD
    """What it means that enough was seen, and neither is proven."""
    on_unavailable: Missing = Missing.HOLD
    """What it means that whoever measures could not be asked."""
    promql: PromQL | None = None
    """What the user's own Prometheus is asked, where `metric` is promql: the value is held to `max` or `min`."""

    @property
    def limit(self) -> tuple[str, Threshold]:
        """The one limit that is set, as (camelCase field, threshold)."""
        for field in ("max", "min", "max_increase", "max_decrease"):
            if (threshold := getattr(self, field)) is not None:
                return str(type(self).model_fields[field].alias or field), threshold
        raise ValueError(f"metric {self.name!r} sets no limit; set exactly one of max, min, maxIncrease, maxDecrease")

    @model_validator(mode="after")
    def _limit_fits(self) -> Self:
        if (self.metric == PROMQL_METRIC) != (self.promql is not None):
            raise ValueError(
                f"metric: {self.metric!r} and the block promql do not belong together; write metric: promql with the"
                " block, or leave the block out"
            )
        limits = [field for field in ("max", "min", "max_increase", "max_decrease") if getattr(self, field) is not None]
        if len(limits) != 1:
            raise ValueError("set exactly one of max, min, maxIncrease, maxDecrease")
        field, threshold = self.limit
        if self.promql:
            return self._from_outside(field)
        if field in ("maxIncrease", "maxDecrease") and threshold.unit != "%":
            raise ValueError(f'{field}: {threshold.text!r} must be a percentage of stable\'s value, such as "5%"')
        if self.role is Role.OBSERVE:
            return self
        kind = self.metric.partition("_p")[0]
        allowed = DECIDABLE.get((self.role, kind), ())
        if field not in allowed:
            wanted = " or ".join(allowed) or "role: observe"
            raise ValueError(f"a {self.role} on {self.metric} cannot be judged by {field}; use {wanted}")
        if kind == "error_rate" and threshold.unit != "%":
            raise ValueError(f'{field}: {threshold.text!r} must be a percentage of the requests, such as "1%"')
        if kind == "latency" and field == "max" and threshold.unit != "s":
            raise ValueError(f'max: {threshold.text!r} must be a time, such as "200ms"')
        return self

    def _from_outside(self, field: str) -> Self:
        """What a number of somebody else's may be asked for."""
        if self.role is Role.DECIDE:
            raise ValueError(
                "role: decide, but a number from Prometheus says nothing of its own uncertainty, so no error budget"
                " could hold; use role: guard with an absolute limit, or observe"
            )
        if field not in ("max", "min"):
            raise ValueError(
                f"{field}: Prometheus is asked for one number; compare with $stable in the query, and hold what comes"
                " of it to max or min"
            )
        least = type(self).model_fields["min_samples"].default
        if self.min_samples != least:
            raise ValueError(
                f"minSamples: {self.min_samples} counts requests, and of a query looks are counted; take it out, and"
                " write promql.looks"
            )
        if self.promql and self.max_wait < self.promql.patience:
            raise ValueError(
                f"maxWait: {format_duration(self.max_wait)} is over before so many looks are taken"
                f" ({format_duration(self.promql.patience)}); raise it, or lower promql.window or promql.looks"
            )
        return self


DECIDABLE: dict[tuple[Role, str], tuple[str, ...]] = {
    (Role.GUARD, "error_rate"): ("max", "maxIncrease"),
    (Role.GUARD, "latency"): ("max", "maxIncrease"),
    (Role.DECIDE, "outcome.rmse"): ("maxIncrease",),
    (Role.DECIDE, "outcome.mse"): ("maxIncrease",),
    (Role.DECIDE, "outcome.mae"): ("maxIncrease",),
    (Role.DECIDE, "outcome.accuracy"): ("maxDecrease",),
    (Role.DECIDE, "outcome.loss"): ("maxIncrease",),
}
"""Which limit each role may set on which metric; everything else can only be observed (see `verdicts`)."""


class Risk(Shape):
    """How often a rollout may be decided wrongly, per rollout of a revision."""

    wrong_promotion: BasisPoints = BasisPoints(500)
    """How often a candidate that is worse than allowed may be promoted."""
    wrong_rollback: BasisPoints = BasisPoints(500)
    """How often one that is not may be taken back."""


class Analysis(Shape):
    """What is measured, and by which limits the rollout is decided."""

    risk: Risk = Risk()
    """How often a rollout may be decided wrongly."""
    block: Duration = parse_duration("1d")
    """What varies together, and so is one unit when pairs are compared: a day, where days differ. No shorter than
    monitoring.window counts."""
    metrics: Annotated[list[Metric], Field(max_length=16)] = []
    """What is measured, and its limits."""


class Warm(Shape):
    """How the old revision is kept after a promotion, so that the way back is one route write."""

    replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many pods it keeps."""
    for_: Annotated[Duration, Field(alias="for")] = parse_duration("1h")
    """For how long."""


class Rollback(Shape):
    """What happens when a revision fails, during the rollout and after it."""

    automatic: bool = True
    """Whether a revision that fails is taken back by itself; else the rollout holds and says so."""
    watch: Duration | None = None
    """How long a promoted revision is watched by what is learnt late; the outcome's horizon where it is not
    said."""
    warm: Warm = Warm()
    """How the old revision is kept."""


class OnSpecChange(StrEnum):
    """What becomes of a newer model in the middle of a rollout: it takes over, waits for the end, or is refused."""

    REPLACE = "Replace"
    QUEUE = "Queue"
    REJECT = "Reject"


class Task(StrEnum):
    REGRESSION = "regression"
    CLASSIFICATION = "classification"
    RANKING = "ranking"


ClassName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
MOST_CLASSES = 32


class Prediction(Shape):
    """Where Y stands in the response."""

    path: JsonPath
    """Where it stands in the answer's JSON, such as $.delay."""
    task: Task
    """Whether the prediction is a number (regression), a class (classification), or the place of something that was
    shown (ranking), from 1 on, whose outcome is whether it was clicked."""
    classes: Annotated[list[ClassName], Field(min_length=2, max_length=MOST_CLASSES)] | None = None
    """Of a classification: the classes by which precision, recall and F1 are told; all others are counted as one. A
    number is written as text ("1"), and so are true and false. Where only positive is said, it is that and the rest."""
    positive: ClassName | None = None
    """Of a classification: the class of which the score speaks, such as late."""
    score: JsonPath | None = None
    """Of a classification: where the probability of the positive class stands in the answer's JSON, from 0 to 1; where
    no class is positive, that of the class that was answered. AUROC, calibration and estimates come of it."""
    scale: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    """The typical size of a value. Sums are exact to scale / 2^20; beyond 2048 scales it is clipped and counted."""

    @model_validator(mode="after")
    def _classes_fit(self) -> Self:
        said = {"classes": self.classes, "positive": self.positive, "score": self.score}
        for field, value in said.items():
            if value is not None and self.task is not Task.CLASSIFICATION:
                raise ValueError(f"{field}: may be set only where task is classification")
        names = self.classes or []
        if len(set(names)) < len(names):
            raise ValueError(f"classes: names must differ, {next(n for n in names if names.count(n) > 1)!r} repeats")
        if names and self.positive is not None and self.positive not in names:
            raise ValueError(f"positive: {self.positive!r} is none of classes; name one of {', '.join(names)}")
        return self


class Decision(Shape):
    """Where Y′ stands in what people decided; the value itself where no path is said."""

    path: JsonPath = "$"
    """Where it stands in what feedback is told."""
    tolerance: Threshold = Threshold(0.0, "", "0")
    """How far Y′ may lie from Y and still agree with it (regression); 0 for classes."""
    threshold: Threshold | None = None
    """For a yes/no decision on a regression: it agrees when it equals (Y ≥ threshold)."""


class Affected(StrEnum):
    NOTHING = "nothing"
    DECISION = "decision"


class Outcome(Shape):
    """Where X′ stands in what happened, how long it may take, and when a prediction is judged."""

    path: JsonPath = "$"
    """Where it stands in what feedback is told."""
    horizon: Duration
    """How long it may take until it is known; what comes later is not joined."""
    judged_after: Duration
    """The age at which a prediction is judged, once, by what is known by then. Early outcomes can mislead: what is
    quick to happen is not like the rest."""
    min_coverage: BasisPoints = BasisPoints(8000)
    """How many of the predictions must have an outcome at that age before anything is decided."""
    affected_by: Affected
    """Whether what people decide changes what happens (decision), or not (nothing). It must be said: with decision,
    only a randomised split can be judged."""


class Rows(Shape):
    """Where a request carries many rows. Each is a prediction of its own, told apart from the others by its place from
    0 on, under which decisions and outcomes name it; the prediction's path then begins at its item of the response."""

    response: JsonPath
    """Where the list of answers stands in the response's JSON, such as $.predictions; one of more than 100,000 holds
    none."""
    request: JsonPath | None = None
    """Where the list of rows stands in the request's JSON, such as $.instances, as long and in the same order; where it
    is not said, the whole request is every row's X."""


class Monitoring(Shape):
    """What the monitor joins: the prediction, the decision, the outcome; and what it holds X and Y against."""

    rows: Rows | None = None
    """Where a request carries many rows; one where it is not said."""
    prediction: Prediction
    """Y: what the model answers."""
    features: Annotated[list[Feature], Field(max_length=512)] = []
    """Where the features of the reference stand in the request; in its own row, where a request carries many. One that
    is not here is looked for by its name: in the request, or in the one object that is all of it. Where no reference is
    named, these alone are learnt, or else all that stand there."""
    reference: ProfileDigest | None = None
    """The reference profile that X and Y are held against, by its name: switchyard-profile prints it, and the monitor
    takes the profile itself. Without one, the stable revision's first 7 full days of at least 10,000 rows become it;
    until then some rows of X and Y are kept, and drift against so few days pages nobody."""
    decision: Decision | None = None
    """Y′: what people decided."""
    outcome: Outcome | None = None
    """X′: what then happened."""
    # Neither segments, loss nor alarms are told where there are none: a monitor of before would refuse the whole record
    # for a field it does not know.
    loss: Annotated[Loss | None, Field(exclude_if=not_)] = None
    """What a judged prediction costs, in one's own terms."""
    segments: Annotated[list[Segment], Field(max_length=MOST_SEGMENTS, exclude_if=not_)] = []
    """By which features of X quality is told apart."""
    window: Duration = WINDOW
    """The base window of X and Y; a step's evidence is made of these."""
    alarms: Annotated[list[Alarm], Field(max_length=MOST_ALARMS, exclude_if=not_)] = []
    """Rules by which the revision that serves is watched."""
    retrain: Retrain | None = None
    """By which alarms a model is trained anew, and how."""

    @model_validator(mode="after")
    def _alarms_fit(self) -> Self:
        alarms.fit(
            self.alarms,
            base=self.window,
            regression=self.prediction.task is Task.REGRESSION,
            outcome=self.outcome is not None,
            decision=self.decision is not None,
            reference=self.reference is not None,
            loss=self.loss is not None,
        )
        task, scored = self.prediction.task.value, self.prediction.score is not None
        loss.fit(self.loss, task=task, scored=scored, outcome=self.outcome is not None)
        if self.prediction.task is Task.RANKING:
            if self.decision is not None:
                raise ValueError("decision: of a ranking nobody decides; what is clicked is its outcome")
            if self.outcome is not None and self.outcome.affected_by is Affected.NOTHING:
                raise ValueError(
                    "outcome.affectedBy: what is clicked depends on what was shown; say decision, so that rankings are"
                    " compared by a split and not on copies of requests"
                )
        segments = [segment.name for segment in self.segments]
        for index, segment in enumerate(segments):
            if segment in segments[:index]:
                raise ValueError(f"segments[{index}].name: {segment!r} is taken; the names of segments must differ")
        names = [alarm.name for alarm in self.alarms]
        for index, name in enumerate(self.retrain.alarms if self.retrain else ()):
            if name not in names:
                raise ValueError(f"retrain.alarms[{index}]: no alarm is called {name!r}; name one of monitoring.alarms")
        return self


class ModelDeploymentSpec(Shape):
    """The whole of what may be said of a model in production."""

    model: Model
    """Which model."""
    serving: Serving = Serving()
    """How it is served."""
    strategy: Strategy = Strategy()
    """How the next revision takes over."""
    analysis: Analysis = Analysis()
    """What is measured while it does, and decides."""
    gates: Annotated[list[Gate], Field(max_length=16)] = []
    """What has to be so before a revision goes on, beside evidence: the first one too."""
    rollback: Rollback = Rollback()
    """What happens when a revision fails."""
    on_spec_change: OnSpecChange = OnSpecChange.REPLACE
    """What becomes of a newer model in the middle of a rollout."""
    suspend: bool = False
    """Whether decisions stand still; what serves is kept as it is."""
    freeze: Annotated[list[Freeze], Field(max_length=32)] = []
    """Times in which no weight rises and nothing is promoted, beside those of the whole installation."""
    monitoring: Monitoring | None = None
    """What is joined to each prediction."""
    shadows: Shadows = []
    """Further versions that are compared with whatever serves, each by a sample of its requests; none takes over."""

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        names = [metric.name for metric in self.analysis.metrics]
        if len(set(names)) < len(names):
            raise ValueError(
                f"analysis.metrics: names must differ, these repeat: {sorted({n for n in names if names.count(n) > 1})}"
            )
        needs_outcome = [m.name for m in self.analysis.metrics if m.metric.startswith("outcome.")]
        if needs_outcome and (self.monitoring is None or self.monitoring.outcome is None):
            raise ValueError(f"analysis.metrics: {needs_outcome[0]!r} needs monitoring.outcome, which is not set")
        needs_loss = [m.name for m in self.analysis.metrics if m.metric == "outcome.loss"]
        if needs_loss and (self.monitoring is None or self.monitoring.loss is None):
            raise ValueError(f"analysis.metrics: {needs_loss[0]!r} needs monitoring.loss, which is not set; set it")
        _gates_fit(self.gates, version=self.model.version)
        shadows.fit(self.shadows)
        if self.strategy.canary and not _rise(self.strategy.canary.steps):
            raise ValueError("strategy.canary.steps: weights must rise from step to step")
        after = self.strategy.shadow.then_promote if self.strategy.shadow else None
        if after and not (_rise(after.steps) and all(step.weight.value for step in after.steps if not step.scale)):
            raise ValueError("strategy.shadow.thenPromote.steps: weights must rise from step to step, from above 0")
        return self

    @property
    def window(self) -> timedelta:
        """The windows by which exchanges are summed up; what lies in one counts when it is over."""
        return self.monitoring.window if self.monitoring else WINDOW

    @property
    def block(self) -> timedelta:
        """The units in which pairs are compared: sums are kept by window, so none is shorter than that."""
        window = self.monitoring.window if self.monitoring else timedelta(0)
        return max(self.analysis.block, window)

    @property
    def horizon(self) -> timedelta:
        """How long an A/B test runs."""
        return self.block * DAYS * (self.strategy.ab_test.weeks if self.strategy.ab_test else 0)

    @property
    def judged_by_pairs(self) -> bool:
        """Whether a decide metric can compare pairs: where people's decisions change the outcome, none can."""
        outcome = self.monitoring.outcome if self.monitoring else None
        if outcome is None or outcome.affected_by is not Affected.NOTHING:
            return False
        return any(metric.role is Role.DECIDE for metric in self.analysis.metrics)

    @property
    def plans_pairs(self) -> bool:
        """Whether a decide metric comes to be judged by pairs: it can be, and a step of the strategy mirrors.

        A step whose pods are just enough for its weight mirrors nothing at first, and has copies once there are more.
        """
        return self.judged_by_pairs and any(self._mirrors())

    def _mirrors(self) -> Iterator[int]:
        """How much the strategy's steps mirror at most, as far as each says it for itself."""
        strategy = self.strategy
        if strategy.type is StrategyType.SHADOW:
            yield (strategy.shadow or Shadow()).mirror.value
        if strategy.blue_green and strategy.blue_green.mirror:
            yield strategy.blue_green.mirror.value
        if canary := strategy.canary:
            rising = [step for step in canary.steps if step.scale is None and step.weight.value < FULL]
            yield from (self.mirror_of(canary, step) for step in rising)

    def mirror_of(self, canary: Canary, step: CanaryStep) -> int:
        """How much of the traffic a step mirrors at most, in basis points."""
        said = step.mirror or canary.mirror
        if said is not None:
            return said.value
        return FULL if self.judged_by_pairs else 0


def _gates_fit(gates: Sequence[Gate], *, version: str | None) -> None:
    names = [gate.name for gate in gates]
    for index, gate in enumerate(gates):
        if gate.name in names[:index]:
            raise ValueError(f"gates[{index}].name: {gate.name!r} is taken; the names of gates must differ")
        if gate.name == SMOKE:
            raise ValueError(
                f"gates[{index}].name: {SMOKE!r} is taken by the request that every revision must answer"
                " (serving.warmup); choose another"
            )
        if gate.type is GateType.VERSION and gate.before is Before.PROVISIONING and version is None:
            raise ValueError(
                f"gates[{index}].before: without model.version only a pod can say the version; set it, or use traffic"
            )


def _rise(steps: Sequence[CanaryStep]) -> bool:
    weights = [step.weight.value for step in steps if not step.scale]
    return all(earlier < later for earlier, later in pairwise(weights))


class ServingState(StrEnum):
    """What users get, whatever the rollout does."""

    AVAILABLE = "Available"
    IMPAIRED = "Impaired"
    UNAVAILABLE = "Unavailable"


class Phase(StrEnum):
    """Where the rollout stands."""

    PENDING = "Pending"
    GATING = "Gating"
    PROVISIONING = "Provisioning"
    SHADOWING = "Shadowing"
    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    AWAITING_EVIDENCE = "AwaitingEvidence"
    PROMOTING = "Promoting"
    WATCHING = "Watching"
    COMPLETED = "Completed"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    REFUSED = "Refused"
    SUPERSEDED = "Superseded"
    SUSPENDED = "Suspended"


class MetricVerdict(Status):
    """What one metric says now, in numbers."""

    name: str
    metric: str
    role: Role
    verdict: Literal["Pass", "Fail", "Inconclusive", "NoData", "Error"]
    reason: str
    message: Message = ""
    samples: int = 0
    needed: int | None = None
    value: float | None = None
    against: float | None = None
    bound: float | None = None
    """The anytime bound or the e-value by which it was decided; its kind stands in `message`."""
    paired: bool = False
    """Whether it rests on pairs of answers to the same requests; `samples` and `needed` then count pairs."""
    at: Timestamp | None = None


class StepRecord(Status):
    """A step that was entered: which ModelRoute generations carried it, and how it ended."""

    name: str
    weight_bp: int
    generations: list[int] = []
    mirrored: list[int] = []
    """Of these, the ones in which stable's requests were mirrored to the revision."""
    started_at: Timestamp | None = None
    synced_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    reason: str = ""
    pods: int = 0
    """How many pods were asked for in it for the step that follows; 0 where that one needs no more."""


class Obeyed(Status):
    """A person's command that this rollout obeyed."""

    uid: str
    """Of the ModelCommand: each counts once."""
    verb: str
    by: str
    reason: Text = ""
    step: str = ""
    gate: str = ""
    override: bool = False
    at: Timestamp | None = None


class Pause(Status):
    """A time in which the rollout was held by a pause, by suspend or by a freeze; deadlines stood still."""

    since: Timestamp
    until: Timestamp | None = None


class RolloutStatus(Status):
    """The rollout under way, or the last one."""

    id: str
    revision: str
    version: str = ""
    attempt: int = 1
    way: str = ""
    """How much the revision has to prove: first, warm, same-model or new."""
    phase: Phase
    step: str = ""
    step_index: int = 0
    steps: int = 0
    weight_bp: int = 0
    """As the ModelRoute says it; kept here only to be printed."""
    weight: str = ""
    """The same as people read it: `5%`."""
    mirror_bp: int = 0
    """How much of the traffic is mirrored to it now, out of stable's share."""
    verdict: str = ""
    """The worst of the verdicts of guards and decide metrics."""
    reason: str = ""
    message: Message = ""
    waiting_for: Message = ""
    cause: Message = ""
    """The request to retrain that the revision says it answers, and why that was made."""
    started_at: Timestamp | None = None
    phase_since: Timestamp | None = None
    ended_at: Timestamp | None = None
    steps_done: list[StepRecord] = []
    granted: list[str] = []
    """Steps that a person let pass by a promote command; `*` is all of them."""
    paused: Message = ""
    """Who paused it, and why; empty when nobody did."""
    overridden: Message = ""
    """Who let it be promoted with one ready pod and without its gates, and why; empty when nobody did."""
    commands: list[Obeyed] = []
    """What people told it to do, oldest first."""
    pauses: list[Pause] = []
    """When it was held by a person or by a freeze, oldest first."""
    frozen_until: Timestamp | None = None
    """Until when a freeze holds it; absent while none does."""
    verdicts: list[MetricVerdict] = []
    gates: list[GateVerdict] = []
    trial: Trial | None = None
    """The A/B test that it is, from when its users were drawn."""


class ShadowState(StrEnum):
    """Where a shadow stands."""

    WAITING = "Waiting"
    """For a revision that serves: nothing is there yet that it could be compared with."""
    PROVISIONING = "Provisioning"
    COMPARING = "Comparing"
    NOT_READY = "NotReady"
    """It is sent its sample, and no pod of it is ready to answer."""
    ASIDE = "Aside"
    """It is what serves, or what spec.model asks for: no copies, while it is that."""
    REFUSED = "Refused"
    """It could not be made."""


class ShadowStatus(Status):
    """One of spec.shadows, and how it compares with the revision that serves."""

    name: str
    revision: str = ""
    version: str = ""
    state: ShadowState
    sample: str = ""
    """How much of stable's requests it is sent now; empty while it is sent none."""
    ready_replicas: int = 0
    against: str = ""
    """The revision that it is compared with. With another one the comparison begins anew."""
    since: Timestamp | None = None
    """When that began."""
    generations: list[int] = []
    """The ModelRoute generations in which it was sent its sample since then, oldest first."""
    pairs: int = 0
    """Requests that both have answered, judged or not."""
    verdict: str = ""
    """The worst of the verdicts of decide metrics; empty where none can be judged by pairs."""
    proven: str = ""
    """The newest verdict that proved something, `Pass` or `Fail`; a monitor that is away takes it not back."""
    reason: str = ""
    message: Message = ""
    verdicts: list[MetricVerdict] = []


class ShadowEntry(Status):
    """One ended comparison of a shadow with a revision that served, and the numbers that it came to."""

    name: str
    """The shadow's, as spec.shadows had it."""
    revision: str
    version: str = ""
    against: str = ""
    """The revision that it was compared with."""
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    pairs: int = 0
    """Requests that both had answered, judged or not."""
    verdict: str = ""
    verdicts: list[MetricVerdict] = []
    reason: str = ""
    message: Message = ""
    """Why it ended."""


class Served(Status):
    """A revision and the version people know it by."""

    revision: str
    version: str = ""


class HistoryEntry(Status):
    """One ended rollout, with the numbers that decided it."""

    id: str
    revision: str
    version: str = ""
    outcome: Phase
    reason: str
    message: Message = ""
    cause: Message = ""
    """The request to retrain that the revision says it answers, and why that was made."""
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    verdicts: list[MetricVerdict] = []
    commands: list[Obeyed] = []
    """What people told it to do, oldest first."""


class ModelDeploymentStatus(Status):
    """What the operator says of the deployment; it alone writes here."""

    observed_generation: int = 0
    serving: ServingState = ServingState.UNAVAILABLE
    desired_version: str = ""
    stable: Served | None = None
    candidate: Served | None = None
    warm: Served | None = None
    warm_until: Timestamp | None = None
    rollout: RolloutStatus | None = None
    shadows: list[ShadowStatus] = []
    conditions: list[Condition] = []
    history: list[HistoryEntry] = []
    shadow_history: list[ShadowEntry] = []
    """Comparisons with shadows that are over, oldest first."""
    notifications: Notifications | None = None
    """What receivers were told of, and are still owed; there where the installation has any."""
    alarms: AlarmsStatus | None = None
    """Which of monitoring.alarms fire."""
    retraining: list[TrainingState] = []
    """The newest requests to retrain, oldest first, and what became of each."""


CEL: dict[type[Shape], list[dict[str, Any]]] = {
    **GATE_CEL,
    **FREEZE_CEL,
    **PROMQL_CEL,
    **alarms.CEL,
    **SEGMENT_CEL,
    **retraining.CEL,
    **volumes.CEL,
    Autoscaling: [
        {
            "rule": "self.minReplicas <= self.maxReplicas",
            "message": "maxReplicas must not be below minReplicas",
            "fieldPath": ".maxReplicas",
        },
    ],
    Serving: [
        {
            "rule": "!has(self.autoscaling) || self.replicas == 1",
            "message": "replicas says what autoscaling decides; leave one of them out",
            "fieldPath": ".replicas",
        },
        {
            "rule": "!has(self.autoscaling) || (has(self.resources) && has(self.resources.requests)"
            " && 'cpu' in self.resources.requests)",
            "message": "autoscaling is by a share of resources.requests.cpu, which is not set; set it",
            "fieldPath": ".autoscaling",
        },
    ],
    **STICKY_CEL,
    **MODEL_CEL,
    Strategy: [
        {
            "rule": "(self.type == 'Canary') == has(self.canary)",
            "message": "the block canary must be set when type is Canary, and only then",
        },
        {
            "rule": "(self.type == 'ABTest') == has(self.abTest)",
            "message": "the block abTest must be set when type is ABTest, and only then",
        },
        {
            "rule": "(self.type == 'Bandit') == has(self.bandit)",
            "message": "the block bandit must be set when type is Bandit, and only then",
        },
        {
            "rule": "self.capacity != 'frugal' || !(self.type in ['ABTest', 'Bandit'])",
            "message": "weights that climb a pod at a time are no lot by which users could be compared; write capacity:"
            " full",
            "fieldPath": ".capacity",
        },
        {
            "rule": "self.type == 'BlueGreen' || !has(self.blueGreen)",
            "message": "the block blueGreen may be set only when type is BlueGreen",
        },
        {
            "rule": "self.type == 'Shadow' || !has(self.shadow)",
            "message": "the block shadow may be set only when type is Shadow",
        },
    ],
    Monitoring: [
        {
            "rule": "self.alarms.all(a, self.alarms.exists_one(b, b.name == a.name))",
            "message": "the names of alarms must differ",
            "fieldPath": ".alarms",
        },
        {
            "rule": "self.prediction.task != 'ranking' || !has(self.decision)",
            "message": "of a ranking nobody decides; what is clicked is its outcome",
            "fieldPath": ".decision",
        },
        {
            "rule": "self.prediction.task != 'ranking' || !has(self.outcome) || self.outcome.affectedBy == 'decision'",
            "message": "what is clicked depends on what was shown: affectedBy must be decision",
            "fieldPath": ".outcome",
        },
        {
            "rule": "self.segments.all(s, self.segments.exists_one(t, t.name == s.name))",
            "message": "the names of segments must differ",
            "fieldPath": ".segments",
        },
        LOSS_CEL,
        {
            "rule": "has(self.loss) || !self.alarms.exists(a, a.metric == 'outcome.loss')",
            "message": "an alarm on outcome.loss needs monitoring.loss",
            "fieldPath": ".alarms",
        },
        {
            "rule": "has(self.outcome) || !self.alarms.exists(a, a.metric.startsWith('outcome.'))",
            "message": "an alarm on outcome.* needs monitoring.outcome",
            "fieldPath": ".alarms",
        },
        {
            "rule": "has(self.decision) || !self.alarms.exists(a, a.metric.startsWith('decision.'))",
            "message": "an alarm on decision.* needs monitoring.decision",
            "fieldPath": ".alarms",
        },
        {
            "rule": "has(self.reference) || !self.alarms.exists(a, a.metric == 'drift')",
            "message": "an alarm on drift needs monitoring.reference",
            "fieldPath": ".alarms",
        },
        {
            "rule": "!has(self.retrain) || self.retrain.alarms.all(n, self.alarms.exists(a, a.name == n))",
            "message": "retrain.alarms names one that is not in monitoring.alarms",
            "fieldPath": ".retrain",
        },
    ],
    Prediction: [
        {
            "rule": "self.task == 'classification' || !(has(self.classes) || has(self.positive) || has(self.score))",
            "message": "classes, positive and score may be set only where task is classification",
        },
        {
            "rule": "!has(self.classes) || !has(self.positive) || self.positive in self.classes",
            "message": "positive must be one of classes",
            "fieldPath": ".positive",
        },
        {
            "rule": "!has(self.classes) || self.classes.all(c, self.classes.exists_one(d, d == c))",
            "message": "the names of classes must differ",
            "fieldPath": ".classes",
        },
    ],
    CanaryStep: [
        {
            "rule": "!has(self.scale) || !has(self.mirror)",
            "message": "a step that scales keeps the mirror of the step before; take mirror out, or make it two steps",
            "fieldPath": ".mirror",
        },
    ],
    Metric: [
        {
            "rule": "(self.metric == 'promql') == has(self.promql)",
            "message": "the block promql must be set when metric is promql, and only then",
        },
        {
            "rule": "!has(self.promql) || (self.role != 'decide' && (has(self.max) || has(self.min)))",
            "message": "a promql metric is held to max or min, and no error budget covers it: it may guard, not decide",
        },
        {
            "rule": "[has(self.max), has(self.min), has(self.maxIncrease), has(self.maxDecrease)]"
            ".filter(x, x).size() == 1",
            "message": "set exactly one of max, min, maxIncrease, maxDecrease",
        },
    ],
    ModelDeploymentSpec: [
        {
            "rule": "!self.analysis.metrics.exists(m, m.metric.startsWith('outcome.')) || "
            "(has(self.monitoring) && has(self.monitoring.outcome))",
            "message": "a metric on outcome.* needs monitoring.outcome",
            "fieldPath": ".analysis.metrics",
        },
        {
            "rule": "self.strategy.capacity != 'frugal' || !has(self.serving.autoscaling)",
            "message": "with serving.autoscaling the load says how many pods there are; write serving.replicas in the"
            " place of autoscaling, or capacity: full",
            "fieldPath": ".strategy.capacity",
        },
        {
            "rule": "self.strategy.type != 'Bandit' || !has(self.serving.autoscaling)",
            "message": "a bandit's weight moves while the load says how many pods there are; write serving.replicas in"
            " the place of autoscaling, or another strategy",
            "fieldPath": ".serving.autoscaling",
        },
        {
            "rule": "!(self.strategy.type in ['ABTest', 'Bandit']) ||"
            " self.analysis.metrics.exists(m, m.role == 'decide')",
            "message": "an ABTest or a Bandit compares by a metric with role: decide, and there is none",
            "fieldPath": ".analysis.metrics",
        },
        {
            "rule": "self.strategy.type != 'Bandit' || self.analysis.metrics.filter(m, m.role == 'decide').size() < 2",
            "message": "a bandit follows one reward, so exactly one metric may have role: decide",
            "fieldPath": ".analysis.metrics",
        },
        {
            "rule": "self.gates.all(g, self.gates.exists_one(h, h.name == g.name))",
            "message": "the names of gates must differ",
            "fieldPath": ".gates",
        },
        {
            "rule": "self.gates.all(g, g.name != 'smoke')",
            "message": "the name smoke is taken by the request that every revision must answer (serving.warmup)",
            "fieldPath": ".gates",
        },
        {
            "rule": "has(self.model.version) || "
            "!self.gates.exists(g, g.type == 'Version' && g.before == 'provisioning')",
            "message": "without model.version only a pod can say the version; set it, or use before: traffic",
            "fieldPath": ".gates",
        },
        *shadows.RULES,
    ],
}
"""Rules that the API server itself checks; each names the field and the remedy."""
