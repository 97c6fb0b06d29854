"""One verb, the same words everywhere: the command's help, the README's table, and the README's ModelCommands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from switchyard_cli import documents, linting
from switchyard_cli.app import app
from switchyard_contracts.model_command import Verb
from typer.main import get_command

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("## The command line")[2].partition("\n## ")[0]
ROWS = dict(re.findall(r"^\| `(\w+)[^|]*` \| (.*) \|$", SECTION, re.MULTILINE))
BLOCKS = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
WHOLE, OTHERS = BLOCKS


def help_of(verb: str) -> str:
    """The first sentence, as it would stand in the middle of one."""
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]
    first = str(command.help).partition("\n")[0].removesuffix(".")
    return first[0].lower() + first[1:]


VERBS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_the_readme_lists_the_verbs_that_there_are() -> None:
    assert sorted(ROWS) == VERBS
    assert {verb.value for verb in Verb} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_the_readme_begins_with_the_words_of_the_help(verb: str) -> None:
    assert ROWS[verb].startswith(help_of(verb))


def specs() -> dict[str, tuple[str, dict[str, object]]]:
    """Each ModelCommand of the README: its comment and its spec."""
    found = {}
    for comment, spec in re.findall(r"(?:spec: |-) # (.*)\n +({.*})", "\n".join((WHOLE, OTHERS))):
        body = yaml.safe_load(spec)
        found[body["verb"]] = (comment, body)
    return found


@pytest.mark.parametrize("verb", [verb.value for verb in Verb])
def test_the_readme_shows_a_command_that_is_accepted_in_the_same_words(verb: str) -> None:
    comment, spec = specs()[verb]
    assert comment.startswith(help_of(verb))
    text = yaml.safe_dump({**yaml.safe_load(WHOLE), "spec": spec})
    assert linting.lint(documents.parse(text, file="README.md")) == []
