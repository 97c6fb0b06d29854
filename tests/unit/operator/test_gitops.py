"""What Flux and Argo CD see of a deployment: nothing is done before it is, and nothing that is over goes on for ever.

The objects are the operator's own, made by whole rollouts in one process; kstatus' rules and a real Lua judge them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck as Check
from hypothesis import Phase as Generation
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_contracts.crd import KINDS
from switchyard_contracts.model_deployment import ModelDeploymentStatus, Phase
from switchyard_contracts.model_revision import RevisionPhase
from switchyard_contracts.quantities import parse_duration
from switchyard_operator.domain import kinds
from switchyard_operator.errors import Refused
from switchyard_testkit.argocd import CONFIG, Health, HealthCheck, script
from switchyard_testkit.kstatus import Result, compute
from switchyard_testkit.rollout_world import (
    AB_SPEC,
    CANARY,
    CANARY_SPEC,
    KEY,
    NAMESPACE,
    SHADOW_SPEC,
    SPEC,
    Model,
    Simulation,
)

EXAMPLES = CONFIG.parents[1]
ONE, TWO, THREE = "models/delay:1", "models/delay:2", "models/delay:3"
GOOD = Model(version="2.0.0", loss=50.0)
FAILING = Model(version="2.0.0", failing=0.3)
BY_HAND: dict[str, Any] = SPEC | {"strategy": {"type": "BlueGreen", "blueGreen": {"autoPromote": False}}}
NOT_BY_ITSELF: dict[str, Any] = CANARY_SPEC | {"rollback": {"automatic": False, "watch": "1h"}}
NONSENSE: dict[str, Any] = {"strategy": {"type": "Bandit"}}
LIVE = frozenset(Phase) - {
    Phase.COMPLETED,
    Phase.WATCHING,
    Phase.ROLLED_BACK,
    Phase.REFUSED,
    Phase.SUPERSEDED,
    Phase.SUSPENDED,
}
"""Phases in which the candidate is on its way; a suspended deployment may have none."""


class Watched(Simulation):
    """A rollout whose object is looked at after each pass, as a tool that waits for it might."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        super().__init__(models)
        self.seen: list[Result] = []

    @property
    def body(self) -> dict[str, Any]:
        return dict(self.cluster.read(kinds.MODEL_DEPLOYMENT, *KEY) or {})

    def one_pass(self) -> bool:
        again = super().one_pass()
        self.look()
        return again

    def look(self) -> None:
        """The laws that hold at every moment."""
        body, status = self.body, self.status
        result = compute(body).result
        types = {item.type for item in status.conditions}
        assert not {"Reconciling", "Stalled"} <= types, self.describe()
        if status.observed_generation == body["metadata"]["generation"] and status.rollout:
            phase = status.rollout.phase
            if phase in (Phase.ROLLED_BACK, Phase.REFUSED):
                assert result is Result.FAILED, self.describe()
            if phase in LIVE:
                assert result is not Result.CURRENT, self.describe()
        if result is Result.CURRENT:
            self.done(status)
        if not self.seen or self.seen[-1] is not result:
            self.seen.append(result)

    def done(self, status: ModelDeploymentStatus) -> None:
        """What a tool that was told `Current` may rely on."""
        wanted = self.body["spec"]["model"]["image"]
        compared = any(item.reason in ("ShadowEnded", "TrialEnded") for item in status.conditions)
        assert compared or {image for image, (_, weight) in self.route.items() if weight} == {wanted}, self.describe()
        assert self.mirrors == {}, self.describe()
        assert next(item.status for item in status.conditions if item.type == "Ready") == "True", self.describe()


# --- moments of a deployment's life ----------------------------------------------------------------------------------


def first(spec: Mapping[str, Any] = CANARY_SPEC, **changed: Model) -> Watched:
    """The first model is asked for, and nothing was done yet."""
    names = {"one": ONE, "two": TWO, "three": THREE}
    world = Watched(
        {ONE: Model(version="1.0.0"), TWO: GOOD, THREE: GOOD} | {names[key]: changed[key] for key in changed}
    )
    world.deploy(spec)
    return world


def deployed(spec: Mapping[str, Any] = CANARY_SPEC, **changed: Model) -> Watched:
    world = first(spec, **changed)
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def at(phase: Phase, spec: Mapping[str, Any] = CANARY_SPEC, **changed: Model) -> Watched:
    """The second model's rollout has reached a phase."""
    world = deployed(spec, **changed)
    world.deploy(spec, image=TWO)
    world.run(lambda: world.status.desired_version != "1.0.0" and world.phase is phase)
    return world


def at_step(step: str, spec: Mapping[str, Any] = CANARY_SPEC, **changed: Model) -> Watched:
    world = at(Phase.PROGRESSING, spec, **changed)
    world.run(lambda: (world.status.rollout and world.status.rollout.step) == step)
    return world


def rollout(world: Watched) -> str:
    assert world.status.rollout
    return world.status.rollout.id


def unseen() -> Watched:
    world = first()
    world.cluster.put({**world.body, "status": {"observedGeneration": 0}})
    return world


def edited() -> Watched:
    world = deployed()
    world.deploy(CANARY_SPEC, image=TWO)
    return world


def starting() -> Watched:
    world = first(one=Model(starts=False))
    world.run(lambda: world.phase is Phase.PROVISIONING)
    return world


def refused() -> Watched:
    world = first(one=Model(starts=False))
    world.run(lambda: world.phase is Phase.REFUSED)
    return world


def smoking() -> Watched:
    return at(Phase.GATING, two=Model(version="2.0.0", smoke="answered 500: no weights"))


def without_evidence() -> Watched:
    world = at_step("five")
    world.monitor.down = "the monitor does not answer"
    world.run(lambda: world.phase is Phase.AWAITING_EVIDENCE)
    return world


def switching() -> Watched:
    world = at_step("half")
    world.run(lambda: world.route.get(TWO) == ("candidate", 5000))
    world.command("promote", rollout=rollout(world))
    world.gateways.silent = {"gateway-1"}
    world.run(lambda: world.phase is Phase.PROMOTING)
    return world


def paused() -> Watched:
    world = at_step("five")
    world.command("pause", rollout=rollout(world), reason="lunch")
    world.run(lambda: world.phase is Phase.PAUSED)
    return world


def suspended_on_the_way() -> Watched:
    world = at_step("five")
    world.deploy(CANARY_SPEC, image=TWO, suspend=True)
    world.run(lambda: world.phase is Phase.SUSPENDED)
    return world


def suspended_at_rest() -> Watched:
    world = deployed()
    world.deploy(CANARY_SPEC, suspend=True)
    world.run(lambda: world.phase is Phase.SUSPENDED)
    return world


def failed_and_left_to_people() -> Watched:
    world = at(Phase.PAUSED, NOT_BY_ITSELF, two=FAILING)
    world.run_for(timedelta(seconds=5))
    return world


def failed_after_its_promotion_and_left_to_people() -> Watched:
    world = at(Phase.WATCHING, NOT_BY_ITSELF)
    world.images[TWO] = FAILING
    world.run(lambda: bool(world.status.rollout and world.status.rollout.reason == "AnalysisFailed"))
    return world


def going_back() -> Watched:
    world = at_step("half")
    world.gateways.silent = {"gateway-1"}
    world.command("abort", rollout=rollout(world), reason="nonsense")
    world.run(lambda: world.phase is Phase.ROLLING_BACK)
    return world


def held_by_a_gateway() -> Watched:
    world = going_back()
    world.run_for(timedelta(minutes=1))
    return world


def retried() -> Watched:
    world = at(Phase.ROLLED_BACK, two=FAILING)
    world.command("retry", revision=world.revision(TWO))
    world.run(lambda: rollout(world).endswith(".2") and world.phase is Phase.PROGRESSING)
    return world


def back_in_git() -> Watched:
    world = at(Phase.ROLLED_BACK, two=FAILING)
    world.deploy(CANARY_SPEC)
    world.run_for(timedelta(seconds=5))
    return world


def not_to_be_honoured() -> Watched:
    world = deployed()
    world.deploy(CANARY_SPEC, **NONSENSE)
    world.run_for(timedelta(seconds=5))
    return world


def shadowing() -> Watched:
    return at(Phase.SHADOWING, SHADOW_SPEC)


def compared() -> Watched:
    world = shadowing()
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def trying() -> Watched:
    stop = AB_SPEC["strategy"]["abTest"] | {"whenWon": "stop"}
    world = at(Phase.PROGRESSING, AB_SPEC | {"strategy": {"type": "ABTest", "abTest": stop}})
    world.run(lambda: bool(world.status.rollout and world.status.rollout.reason == "Testing"))
    return world


def tried() -> Watched:
    world = trying()
    world.run(lambda: world.phase is Phase.COMPLETED)
    return world


def refusing(kind: str) -> Callable[[str], None]:
    def refuse(write: str) -> None:
        if write.startswith(f"apply {kind}"):
            raise Refused(f"cannot apply {kind}: the API server answers 403: exceeded quota")

    return refuse


def over_quota() -> Watched:
    world = deployed()
    world.deploy(CANARY_SPEC, image=TWO)
    world.cluster.before_write = refusing("Deployment")
    world.run(lambda: bool(world.status.rollout and "exceeded quota" in world.status.rollout.message))
    return world


def over_quota_at_rest() -> Watched:
    world = deployed()
    world.deploy(scaled(5))
    world.cluster.before_write = refusing("Deployment")
    world.run_for(timedelta(seconds=5))
    return world


def scaled(replicas: int) -> dict[str, Any]:
    return CANARY_SPEC | {"serving": {**SPEC["serving"], "replicas": replicas}}


def scaled_up() -> Watched:
    world = deployed()
    world.frozen_count[world.revision(ONE)] = 3
    world.deploy(scaled(5))
    world.run_for(timedelta(seconds=5))
    return world


def without_a_pod() -> Watched:
    world = deployed()
    world.frozen_pods = {world.revision(ONE)}
    world.frozen_count[world.revision(ONE)] = 2
    world.run_for(timedelta(seconds=5))
    return world


def refused_by_envoy() -> Watched:
    world = at_step("five")
    world.gateways.refusing = "no such cluster"
    world.run(lambda: any(item.reason == "RejectedByGateway" for item in world.status.conditions))
    return world


@dataclass(frozen=True, slots=True)
class Moment:
    """How it comes about, and what must be said of it."""

    come: Callable[[], Watched]
    kstatus: Result
    health: str
    says: str
    """Words of Argo CD's message."""


MOMENTS: dict[str, Moment] = {
    "made, and the operator was not there": Moment(unseen, Result.IN_PROGRESS, "Progressing", "not seen"),
    "edited, and the operator was not there": Moment(edited, Result.IN_PROGRESS, "Progressing", "not seen"),
    "a first deployment starts": Moment(starting, Result.IN_PROGRESS, "Progressing", "0 of 2 pods ready"),
    "a first deployment never starts": Moment(refused, Result.FAILED, "Degraded", "NeverReady"),
    "the first model serves": Moment(deployed, Result.CURRENT, "Healthy", "1.0.0 serves"),
    "the candidate's smoke request": Moment(smoking, Result.IN_PROGRESS, "Progressing", "no weights"),
    "a canary's step": Moment(lambda: at_step("five"), Result.IN_PROGRESS, "Progressing", "5% of the traffic, Holding"),
    "evidence is not to be had": Moment(without_evidence, Result.IN_PROGRESS, "Progressing", "EvidenceUnavailable"),
    "the switch waits for a gateway": Moment(switching, Result.IN_PROGRESS, "Progressing", "100% of the traffic"),
    "a person paused it": Moment(paused, Result.IN_PROGRESS, "Suspended", "lunch"),
    "a person is to promote it": Moment(
        lambda: at(Phase.PAUSED, BY_HAND), Result.IN_PROGRESS, "Suspended", "left by hand"
    ),
    "suspended on the way": Moment(suspended_on_the_way, Result.IN_PROGRESS, "Suspended", "spec.suspend is true"),
    "suspended at rest": Moment(suspended_at_rest, Result.CURRENT, "Suspended", "spec.suspend is true"),
    "promoted and watched": Moment(
        lambda: at(Phase.WATCHING), Result.CURRENT, "Healthy", "2.0.0 serves, and is watched"
    ),
    "taken back": Moment(lambda: at(Phase.ROLLED_BACK, two=FAILING), Result.FAILED, "Degraded", "AnalysisFailed"),
    "failed, and rollback is not automatic": Moment(
        failed_and_left_to_people, Result.FAILED, "Degraded", "abort or promote"
    ),
    "failed after its promotion, and rollback is not automatic": Moment(
        failed_after_its_promotion_and_left_to_people, Result.FAILED, "Degraded", "roll back by a ModelCommand"
    ),
    "on its way back": Moment(going_back, Result.IN_PROGRESS, "Progressing", "nonsense"),
    "on its way back, and a gateway is silent": Moment(held_by_a_gateway, Result.IN_PROGRESS, "Degraded", "gateway-1"),
    "tries again": Moment(retried, Result.IN_PROGRESS, "Progressing", "of the traffic"),
    "Git went back after the rollback": Moment(back_in_git, Result.CURRENT, "Healthy", "1.0.0 serves"),
    "a spec that cannot be honoured": Moment(not_to_be_honoured, Result.FAILED, "Degraded", "Bandit"),
    "a shadow compares": Moment(shadowing, Result.IN_PROGRESS, "Progressing", "shadow"),
    "a shadow has compared": Moment(compared, Result.CURRENT, "Healthy", "1.0.0 serves; delay-"),
    "a test on users is under way": Moment(trying, Result.IN_PROGRESS, "Progressing", "the test is read once"),
    "a test on users is over": Moment(tried, Result.CURRENT, "Healthy", "1.0.0 serves; delay-"),
    "over quota": Moment(over_quota, Result.FAILED, "Degraded", "exceeded quota"),
    "over quota at rest": Moment(over_quota_at_rest, Result.FAILED, "Degraded", "exceeded quota"),
    "scaled up": Moment(scaled_up, Result.IN_PROGRESS, "Progressing", "2 of 5 pods ready"),
    "no pod left": Moment(without_a_pod, Result.IN_PROGRESS, "Degraded", "0 of 2 pods ready"),
    "a route that Envoy refuses": Moment(refused_by_envoy, Result.IN_PROGRESS, "Degraded", "no such cluster"),
}


@cache
def world_at(name: str) -> Watched:
    return MOMENTS[name].come()


@cache
def health_of(kind: str) -> HealthCheck:
    return HealthCheck(script(kind))


@pytest.mark.parametrize("name", MOMENTS)
def test_flux_takes_a_deployment_for_what_it_is(name: str) -> None:
    assert compute(world_at(name).body).result is MOMENTS[name].kstatus


@pytest.mark.parametrize("name", MOMENTS)
def test_argo_cd_says_how_a_deployment_is(name: str) -> None:
    moment, health = MOMENTS[name], health_of("ModelDeployment")(world_at(name).body)
    assert health.status == moment.health
    assert moment.says in health.message


def test_the_moments_are_all_there_are() -> None:
    """A phase without a moment is one that nobody has thought of."""
    seen = {world_at(name).phase for name in MOMENTS} - {None}
    assert set(Phase) - {Phase.SUPERSEDED, Phase.PENDING} <= seen


def test_a_canary_is_in_progress_once_and_then_current() -> None:
    world = deployed()
    world.deploy(CANARY_SPEC, image=TWO)
    world.seen.clear()
    world.run(lambda: world.phase is Phase.WATCHING)
    world.run(lambda: world.phase is Phase.COMPLETED)
    assert world.seen == [Result.IN_PROGRESS, Result.CURRENT]


def test_a_canary_that_is_taken_back_is_in_progress_once_and_then_failed() -> None:
    world = deployed(two=FAILING)
    world.deploy(CANARY_SPEC, image=TWO)
    world.seen.clear()
    world.run(lambda: world.phase is Phase.ROLLED_BACK)
    world.run_for(timedelta(minutes=5))
    assert world.seen == [Result.IN_PROGRESS, Result.FAILED]


def test_what_the_api_server_refused_at_rest_is_forgotten_when_it_no_longer_does() -> None:
    world = over_quota_at_rest()
    world.cluster.before_write = lambda _: None
    world.run(lambda: compute(world.body).result is Result.CURRENT, within=timedelta(minutes=2))
    assert world.status.rollout
    assert world.status.rollout.reason == "Deployed"
    assert world.replicas == {ONE: 5}


# --- whatever happens ------------------------------------------------------------------------------------------------

IMAGES = st.sampled_from([ONE, TWO, THREE])
HAPPENINGS = st.one_of(
    st.tuples(st.just("deploy"), IMAGES),
    st.tuples(st.just("pass"), st.integers(5, 90)),
    st.tuples(st.just("command"), st.sampled_from(["abort", "promote", "pause", "resume", "retry", "rollback"])),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("gateways"), st.sampled_from(["speak", "silent", "refuse"])),
    st.tuples(st.just("pods"), st.one_of(st.none(), IMAGES)),
    st.tuples(st.just("monitor"), st.booleans()),
    st.tuples(st.just("nonsense"), st.booleans()),
)


def happen(world: Watched, what: str, how: Any) -> None:
    """One thing that people or machines do, and a few seconds."""
    spec = {key: value for key, value in world.body["spec"].items() if key not in ("strategy",)}
    if what == "deploy":
        world.deploy(CANARY_SPEC, image=how)
    elif what == "command":
        held = world.status.rollout
        if held:
            words = {"revision": held.revision} if how in ("retry", "rollback") else {"rollout": held.id}
            world.command(how, **words)
    elif what == "suspend":
        world.deploy(spec, strategy=CANARY, suspend=how)
    elif what == "nonsense":
        world.deploy(spec, **(NONSENSE if how else {"strategy": CANARY}))
    elif what == "gateways":
        world.gateways.silent = {"gateway-1"} if how == "silent" else set()
        world.gateways.refusing = "no such cluster" if how == "refuse" else ""
    elif what == "pods":
        made = [body for body in world.cluster.find(kinds.MODEL_REVISION) if body["spec"]["pod"]["image"] == how]
        world.frozen_pods = {body["metadata"]["name"] for body in made}
    elif what == "monitor":
        world.monitor.down = "the monitor does not answer" if how else ""
    world.run_for(timedelta(seconds=how if what == "pass" else 6))


@settings(max_examples=10, deadline=None, suppress_health_check=[Check.too_slow], phases=[Generation.generate])
@given(st.lists(HAPPENINGS, min_size=2, max_size=8), st.sampled_from([0.0, 0.3]))
def test_at_no_moment_of_any_history_is_a_deployment_done_before_it_is(
    history: list[tuple[str, Any]], failing: float
) -> None:
    world = first(three=Model(version="3.0.0", failing=failing))
    world.stride = timedelta(seconds=2)
    for what, how in history:
        happen(world, what, how)


# --- every combination that the type allows --------------------------------------------------------------------------


def made(phase: Phase, statuses: tuple[str, ...], abnormal: str, *, seen: bool) -> dict[str, Any]:
    types = ("Accepted", "Available", "Judged", "Ready", "TrafficSynced")
    conditions = [
        {"type": kind, "status": status, "reason": f"Why{kind}", "message": f"{kind} is {status}"}
        for kind, status in zip(types, statuses, strict=True)
    ]
    if abnormal:
        conditions.append({"type": abnormal, "status": "True", "reason": "Because", "message": "of something"})
    return {
        "metadata": {"generation": 3},
        "status": {
            "observedGeneration": 3 if seen else 2,
            "stable": {"revision": "delay-1", "version": ""},
            "rollout": {"phase": phase.value, "message": "words", "weight": "5%", "waitingFor": "more"},
            "conditions": conditions,
        },
    }


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.value)
def test_argo_cd_and_flux_never_contradict_each_other(phase: Phase) -> None:
    judge = health_of("ModelDeployment")
    for statuses in itertools.product(("True", "False", "Unknown"), repeat=5):
        for abnormal, seen in itertools.product(("", "Reconciling", "Stalled"), (True, False)):
            body = made(phase, statuses, abnormal, seen=seen)
            health, result = judge(body), compute(body).result
            assert health.message
            if health.status == "Healthy":
                assert result is Result.CURRENT, body
            if result is Result.FAILED:
                assert health.status == "Degraded", body
            if not seen:
                assert health.status == "Progressing", body


@pytest.mark.parametrize(
    ("status", "health"),
    [
        pytest.param({}, Health("Progressing", "Pending"), id="nothing is known of it yet"),
        pytest.param({"phase": "Candidate"}, Health("Progressing", "Candidate"), id="on its way"),
        pytest.param({"phase": "Stable", "readyReplicas": 2}, Health("Healthy", "Stable"), id="serves"),
        pytest.param(
            {"phase": "Stable", "readyReplicas": 0}, Health("Degraded", "no pod is ready; Stable"), id="without pods"
        ),
        pytest.param({"phase": "Warm"}, Health("Healthy", "Warm"), id="the way back"),
        pytest.param(
            {"phase": "Retired", "reason": "Replaced"}, Health("Healthy", "Retired, Replaced"), id="was replaced"
        ),
        pytest.param(
            {"phase": "RolledBack", "reason": "AnalysisFailed", "message": "errors: 12%"},
            Health("Degraded", "RolledBack, AnalysisFailed: errors: 12%"),
            id="was taken back",
        ),
        pytest.param(
            {"phase": "Refused", "reason": "NeverReady"}, Health("Degraded", "Refused, NeverReady"), id="was refused"
        ),
    ],
)
def test_argo_cd_says_what_a_revision_is(status: dict[str, Any], health: Health) -> None:
    assert health_of("ModelRevision")({"metadata": {"generation": 1}, "status": status}) == health


@pytest.mark.parametrize("phase", RevisionPhase, ids=lambda phase: phase.value)
def test_argo_cd_knows_every_phase_of_a_revision(phase: RevisionPhase) -> None:
    assert health_of("ModelRevision")({"metadata": {}, "status": {"phase": phase.value}}).status != "Unknown"


def test_the_revisions_of_a_rollback_are_what_they_are() -> None:
    world = world_at("taken back")
    judged = {
        world.image(body["metadata"]["name"]): health_of("ModelRevision")(body).status
        for body in world.cluster.find(kinds.MODEL_REVISION, namespace=NAMESPACE)
    }
    assert judged == {ONE: "Healthy", TWO: "Degraded"}


def documents(path: str) -> dict[str, dict[str, Any]]:
    text = (EXAMPLES / path).read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_flux_waits_for_what_it_applies_from_the_repository_that_it_reads() -> None:
    found = documents("flux/models.yaml")
    source, applied = found["GitRepository"], found["Kustomization"]["spec"]
    assert applied["sourceRef"] == {"kind": "GitRepository", "name": source["metadata"]["name"]}
    assert (applied["wait"], applied["prune"]) == (True, True)
    assert parse_duration(applied["timeout"]) > timedelta(0)


def test_argo_cd_heals_itself_and_has_a_script_for_every_kind_that_has_a_status() -> None:
    policy = documents("argocd/application.yaml")["Application"]["spec"]["syncPolicy"]
    assert policy["automated"]["selfHeal"]
    scripts = {key.rpartition("_")[2] for key in documents("argocd/argocd-cm.yaml")["ConfigMap"]["data"]}
    # A ModelCommand is a person's, never Git's, and is gone after a week.
    assert scripts == {kind.kind for kind in KINDS if kind.status} - {"ModelCommand"}
