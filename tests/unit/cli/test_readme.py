"""What the README says that the command line prints is what it prints."""

from __future__ import annotations

import re
from pathlib import Path

from switchyard_cli import documents
from switchyard_cli.linting import lint
from switchyard_testkit.cli_session import sessions

ROOT = Path(__file__).resolve().parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SAMPLE = ROOT / "manifests" / "samples" / "first-canary.yaml"
SLIPS = (("hold: 10s}\n      - {name: half", "holds: 10s}\n      - {name: half"), ("judgedAfter: 4s", "judgedAfter: 4"))


def shown(section: str) -> list[str]:
    """The blocks of a section that show what was printed."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```text\n(\$ .*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_sessions_are_what_is_printed() -> None:
    """`python -m switchyard_testkit.cli_session` prints what has to stand there."""
    assert shown("The command line") == list(sessions())


def test_the_faults_of_the_first_canary_are_what_lint_finds() -> None:
    text = SAMPLE.read_text(encoding="utf-8")
    for right, wrong in SLIPS:
        assert text.count(right) == 1
        text = text.replace(right, wrong)
    found = [str(finding) for finding in lint(documents.parse(text, file="build/flight-delay.yaml"))]
    assert shown("A first canary") == ["\n".join(["$ kubectl switchyard lint build/flight-delay.yaml", *found, ""])]
