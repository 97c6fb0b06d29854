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
| OPERATOR_WEBHOOK_KEY_FILE | empty: unsigned | a file with the key by which questions to gates' webhooks are signed |
| OPERATOR_KAFKA_SERVERS | empty: nothing is published | `switchyard-kafka:9092` |
| OPERATOR_KAFKA_SECURITY, … | PLAINTEXT | who may in, and how: `switchyard_contracts.kafka_settings` |
| OPERATOR_TOPICS_CREATE | true | make topics that are missing |
| OPERATOR_TOPIC_PARTITIONS | 4 | of `switchyard.events` when it is made |
| OPERATOR_TOPIC_REPLICATION | 1 | replication factor of topics that are made |
| OPERATOR_TOPIC_RETENTION | `7d` | how long topics that are made keep their records (not the compacted one) |
| OPERATOR_NETWORK_POLICIES | false | close the way out of models' pods, but for DNS and `spec.serving.egress` |
| OPERATOR_WORKERS | 4 | deployments reconciled at the same time |
| OPERATOR_RESYNC | `5m` | how often everything is listed anew |
| OPERATOR_STATUS_INTERVAL | `1m` | how often numbers in a status may move while its state stays |
| OPERATOR_PORT | 8080 | `/healthz`, `/readyz`, `/metrics` |
| OPERATOR_LOG_FORMAT | `auto` | `json`, `text`; auto is text at a terminal, JSON elsewhere |

It needs no volume but the token's Secret (mounted read-only) and, with a read-only root, an emptyDir on /tmp. Readiness
means "watching and synced" for leader and standby alike, liveness that watch events arrive and workers move.

RBAC, in the watched namespaces (cluster-wide by default); `tests/cluster/test_rights.py` holds the chart to it:
- switchyard.dev: modeldeployments (get list watch), modelrevisions (get list watch create patch), modelroutes (get list
  watch create update delete), modelcommands (list watch delete); modeldeployments/status, modelrevisions/status,
  modelcommands/status (update)
- apps: deployments; core: services; policy: poddisruptionbudgets; networking.k8s.io: networkpolicies if it makes them
  (each list watch create patch delete)
- core: configmaps (get create), pods (list watch), events (create patch); ModelRevisions as owners with
  blockOwnerDeletion false need no `update` on finalizers
and in its own namespace: coordination.k8s.io leases (get create update), pods (list).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from switchyard_contracts.kafka_settings import KafkaSettings
from switchyard_contracts.quantities import Duration, parse_duration


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
    kafka_servers: str = ""
    topics_create: bool = True
    topic_partitions: int = 4
    topic_replication: int = 1
    topic_retention: Duration = parse_duration("7d")
    network_policies: bool = False
    workers: int = 4
    resync: Duration = parse_duration("5m")
    status_interval: Duration = parse_duration("1m")
    port: int = 8080
    log_format: Literal["auto", "json", "text"] = "auto"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces to watch; empty for all."""
        return tuple(part.strip() for part in self.watch_namespaces.split(",") if part.strip())

    @property
    def gateway_labels(self) -> dict[str, str]:
        """The selector as a mapping."""
        return dict(part.split("=", 1) for part in self.gateway_selector.split(",") if part)
