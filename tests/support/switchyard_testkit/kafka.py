"""A real Kafka broker as a process on loopback, from the jars that the embedded broker's image is made of."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from switchyard_testkit.cache import Cache, recipe_key
from switchyard_testkit.envoy import free_port
from switchyard_testkit.errors import MachineError
from switchyard_testkit.kafka_security import Security
from switchyard_testkit.waiting import until

RECIPE = Path(__file__).resolve().parents[3] / "charts" / "images" / "kafka"
CLUSTER_ID = "c3dpdGNoeWFyZC10ZXN0cw"


def jars(cache: Cache) -> Path:
    """The folder of the broker's jars, fetched once for each content of the recipe and checked against its hashes."""
    pom, hashes = RECIPE / "pom.xml", RECIPE / "jars.sha256"

    def make(folder: Path) -> None:
        for tool in ("java", "mvn"):
            if shutil.which(tool) is None:
                raise MachineError(f"the broker for the tests needs `{tool}`; `make doctor` says how to get it.")
        subprocess.run(
            [
                "mvn",
                "-q",
                "-B",
                "-f",
                str(pom),
                "dependency:copy-dependencies",
                "-DincludeScope=runtime",
                f"-DoutputDirectory={folder}",
            ],
            check=True,
        )
        for line in hashes.read_text().splitlines():
            expected, name = line.split()
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
                raise MachineError(
                    f"{name} is not the file that {hashes} names; it was fetched damaged or was replaced."
                )

    return cache.build("kafka-jars", recipe_key({"pom": pom.read_bytes(), "hashes": hashes.read_bytes()}), make)


@dataclass
class Broker:
    """One broker with a place and a port of its own; stopped and started again it has what it had."""

    jars: Path
    folder: Path
    port: int = field(default_factory=free_port)
    controller_port: int = field(default_factory=free_port)
    inside_port: int = field(default_factory=free_port)
    message_max_bytes: int = 1_048_588
    security: Security | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    """What differs from the settings of all tests."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def inside(self) -> str:
        """The test's own door, which stays open when clients must show who they are."""
        return f"127.0.0.1:{self.inside_port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        configuration = self.folder / "server.properties"
        if not configuration.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            configuration.write_text("".join(f"{key}={value}\n" for key, value in self._properties().items()))
            words = ["format", "--cluster-id", CLUSTER_ID, "--config", str(configuration)]
            words += self.security.formatting() if self.security else []
            if self._java("kafka.tools.StorageTool", *words).wait(60):
                raise RuntimeError(f"the storage was not formatted: {(self.folder / 'broker.log').read_text()[-2000:]}")
        self.process = self._java("kafka.Kafka", str(configuration))
        until(self._answers, f"the broker answers; its log is {self.folder / 'broker.log'}", seconds=100)

    def create(self, topic: str, *, partitions: int = 4, configuration: Mapping[str, str] | None = None) -> None:
        """Have a topic, known to whoever asks: the broker hears of it some time after the controller has made it."""
        admin = KafkaAdminClient(bootstrap_servers=self.inside)
        try:
            with suppress(TopicAlreadyExistsError):
                made = NewTopic(
                    topic, num_partitions=partitions, replication_factor=1, topic_configs=dict(configuration or {})
                )
                admin.create_topics([made])
            admin.wait_for_topics([topic], timeout_ms=60_000)
        finally:
            admin.close()

    def configure(self, topic: str, **configuration: str) -> None:
        """Change settings of a topic that is there; dots are written as underscores."""
        admin = KafkaAdminClient(bootstrap_servers=self.inside)
        try:
            wanted = {name.replace("_", "."): value for name, value in configuration.items()}
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, wanted)])
        finally:
            admin.close()

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Of each partition, the first offset that it still has, and the one after its last."""
        consumer = KafkaConsumer(bootstrap_servers=self.inside, enable_auto_commit=False)
        try:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        finally:
            consumer.close()
        return {one.partition: (starts[one], ends[one]) for one in partitions}

    def read(self, topic: str) -> list[Any]:
        """Every record of the topic up to its present end."""
        consumer = KafkaConsumer(bootstrap_servers=self.inside, enable_auto_commit=False, max_poll_records=5000)
        try:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            records: list[Any] = []
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for batch in consumer.poll(timeout_ms=500).values():
                    records.extend(batch)
            return records
        finally:
            consumer.close()

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it and wait for the end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.process = None

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"the broker ended: {(self.folder / 'broker.log').read_text()[-2000:]}")
        try:
            KafkaAdminClient(bootstrap_servers=self.inside, bootstrap_timeout_ms=500, request_timeout_ms=2000).close()
        except KafkaError:
            return False
        return True

    def _java(self, *arguments: str) -> subprocess.Popen[bytes]:
        options = ["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
        with (self.folder / "broker.log").open("ab") as log:
            return subprocess.Popen(["java", *options, "-cp", f"{self.jars}/*", *arguments], stdout=log, stderr=log)

    def _properties(self) -> dict[str, object]:
        protocol = self.security.protocol if self.security else "PLAINTEXT"
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"CLIENT://{self.servers},INSIDE://{self.inside},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"CLIENT://{self.servers},INSIDE://{self.inside}",
            "listener.security.protocol.map": f"CLIENT:{protocol},INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "INSIDE",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",
            "message.max.bytes": self.message_max_bytes,
            "log.message.timestamp.type": "LogAppendTime",
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            **(self.security.broker("CLIENT") if self.security else {}),
            **self.settings,
        }


@contextmanager
def broker(
    cache: Cache, folder: Path, *, security: Security | None = None, settings: Mapping[str, object] | None = None
) -> Iterator[Broker]:
    """A running broker, ended whatever happens."""
    process = Broker(jars(cache), folder, security=security, settings=settings or {})
    try:
        process.start()
        yield process
    finally:
        process.end(signal.SIGKILL)
