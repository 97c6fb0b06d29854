"""The book of drift: what is due is judged once, and again where more came; the same on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from switchyard_monitor.adapters.drift_book import SqlDriftBook
from switchyard_monitor.adapters.engine import MIGRATIONS
from switchyard_monitor.adapters.statements import execute
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.domain.drift_book import Due, Page
from switchyard_monitor.domain.profiling import Span
from switchyard_monitor.domain.usual import Yardstick
from switchyard_monitor.drift_keeper import DriftKeeper
from switchyard_monitor.errors import StoreUnavailable
from switchyard_profile.profile import Profile
from switchyard_testkit.databases import Databases
from switchyard_testkit.monitor_world import MONITORING, NOON_US, REFERENCE, SECOND, SUBJECT, WATCHED, World, inference

DAY_US = 86_400 * SECOND
TODAY = NOON_US - NOON_US % DAY_US
NAMES = ("prediction", "x")


@dataclass
class Kept:
    """A monitor, its book, and who judges beside it."""

    world: World
    book: SqlDriftBook
    url: str

    def keeper(self, member: str = "monitor-0") -> DriftKeeper:
        """A new process."""
        return DriftKeeper(
            member=member,
            store=self.world.store,
            book=self.book,
            baselines=Baselines(self.world.store),
            clock_us=lambda: self.world.now_us,
        )

    def ask(self, name: str, *, at: float = 0.0, **facts: object) -> None:
        self.world.say(inference(name, at=at, x=1, **facts), at=at)

    def read(self, seconds: float = 2.0) -> None:
        """After so long, everything is read and known to be."""
        for passed in (seconds, 2.0):
            self.world.pass_time(passed)
            self.world.run()

    def rows(self) -> list[tuple[str, int, int]]:
        """Of each window: whose, on which day from today on, and how many rows."""
        windows = self.book.windows(SUBJECT, REFERENCE.digest)
        return [(one.revision, (one.start_us - TODAY) // DAY_US, one.rows) for one in windows]


@pytest.fixture
def kept(databases: Databases, tmp_path: Path) -> Iterator[Kept]:
    url = databases.up_to_date()
    world = World(tmp_path, url=url)
    world.teach(WATCHED)
    world.store.keep_baseline(REFERENCE.digest, REFERENCE.to_bytes())
    made = Kept(world, SqlDriftBook(url), url)
    yield made
    made.book.close()
    world.store.close()


def test_a_window_is_judged_when_it_is_over_and_not_again(kept: Kept) -> None:
    for number in range(3):
        kept.ask(f"p{number}")
    kept.read()
    assert kept.keeper().step() == 0, "the day is not over"
    kept.read(86_400)
    keeper = kept.keeper()
    assert [keeper.step() for _ in range(3)] == [1, 0, 0]
    assert kept.rows() == [("stable-1", 0, 3)]
    assert kept.book.due() == []


def test_each_feature_is_kept_with_all_that_was_found(kept: Kept) -> None:
    kept.ask("p")
    kept.read(86_400)
    kept.keeper().step()
    yardstick = Yardstick(REFERENCE)
    span = Span(subject=SUBJECT, baseline=REFERENCE.digest, since_us=TODAY, until_us=TODAY + DAY_US, length_us=DAY_US)
    (profile,) = kept.world.store.profiles(span).values()
    expected = Page.of(yardstick, "stable-1", profile, start_us=TODAY)
    found = kept.book.features(SUBJECT, REFERENCE.digest, "stable-1", starts=[TODAY])
    assert found == sorted(expected.features, key=lambda one: one.feature)
    assert [one.feature for one in found] == list(NAMES)
    assert [one.told[0] for one in found] == [profile.features[name] for name in NAMES]
    assert kept.book.windows(SUBJECT, REFERENCE.digest) == [expected.window]
    x = SUBJECT, REFERENCE.digest, "stable-1", "x"
    history = kept.book.history(*x, since_us=TODAY, until_us=TODAY)
    assert history == [one for one in found if one.feature == "x"]
    assert kept.book.history(*x, since_us=TODAY + 1, until_us=TODAY + DAY_US) == []
    assert kept.book.history(*x, since_us=0, until_us=TODAY - 1) == []


def test_what_comes_late_is_judged_with_its_window(kept: Kept) -> None:
    kept.ask("p")
    kept.read(86_400)
    keeper = kept.keeper()
    assert keeper.step() == 1
    kept.ask("late", at=5.0)
    kept.read(60.0)
    assert [keeper.step() for _ in range(2)] == [1, 0]
    assert kept.rows() == [("stable-1", 0, 2)]


def test_what_comes_while_it_is_judged_is_judged_again(kept: Kept) -> None:
    kept.ask("p")
    kept.read(86_400)
    before = kept.book.dues(SUBJECT, REFERENCE.digest)
    kept.ask("meanwhile")
    kept.read()
    nothing = Profile.of(REFERENCE.digest, REFERENCE.binnings, {}, rows=1)
    page = Page.of(Yardstick(REFERENCE), "stable-1", nothing, start_us=TODAY)
    kept.book.keep(SUBJECT, REFERENCE.digest, [page], done=before)
    assert kept.book.dues(SUBJECT, REFERENCE.digest) == [replace(one, times=one.times + 1) for one in before]
    kept.keeper().step()
    assert kept.rows() == [("stable-1", 0, 2)]


def test_the_newest_window_is_judged_first_and_copies_are_none(kept: Kept) -> None:
    kept.ask("today")
    kept.ask("copy", revision="next-2", role="shadow")
    kept.ask("candidate", revision="next-2", role="candidate")
    kept.ask("tomorrow", at=86_400)
    kept.read(2 * 86_400)
    keeper = kept.keeper()
    keeper.step()
    assert kept.rows() == [("stable-1", 1, 1)]
    keeper.step()
    assert kept.rows() == [("next-2", 0, 1), ("stable-1", 0, 1), ("stable-1", 1, 1)]


def test_of_many_windows_those_are_read_that_are_shown(kept: Kept) -> None:
    for day in range(5):
        kept.ask(f"p{day}", at=day * 86_400)
    kept.ask("before", at=86_400, revision="first-0")
    kept.ask("candidate", at=3 * 86_400, revision="next-2", role="candidate")
    kept.read(5 * 86_400)
    keeper = kept.keeper()
    while keeper.step():
        pass
    of = SUBJECT, REFERENCE.digest

    def shown(**only: object) -> list[tuple[str, int]]:
        found = kept.book.windows(*of, **only)  # type: ignore[arg-type]
        return [(one.revision, (one.start_us - TODAY) // DAY_US) for one in found]

    assert {name: (newest - TODAY) // DAY_US for name, newest in kept.book.revisions(*of).items()} == {
        "first-0": 1,
        "next-2": 3,
        "stable-1": 4,
    }
    assert kept.book.revisions(OTHER, REFERENCE.digest) == {}
    stable = [("stable-1", day) for day in range(5)]
    assert shown() == sorted([*stable, ("first-0", 1), ("next-2", 3)], key=lambda one: (one[1], one[0]))
    mine = {"revision": "stable-1"}
    assert shown(**mine, limit=2) == [("stable-1", 3), ("stable-1", 4)]
    assert shown(**mine, until_us=TODAY + 2 * DAY_US, limit=2) == [("stable-1", 1), ("stable-1", 2)]
    assert shown(**mine, until_us=TODAY - 1, limit=2) == []
    assert kept.book.following(*of, "stable-1", TODAY + 2 * DAY_US) == TODAY + 3 * DAY_US
    assert kept.book.following(*of, "stable-1", TODAY + 4 * DAY_US) is None


def test_putting_profiles_together_makes_nothing_due(kept: Kept) -> None:
    for number in range(3):
        kept.ask(f"p{number}", at=number * 10)
    kept.read(3 * 86_400)
    keeper = kept.keeper()
    while keeper.step():
        pass
    kept.read(4 * 3600)  # long enough for the coarsener's round
    kept.read(60.0)
    assert kept.book.due() == []


def test_of_the_members_that_live_one_judges(kept: Kept) -> None:
    kept.ask("p")
    kept.read(86_400)
    kept.world.store.announce("monitor-1", now_us=kept.world.now_us, ttl_us=60 * SECOND)
    kept.world.store.announce("monitor-0", now_us=kept.world.now_us, ttl_us=60 * SECOND)
    assert sorted(kept.keeper(member).step() for member in ("monitor-0", "monitor-1")) == [0, 1]


OTHER = "demo/later-in-the-alphabet"


def of_other(kept: Kept) -> list[int]:
    return [one.rows for one in kept.book.windows(OTHER, REFERENCE.digest)]


def test_late_rows_without_end_hold_up_no_other_deployment(kept: Kept) -> None:
    kept.world.teach(WATCHED, subject=OTHER)
    kept.ask("p")
    kept.ask("o", subject=OTHER)
    kept.read(86_400)
    keeper = kept.keeper()
    for number in range(3):
        keeper.step()
        kept.ask(f"late{number}", at=5.0)
        kept.read()
    assert of_other(kept) == [1]
    kept.read(60.0)
    keeper.step()
    assert kept.rows() == [("stable-1", 0, 4)], "a minute later it is judged with all of them"


def test_late_rows_without_end_hold_up_no_other_window(kept: Kept) -> None:
    kept.ask("today")
    kept.ask("tomorrow", at=86_400)
    kept.read(2 * 86_400)
    keeper = kept.keeper()
    for number in range(2):
        keeper.step()
        kept.ask(f"late{number}", at=86_405.0)
        kept.read()
    assert kept.rows() == [("stable-1", 0, 1), ("stable-1", 1, 1)]


def test_a_deployment_that_cannot_be_judged_holds_up_no_other(kept: Kept) -> None:
    class Broken(SqlDriftBook):
        def dues(self, subject: str, baseline: str) -> list[Due]:
            if subject == SUBJECT:
                raise StoreUnavailable("the database refused this one")
            return super().dues(subject, baseline)

    kept.world.teach(WATCHED, subject=OTHER)
    kept.ask("p")
    kept.ask("o", subject=OTHER)
    kept.read(86_400)
    broken = Broken(kept.url)
    keeper = replace(kept, book=broken).keeper()
    for _ in range(3):
        keeper.step()
        kept.read(20.0)
    assert of_other(kept) == [1]
    assert keeper.trouble == "the database refused this one"
    broken.close()


def test_who_judged_of_fewer_rows_and_comes_last_changes_nothing(kept: Kept) -> None:
    kept.ask("p")
    kept.read(86_400)
    early = kept.book.dues(SUBJECT, REFERENCE.digest)
    kept.ask("late", at=5.0)
    kept.read()
    kept.keeper().step()
    few = Profile.of(REFERENCE.digest, REFERENCE.binnings, {}, rows=1)
    page = Page.of(Yardstick(REFERENCE), "stable-1", few, start_us=TODAY)
    kept.book.keep(SUBJECT, REFERENCE.digest, [page], done=early)
    assert kept.rows() == [("stable-1", 0, 2)]


def test_a_feature_with_a_name_that_no_database_keeps_is_not_learnt(kept: Kept) -> None:
    kept.world.teach({**MONITORING, "window": "5m"}, stable="stable-1")
    named = {"sure": 1, "half\0": 2}
    kept.world.say(inference("p", request={"encoding": "json", "value": named}))
    kept.read()
    ((day, rows),) = kept.world.store.lessons(SUBJECT, "stable-1").items()
    assert rows == 1
    (example,) = kept.world.store.examples(SUBJECT, "stable-1", [day])
    assert example.body.keys() == {"sure", "prediction"}


def test_what_was_profiled_before_there_was_a_book_is_due(databases: Databases) -> None:
    store = SqlStore(databases.empty())
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store._writer.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        for partition in (0, 1):
            values = ("demo/m", 7, "m-1", "stable", 3, "sha256:a", partition, "{}")
            execute(connection, "INSERT INTO profile VALUES (?,?,?,?,?,?,?,?)", values)
    url = store._writer.url.render_as_string(hide_password=False)
    store.migrate()
    book = SqlDriftBook(url)
    assert book.dues("demo/m", "sha256:a") == [Due("demo/m", "sha256:a", 7, 1)]
    book.close()
    store.close()


def test_a_database_that_is_away_is_said_and_asked_again(databases: Databases, tmp_path: Path) -> None:
    world = World(tmp_path, url=databases.up_to_date())
    book = SqlDriftBook(databases.empty())
    clock = [NOON_US]
    keeper = DriftKeeper(
        member="m", store=world.store, book=book, baselines=Baselines(world.store), clock_us=lambda: clock[0]
    )
    world.teach(WATCHED)
    world.say(inference("p"))
    world.run()
    assert keeper.step() == 0
    assert "the database refused" in keeper.trouble
    with pytest.raises(StoreUnavailable):
        book.due()
    book.close()
    world.store.close()
