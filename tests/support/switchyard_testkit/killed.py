"""A reader of a real topic that is killed at each statement: the first, then, started anew, the second, and so on.

    python -m switchyard_testkit.killed SERVERS PREFIX DATABASE

Each life is a process of its own. It kills itself before one of its statements or commits, so that nothing is rolled
back and nothing is closed; the next one is struck a statement later. As long as that lies before the first commit, all
find the same records: so every statement is struck between the start and a commit, and many of later commits. Ends
with the life that has read everything before it was struck, and prints how many were killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from sqlalchemy import event
from switchyard_contracts.topic_names import TopicNames
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.bus import KafkaBroker
from switchyard_monitor.models import Models
from switchyard_monitor.reader import Pace, Reader

PACE = Pace(batch=40, linger=0.1, lease_us=1_500_000, pulse_us=100_000)


def live(servers: str, topics: TopicNames, database: str, statement: int) -> None:
    """Read to the end, or be killed before that statement."""
    store = SqlStore(database)
    client = KafkaBroker({"bootstrap_servers": servers}, events=topics.events, models=topics.models)
    reader = Reader(
        member="struck",
        broker=client,
        store=store,
        models=Models(),
        pace=PACE,
        clock_us=lambda: time.time_ns() // 1000,
        reads=topics.events,
        letters_to=topics.deadletter,
    )
    left = statement

    def cut(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == -1:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(store._writer, "before_cursor_execute", cut)
    event.listen(store._writer, "commit", cut)
    ends = {number: bounds.end for number, bounds in client.bounds(client.topic().partitions).items()}
    while {one.partition: one.next_offset for one in store.positions()} != ends:
        reader.step()


def main() -> int:
    """Live until one dies of old age."""
    servers, prefix, database = sys.argv[1:]
    killed = 0
    while True:
        child = os.fork()
        if not child:
            try:
                live(servers, TopicNames(prefix), database, killed)
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            print(killed)
            return os.WEXITSTATUS(status)
        killed += 1


if __name__ == "__main__":
    sys.exit(main())
