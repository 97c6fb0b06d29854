"""Feedback's log: the one in memory, which unit tests trust, and Kafka, which products trust, behind one suite."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from switchyard_contracts.events import TOPIC_EVENTS
from switchyard_feedback.adapters.bus import KafkaLog
from switchyard_feedback.api import create_app
from switchyard_feedback.metrics import Metrics
from switchyard_feedback.ports import Log, Record
from switchyard_feedback.tokens import Tokens
from switchyard_testkit.cache import Cache
from switchyard_testkit.envoy import free_port
from switchyard_testkit.feedback import NOON, MemoryLog, token_entry, write_tokens
from switchyard_testkit.halting import halt
from switchyard_testkit.kafka import Broker, broker
from switchyard_testkit.waiting import until

pytestmark = pytest.mark.timeout(300)
TIMEOUT = 1.5
"""Seconds after which Kafka counts as silent, where these tests silence it."""
PATIENCE = 30.0
"""The same where it has to answer, and may be slow."""


class InMemory:
    """The fake, driven as the suite wants it."""

    def __init__(self) -> None:
        self.memory = MemoryLog()

    def log(self, timeout: float) -> Log:
        return self.memory

    @contextmanager
    def silence(self) -> Iterator[None]:
        self.memory.silent = True
        yield
        self.memory.silent = False

    def read(self) -> list[Record]:
        return self.memory.records


class OnKafka:
    """The adapter on a broker of its own, on a topic of its own."""

    def __init__(self, process: Broker, topic: str) -> None:
        self.process, self.topic = process, topic

    def log(self, timeout: float) -> Log:
        return KafkaLog(
            {"bootstrap_servers": self.process.servers, "reconnect_backoff_max_ms": 200},
            timeout=timeout,
            max_pending=5_000,
            topic=self.topic,
        )

    @contextmanager
    def silence(self) -> Iterator[None]:
        """The broker hangs: its connections stay, and nothing is answered."""
        assert self.process.process is not None
        halt(self.process.process.pid)
        try:
            yield
        finally:
            self.process.process.send_signal(signal.SIGCONT)

    def read(self) -> list[Record]:
        return [Record(record.key, record.value) for record in self.process.read(self.topic)]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory) -> Iterator[Broker]:
    with broker(Cache.from_env(os.environ), tmp_path_factory.mktemp("kafka")) as process:
        yield process


@pytest.fixture(params=["memory", "kafka"])
def backend(request) -> InMemory | OnKafka:
    if request.param == "memory":
        return InMemory()
    process: Broker = request.getfixturevalue("kafka")
    topic = request.node.name.replace("[", "-").replace("]", "")
    process.create(topic, partitions=2)
    return OnKafka(process, topic)


def records(count: int, *, key: str = "shop/delay/p") -> list[Record]:
    return [Record(f"{key}-{index % 7}".encode(), f'{{"n": {index}}}'.encode()) for index in range(count)]


def test_what_is_confirmed_is_there_and_in_order_by_key(backend):
    async def story() -> list[bool]:
        log = backend.log(PATIENCE)
        kept = await log.append(records(1000))
        await log.close()
        return kept

    assert asyncio.run(story()) == [True] * 1000
    for key in {record.key for record in records(7)}:
        sent = [record.value for record in records(1000) if record.key == key]
        assert [record.value for record in backend.read() if record.key == key] == sent


def test_silence_is_answered_in_time_with_nothing_confirmed_and_ends_when_the_silence_does(backend):
    async def story() -> tuple[list[bool], float, list[bool]]:
        log = backend.log(TIMEOUT)
        await until_confirmed(log, records(1, key="before"))
        with backend.silence():
            began = time.monotonic()
            during = await log.append(records(20, key="during"))
            took = time.monotonic() - began
        after = await until_confirmed(log, records(3, key="after"))
        await log.close()
        return during, took, after

    during, took, after = asyncio.run(story())
    assert during == [False] * 20
    assert took < TIMEOUT + 5.0, "without an end of its patience it would wait for as long as the silence lasts"
    assert after == [True] * 3
    keys = [record.key for record in backend.read()]
    assert {b"before-0", b"after-0", b"after-1", b"after-2"} <= set(keys)


async def until_confirmed(log: Log, sent: list[Record], *, seconds: float = 60.0) -> list[bool]:
    """A client that tries again until it is confirmed; sending twice is its right."""
    end = time.monotonic() + seconds
    while True:
        kept = await log.append(sent)
        if all(kept) or time.monotonic() > end:
            return kept
        await asyncio.sleep(0.02)  # a refusal awaits nothing: without a pause here no acknowledgement would be heard


def test_nothing_is_appended_after_the_end(backend):
    async def story() -> list[bool]:
        log = backend.log(PATIENCE)
        under_way = asyncio.create_task(log.append(records(200)))
        await asyncio.sleep(0)
        await log.close()
        return await under_way

    assert asyncio.run(story()) == [True] * 200
    assert len(backend.read()) == 200


def test_it_starts_without_a_broker_and_works_once_there_is_one(tmp_path, kafka):
    """Only Kafka can be absent at the start; the fake's silence stands for it in unit tests."""
    late = Broker(kafka.jars, tmp_path)

    async def story() -> tuple[list[bool], list[bool]]:
        log = OnKafka(late, "late").log(TIMEOUT)
        without = await log.append(records(2))
        await asyncio.to_thread(late.start)
        await asyncio.to_thread(late.create, "late")
        having = await until_confirmed(log, records(2))
        await log.close()
        return without, having

    try:
        assert asyncio.run(story()) == ([False, False], [True, True])
        assert len(late.read("late")) >= 2
    finally:
        late.end(signal.SIGKILL)


def test_what_waits_for_kafka_is_bounded(kafka):
    async def story() -> tuple[float, list[bool]]:
        on_kafka = OnKafka(kafka, "bounded")
        log = on_kafka.log(5.0)
        await until_confirmed(log, records(1))
        with on_kafka.silence():
            waiting = [asyncio.create_task(log.append(records(1000))) for _ in range(5)]
            await asyncio.sleep(0)
            began = time.monotonic()
            refused = await log.append(records(1))
            took = time.monotonic() - began
            await asyncio.gather(*waiting)
        assert await until_confirmed(log, records(1)) == [True]
        await log.close()
        return took, refused

    kafka.create("bounded")
    took, refused = asyncio.run(story())
    assert refused == [False]
    assert took < 5.0, "it waited for Kafka, where there was no room to wait"


def test_the_door_itself_on_kafka_answers_503_in_silence_and_a_retry_counts_once(tmp_path, kafka):
    """The whole service on a socket: uvicorn, the tokens' file, the adapter, the broker."""
    kafka.create("door")
    on_kafka = OnKafka(kafka, "door")
    item = {"predictionId": "p-1", "value": 12.5, "at": "2026-03-02T11:00:00Z"}

    async def story() -> list[httpx.Response]:
        async def until_taken() -> httpx.Response:
            end = time.monotonic() + 60
            while True:
                answer = await client.post("/v1/shop/delay/outcomes", json=item)
                if answer.status_code == 202 or time.monotonic() > end:
                    return answer

        async with serving(tmp_path, on_kafka.log(TIMEOUT)) as client:
            first = await until_taken()
            with on_kafka.silence():
                during = await client.post("/v1/shop/delay/outcomes", json=item)
            return [first, during, await until_taken()]

    answers = asyncio.run(story())
    assert answers[0].status_code == answers[-1].status_code == 202
    assert answers[1].status_code == 503
    assert answers[1].headers["retry-after"] == "5"
    assert answers[1].json()["unconfirmed"] == [0]
    values = {record.value for record in on_kafka.read()}
    assert len(values) == 1  # the same item, byte for byte: one event, however often it was sent
    assert answers[0].json()["events"][0].encode() in values.pop()


class serving:  # noqa: N801 - reads as a verb where it is used
    """Feedback on a socket of its own, and a client for it."""

    def __init__(self, folder: Path, log: Log) -> None:
        path = write_tokens(folder / "tokens.json", token_entry("till", "right", "shop/*"))
        app = create_app(
            tokens=Tokens(path), events=log, monitor=None, metrics=Metrics(), max_body=2**20, now=lambda: NOON
        )
        self.server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))

    async def __aenter__(self) -> httpx.AsyncClient:
        self.task = asyncio.create_task(self.server.serve())
        end = time.monotonic() + 60
        while not self.server.started:
            assert time.monotonic() < end, "uvicorn has not started in 60 s"
            await asyncio.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        headers = {"authorization": "Bearer right"}
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)
        return self.client

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        self.server.should_exit = True
        await self.task


def test_as_a_process_it_finishes_what_is_under_way_when_it_is_told_to_stop(tmp_path, kafka):
    """`python -m switchyard_feedback`, as the image runs it, told to stop while Kafka has not answered yet."""
    on_kafka, port = OnKafka(kafka, TOPIC_EVENTS), free_port()
    kafka.create(TOPIC_EVENTS)
    tokens = write_tokens(tmp_path / "tokens.json", token_entry("till", "right", "shop/*"))
    environment = {
        "PATH": os.environ["PATH"],
        "FEEDBACK_KAFKA_SERVERS": kafka.servers,
        "FEEDBACK_KAFKA_TIMEOUT": f"{PATIENCE:.0f}s",
        "FEEDBACK_TOKENS_FILE": str(tokens),
        "FEEDBACK_PORT": str(port),
    }
    item = {"predictionId": "p-1", "value": 12.5, "at": "2026-03-02T11:00:00Z"}
    url = f"http://127.0.0.1:{port}"

    def send() -> httpx.Response:
        return httpx.post(
            f"{url}/v1/shop/delay/outcomes", json=item, headers={"authorization": "Bearer right"}, timeout=60
        )

    process = subprocess.Popen([sys.executable, "-m", "switchyard_feedback"], env=environment)
    try:
        until(lambda: answers(f"{url}/readyz"), "feedback answers", seconds=90)
        assert send().status_code == 202
        with ThreadPoolExecutor() as pool:
            with on_kafka.silence():
                under_way = pool.submit(send)
                until(lambda: waiting(url) == 1, "the request waits for Kafka", seconds=20)
                process.terminate()
            assert under_way.result(60).status_code == 202
        assert process.wait(60) in (0, -signal.SIGTERM)
        assert len(on_kafka.read()) == 2
    finally:
        process.kill()
        process.wait(10)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def waiting(url: str) -> int:
    """How many requests wait for Kafka now, by feedback's own metric."""
    lines = httpx.get(f"{url}/metrics", timeout=30).text.splitlines()
    return next(int(float(line.split()[1])) for line in lines if line.startswith("switchyard_feedback_waiting "))
