"""The topics as an outsider reads them: a plain consumer of the cluster's broker, from this machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from switchyard_testkit.install import NAMESPACE, RELEASE, Installation, run, service_address


@contextmanager
def cluster_names(installation: Installation) -> Iterator[str]:
    """Resolve the broker's cluster name to its Service's address while inside; yields `host:port` to bootstrap from.

    The broker tells clients to come back by the name that pods know it by. This machine reaches the address, but asks
    another name server; writing into its hosts file would leave something behind.
    """
    name = f"{RELEASE}-kafka.{NAMESPACE}.svc"
    address = service_address(f"{RELEASE}-kafka", installation.kubeconfig).removeprefix("http://").partition(":")[0]
    resolve = socket.getaddrinfo

    def resolve_cluster(host: Any, *arguments: Any, **keywords: Any) -> Any:
        return resolve(address if host == name else host, *arguments, **keywords)

    socket.getaddrinfo = resolve_cluster
    try:
        yield f"{name}:9092"
    finally:
        socket.getaddrinfo = resolve


def read_all(installation: Installation, topic: str, *, since: datetime | None = None) -> list[dict[str, Any]]:
    """Every record of the topic up to its present end: parsed value (or raw bytes under `raw`), key, place and time.

    With a time, those that the broker took at or after it.
    """
    records: list[dict[str, Any]] = []
    with cluster_names(installation) as servers:
        consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, max_poll_records=5000)
        try:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            for partition, start in _starts(consumer, partitions, since).items():
                consumer.seek(partition, ends[partition] if start is None else start)
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for partition, batch in consumer.poll(timeout_ms=1000).items():
                    records.extend(_plain(record) for record in batch if record.offset < ends[partition])
        finally:
            consumer.close()
    return records


def _starts(
    consumer: KafkaConsumer, partitions: Sequence[TopicPartition], since: datetime | None
) -> dict[TopicPartition, int | None]:
    """Where to begin in each partition; None where nothing is that new."""
    if since is None:
        return dict(consumer.beginning_offsets(partitions))
    found = consumer.offsets_for_times(dict.fromkeys(partitions, int(since.timestamp() * 1000)))
    return {each: at.offset if at is not None and at.offset >= 0 else None for each, at in found.items()}


def born(installation: Installation, subject: str) -> datetime:
    """When the namespace of a deployment was made, less a minute for clocks that differ: it has no event before."""
    arguments = ("get", "namespace", subject.partition("/")[0], "-o", "jsonpath={.metadata.creationTimestamp}")
    text = run("kubectl", *arguments, kubeconfig=installation.kubeconfig)
    return datetime.fromisoformat(text.replace("Z", "+00:00")) - timedelta(minutes=1)


def _plain(record: Any) -> dict[str, Any]:
    place = {
        "key": (record.key or b"").decode(errors="replace"),
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
    }
    try:
        return {**place, "value": json.loads(record.value) if record.value is not None else None}
    except ValueError:
        return {**place, "raw": record.value}


def inferences(installation: Installation, subject: str) -> list[dict[str, Any]]:
    """The inference events of one deployment, in the order of their partitions."""
    return [
        record["value"]
        for record in read_all(installation, "switchyard.events", since=born(installation, subject))
        if isinstance(record.get("value"), dict)
        and record["value"].get("subject") == subject
        and record["value"].get("type") == "dev.switchyard.inference.v1"
    ]


def send_raw(installation: Installation, topic: str, records: list[tuple[bytes | None, bytes]]) -> None:
    """Put bytes on a topic as any producer could, well-formed or not."""
    with cluster_names(installation) as servers:
        producer = KafkaProducer(bootstrap_servers=servers, acks="all")
        try:
            for future in [producer.send(topic, key=key, value=value) for key, value in records]:
                future.get(timeout=30)
        finally:
            producer.close()
