"""Laws are tried on the same examples each time, and a busy machine is no failure. Tables are printed at the end."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import settings
from switchyard_testkit import printed

settings.register_profile("steady", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("steady")

Printing = Callable[[str, Sequence[str], int, Sequence[str]], None]


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Printing:
    """Puts a row into a table that is printed when all tests have run."""

    def put(table: str, head: Sequence[str], place: int, cells: Sequence[str]) -> None:
        request.node.user_properties.append((printed.PROPERTY, [table, list(head), place, list(cells)]))

    return put


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Every table that was measured."""
    reports = [report for held in ("passed", "failed") for report in terminalreporter.stats.get(held, ())]
    called = [report for report in reports if isinstance(report, pytest.TestReport) and report.when == "call"]
    for line in printed.told(line for report in called for line in printed.lines(report.user_properties)):
        terminalreporter.write_line(line)
