"""Each rule of the rule book, taken away: what Switchyard would be without it.

A switch replaces one thing for the time of one test. It must leave something that still runs, so that the tests go
red by what they say of the rule and not by an accident. `rulebook` throws them, one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import kopf
import pytest
from pydantic import ValidationError
from switchyard_contracts import (
    acceptance,
    comparison,
    coverage,
    guards,
    model_revision,
    sample_ratio,
    trial,
    verdicts,
)
from switchyard_contracts import bandit as bandit_weights
from switchyard_contracts.canonical import digest
from switchyard_contracts.evidence import Evidence, WindowSums
from switchyard_contracts.judgement import Budget, Judgement, Verdict
from switchyard_contracts.model_deployment import Metric, ModelDeploymentSpec, OnSpecChange, Strategy
from switchyard_operator import gather, handlers, leader, reconciler, retries
from switchyard_operator.adapters import cluster
from switchyard_operator.domain import (
    ab_test,
    bandit,
    bearings,
    blue_green,
    canary,
    commands,
    decision,
    frugal,
    gates,
    kinds,
    lineage,
    memory,
    patience,
    plan,
    retreat,
    rules,
    shadow,
    shadows,
    status,
    steps,
    sync,
    turns,
    workloads,
)
from switchyard_operator.domain.bearings import Bearings
from switchyard_operator.domain.commands import Answer
from switchyard_operator.domain.lineage import Lineage
from switchyard_operator.domain.plan import Plan
from switchyard_operator.domain.routes import Shares
from switchyard_operator.domain.rules import Decision, Move, Rule, Says, Seen
from switchyard_operator.domain.step import Step
from switchyard_operator.domain.steps import Course, Way
from switchyard_operator.domain.sync import Sync
from switchyard_operator.domain.world import Command, GatewayReport, Judged, Revision, World
from switchyard_operator.reconciler import Reconciler

from switchyard_testkit import (
    switched_off_alarms,
    switched_off_beside,
    switched_off_checks,
    switched_off_days,
    switched_off_retention,
)
from switchyard_testkit.switching import Switch, always, instead

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def without(*taken: Rule) -> Switch:
    """The chain of rules without some of them."""

    def switch(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(rules, "RULES", tuple(rule for rule in rules.RULES if rule not in taken))

    return switch


def nothing_is(way: Way) -> Switch:
    """A way of proving less that nobody is granted."""
    own = steps.way

    def chosen(spec: ModelDeploymentSpec, lines: Lineage, *, now: Any) -> Way:
        found = own(spec, lines, now=now)
        return Way.NEW if found is way else found

    return instead(memory, "way", chosen)


def replicas_are_the_model(patch: pytest.MonkeyPatch) -> None:
    """All of `serving` makes a revision, as if none of it applied in place."""
    shape, hashed, seen = model_revision.pod_shape, model_revision.hashes, {}

    def remember(spec: ModelDeploymentSpec) -> Any:
        seen["serving"] = digest(spec.serving.to_json())
        return shape(spec)

    def mixed(found: Any, *, config_digests: dict[str, str] | None = None) -> tuple[str, str]:
        return hashed(found, config_digests={**(config_digests or {}), "serving": seen["serving"]})

    patch.setattr(reconciler, "pod_shape", remember)
    patch.setattr(reconciler, "hashes", mixed)


def _any_record_matches(record: Any, course: Course, index: int) -> bool:
    return True


def _stays(world: World, known: Bearings) -> Plan:
    """Settled without going back to what is stable."""
    return plan.finish(world, known, decision._watch(world, known))


def nobody_leaves(*, heir: bool) -> Switch:
    """Whoever is in the traffic keeps its share until the next one's first step, or the next one has it at once."""

    def switch(patch: pytest.MonkeyPatch) -> None:
        stranger, shares = bearings.stranger, decision._same_shares

        def held(world: World, known: Bearings) -> Shares:
            name, line = stranger(world, known.lineage), known.lineage
            if not name or not line.stable or not world.route:
                return shares(world, known)
            weight = next(entry.weight_bp for entry in world.route.spec.routes if entry.revision == name)
            return Shares(stable=line.stable, candidate=line.target if heir else world.revisions[name], weight=weight)

        patch.setattr(bearings, "stranger", always(""))
        patch.setattr(decision, "_same_shares", held)

    return switch


def turns_are_as_if(policy: OnSpecChange, *, said: OnSpecChange) -> Switch:
    """One policy does what another does."""
    own = turns.whose

    def whose(world: World) -> turns.Turn:
        if world.spec.on_spec_change is said:
            world = replace(world, spec=world.spec.model_copy(update={"on_spec_change": policy}))
        return own(world)

    return instead(turns, "whose", whose)


def nobody_is_sent_home(patch: pytest.MonkeyPatch) -> None:
    """The mark is there, and nobody heeds it."""
    patch.setattr(Revision, "sent_home", property(lambda _: False))


def abort_waits_for_pods(patch: pytest.MonkeyPatch) -> None:
    """An abort is taken only once the candidate is ready."""
    own = commands._abort

    def patient(command: Command, world: World, known: Bearings) -> Answer:
        if world.workload(known.lineage.target.name).ready:
            return own(command, world, known)
        return commands._refuse(world, "NotReady", "the candidate is not ready")

    patch.setattr(commands, "_abort", patient)


def back_waits_for_gateways(patch: pytest.MonkeyPatch) -> None:
    """The way back waits until the last route was acknowledged."""
    own = retreat.to_stable

    def patient(world: World, known: Bearings, said: Decision, *, ended: Any) -> Plan:
        if known.sync.acknowledged:
            return own(world, known, said, ended=ended)
        return plan.finish(world, known, said, ended=ended)

    patch.setattr(retreat, "to_stable", patient)


def commands_name_nothing(patch: pytest.MonkeyPatch) -> None:
    """A command acts on whatever rollout is under way."""
    own = commands._not_live

    def blind(command: Command, world: World, known: Bearings) -> Answer | None:
        spec = command.spec.model_copy(update={"rollout": known.memory.id})
        return own(replace(command, spec=spec), world, known)

    patch.setattr(commands, "_not_live", blind)


def steps_are_not_held_against(patch: pytest.MonkeyPatch) -> None:
    """A promote passes the step it is at, whichever it names."""
    own = commands._promote

    def blind(command: Command, world: World, known: Bearings) -> Answer:
        here = known.course.name(known.spot.index)
        return own(replace(command, spec=command.spec.model_copy(update={"step": here})), world, known)

    patch.setattr(commands, "_promote", blind)


def nobody_overrides(patch: pytest.MonkeyPatch) -> None:
    """A promote with an override is a promote."""
    own = commands._promote

    def deaf(command: Command, world: World, known: Bearings) -> Answer:
        return own(replace(command, spec=command.spec.model_copy(update={"override": None})), world, known)

    patch.setattr(commands, "_promote", deaf)


def commands_are_taken_again(patch: pytest.MonkeyPatch) -> None:
    """A command with a result is a command all the same."""
    own = gather.commands

    def forgetful(bodies: Any) -> list[Command]:
        return own([{**body, "status": {}} for body in bodies])

    patch.setattr(gather, "commands", forgetful)


def marks_name_nobody(patch: pytest.MonkeyPatch) -> None:
    """A mark does not say which command set it."""
    own = commands.consider

    def anonymous(command: Command, world: World, known: Bearings) -> Answer:
        answer = own(command, world, known)
        marks = tuple(replace(mark, annotations={**mark.annotations, lineage.MARKED_BY: None}) for mark in answer.marks)
        return replace(answer, marks=marks)

    patch.setattr(commands, "consider", anonymous)


def everybody_acknowledges(patch: pytest.MonkeyPatch) -> None:
    """Pods come and go as if every gateway had the newest route."""
    own = plan.finish

    def hasty(world: World, known: Bearings, said: Decision, **parts: Any) -> Plan:
        return replace(own(world, replace(known, sync=Sync()), said, **parts), bearings=known)

    patch.setattr(plan, "finish", hasty)


def refusals_are_silence(patch: pytest.MonkeyPatch) -> None:
    """Envoy's own words are not passed on."""
    own = sync.compare

    def deaf(reports: tuple[GatewayReport, ...], **words: Any) -> Sync:
        return own([replace(report, rejected="") for report in reports], **words)

    patch.setattr(bearings, "compare", deaf)


def patience_has_no_end(patch: pytest.MonkeyPatch) -> None:
    """`maxWait` is never over."""
    own = rules.says
    patch.setattr(rules, "says", lambda judged, _: own(judged, timedelta(0)))


def too_little_is_enough(patch: pytest.MonkeyPatch) -> None:
    """What is not proven against a candidate speaks for it."""
    own = rules.says
    unproven = (Verdict.INCONCLUSIVE, Verdict.NO_DATA)

    def hopeful(judged: Judged, waited: timedelta) -> Says:
        return Says.GO if judged.judgement.verdict in unproven else own(judged, waited)

    patch.setattr(rules, "says", hopeful)


def an_outage_fails(patch: pytest.MonkeyPatch) -> None:
    """Evidence that cannot be had speaks against the candidate."""
    own = rules.says

    def harsh(judged: Judged, waited: timedelta) -> Says:
        return Says.STOP if judged.judgement.verdict is Verdict.ERROR else own(judged, waited)

    patch.setattr(rules, "says", harsh)


def unknown_fields_pass(patch: pytest.MonkeyPatch) -> None:
    """What no field is named like is dropped in silence."""
    own = acceptance.read

    def lenient(raw: Any) -> ModelDeploymentSpec:
        try:
            ModelDeploymentSpec.model_validate(raw or {})
        except ValidationError as error:
            for fault in error.errors():
                if fault["type"] == "extra_forbidden":
                    raw = _less(raw, fault["loc"])
        return own(raw)

    patch.setattr(acceptance, "read", lenient)


def _less(raw: Any, path: tuple[int | str, ...]) -> Any:
    if len(path) == 1:
        return {key: value for key, value in raw.items() if key != path[0]}
    if isinstance(raw, list):
        return [_less(item, path[1:]) if index == path[0] else item for index, item in enumerate(raw)]
    return {key: _less(value, path[1:]) if key == path[0] else value for key, value in raw.items()}


def everything_is_pooled(patch: pytest.MonkeyPatch) -> None:
    """A comparison over all windows alike, whatever their weights were."""
    own = comparison.compare

    def pooled(metric: Metric, evidence: Evidence, *, windows: Sequence[WindowSums], budget: Budget) -> Judgement:
        mine, other = sum(window.candidate.n for window in windows), sum(window.stable.n for window in windows)
        share = mine / max(1, mine + other)
        alike = [window.model_copy(update={"traffic": 0, "probability": share, "start": FIRST}) for window in windows]
        return own(metric, evidence, windows=alike, budget=budget)

    patch.setattr(verdicts, "compare", pooled)


def stable_is_what_the_status_says(patch: pytest.MonkeyPatch) -> None:
    """Promotions and ways home are read from statuses, which a restore loses."""
    own = lineage.trace

    def believing(revisions: Mapping[str, Revision], target: str) -> Lineage:
        seen = {
            name: replace(
                item,
                promoted_at=item.promoted_at if item.status.promoted_at else None,
                sent_home_at=item.sent_home_at if item.status.rolled_back_at else None,
            )
            for name, item in revisions.items()
        }
        return own(seen, target)

    patch.setattr(lineage, "trace", believing)


def nobody_looks_back(patch: pytest.MonkeyPatch) -> None:
    """What is found after a promotion changes nothing."""
    own = decision._watch
    patch.setattr(decision, "_watch", lambda world, known: own(replace(world, judged=()), known))


def what_serves_is_all_that_counts(patch: pytest.MonkeyPatch) -> None:
    """A rolled-back deployment is called well, since something serves."""
    own = status.build

    def content(world: World, decided: Plan, rejected: Any = None) -> Any:
        found = own(world, decided, rejected)
        well = [item.model_copy(update={"status": "True"}) for item in found.conditions if item.type != "Stalled"]
        return found.model_copy(update={"conditions": well})

    patch.setattr(status, "build", content)


def every_pass_writes(patch: pytest.MonkeyPatch) -> None:
    """A status is written whether or not it says anything new."""

    def churn(self: Reconciler, world: World, decided: Plan) -> None:
        body = self._held(kinds.MODEL_DEPLOYMENT, world.namespace, world.name)
        told = status.build(world, decided).model_copy(update={"desired_version": f"{world.now.timestamp()}"})
        self._cache.put(self._cluster.write_status(body, told.to_json()))

    patch.setattr(Reconciler, "_write_revision_statuses", churn)


def everybody_leads(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks for the lease acts as if it had it."""
    patch.setattr(leader.Leadership, "tick", lambda _: True)
    patch.setattr(leader.Leadership, "leading", property(lambda _: True))


def steps_without(module: ModuleType, **changes: Any) -> Switch:
    """A strategy whose steps leave something out."""
    own = module.steps

    def bare(*said: Any, **words: Any) -> tuple[Step, ...]:
        return tuple(replace(step, **changes) for step in own(*said, **words))

    return instead(module, "steps", bare)


def scaling_moves_weights(patch: pytest.MonkeyPatch) -> None:
    """A step that scales gives the candidate the share that its pods could take."""
    own = canary.steps

    def eager(*said: Any, **words: Any) -> tuple[Step, ...]:
        found = own(*said, **words)
        return tuple(replace(step, weight=step.weight + 100) if step.scales else step for step in found)

    patch.setattr(canary, "steps", eager)


def the_way_back_waits_for_no_pods(patch: pytest.MonkeyPatch) -> None:
    """A weight falls whether or not stable has pods for it."""
    own = frugal.onward
    patch.setattr(frugal, "onward", lambda *said, **words: own(*said, **words | {"stable_ready": words["wanted"]}))


def traffic_into_nothing(patch: pytest.MonkeyPatch) -> None:
    """A frugal abort asks for no ready pod of stable."""
    patch.setattr(
        retreat,
        "_is_at_once",
        lambda world, line, heavy: lineage.is_ended_by_a_person(line, world.revisions[heavy.revision]),
    )


def shadows_pods_stay(patch: pytest.MonkeyPatch) -> None:
    """Whatever pods there are stay, whether or not anybody asks for them."""
    own = plan.finish

    def keep(*said: Any, **parts: Any) -> Plan:
        return replace(own(*said, **parts), retire=())

    patch.setattr(plan, "finish", keep)


def shadows_are_waited_for(patch: pytest.MonkeyPatch) -> None:
    """A rollout holds for as long as one of its shadows is not compared yet, or is proven worse."""
    own = decision._seen

    def patient(world: World, known: Bearings) -> Seen:
        held = any(not each.sent or each.status.verdict == "Fail" for each in known.shadows)
        return replace(own(world, known), paused="shadows come first" if held else "")

    patch.setattr(decision, "_seen", patient)


def shadows_are_under_way(patch: pytest.MonkeyPatch) -> None:
    """Who is in the route is on its way, whatever it is there."""
    patch.setattr(memory, "_is_at_no_step", always(False))
    patch.setattr(decision, "_is_candidate", always(True))


def tests_are_read_at_any_time(patch: pytest.MonkeyPatch) -> None:
    """Whatever is there of a test is asked for and read, whenever somebody looks."""
    patch.setattr(ab_test, "known", always(None))
    patch.setattr(trial.Horizon, "is_over", always(True))


def the_dead_keep_their_weight(patch: pytest.MonkeyPatch) -> None:
    """An unready candidate is noticed, and keeps what it has."""
    own = rules.provision

    def stubborn(seen: Seen) -> Decision | None:
        found = own(seen)
        return replace(found, move=Move.HOLD) if found and found.move is Move.LOWER else found

    patch.setattr(rules, "RULES", tuple(stubborn if rule is own else rule for rule in rules.RULES))


def kopf_holds_them(patch: pytest.MonkeyPatch) -> None:
    """A handler of Kopf's that looks again and again, for which it puts a finalizer on every ModelDeployment."""
    own = handlers.register

    def tended(registry: kopf.OperatorRegistry, **words: Any) -> None:
        own(registry, **words)

        @kopf.timer(kinds.MODEL_DEPLOYMENT.plural, interval=60.0, registry=registry, id="tend")
        async def tend(**_: Any) -> None:
            """Nothing; it is enough that it is there."""

    patch.setattr(handlers, "register", tended)


def weights_without_bounds(patch: pytest.MonkeyPatch) -> None:
    """A weight follows its rewards as far as they go."""
    own = bandit_weights.share
    patch.setattr(
        bandit_weights, "share", lambda *said, **words: own(*said, **words | {"floor": 100, "ceiling": 9_900})
    )


SWITCHES: Mapping[str, Switch] = {
    "marks-that-name-their-command": marks_name_nobody,
    "pods-of-another-release-being-kept": instead(workloads, "keep_pods", lambda wanted, _: wanted),
    "the-way-of-the-same-model": nothing_is(Way.SAME_MODEL),
    "the-first-request": without(rules.gate),
    "serving-that-applies-in-place": replicas_are_the_model,
    "steps-being-compared": instead(memory, "_matches", _any_record_matches),
    "replacing-the-candidate": nobody_leaves(heir=False),
    "a-weight-that-falls-to-nothing-first": nobody_leaves(heir=True),
    "waiting-ones-turn": turns_are_as_if(OnSpecChange.REPLACE, said=OnSpecChange.QUEUE),
    "refusing-a-newer-one": turns_are_as_if(OnSpecChange.QUEUE, said=OnSpecChange.REJECT),
    "going-back-to-stable": instead(decision, "_settle", _stays),
    "the-warm-way": nothing_is(Way.WARM),
    "the-mark-of-those-sent-home": nobody_is_sent_home,
    "abort-before-readiness": abort_waits_for_pods,
    "abort-without-acknowledgement": back_waits_for_gateways,
    "commands-that-name-their-rollout": commands_name_nothing,
    "promotes-that-name-their-step": steps_are_not_held_against,
    "commands-being-consumed": commands_are_taken_again,
    "readiness": without(rules.provision),
    "required-gates": instead(gates, "standing", always(())),
    "the-override": nobody_overrides,
    "a-persons-pause": without(rules.respect_a_pause),
    "the-operators-own-pause": without(rules.wait_for_a_person),
    "deadlines-that-stop": instead(patience, "elapsed", lambda since, *, now, **_: now - since),
    "freezes": without(rules.respect_a_freeze),
    "suspend": without(rules.leave_the_suspended_alone),
    "the-deadline-of-readiness": without(rules.give_up_on_the_never_ready),
    "expedite": without(rules.expedite),
    "pods-before-weight": without(rules.be_ready_for_the_next),
    "pods-kept-until-acknowledged": everybody_acknowledges,
    "delays-that-grow": instead(retries, "delay", lambda first, **_: first),
    "what-a-busy-server-asks-for": instead(cluster, "_seconds", always(0.0)),
    "no-more-pods-than-one-beside-the-replicas": instead(frugal, "SPARE", 2),
    "pods-before-the-way-back": the_way_back_waits_for_no_pods,
    "an-abort-above-frugality": instead(lineage, "is_ended_by_a_person", always(False)),
    "no-traffic-into-nothing": traffic_into_nothing,
    "waiting-for-the-gateways": without(rules.wait_for_the_gateways),
    "too-little-being-too-little": too_little_is_enough,
    "the-end-of-patience": patience_has_no_end,
    "outages-that-are-no-failures": an_outage_fails,
    "evidence-of-this-step-only": instead(verdicts, "asked_for", lambda evidence: list(evidence.windows)),
    "known-fields-only": unknown_fields_pass,
    "strata": everything_is_pooled,
    "windows-in-which-stable-is-bad": instead(guards, "breaks", always(False)),
    "the-sample-ratio": instead(sample_ratio, "log_mismatch", always(0.0)),
    "marks-that-outlive-statuses": stable_is_what_the_status_says,
    "a-refusal-being-named": refusals_are_silence,
    "coverage": instead(coverage, "objection", always(None)),
    "waiting-for-outcomes": without(rules.wait_for_outcomes),
    "the-watch": nobody_looks_back,
    "a-rollback-being-said": what_serves_is_all_that_counts,
    "writing-only-what-is-new": every_pass_writes,
    "children-being-compared": instead(reconciler, "differs", always(False)),
    "the-lease": everybody_leads,
    "the-switch-by-hand": without(rules.wait_for_a_person),
    "the-mirror-of-a-preview": steps_without(blue_green, mirror=0),
    "a-step-left-by-hand": steps_without(canary, by_hand=False),
    "outcomes-at-a-step": steps_without(canary, decided=False),
    "naming-what-a-step-judges": steps_without(canary, judges=()),
    "a-shadow-that-ends": instead(shadow, "ends", always(False)),
    "shadows-in-the-route": instead(shadows, "samples", always(())),
    "judging-shadows": instead(shadows, "questions", always(())),
    "pods-that-go-with-their-shadow": shadows_pods_stay,
    "a-rollout-that-ignores-its-shadows": shadows_are_waited_for,
    "a-first-step-for-who-was-a-shadow": shadows_are_under_way,
    "one-reading-at-the-horizon": tests_are_read_at_any_time,
    "a-test-as-it-was-stated": instead(ab_test, "as_stated", lambda world: (world, None)),
    "users-who-stay": instead(Strategy, "sticky", None),
    "an-end-without-a-winner": without(rules.end_what_nobody_won),
    "weights-that-follow-rewards": without(rules.follow_the_reward),
    "floors-and-ceilings": weights_without_bounds,
    "a-step-at-a-time": steps_without(bandit, every=timedelta(0)),
    "steps-that-only-scale": scaling_moves_weights,
    "pods-that-follow-the-steps": steps_without(canary, pods=0),
    "holding-a-step": without(rules.hold_the_step),
    "taking-back-what-fails": without(rules.take_back_what_fails),
    "a-weight-that-falls-with-its-pods": the_dead_keep_their_weight,
    "owners-that-take-along-what-is-theirs": instead(workloads, "owned_by", always([])),
    "leaving-alone-what-is-being-deleted": instead(reconciler, "is_ending", always(False)),
    "handlers-without-finalizers": kopf_holds_them,
    **switched_off_alarms.SWITCHES,
    **switched_off_beside.SWITCHES,
    **switched_off_checks.SWITCHES,
    **switched_off_days.SWITCHES,
    **switched_off_retention.SWITCHES,
}
"""By what is taken away: `<row> without <switch>` reads as a sentence."""
