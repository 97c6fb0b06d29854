"""The ways to receivers of notifications: a signed POST, or a record on a topic. A try is bounded and never raises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx
from kafka.errors import KafkaError
from switchyard_contracts.canonical import canonical
from switchyard_contracts.kafka_settings import SecretUnreadable
from switchyard_contracts.notifications import Notification, WebhookReceiver
from switchyard_contracts.producer import Producer
from switchyard_contracts.topics import TopicSpec

from switchyard_operator.adapters.topics import TopicSettings, ensure
from switchyard_operator.adapters.webhooks import headers
from switchyard_operator.domain import letters

logger = logging.getLogger(__name__)

KAFKA_TIMEOUT = 10.0


class WebhookPost:
    """One POST; any 2xx is the receipt. A redirect is none: who is told is who the values name."""

    def __init__(
        self,
        http: httpx.Client,
        said: WebhookReceiver,
        *,
        url: Callable[[], str],
        key: Callable[[], str],
        clock: Callable[[], datetime],
    ) -> None:
        """`url` and `key` are read anew for each try: a Secret's files change when it is renewed."""
        self._http = http
        self._said = said
        self._url = url
        self._key = key
        self._clock = clock

    def send(self, subject: str, notification: Notification) -> str:
        """One try."""
        write = letters.slack if self._said.format == "slack" else letters.document
        body = canonical(write(subject, notification))
        url = self._said.url or self._url()
        if not url:
            return f"no URL: say webhook.url, or give the Secret {self._said.secret!r} the key url"
        seconds = self._said.timeout.total_seconds()
        try:
            host = httpx.URL(url).host  # the rest of a URL may be a secret, so it is never said
            with self._http.stream(
                "POST",
                url,
                content=body,
                headers=headers(notification.id, body, key=self._key(), now=self._clock()),
                timeout=httpx.Timeout(seconds, connect=min(seconds, 3.0)),
                follow_redirects=False,
            ) as response:
                return "" if response.is_success else f"{host} answered {response.status_code}"
        except (httpx.InvalidURL, UnicodeError):
            return "its URL cannot be read; write one such as https://hooks.example.com/rollouts"
        except httpx.TimeoutException:
            return f"{host} has not answered within {seconds:g}s"
        except httpx.HTTPError as error:
            return f"{host} cannot be told: {type(error).__name__}"

    def close(self) -> None:
        """The client is shared, and is closed by who made it."""


class KafkaPost:
    """One record, acknowledged by every replica in sync. The producer is made when there is something to tell."""

    def __init__(
        self,
        topic: str,
        connection: Callable[[], Mapping[str, Any]],
        *,
        topics: TopicSettings | None,
        explain: Callable[[BaseException], str] = str,
    ) -> None:
        self._topic = topic
        self._connection = connection
        self._topics = topics
        self._explain = explain
        self._producer: Producer | None = None

    def send(self, subject: str, notification: Notification) -> str:
        """One try; after a failure the producer is made anew (see `contracts.producer`)."""
        value = canonical(letters.document(subject, notification))
        marks = [("idempotency-key", notification.id.encode())]
        try:
            producer = self._ready()
            producer.send(self._topic, key=subject.encode(), value=value, headers=marks).get(timeout=KAFKA_TIMEOUT)
        except (KafkaError, OSError, SecretUnreadable) as error:
            self.close()
            return f"Kafka does not take it: {self._explain(error)}"
        return ""

    def close(self) -> None:
        """Leave no connection behind."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=2.0)

    def _ready(self) -> Producer:
        if self._producer is None:
            connection = {**self._connection(), "bootstrap_timeout_ms": 5000}
            if self._topics:
                ensure(connection, self._topics, wanted=(TopicSpec(self._topic, False, True),))
            self._producer = Producer(**connection, acks="all", enable_idempotence=True, max_block_ms=5000, retries=5)
        return self._producer
