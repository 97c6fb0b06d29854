"""The operator's settings, from OPERATOR_* variables; an unknown one is an error, so chart and code cannot drift apart.

| variable | default | what |
|---|---|---|
| OPERATOR_NAMESPACE | `switchyard-system` | where the operator runs: its Lease, and the gateway's pods |
| OPERATOR_WATCH_NAMESPACES | empty: all | comma-separated namespaces whose ModelDeployments it serves |
| OPERATOR_IDENTITY | host name | this replica's name in the Lease (the pod's name) |
| OPERATOR_LEASE | `switchyard-operator` | name of the Lease |
| OPERATOR_GATEWAY_SELECTOR | name `switchyard`, component `gateway` | labels of the gateway's pods, `key=value,…` |
| OPERATOR_GATEWAY_PORT | 8081 | where each gateway pod serves `/routes` and `/counters` |
| OPERATOR_MONITOR_URL | empty: no evidence | `http://switchyard-monitor:8080` |
| OPERATOR_MONITOR_TOKEN_FILE | empty: none | a file with the monitor's bearer token |
| OPERATOR_WEBHOOK_KEY_FILE | empty: unsigned | a file with the key that signs what webhooks of gates and trainers get |
| OPERATOR_PROMETHEUS_URL | empty: `promql` is refused | the user's Prometheus, such as `https://prometheus:9090` |
| OPERATOR_PROMETHEUS_FOLDER | `/etc/switchyard/prometheus` | the files `token`, or `username` and `password`, if any |
| OPERATOR_PROMETHEUS_CA_FILE | empty: the image's own | a file with the certificate that signed Prometheus' own |
| OPERATOR_PROMETHEUS_TIMEOUT | `10s` | how long it may take for an answer |
| OPERATOR_NOTIFICATIONS | empty: nobody is told | a JSON list of `switchyard_contracts.notifications.Receiver` |
| OPERATOR_NOTIFICATIONS_FOLDER | `/etc/switchyard/notifications` | a receiver's Secret: `<name>/key`, `<name>/url` |
| OPERATOR_NOTIFICATIONS_HELD_AFTER | `10m` | how long evidence is awaited before a rollout counts as held |
| OPERATOR_NOTIFICATIONS_GIVE_UP_AFTER | `24h` | how long a receiver that does not take a notification is tried |
| OPERATOR_FREEZES | empty: none | a JSON list of `switchyard_contracts.freezes.Freeze`, for every deployment |
| OPERATOR_KAFKA_SERVERS | empty: nothing is published | `switchyard-kafka:9092` |
| OPERATOR_KAFKA_SECURITY, … | PLAINTEXT | who may in, and how: `switchyard_contracts.kafka_settings` |
| OPERATOR_TOPICS_CREATE | true | make topics that are missing |
| OPERATOR_TOPIC_PARTITIONS | 4 | of the topic of events when it is made |
| OPERATOR_TOPIC_REPLICATION | 1 | replication factor of topics that are made |
| OPERATOR_TOPIC_RETENTION | `7d` | how long topics that are made keep their records (not the compacted one) |
| OPERATOR_NETWORK_POLICIES | false | close the way out of models' pods, but for DNS and `spec.serving.egress` |
| OPERATOR_DNS_TO | empty: anybody | a JSON list of NetworkPolicy peers: whom models' pods may ask for names |
| OPERATOR_AUTOSCALERS | false | make HorizontalPodAutoscalers for `spec.serving.autoscaling`; without, it is refused |
| OPERATOR_WORKERS | 4 | deployments reconciled at the same time |
| OPERATOR_RESYNC | `5m` | how often everything is listed anew |
| OPERATOR_STATUS_INTERVAL | `1m` | how often numbers in a status may move while its state stays |
| OPERATOR_PORT | 8080 | `/healthz`, `/readyz`, `/metrics` |
| OPERATOR_LOG_FORMAT | `auto` | `json`, `text`; auto is text at a terminal, JSON elsewhere |

It needs no volume but the Secrets of these files (read-only) and, with a read-only root, an emptyDir on /tmp. Readiness
means "watching and synced" for leader and standby alike, liveness that watch events arrive and workers move.

RBAC, in the watched namespaces (cluster-wide by default); `tests/cluster/test_rights.py` holds the chart to it:
- switchyard.dev: modeldeployments (get list watch), modelrevisions (get list watch create patch), modelroutes (get list
  watch create update delete), modelcommands (list watch delete); modeldeployments/status, modelrevisions/status,
  modelcommands/status (update)
- apps: deployments; core: services; policy: poddisruptionbudgets; networking.k8s.io: networkpolicies if it makes them
  (each list watch create patch delete)
- autoscaling: horizontalpodautoscalers (list watch create patch delete), if it makes them
- batch: jobs (get create), for gates of the type OfflineEvaluation and for retraining
- core: configmaps (get create), pods (list watch), events (create patch); ModelRevisions as owners with
  blockOwnerDeletion false need no `update` on finalizers
and in its own namespace: coordination.k8s.io leases (get create update), pods (list).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import TypeAdapter, ValidationError, field_validator, model_validator
from switchyard_contracts.freezes import Freeze
from switchyard_contracts.kafka_settings import KafkaSettings
from switchyard_contracts.notifications import Receiver
from switchyard_contracts.promql import ADDRESS
from switchyard_contracts.quantities import Duration, format_duration, parse_duration

from switchyard_operator.domain import kinds
from switchyard_operator.domain.kinds import Kind

RECEIVERS = TypeAdapter(tuple[Receiver, ...])
FREEZES = TypeAdapter(tuple[Freeze, ...])
PEERS = TypeAdapter(tuple[dict[Literal["ipBlock", "namespaceSelector", "podSelector"], dict[str, Any]], ...])
Listed = TypeVar("Listed")


class Settings(KafkaSettings):
    """Read once in `main`, passed down."""

    PREFIX: ClassVar[str] = "OPERATOR_"

    namespace: str = "switchyard-system"
    watch_namespaces: str = ""
    identity: str = ""
    lease: str = "switchyard-operator"
    gateway_selector: str = "app.kubernetes.io/name=switchyard,app.kubernetes.io/component=gateway"
    gateway_port: int = 8081
    monitor_url: str = ""
    monitor_token_file: str = ""
    webhook_key_file: str = ""
    prometheus_url: str = ""
    prometheus_folder: str = "/etc/switchyard/prometheus"
    prometheus_ca_file: str = ""
    prometheus_timeout: Duration = parse_duration("10s")
    notifications: str = ""
    notifications_folder: str = "/etc/switchyard/notifications"
    notifications_held_after: Duration = parse_duration("10m")
    notifications_give_up_after: Duration = parse_duration("24h")
    freezes: str = ""
    kafka_servers: str = ""
    topics_create: bool = True
    topic_partitions: int = 4
    topic_replication: int = 1
    topic_retention: Duration = parse_duration("7d")
    network_policies: bool = False
    dns_to: str = ""
    autoscalers: bool = False
    workers: int = 4
    resync: Duration = parse_duration("5m")
    status_interval: Duration = parse_duration("1m")
    port: int = 8080
    log_format: Literal["auto", "json", "text"] = "auto"

    @field_validator("prometheus_url")
    @classmethod
    def _prometheus_can_be_named(cls, url: str) -> str:
        if url and not re.fullmatch(ADDRESS, url):
            raise ValueError(f"{url!r} is no address of a Prometheus; write one such as http://prometheus:9090")
        return url

    @field_validator("prometheus_timeout")
    @classmethod
    def _prometheus_answers_in_time(cls, timeout: timedelta) -> timedelta:
        if not timedelta(seconds=1) <= timeout <= timedelta(seconds=60):
            raise ValueError(f"{format_duration(timeout)} is not from 1s to 60s; write one such as 10s")
        return timeout

    @field_validator("freezes")
    @classmethod
    def _freezes_can_be_read(cls, text: str) -> str:
        _read(FREEZES, text)
        return text

    @field_validator("dns_to")
    @classmethod
    def _peers_can_be_read(cls, text: str) -> str:
        _read(PEERS, text)
        return text

    @field_validator("notifications")
    @classmethod
    def _receivers_can_be_read(cls, text: str) -> str:
        found = _read(RECEIVERS, text)
        names = [receiver.name for receiver in found]
        if len(set(names)) < len(names):
            raise ValueError(f"the names of receivers must differ: {', '.join(names)}")
        return text

    @model_validator(mode="after")
    def _receivers_can_be_reached(self) -> Self:
        on_kafka = [receiver.name for receiver in self.receivers if receiver.kafka]
        if on_kafka and not self.kafka_servers:
            raise ValueError(f"the receiver {on_kafka[0]!r} is told by Kafka; set {self.variable('kafka_servers')} too")
        return self

    @property
    def receivers(self) -> tuple[Receiver, ...]:
        """Who is told of rollouts."""
        return _read(RECEIVERS, self.notifications)

    @property
    def resolvers(self) -> tuple[Mapping[str, Any], ...]:
        """Who answers for names, as peers of NetworkPolicies; empty for anybody."""
        return tuple({str(key): value for key, value in peer.items()} for peer in _read(PEERS, self.dns_to))

    @property
    def frozen(self) -> tuple[Freeze, ...]:
        """When no deployment's weights rise."""
        return _read(FREEZES, self.freezes)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces to watch; empty for all."""
        return tuple(part.strip() for part in self.watch_namespaces.split(",") if part.strip())

    @property
    def optional_kinds(self) -> tuple[Kind, ...]:
        """What this installation makes beside what every one does."""
        asked = {kinds.NETWORK_POLICY: self.network_policies, kinds.AUTOSCALER: self.autoscalers}
        return tuple(kind for kind in kinds.OPTIONAL if asked[kind])

    @property
    def gateway_labels(self) -> dict[str, str]:
        """The selector as a mapping."""
        return dict(part.split("=", 1) for part in self.gateway_selector.split(",") if part)


def _read(kind: TypeAdapter[tuple[Listed, ...]], text: str) -> tuple[Listed, ...]:
    """A JSON list; what is wrong with it is said by place and field."""
    try:
        return kind.validate_json(text) if text else ()
    except ValidationError as error:
        raise ValueError("; ".join(_faults(error))) from error


def _faults(error: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False)]
