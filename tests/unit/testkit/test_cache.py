"""The cache: an entry is there and whole, or not there; whoever builds, builds alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switchyard_testkit.cache import UNFINISHED, Cache, Durations, recipe_key, remove_tree, write_atomically
from switchyard_testkit.errors import MachineError

fork = multiprocessing.get_context("fork")


def silent(_: str) -> None: ...


@given(st.dictionaries(st.text(), st.text(), min_size=2))
def test_a_recipes_key_does_not_depend_on_the_order_of_its_parts(recipe: dict[str, str]) -> None:
    assert recipe_key(recipe) == recipe_key(dict(reversed(recipe.items())))


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_different_recipes_have_different_keys(one: dict[str, str], other: dict[str, str]) -> None:
    assert (recipe_key(one) == recipe_key(other)) == (one == other)


def test_what_is_built_once_is_not_built_again(tmp_path: Path) -> None:
    built: list[Path] = []

    def make(folder: Path) -> None:
        built.append(folder)
        (folder / "program").write_text("ready")

    cache = Cache(tmp_path)
    entries = {cache.build("tools", "k1", make, say=silent) for _ in range(3)}
    assert len(built) == 1
    assert [entry / "program" for entry in entries] == [tmp_path / "tools" / "k1" / "program"]


def test_a_build_that_fails_leaves_no_entry_and_the_next_one_starts_clean(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def half(folder: Path) -> None:
        (folder / "half").write_text("of it")
        raise RuntimeError("the compiler broke")

    with pytest.raises(RuntimeError, match="the compiler broke"):
        cache.build("tools", "k1", half, say=silent)
    assert not cache.entry("tools", "k1").exists()

    entry = cache.build("tools", "k1", lambda folder: (folder / "whole").touch(), say=silent)
    assert [path.name for path in entry.iterdir()] == ["whole"]


def build_slowly(root: Path, started: Connection, go_on: Connection) -> None:
    def make(folder: Path) -> None:
        (folder / "half").touch()
        started.send(os.getpid())
        go_on.recv()

    Cache(root).build("tools", "k1", make, say=silent)


def test_a_killed_builder_frees_the_lock_and_leaves_nothing_that_counts(tmp_path: Path) -> None:
    started, tell_started = fork.Pipe(duplex=False)
    wait_to_go_on, _go_on = fork.Pipe(duplex=False)
    builder = fork.Process(target=build_slowly, args=(tmp_path, tell_started, wait_to_go_on))
    builder.start()
    assert started.poll(100), "the builder never began"
    os.kill(started.recv(), signal.SIGKILL)
    builder.join(100)
    assert (tmp_path / "tools" / f"{UNFINISHED}k1" / "half").exists()

    entry = Cache(tmp_path).build("tools", "k1", lambda folder: (folder / "whole").touch(), say=silent)
    assert [path.name for path in entry.iterdir()] == ["whole"]
    assert not (tmp_path / "tools" / f"{UNFINISHED}k1").exists()


def test_a_second_builder_waits_for_the_first_and_says_for_whom(tmp_path: Path) -> None:
    started, tell_started = fork.Pipe(duplex=False)
    wait_to_go_on, go_on = fork.Pipe(duplex=False)
    builder = fork.Process(target=build_slowly, args=(tmp_path, tell_started, wait_to_go_on))
    builder.start()
    assert started.poll(100), "the builder never began"
    holder = started.recv()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        go_on.send("go on")  # only now may the first one finish: the second provably met it

    def never(_: Path) -> None:
        raise AssertionError("built a second time")

    entry = Cache(tmp_path).build("tools", "k1", never, say=say)
    builder.join(100)
    assert (entry / "half").exists()
    assert len(said) == 1
    assert f"process {holder}" in said[0]


def test_a_file_is_replaced_whole_and_keeps_its_secret(tmp_path: Path) -> None:
    path = tmp_path / "nodes" / "kubeconfig"
    write_atomically(path, "old", mode=0o600)
    reader = path.open()
    write_atomically(path, "new", mode=0o600)
    assert reader.read() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["kubeconfig"]


def test_a_tree_of_read_only_folders_can_be_removed(tmp_path: Path) -> None:
    module = tmp_path / "mod" / "example.org"
    module.mkdir(parents=True)
    (module / "go.mod").touch()
    module.chmod(0o555)
    remove_tree(tmp_path / "mod")
    assert list(tmp_path.iterdir()) == []


def test_of_a_removed_tree_nothing_is_left_and_nothing_outside_of_it_is_touched(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    tree = tmp_path / "tree"
    for number in range(40):
        folder = tree / str(number % 7) / str(number)
        folder.mkdir(parents=True)
        for name in ("one", "two"):
            (folder / name).write_text(name)
        (folder / "link").symlink_to(kept, target_is_directory=True)
        (folder / "lost").symlink_to(tmp_path / "nowhere")
    remove_tree(tree)
    assert list(tmp_path.iterdir()) == [kept]
    assert (kept / "file").exists()


def test_too_small_a_disk_is_said_with_both_figures_and_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"Building tools needs 1048576\.0 GB free .* SWITCHYARD_CACHE"):
        Cache(tmp_path).require_free(2**50, "Building tools")
    Cache(tmp_path).require_free(1, "Building tools")


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        pytest.param({"HOME": "/home/ann"}, "/home/ann/.cache/switchyard", id="below the home folder"),
        pytest.param({"HOME": "/h", "SWITCHYARD_CACHE": "/big/disk"}, "/big/disk", id="where the environment says"),
        pytest.param({"HOME": "/h", "SWITCHYARD_CACHE": ""}, "/h/.cache/switchyard", id="an empty setting is none"),
    ],
)
def test_where_the_cache_is(environ: dict[str, str], root: str) -> None:
    assert Cache.from_env(environ).root == Path(root)


def test_a_relative_cache_is_refused() -> None:
    with pytest.raises(MachineError, match="SWITCHYARD_CACHE is 'cache'; give an absolute path"):
        Cache.from_env({"SWITCHYARD_CACHE": "cache"})


def test_durations_are_remembered_and_a_broken_file_is_no_obstacle(tmp_path: Path) -> None:
    durations = Durations(tmp_path / "durations.json")
    assert durations.read() == {}
    durations.remember("build", 3.14159)
    durations.remember("start", 2)
    assert durations.read() == {"build": 3.14, "start": 2.0}
    durations.path.write_text("{")
    assert durations.read() == {}
