"""What a file would do against what is there: which revision, which way, what is replaced, what changes in place.

Pure: the situation goes in as one value. The file is taken as the whole spec, as Git's is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from switchyard_contracts.canonical import digest
from switchyard_contracts.experiments import TRIAL_ENDED
from switchyard_contracts.model_deployment import (
    SHADOW_ENDED,
    ModelDeploymentSpec,
    OnSpecChange,
    Role,
    StrategyType,
)
from switchyard_contracts.model_revision import hashes, pod_shape, revision_name

from switchyard_cli.capacity import Peak, peak
from switchyard_cli.course import WORDS, Course, Way, outside, plot
from switchyard_cli.facts import Deployment, Revision, stable_of

MAKES_PODS = (
    "model.image",
    "model.config",
    "serving.resources",
    "serving.scheduling",
    "serving.port",
    "serving.warmup",
)
"""Where a change makes a new revision; everything else applies in place."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field that would be another."""

    path: str
    old: Any
    new: Any

    @property
    def makes_pods(self) -> bool:
        """Whether it makes a revision."""
        return any(self.path == place or self.path.startswith((f"{place}.", f"{place}[")) for place in MAKES_PODS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is there now."""

    now: datetime
    live: Deployment | None = None
    revisions: Sequence[Revision] = ()
    config: Mapping[str, Mapping[str, str] | None] | None = None
    """The ConfigMaps that the spec names; None for one that is not there."""
    objection: str = ""
    """What the API server said of a dry run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What would happen, and why."""

    name: str
    revision: str
    version: str
    sentence: str
    """The whole in one line."""
    refused: bool = False
    course: Course | None = None
    """The steps of the rollout that would begin or go on."""
    peak: Peak | None = None
    """What it asks of the cluster, while there is a rollout."""
    attempt: int = 1
    done: int = 0
    """How many steps of it are over already."""
    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()


def forecast(name: str, spec: ModelDeploymentSpec, situation: Situation) -> Forecast:
    """Judge one accepted spec."""
    missing = [key for key, data in (situation.config or {}).items() if data is None]
    digests = {key: digest(dict(data)) for key, data in (situation.config or {}).items() if data is not None}
    model_hash, pod_hash = hashes(pod_shape(spec), config_digests=digests)
    target = revision_name(name, pod_hash)
    known = {item.name: item for item in situation.revisions}
    held = known.get(target)
    bare = Forecast(
        name=name,
        revision=target,
        version=spec.model.version or (held.version if held else ""),
        sentence="",
        changes=tuple(changes(situation.live.spec if situation.live else None, spec)),
        notes=(*_unreadable(situation.live), *_notes(spec)),
    )
    if situation.objection:
        return replace(bare, sentence=f"the API server would refuse it: {situation.objection}", refused=True)
    if missing:
        text = f"there is no ConfigMap {missing[0]!r} for spec.model.config.envFrom; create it first, or name another"
        return replace(bare, sentence=text, refused=True)
    return _roll(spec, situation, bare=bare, model_hash=model_hash)


def _roll(spec: ModelDeploymentSpec, situation: Situation, *, bare: Forecast, model_hash: str) -> Forecast:
    target = bare.revision
    known = {item.name: item for item in situation.revisions}
    held, stable = known.get(target), stable_of(situation.revisions)
    live = situation.live.live if situation.live else None
    other = live if live and live.revision != target else None
    if held and held.sent_home:
        if held.status.reason in (SHADOW_ENDED, TRIAL_ENDED):
            text = f"{target} was compared before, as asked; `kubectl switchyard retry {bare.name} --revision {target}`"
            return replace(bare, sentence=f"{text} rolls it out by this file", refused=True)
        text = (
            f"{target} was taken back before{f' ({held.status.reason})' if held.status.reason else ''}; it stays back"
            f" until `kubectl switchyard retry {bare.name} --revision {target}`"
        )
        return replace(bare, sentence=text, refused=True)
    if stable and stable.name == target:
        if other:
            text = f"{other.id} is cancelled: {target} is stable, and gets all of the traffic back at once"
        elif bare.changes:
            text = f"no rollout: {target} serves already, the changes apply in place"
        elif situation.live is None or situation.live.spec is None:
            text = f"no rollout: {target} serves already"
        else:
            text = f"nothing: {target} serves already, and nothing else differs"
        return replace(bare, sentence=text)
    goes_back = held is not None and held.promoted_at is not None
    policy = OnSpecChange.REPLACE if goes_back else spec.on_spec_change
    if other and policy is OnSpecChange.REJECT:
        text = (
            f"{target} would be refused: {other.id} is under way, and spec.onSpecChange is Reject; wait until it is"
            f" over, or `kubectl switchyard abort {bare.name}`"
        )
        return replace(bare, sentence=text, refused=True)
    leaving = other.revision if other and policy is OnSpecChange.REPLACE else ""
    most = peak(spec, target=target, replaced=leaving, revisions=situation.revisions, now=situation.now)
    if live and live.revision == target:
        course = plot(spec, Way(live.way) if live.way in list(Way) else Way.NEW)
        done = _done(course, live.steps_done)
        text = f"{live.id} goes on{' with the steps as they are now' if bare.changes else ''}"
        return replace(bare, sentence=text, course=course, peak=most, attempt=live.attempt, done=done)
    way = choose(spec, held=held, stable=stable, model_hash=model_hash, now=situation.now)
    against = f" against {stable.name}{f' ({stable.version})' if stable.version else ''}" if stable else ""
    text = f"{'a new revision' if held is None else 'the revision'} {target} rolls out{against}; {WORDS[way]}"
    if other and policy is OnSpecChange.QUEUE:
        waits = f", which waits for {other.waiting_for}" if other.waiting_for else ""
        where = f" at step {other.step}" if other.step else ""
        text = (
            f"{target} waits its turn (spec.onSpecChange is Queue) until {other.id} is over, now {other.phase}{where}"
            f"{waits}; of several that wait only the newest is remembered. Then {text}"
        )
    elif other:
        text = f"{other.id} is replaced: its traffic goes back to stable first. Then {text}"
    return replace(bare, sentence=text, course=plot(spec, way), peak=most)


def choose(
    spec: ModelDeploymentSpec, *, held: Revision | None, stable: Revision | None, model_hash: str, now: datetime
) -> Way:
    """How much the revision would have to prove."""
    if stable is None or stable.promoted_at is None:
        return Way.FIRST
    if held and held.promoted_at and now <= stable.promoted_at + spec.rollback.warm.for_:
        return Way.WARM
    if model_hash == stable.spec.model_hash:
        return Way.SAME_MODEL
    return Way.NEW


def changes(old: ModelDeploymentSpec | None, new: ModelDeploymentSpec) -> Iterator[Change]:
    """Every field that differs, defaults included; none where nothing was there before."""
    if old is None:
        return
    before, after = dict(_leaves(old.to_json(), "")), dict(_leaves(new.to_json(), ""))
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield Change(path, before.get(path), after.get(path))


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(node, list) and any(isinstance(item, dict) for item in node):
        for index, item in enumerate(node):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, node


def _done(course: Course, records: Sequence[Any]) -> int:
    """Steps that are over, in the operator's way: as long as name and weight match."""
    done = 0
    for step, record in zip(course.steps, records, strict=False):
        if record.name != step.name or record.weight_bp != step.weight or record.ended_at is None:
            break
        done += 1
    return done


def _unreadable(live: Deployment | None) -> Iterator[str]:
    if live and live.spec is None:
        yield "the spec that is there is not accepted, or of a newer release: what would change of it is not listed"


def _notes(spec: ModelDeploymentSpec) -> Iterator[str]:
    roles = {metric.role for metric in spec.analysis.metrics}
    for model in (spec.model, *(shadow.model for shadow in spec.shadows)):
        if "@sha256:" not in model.image:
            yield f"{model.image} is a tag: another image pushed under it is no new revision; name it by digest"
    if spec.suspend:
        yield "spec.suspend is true: nothing is decided until it is false"
    if Role.GUARD not in roles:
        yield "no guard metric: only pods that are not ready, or outcomes, would take it back"
    if spec.strategy.type is StrategyType.CANARY and Role.DECIDE not in roles:
        yield "no decide metric: time and guards alone promote it, whether or not its answers are right"
    if spec.strategy.type is StrategyType.SHADOW and Role.DECIDE not in roles:
        yield "no decide metric: time alone ends the shadow, whether or not its answers are right"
    if not spec.rollback.automatic:
        yield "rollback.automatic is false: what fails holds the rollout until a person aborts or promotes"
    for _, words in outside(spec):
        yield words
    for name in unheard(spec):
        yield f"no step names the guard {name!r} (analysis): it speaks after the switch alone, while it is watched"


def unheard(spec: ModelDeploymentSpec) -> list[str]:
    """Guards that no step with traffic listens to."""
    heard = [step for step in plot(spec, Way.NEW).steps if step.weight]
    guards = [metric.name for metric in spec.analysis.metrics if metric.role is Role.GUARD]
    return [name for name in guards if heard and all(step.judges and name not in step.judges for step in heard)]
