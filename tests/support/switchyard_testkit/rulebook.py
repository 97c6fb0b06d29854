"""The rule book and its proof: the tests that carry a row's id run with that rule switched off, and must go red.

`tests/rules.yaml` holds every row, and each row names switches of `switched_off`. With any of them thrown, one of the
row's tests (`@pytest.mark.rule("<id>")`) has to fail by its own assertion: a test that dies of something else has
proven nothing. `python -m switchyard_testkit.rulebook [id …]` runs it, counts, and fails unless every row is proven.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings
from pydantic import BaseModel, ConfigDict

from switchyard_testkit.switched_off import SWITCHES
from switchyard_testkit.switching import Switch

ROOT = Path(__file__).resolve().parents[3]
BOOK = ROOT / "tests/rules.yaml"
TESTS = ROOT / "tests/unit"
MARKER = "rule"
RED = (AssertionError, pytest.fail.Exception)


class Row(BaseModel):
    """One rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    rule: str
    without: tuple[str, ...] = ()
    """The switches that take the rule, or a part of it, away."""
    where: tuple[str, ...] = ()
    """Tests outside this proof that hold the row too, as of the real Envoy, an API server or a cluster."""


def read(path: Path = BOOK) -> tuple[Row, ...]:
    """Every row, in the book's order."""
    return tuple(Row.model_validate(item) for item in yaml.safe_load(path.read_text(encoding="utf-8")))


def faults(rows: Sequence[Row], *, marked: set[str], switches: Mapping[str, Switch]) -> Iterator[str]:
    """What is wrong with the book itself, each with what helps."""
    ids = [row.id for row in rows]
    for repeated in sorted({name for name in ids if ids.count(name) > 1}):
        yield f"{repeated}: stands in the book twice; give one of them another id"
    for unknown in sorted(marked - set(ids)):
        yield f"{unknown}: a test is marked with it, and the book has no such row; add the row or mend the mark"
    named = [name for row in rows for name in row.without]
    for name in sorted(set(named) - set(switches)):
        yield f"{name}: no such switch in switched_off; write it, or mend the name"
    for name in sorted(set(switches) - set(named)):
        yield f"{name}: a switch that no row names; name it in the row whose rule it takes away"
    for row in rows:
        yield from _faults(row, marked=row.id in marked)


def _faults(row: Row, *, marked: bool) -> Iterator[str]:
    for path in row.where:
        if not (ROOT / path).exists():
            yield f"{row.id}: where: there is no {path}; name the tests that hold the row"
    if not row.without:
        yield f"{row.id}: without: no switch takes this rule away, so nothing proves it; add one to switched_off"
    if not marked:
        yield f"{row.id}: no test is marked with it; mark one with @pytest.mark.rule({row.id!r})"


class Proof:
    """A pytest plugin: collects the marked tests, and runs those of each row with each of its switches thrown."""

    def __init__(self, rows: Sequence[Row], *, only: frozenset[str] = frozenset()) -> None:
        self.rows = rows
        self.chosen = [row for row in rows if not only or row.id in only]
        self.proven: set[str] = set()
        """Rows of which some test went red without each of their switches."""
        self.green: dict[str, list[str]] = {}
        """Switches with which every test of the row stayed green, by row."""
        unknown = sorted(only - {row.id for row in rows})
        self.wrong = [f"{name}: there is no such row; name one of the book's" for name in unknown]
        self._tests: dict[str, list[pytest.Item]] = {}
        self._fault: BaseException | None = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be read proves nothing."""
        if report.failed:
            self.wrong.append(f"{report.nodeid} cannot be collected:\n{report.longreprtext}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """The tests of each row."""
        for item in session.items:
            for mark in item.iter_markers(MARKER):
                self._tests.setdefault(mark.args[0], []).append(item)
        self.wrong.extend(faults(self.rows, marked=set(self._tests), switches=SWITCHES))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Remember by what a test went red."""
        if call.excinfo is not None:
            self._fault = call.excinfo.value
        return (yield)

    def pytest_runtestloop(self) -> bool:
        """Instead of pytest's own loop: each row, each switch, until one test goes red."""
        if self.wrong:
            return True
        print()
        for row in self.chosen:
            if green := [name for name in row.without if not self._goes_red(row, name)]:
                self.green[row.id] = green
            else:
                self.proven.add(row.id)
        return True

    def _goes_red(self, row: Row, name: str) -> bool:
        started = time.monotonic()
        red = self._red(row, name)
        sign = f"red: {red}" if red else "STAYS GREEN"
        print(f"  {row.id} without {name}: {sign} ({time.monotonic() - started:.1f} s)", flush=True)
        return bool(red)

    def _red(self, row: Row, name: str) -> str:
        """The first test that fails by its own assertion, and passes with the rule in place; or nothing."""
        for item in self._tests[row.id]:
            with pytest.MonkeyPatch.context() as patch:
                SWITCHES[name](patch)
                fault = self._run(item)
            if fault is None:
                continue
            if not isinstance(fault, RED):
                print(f"  {row.id} without {name}: {item.name} died of {fault!r}", flush=True)
            elif (own := self._run(item)) is not None:
                print(f"  {row.id}: {item.name} is red with the rule in place too: {own!r}", flush=True)
            else:
                return item.name
        return ""

    def _run(self, item: pytest.Item) -> BaseException | None:
        self._fault = None
        runtestprotocol(item, log=False, nextitem=None)
        return self._fault


def prove(only: frozenset[str] = frozenset()) -> Proof:
    """Run it, in this process."""
    files = sorted(TESTS.rglob("test_*.py"))
    chosen = [str(path) for path in files if f"mark.{MARKER}(" in path.read_text(encoding="utf-8")]
    settings.register_profile(
        "switched-off", phases=(Phase.explicit, Phase.generate), derandomize=True, database=None, deadline=None
    )
    proof = Proof(read(), only=only)
    options = ["-qq", "--no-header", "--no-summary", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    code = pytest.main([*options, "--hypothesis-profile", "switched-off", *chosen], plugins=[proof])
    if code != pytest.ExitCode.OK:
        proof.wrong.append(f"pytest ended with {code}; nothing counts until it ends well")
    return proof


def tell(proof: Proof) -> int:
    """Print what was found; 1 when a row is not proven."""
    for sentence in proof.wrong:
        print(f"tests/rules.yaml: {sentence}")
    for row, names in proof.green.items():
        print(f"{row}: its tests stay green without {', '.join(names)}; they prove nothing")
    print(f"{len(proof.proven)} of {len(proof.chosen)} rows are proven this way")
    return 1 if proof.wrong or len(proof.proven) < len(proof.chosen) else 0


if __name__ == "__main__":
    sys.exit(tell(prove(frozenset(sys.argv[1:]))))
