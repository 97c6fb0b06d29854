"""Everything that the story reads from the running system, and the few things it writes: the one room with I/O.

Where a figure comes from matters as much as the figure: weights and decisions from the resources, quality from the
monitor's API, delivered events from the topic itself, the account from each gateway pod.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from kafka import KafkaConsumer, TopicPartition
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from switchyard_contracts.alarm_records import AlarmBook
from switchyard_contracts.base import LABEL_REQUEST
from switchyard_contracts.events import TOPIC_EVENTS, EventType
from switchyard_contracts.model_deployment import ModelDeploymentStatus
from switchyard_contracts.model_route import ModelRouteSpec, RouteRole
from switchyard_profile.reference import Reference
from switchyard_testkit.apiserver import api_client
from switchyard_testkit.install import Installation, slot_folder
from switchyard_testkit.topics import cluster_names

from switchyard_demo_model.product.gateway import Addresses
from switchyard_demo_model.serving.model import LinearModel
from switchyard_demo_model.story.figures import Account, Quality, Serving, Topic
from switchyard_demo_model.story.plot import NAME
from switchyard_demo_model.story.watched import Finding, Training, Window

RESOURCES = ("switchyard.dev", "v1alpha1")
APPLY = "application/apply-patch+yaml"
MINE = "switchyard.dev/story"
FINDING = tuple(each.name for each in fields(Finding))
PRIMARY = frozenset({RouteRole.STABLE, RouteRole.CANDIDATE})
LABELS = {MINE: "flights", "pod-security.kubernetes.io/enforce": "restricted"}


class NotThere(RuntimeError):
    """Something that the story needs is missing; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Readings:
    """One installed Switchyard, and the namespace in which the story plays."""

    installation: Installation
    namespace: str

    @property
    def subject(self) -> str:
        """`<namespace>/<name>`, as events and the monitor say it."""
        return f"{self.namespace}/{NAME}"

    def addresses(self) -> Addresses:
        """Where the product finds things."""
        return Addresses(
            predict=f"{self.installation.gateway}/{self.subject}/predict",
            feedback=f"{self.installation.feedback}/v1/{self.subject}",
            token=self.installation.feedback_token,
        )

    def image(self, recipe: str) -> str:
        """A model's image in the cluster's registry, by digest."""
        title = f"demo/flight-delay:{recipe}"
        held: dict[str, str] = json.loads((slot_folder(self.installation.slot) / "images.json").read_text())
        if title not in held:
            raise NotThere(f"{title} is not among the images of slot {self.installation.slot}; run `make images`")
        return held[title]

    def provenance(self, recipe: str) -> Mapping[str, str]:
        """Where the model came from, as its Bento says."""
        held = json.loads((self._artefact(recipe) / "provenance.json").read_text())
        return {
            "gitCommit": held["git_commit"],
            "dataDigest": held["data_digest"],
            "trainingRun": held["model_digest"],
            "pipeline": held["pipeline"],
        }

    def model(self, recipe: str) -> LinearModel:
        """The model itself, as its Bento holds it."""
        return LinearModel.from_bytes((self._artefact(recipe) / "model.json").read_bytes())

    def make_room(self) -> None:
        """Have a namespace of our own; those of earlier stories go, with all that is in them."""
        with api_client(self.installation.slot) as api:
            core = client.CoreV1Api(api)
            for old in core.list_namespace(label_selector=MINE).items:
                if old.metadata and old.metadata.name:
                    core.delete_namespace(old.metadata.name, propagation_policy="Background")
            metadata = client.V1ObjectMeta(name=self.namespace, labels=LABELS)
            core.create_namespace(client.V1Namespace(metadata=metadata))

    def apply(self, body: Mapping[str, Any]) -> int:
        """Apply the chapter's file as kubectl would; the generation it got."""
        with api_client(self.installation.slot) as api:
            client.CustomObjectsApi(api).patch_namespaced_custom_object(
                *RESOURCES,
                self.namespace,
                "modeldeployments",
                NAME,
                dict(body),
                field_manager="demo",
                force=True,
                field_validation="Strict",
                _content_type=APPLY,
            )
        # Read back, because the client hands nothing over where the patch created the object.
        return int(self._get("modeldeployments")["metadata"]["generation"])

    def status(self) -> ModelDeploymentStatus:
        """What the operator says now."""
        return ModelDeploymentStatus.model_validate(self._get("modeldeployments").get("status") or {})

    def serving(self) -> Serving:
        """Who answers, by the route itself."""
        stable = ModelRouteSpec.model_validate(self._get("modelroutes")["spec"]).stable
        return Serving(version=stable.version, weight_bp=stable.weight_bp)

    def versions(self) -> dict[str, str]:
        """The version that each revision goes by, from the registry of revisions."""
        with api_client(self.installation.slot) as api:
            found: Any = client.CustomObjectsApi(api).list_namespaced_custom_object(
                *RESOURCES, self.namespace, "modelrevisions"
            )
        return {
            item["metadata"]["name"]: (item.get("status") or {}).get("version") or item["spec"].get("version", "")
            for item in found["items"]
        }

    def quality(self) -> list[Quality]:
        """Each revision in each primary role, as the monitor judged it."""
        versions = self.versions()
        return [
            Quality(
                revision=line["revision"],
                version=versions.get(line["revision"], line["revision"]),
                predictions=line["predictions"],
                labelled=line["labelled"],
                rmse=line["latest"]["rmse"],
                decisions=line["agreement"]["n"],
                agreed=line["agreement"]["agreed"],
            )
            for line in self._monitor("quality")
            if line["role"] in PRIMARY
        ]

    def hand_over(self, reference: Reference) -> str:
        """Give the monitor the reference that the file names; why it has not taken it, or nothing when it has."""
        answer = self._ask("PUT", "baseline", content=reference.to_bytes())
        if answer.status_code in (404, 409):  # it has not heard of the file yet
            return str(answer.json().get("detail", answer.text))
        answer.raise_for_status()
        return ""

    def alarms(self) -> AlarmBook:
        """How each alarm stands, and what was said of them."""
        return AlarmBook.model_validate(self._monitor("alarms", limit=500))

    def drift(self) -> list[Window]:
        """What the last windows of the version that serves say of X and Y."""
        stable = self.status().stable
        if stable is None:
            return []
        found = self._monitor("drift", revision=stable.revision, windows=90)
        return [
            Window(
                datetime.fromisoformat(window["start"]),
                window["rows"],
                [Finding(**{name: one[name] for name in FINDING}) for one in window["findings"]],
            )
            for window in found["windows"]
        ]

    def trainings(self) -> list[Training]:
        """The Jobs that were started to train."""
        with api_client(self.installation.slot) as api:
            jobs = client.BatchV1Api(api).list_namespaced_job(self.namespace, label_selector=LABEL_REQUEST)
            pods = client.CoreV1Api(api).list_namespaced_pod(self.namespace, label_selector=LABEL_REQUEST)
            # As JSON has them: what the API server always sets need not be asked for part by part.
            untyped: Any = api
            made, ran = ([untyped.sanitize_for_serialization(one) for one in found.items] for found in (jobs, pods))
        words = {pod["metadata"]["labels"][LABEL_REQUEST]: last_words(pod) for pod in ran}
        return [training(job, words) for job in made]

    def topic(self) -> Topic:
        """How many inference events the topic holds of each prediction id of this story."""
        found = Topic(primary=Counter(), mirrored=Counter())
        seen: set[str] = set()  # of events: a resend keeps its id, and is one event
        with cluster_names(self.installation) as servers:
            consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, max_poll_records=5000)
            try:
                partitions = [
                    TopicPartition(TOPIC_EVENTS, n) for n in consumer.partitions_for_topic(TOPIC_EVENTS) or ()
                ]
                consumer.assign(partitions)
                consumer.seek_to_beginning(*partitions)
                ends = consumer.end_offsets(partitions)
                while any(consumer.position(partition) < ends[partition] for partition in partitions):
                    for batch in consumer.poll(timeout_ms=1000).values():
                        for record in batch:
                            event = self._mine(record.key, record.value)
                            if event and event["id"] not in seen:
                                seen.add(event["id"])
                                mirrored = event["data"]["role"] == RouteRole.SHADOW
                                kind = found.mirrored if mirrored else found.primary
                                kind[event["data"]["predictionId"]] += 1
            finally:
                consumer.close()
        return found

    def account(self) -> Account:
        """The shippers' account, every gateway pod's together."""
        with api_client(self.installation.slot) as api:
            pods = client.CoreV1Api(api).list_namespaced_pod(
                self.installation.namespace, label_selector="app.kubernetes.io/component=gateway"
            )
            addresses = [pod.status.pod_ip for pod in pods.items if pod.status and pod.status.pod_ip]
        books = [
            httpx.get(f"http://{address}:8082/account", timeout=10).raise_for_status().json() for address in addresses
        ]
        return Account(
            served=sum(book["served"] for book in books),
            delivered=sum(book["delivered"] for book in books),
            open=sum(book["unaccounted"] + book["spooled"] + sum(book["dropped"].values()) for book in books),
        )

    def _mine(self, key: bytes | None, value: bytes | None) -> dict[str, Any] | None:
        """The event, if it is an inference of this story that a user asked for, or a copy of one."""
        if not (key or b"").startswith(f"{self.subject}/".encode()) or value is None:
            return None
        event: dict[str, Any] = json.loads(value)
        mine = event["type"] == EventType.INFERENCE and event["data"]["role"] in {*PRIMARY, RouteRole.SHADOW}
        return event if mine and event["data"].get("assignment") != "pinned" else None

    def _get(self, plural: str) -> dict[str, Any]:
        with api_client(self.installation.slot) as api:
            try:
                found: Any = client.CustomObjectsApi(api).get_namespaced_custom_object(
                    *RESOURCES, self.namespace, plural, NAME
                )
            except ApiException as error:
                if error.status == 404:
                    raise NotThere(f"{plural} {self.subject} is not there") from error
                raise
        return dict(found)

    def _artefact(self, recipe: str) -> Path:
        """The folder of the model in its Bento."""
        bento = slot_folder(self.installation.slot).parents[1] / "bentos" / recipe
        if not bento.is_dir():
            raise NotThere(f"there is no Bento {bento}; run `make images`")
        return bento / "src/switchyard_demo_model/serving/artefact"

    def _monitor(self, what: str, **query: str | int) -> Any:
        return self._ask("GET", what, query=query).raise_for_status().json()

    def _ask(
        self, method: str, what: str, *, query: Mapping[str, str | int] | None = None, content: bytes | None = None
    ) -> httpx.Response:
        return httpx.request(
            method,
            f"{self.installation.monitor}/v1/deployments/{self.subject}/{what}",
            params=query,
            content=content,
            headers={"authorization": f"Bearer {self.installation.monitor_token}"},
            timeout=20,
        )


def training(job: Mapping[str, Any], words: Mapping[str, str]) -> Training:
    """What a Job of retraining was told, and how it ended."""
    request = job["metadata"]["labels"][LABEL_REQUEST]
    told = {item["name"]: item.get("value", "") for item in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    ends = [item["type"] for item in job.get("status", {}).get("conditions", []) if item["status"] == "True"]
    return Training(
        name=job["metadata"]["name"],
        request=request,
        evidence=told.get("SWITCHYARD_RETRAIN_EVIDENCE", ""),
        ended=next((end for end in ("Complete", "Failed") if end in ends), ""),
        words=words.get(request, ""),
    )


def last_words(pod: Mapping[str, Any]) -> str:
    """What its container left when it ended."""
    states = [one.get("state", {}) for one in pod.get("status", {}).get("containerStatuses", [])]
    return next((str(state["terminated"].get("message", "")) for state in states if "terminated" in state), "")
