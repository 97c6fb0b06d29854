"""The xDS door: delta ADS for one Envoy on a Unix socket. It carries what `Delivery` decides, and no more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc

from switchyard_gateway.control.adapters import protobuf
from switchyard_gateway.control.domain.delivery import Delivery, Send

log = logging.getLogger(__name__)

MESSAGE_LIMIT = 1_000
"""Envoy may quote the whole table at us."""


class Stream:
    """One Envoy's connection: its delivery, and a bell that is rung when there may be something to send."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.bell = asyncio.Event()
        self.replaced = False


class Streams:
    """Envoy's current connection. A newer one replaces the older, which is only a broken one not yet noticed."""

    def __init__(
        self,
        *,
        new_delivery: Callable[[], Delivery],
        on_answer: Callable[[Delivery, Send, str | None], None],
        on_connection: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._new_delivery = new_delivery
        self._on_answer = on_answer
        self._on_connection = on_connection
        self._clock = clock
        self.current: Stream | None = None

    @property
    def delivery(self) -> Delivery | None:
        """The current connection's, if there is one."""
        return self.current.delivery if self.current else None

    def ring(self) -> None:
        """There may be something to send."""
        if self.current:
            self.current.bell.set()

    async def converse(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Answer one Envoy's requests until it goes."""
        stream = Stream(self._new_delivery())
        if self.current:
            self.current.replaced = True
            self.current.bell.set()
        self.current = stream
        self._on_connection(True)
        log.info("Envoy is connected")
        listener = asyncio.create_task(self._listen(stream, requests))
        try:
            while not listener.done() and not stream.replaced:
                stream.bell.clear()
                send = stream.delivery.next(self._clock())
                if send is not None:
                    yield protobuf.response(send)
                    continue
                wake_at = stream.delivery.wake_at()
                wait = None if wake_at is None else max(0.05, wake_at - self._clock())
                try:
                    await asyncio.wait_for(stream.bell.wait(), wait)
                except TimeoutError:
                    continue
            if listener.done() and not listener.cancelled() and (broken := listener.exception()):
                log.info("the stream to Envoy broke: %s", broken)
        finally:
            listener.cancel()
            if self.current is stream:
                self.current = None
                self._on_connection(False)
                log.info("Envoy is gone")

    async def _listen(self, stream: Stream, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                self._hear(stream.delivery, request)
                stream.bell.set()
        finally:
            stream.bell.set()

    def _hear(self, delivery: Delivery, request: Any) -> None:
        kind = protobuf.KINDS.get(request.type_url)
        if kind is None:
            log.warning("Envoy asks for %s, which control does not serve", request.type_url)
            return
        if request.response_nonce:
            refusal = request.error_detail.message.strip()[:MESSAGE_LIMIT] if request.HasField("error_detail") else None
            sent = delivery.under_way(request.response_nonce)
            if refusal is None:
                delivery.acknowledge(request.response_nonce)
            else:
                log.warning("Envoy refused %s: %s", kind.value, refusal)
                delivery.refuse(request.response_nonce, refusal)
            if sent:
                self._on_answer(delivery, sent, refusal)
        names = protobuf.names(request.resource_names_subscribe)
        gone = protobuf.names(request.resource_names_unsubscribe)
        held = tuple(request.initial_resource_versions)
        if names or gone or held or not request.response_nonce:
            delivery.subscribe(kind, names, gone=gone, held=held)


class _Servicer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]
    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def DeltaAggregatedResources(self, request_iterator: Any, _context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for each in self._streams.converse(request_iterator):
            yield each


async def serve(streams: Streams, socket: Path) -> Any:
    """Listen on the socket; what a killed predecessor left there is removed first."""
    socket.parent.mkdir(parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)
    server = grpc.aio.server(options=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)])
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(_Servicer(streams), server)
    server.add_insecure_port(f"unix://{socket}")
    await server.start()
    return server
