"""A socket with an ICMP error in its queue is reported once, and not for ever."""

from __future__ import annotations

import select
import selectors
import socket
from collections.abc import Iterator

import pytest
from switchyard_contracts.selector import DrainingSelector

IP_RECVERR = 11  # linux/in.h; Python's socket module does not name it


@pytest.fixture
def refused() -> Iterator[socket.socket]:
    """A UDP socket that has been told by ICMP that nobody listens; the error itself has been read already."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        sock.send(b"is anybody there?")
        assert select.select([sock], [], [], 100)[0], "the kernel has not told it yet"
        with pytest.raises(ConnectionRefusedError):
            sock.recv(10)
        yield sock


def reports(selector: selectors.BaseSelector, sock: socket.socket) -> list[int]:
    """How many events each of three looks finds."""
    with selector:
        selector.register(sock, selectors.EVENT_READ)
        return [len(selector.select(0.05)) for _ in range(3)]


def test_the_platforms_selector_spins_on_it(refused: socket.socket) -> None:
    assert reports(selectors.DefaultSelector(), refused) == [1, 1, 1]


def test_the_draining_one_reports_it_once(refused: socket.socket) -> None:
    assert reports(DrainingSelector(), refused) == [1, 0, 0]


@pytest.fixture(params=["a Unix pair", "TCP"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of one connection; the client wakes itself by a Unix pair."""
    if request.param == "TCP":
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = socket.create_connection(server.getsockname())
            far, _ = server.accept()
    else:
        near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near, far


def test_what_is_to_be_read_is_still_there_afterwards(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    with DrainingSelector() as selector:
        selector.register(near, selectors.EVENT_READ)
        far.send(b"hello")
        assert len(selector.select(100)) == 1
        assert near.recv(10) == b"hello"
        assert selector.select(0) == []
