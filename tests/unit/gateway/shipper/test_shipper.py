"""The loop with a bus in memory, an Envoy that is only a file and some numbers, and a clock that the test turns."""

from __future__ import annotations

import dataclasses
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from switchyard_contracts.events import Inference, decode
from switchyard_gateway.shipper.account import Account, Book, Boot, Tally, close
from switchyard_gateway.shipper.envoy import Boots, Counters
from switchyard_gateway.shipper.errors import BookUnreadable, EnvoyUnavailable
from switchyard_gateway.shipper.line import Reader
from switchyard_gateway.shipper.redaction import Redaction
from switchyard_gateway.shipper.shipper import Limits, Shipper
from switchyard_gateway.shipper.spool import Position, Spool
from switchyard_gateway.shipper.store import Store
from switchyard_testkit.local_bus import LocalBus


@dataclass
class Envoy:
    """What the shipper sees of an Envoy: its file, its counters, its threads' counts."""

    folder: Path
    boot: str = ""
    counters: Counters = field(default_factory=Counters)
    up: bool = False
    answers: int = 0
    served: int = 0
    reopened: int = 0
    asked: int = 0
    in_memory: bytes = b""

    def start(self, boot: int) -> None:
        """As start.py and Envoy do."""
        active = self.folder / "active" / "exchanges.log"
        if active.exists():
            active.rename(active.with_name(f"left-over-{boot:019d}.log"))
        self.boot = f"{boot:019d}"
        (self.folder / "boots" / self.boot).mkdir(parents=True)
        self.counters, self.answers, self.up = Counters(), 0, True
        active.touch()

    def answer(self, count: int = 1, *, unflushed: int = 0, stamp: bool = True, off: bool = False) -> None:
        """Some exchanges; the last ones may not be in the file yet."""
        for number in range(count):
            self.served += 1
            self.answers += 1
            recorded = self.counters.recorded + (not off)
            self.counters = Counters(self.counters.exchanges + 1, recorded)
            if off:
                continue
            line = exchange(self.boot, self.served, stamp=stamp)
            if number >= count - unflushed:
                self.in_memory += line
            else:
                self.write(line)
        thread = self.folder / "boots" / self.boot / "AbCdEf"
        thread.write_bytes(struct.pack("<d", self.answers))

    def write(self, content: bytes) -> None:
        with (self.folder / "active" / "exchanges.log").open("ab") as file:
            file.write(content)

    def kill(self) -> None:
        """What was not in the file never will be."""
        self.up, self.in_memory = False, b""

    def reopen_logs(self) -> None:
        if not self.up:
            raise EnvoyUnavailable("nobody listens")
        self.reopened += 1
        self.write(b"")

    def read_counters(self) -> Counters:
        self.asked += 1
        if not self.up:
            raise EnvoyUnavailable("nobody listens")
        return self.counters


@dataclass
class Door:
    """Envoy's admin door."""

    envoy: Envoy

    def reopen_logs(self) -> None:
        self.envoy.reopen_logs()

    def counters(self) -> Counters:
        return self.envoy.read_counters()


class Volume(Store):
    """The book's file on a volume that may be full."""

    full = False

    def write(self, book: Book) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        super().write(book)


@dataclass
class House:
    """A gateway pod's volume, and what uses it."""

    folder: Path
    limits: Limits = field(
        default_factory=lambda: Limits(
            batch_lines=10, segment_bytes=5_000, spool_bytes=50_000, retry_after=1, poll_every=0
        )
    )
    now: float = 0.0

    def __post_init__(self) -> None:
        self.bus = LocalBus()
        self.envoy = Envoy(self.folder)
        self.volume = Volume(self.folder)
        self.shipper = self.started()
        self.envoy.start(1)

    def started(self) -> Shipper:
        """A shipper that knows nothing but what is on the volume."""
        return Shipper(
            node="gateway-0",
            spool=Spool(self.folder),
            reader=Reader(node="gateway-0", redaction=Redaction({}), max_record_bytes=1_000_000),
            bus=self.bus,
            admin=Door(self.envoy),
            boots=Boots(self.folder),
            store=self.volume,
            limits=self.limits,
            clock=lambda: self.now,
        )

    def killed(self) -> None:
        """The shipper dies; what it had under way dies with it, and another starts."""
        self.bus = LocalBus(taken=self.bus.taken, away=self.bus.away)
        self.shipper = self.started()

    def run(self, passes: int = 200) -> Account:
        """As many passes as anything could need."""
        for _ in range(passes):
            self.shipper.step()
            self.now += 0.05
        return self.shipper.account()

    def sent(self) -> list[int]:
        """The numbers of the exchanges that were delivered."""
        payloads = [decode(record.value).payload() for record in self.bus.taken]
        return [payload.request.value["n"] for payload in payloads if isinstance(payload, Inference)]


def exchange(boot: str, number: int, *, stamp: bool = True) -> bytes:
    fields: dict[str, Any] = {
        "boot": boot,
        "id": f"id-{number}",
        "prediction": f"p-{number}",
        "start": "1795330518117083",
        "status": 200 if stamp else 404,
        "request_type": "application/json",
        "request_bytes": 10,
        "response_bytes": 2,
        "body": {"q": json.dumps({"n": number}), "p": "{}"},
    }
    if stamp:
        fields["stamp"] = "shop/flight|flight-abc|1.0.0|stable|3|10000|split"
    fields["request_bytes"] = len(fields["body"]["q"])
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_everything_is_delivered_once_and_the_account_closes(house: House) -> None:
    house.envoy.answer(35)
    account = house.run()
    assert house.sent() == list(range(1, 36))
    assert (account.served, account.delivered, account.spooled, account.unaccounted) == (35, 35, 0, 0)
    assert account.dropped == {}


def test_what_is_under_way_is_seen(house: House) -> None:
    house.bus.slow = True
    house.envoy.answer(35, unflushed=5)
    account = house.run()
    assert (account.served, account.delivered, account.spooled, account.unaccounted) == (35, 0, 30, 5)


def test_an_idle_shipper_looks_only_at_what_changes(house: House) -> None:
    house.limits = dataclasses.replace(house.limits, poll_every=1)
    house.killed()
    house.envoy.answer(15)
    house.run(10)
    assert house.sent() == list(range(1, 16))
    asked = house.envoy.asked
    house.run(18)  # 0.9 s
    assert house.envoy.asked - asked <= 2, "Envoy is asked once a second, and once for the account"
    house.envoy.answer(1)
    house.run(3)
    assert house.sent() == list(range(1, 17)), "what is new is not left until the second is over"


def test_refusals_are_counted_apart(house: House) -> None:
    house.envoy.answer(3)
    house.envoy.answer(2, stamp=False)
    account = house.run()
    assert (account.served, account.delivered, account.refused, account.unaccounted) == (3, 3, {"404": 2}, 0)


def test_files_are_put_aside_and_removed_when_they_are_done(house: House) -> None:
    for _ in range(10):
        house.envoy.answer(20)
        house.run(10)
    account = house.run()
    assert house.envoy.reopened > 3
    assert account.delivered == 200
    assert house.shipper.room().bytes < 10_000


def test_an_old_file_is_put_aside_though_it_is_small(house: House) -> None:
    house.envoy.answer(1)
    house.run(2)
    house.now += house.limits.segment_age
    house.run(5)
    assert house.envoy.reopened == 1
    assert house.shipper.room().bytes == 0


def test_kafka_away_is_waited_for_and_said(house: House) -> None:
    house.bus.away = True
    house.envoy.answer(30)
    account = house.run()
    assert (account.delivered, account.spooled) == (0, 30)
    assert house.shipper.trouble() == "away"
    assert house.bus.submitted < 20, "a second passes between attempts"
    house.bus.away = False
    account = house.run()
    assert (account.delivered, account.spooled, account.unaccounted) == (30, 0, 0)
    assert house.shipper.trouble() == ""
    assert house.sent() == list(range(1, 31))


def test_a_full_spool_lets_the_oldest_go(house: House) -> None:
    house.bus.away = True
    for _ in range(40):
        house.envoy.answer(10)
        house.run(2)
    account = house.run()
    assert house.shipper.room().bytes <= house.limits.spool_bytes + house.limits.segment_bytes
    dropped = account.dropped["spool_full"]
    assert dropped > 100
    assert (account.spooled, account.unaccounted) == (400 - dropped, 0)
    house.bus.away = False
    account = house.run(400)
    assert (account.delivered, account.dropped) == (400 - dropped, {"spool_full": dropped})
    assert house.sent()[:10] == list(range(1, 11)), "what was being sent was not let go"
    assert house.sent()[-1] == 400


def test_a_record_that_kafka_never_takes_is_dropped_and_counted_and_named_in_the_log(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.bus.largest = 700
    house.envoy.answer(2)
    large = exchange(house.envoy.boot, 3).replace(b'"p":"{}"', b'"p":"' + b"x" * 500 + b'"')
    house.envoy.answer(1, off=True)
    house.envoy.write(large)
    house.envoy.counters = Counters(3, 3)
    account = house.run()
    assert (account.delivered, account.dropped, account.unaccounted) == (2, {"too_large": 1}, 0)
    (said,) = (record.__dict__ for record in caplog.records if "too large for Kafka" in record.getMessage())
    assert (said["deployment"], said["prediction"], said["reason"]) == ("shop/flight", "p-3", "too_large")


def test_poison_is_dropped_and_counted(house: House) -> None:
    house.envoy.answer(1)
    house.envoy.write(b'{"boot":"%s","stamp":"nonsense"}\n' % house.envoy.boot.encode())
    house.envoy.counters = Counters(2, 2)
    house.envoy.answer(1)
    account = house.run()
    assert (account.delivered, account.dropped, account.unaccounted) == (2, {"unparsable": 1}, 0)


def test_what_a_killed_envoy_lost_is_counted(house: House) -> None:
    house.envoy.answer(20, unflushed=3)
    house.envoy.write(b'{"boot":"torn')
    house.envoy.kill()
    account = house.run()
    assert (account.delivered, account.dropped) == (17, {}), "until the next start nobody knows that it is over"
    house.envoy.start(2)
    house.envoy.answer(5)
    account = house.run()
    assert (account.served, account.delivered, account.dropped) == (25, 22, {"lost_in_crash": 3})
    assert (account.unaccounted, account.settled_boots) == (0, 1)
    assert [path.name for path in (house.folder / "boots").iterdir()] == [house.envoy.boot]


def test_a_boot_is_not_settled_before_its_last_line(house: House) -> None:
    house.bus.away = True
    house.envoy.answer(20, unflushed=3)
    house.envoy.kill()
    house.envoy.start(2)
    house.envoy.answer(5)
    account = house.run()
    assert (account.dropped, account.spooled, account.settled_boots) == ({}, 22, 0)
    house.bus.away = False
    assert house.run().dropped == {"lost_in_crash": 3}


def test_exchanges_while_capture_was_off_are_counted(house: House) -> None:
    house.envoy.answer(5)
    house.envoy.answer(4, off=True)
    account = house.run()
    assert (account.served, account.delivered, account.dropped) == (9, 5, {"capture_off": 4})
    house.envoy.kill()
    house.envoy.start(2)
    account = house.run()
    assert (account.served, account.delivered, account.dropped) == (9, 5, {"capture_off": 4})


def test_a_client_that_went_away_is_no_loss(house: House) -> None:
    aborted = exchange(house.envoy.boot, 1).replace(b'"status":200', b'"status":0')
    house.envoy.write(aborted)
    house.envoy.answer(2)
    house.envoy.counters = Counters(3, 3)
    house.run()
    house.envoy.kill()
    house.envoy.start(2)
    account = house.run()
    assert (account.served, account.delivered, account.dropped, account.unaccounted) == (3, 3, {}, 0)


def test_a_killed_shipper_sends_again_under_the_same_ids(house: House) -> None:
    house.envoy.answer(10)
    house.run(1)
    before = (house.folder / "account.json").read_bytes()
    house.run(5)
    assert house.sent() == list(range(1, 11))
    (house.folder / "account.json").write_bytes(before)  # killed when Kafka had acknowledged, before that was written
    house.killed()
    account = house.run()
    ids = [decode(record.value).id for record in house.bus.taken]
    assert ids == [f"id-{number}" for number in range(1, 11)] * 2
    assert (account.served, account.delivered, account.unaccounted) == (10, 10, 0)


def test_a_file_put_aside_before_envoy_was_told_is_taken_up_again(house: House) -> None:
    house.envoy.answer(30)
    house.envoy.up = False
    house.run(5)
    assert not (house.folder / "active" / "exchanges.log").exists()
    house.killed()
    house.envoy.up = True
    house.run(5)
    assert house.envoy.reopened == 1
    house.envoy.answer(1)
    assert house.run().delivered == 31


def test_a_volume_that_cannot_be_written_stops_nothing(house: House) -> None:
    house.envoy.answer(10)
    house.volume.full = True
    house.run()
    assert house.sent() == list(range(1, 11))
    assert Store(house.folder).read().delivered == 0
    house.volume.full = False
    house.run()
    assert Store(house.folder).read().delivered == 10


def test_a_damaged_book_is_never_overwritten(house: House) -> None:
    (house.folder / "account.json").write_text("{")
    with pytest.raises(BookUnreadable, match=r"account\.json cannot be read"):
        house.killed()


def test_drained_means_nothing_left(house: House) -> None:
    assert house.shipper.is_drained()
    house.bus.away = True
    house.envoy.answer(3)
    house.run()
    assert not house.shipper.is_drained()
    house.bus.away = False
    house.run()
    assert house.shipper.is_drained()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("answer"), st.integers(1, 30)),
            st.tuples(st.just("refuse"), st.integers(1, 3)),
            st.tuples(st.just("off"), st.integers(1, 3)),
            st.tuples(st.just("run"), st.integers(1, 8)),
            st.tuples(st.just("away"), st.booleans()),
            st.tuples(st.just("kill shipper"), st.none()),
            st.tuples(st.just("kill envoy"), st.integers(0, 3)),
        ),
        max_size=25,
    )
)
def test_the_account_closes_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[str, Any]]
) -> None:
    house = House(tmp_path_factory.mktemp("house"))
    lost, boot = 0, 1
    for what, much in story:
        match what:
            case "answer":
                house.envoy.answer(much)
            case "refuse":
                house.envoy.answer(much, stamp=False)
            case "off":
                house.envoy.answer(much, off=True)
                house.shipper.account()  # what was not recorded only Envoy knows, as long as it lives
            case "run":
                house.run(much)
            case "away":
                house.bus.away = much
            case "kill shipper":
                house.killed()
            case "kill envoy":
                house.envoy.answer(much, unflushed=much)
                lost, boot = lost + much, boot + 1
                house.envoy.kill()
                house.envoy.start(boot)
    house.bus.away = False
    account = house.run(120)
    assert account.unaccounted == account.spooled == 0
    assert account.served + sum(account.refused.values()) == house.envoy.served
    assert account.dropped.get("lost_in_crash", 0) == lost
    assert len(set(house.sent())) == account.delivered


def test_the_book_adds_up() -> None:
    tally = Tally(delivered=2, refused={"404": 1}, dropped={"unparsable": 1}, lines={"1": 4}, answered={"1": 3})
    book = Book().observe("1", exchanges=9, recorded=7, overflow={}).add(tally, Position(3, 5))
    assert book.boots["1"] == Boot(exchanges=9, recorded=7, lines=4, answered=3)
    assert book.boots["1"].lost(answers=10) == 5
    account = close(book, node="x", running="1", spooled={"1": 3}, capture_errors=0)
    assert (account.served, account.delivered, account.spooled) == (8, 2, 3)
    assert account.dropped == {"unparsable": 1, "capture_off": 2}
    assert account.unaccounted == 0


def test_what_could_not_be_mirrored_is_summed_over_clusters_that_come_and_go_and_over_starts() -> None:
    book = Book()
    for boot, said in [
        ("1", {"a": 5}),
        ("1", {"a": 7, "b": 2}),
        ("1", {"b": 2}),  # a's cluster was removed
        ("1", {"a": 1, "b": 2}),  # and came again
        ("2", {"b": 4}),  # another Envoy
    ]:
        book = book.observe(boot, exchanges=0, recorded=0, overflow=said)
    assert book.mirror_overflow == 5 + 2 + 2 + 1 + 4


def test_an_overflow_outlives_the_shipper(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.envoy.counters = Counters(mirror_overflow={"cluster.ns/a-2/mirror.upstream_rq_active_overflow": 3})
    assert house.shipper.account().mirror_overflow == 3
    house.killed()
    assert house.shipper.account().mirror_overflow == 3
