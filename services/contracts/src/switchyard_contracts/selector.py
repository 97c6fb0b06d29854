"""How Kafka's clients wait for their sockets, without spinning on one whose error queue is not empty.

While a Service has no endpoints, connecting to it is answered with an ICMP error. Linux (net/ipv4/tcp_ipv4.c,
`tcp_v4_err`) puts that into the socket's error queue, and a socket that the caller holds in this moment goes on and
connects all the same. From then on epoll reports EPOLLERR at once and for ever, and a client that only reads never
takes the error out.
"""

from __future__ import annotations

import selectors
import socket

ERROR_QUEUE = getattr(socket, "MSG_ERRQUEUE", 0)
"""0 where the platform has no such queue."""
INTERNET = (socket.AF_INET, socket.AF_INET6)
"""Other families take no notice of the flag, and would give what is to be read."""


class DrainingSelector(selectors.DefaultSelector):
    """The platform's selector; what it reports as ready has its error queue emptied."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As the base's; one more system call for each socket that is ready."""
        ready = super().select(timeout)
        for key, _ in ready:
            if ERROR_QUEUE and isinstance(key.fileobj, socket.socket) and key.fileobj.family in INTERNET:
                _drain(key.fileobj)
        return ready


def _drain(ready: socket.socket) -> None:
    while True:
        try:
            # Of the base class: a TLS socket has no recvmsg of its own, and the queue is below TLS.
            socket.socket.recvmsg(ready, 512, 512, ERROR_QUEUE | socket.MSG_DONTWAIT)
        except OSError:
            return  # it is empty, or the socket has none
