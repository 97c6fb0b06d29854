"""Settings and tokens: what is wrong is said, and nothing is guessed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from switchyard_monitor.auth import TokenFile, Tokens
from switchyard_monitor.settings import Settings

ENOUGH = {"MONITOR_KAFKA_SERVERS": "k:9092", "MONITOR_TOKENS_FILE": "/tokens.json"}


def entry(name: str, secret: str, *scopes: str) -> dict[str, object]:
    return {"name": name, "sha256": hashlib.sha256(secret.encode()).hexdigest(), "deployments": list(scopes)}


def test_what_is_said_is_taken_and_the_rest_has_a_default() -> None:
    settings = Settings.from_env(ENOUGH | {"MONITOR_LINGER": "100ms", "MONITOR_PORT": "9000", "PATH": "/bin"})
    assert (settings.linger.total_seconds(), settings.port, settings.batch) == (0.1, 9000, 5000)
    assert settings.member


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        pytest.param(ENOUGH | {"MONITOR_LINGERS": "1s"}, "lingers", id="a misspelt name"),
        pytest.param({"MONITOR_TOKENS_FILE": "/t"}, "kafka_servers", id="no brokers"),
        pytest.param(ENOUGH | {"MONITOR_PULSE": "soon"}, "90s, 10m", id="a duration that is none"),
        pytest.param(ENOUGH | {"MONITOR_BATCH": "0"}, "batch", id="an empty batch"),
        pytest.param(
            ENOUGH | {"MONITOR_RETENTION_WINDOWS": "15d"}, "must not fall: 15d, 14d, 400d", id="finer for longer"
        ),
    ],
)
def test_what_is_wrong_is_named(environment: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings.from_env(environment)


@pytest.mark.parametrize(
    ("scope", "subject", "may"),
    [
        ("*", "a/b", True),
        ("a/*", "a/b", True),
        ("a/b", "a/b", True),
        ("a/*", "ab/b", False),
        ("a/b", "a/bc", False),
        ("", "a/b", False),
    ],
)
def test_scopes(tmp_path: Path, scope: str, subject: str, may: bool) -> None:
    (tmp_path / "tokens.json").write_text(json.dumps([entry("n", "secret", scope)]))
    token = Tokens.load(tmp_path / "tokens.json").find("secret")
    assert token is not None
    assert token.may(subject) is may


def test_an_empty_token_is_nobodys_though_the_file_holds_its_hash(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text(json.dumps([entry("careless", "", "*")]))
    assert Tokens.load(tmp_path / "tokens.json").find("") is None


@pytest.mark.parametrize("text", ["{", '[{"name": "x"}]', '[{"name": "x", "sha256": "secret"}]', '"secret"'])
def test_a_broken_token_file_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokens.json").write_text(text)
    with pytest.raises(ValueError, match="tokens") as refused:
        Tokens.load(tmp_path / "tokens.json")
    assert "secret" not in str(refused.value)


def test_a_renewed_file_holds_at_once_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps([entry("old", "old", "*")]))
    tokens = TokenFile(path)
    assert tokens.find("old") is not None
    assert tokens.find("new") is None

    def swap(text: str) -> None:
        (tmp_path / "next").write_text(text)
        (tmp_path / "next").rename(path)

    swap(json.dumps([entry("new", "new", "*")]))
    assert tokens.find("old") is None
    assert tokens.find("new") is not None
    swap("{")
    assert tokens.find("new") is not None
    path.unlink()
    assert tokens.find("new") is not None
