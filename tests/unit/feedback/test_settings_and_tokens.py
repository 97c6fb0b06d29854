"""What feedback is started with: a slip is an error that says where and what instead."""

import json

import pytest
from pydantic import ValidationError
from switchyard_feedback.errors import TokensUnreadable
from switchyard_feedback.settings import Settings
from switchyard_feedback.tokens import Token, Tokens, load
from switchyard_testkit.feedback import token_entry, write_tokens

NEEDED = {"FEEDBACK_KAFKA_SERVERS": "kafka:9092", "FEEDBACK_TOKENS_FILE": "/etc/switchyard/tokens.json"}


def test_what_is_needed_is_enough():
    settings = Settings.from_env(NEEDED | {"PATH": "/bin", "FEEDBACK_KAFKA_TIMEOUT": "2s"})
    assert settings.kafka_timeout.total_seconds() == 2
    assert settings.monitor_url is None


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        pytest.param({"FEEDBACK_KAFKA_SERVERS": "kafka:9092"}, "tokens_file", id="no tokens"),
        pytest.param(NEEDED | {"FEEDBACK_KAFKA_TIMEOT": "2s"}, "kafka_timeot", id="a misspelt name"),
        pytest.param(NEEDED | {"FEEDBACK_KAFKA_TIMEOUT": "2"}, "is not a duration", id="a time without a unit"),
        pytest.param(NEEDED | {"FEEDBACK_KAFKA_SECURITY": "SASL_SSL"}, "FEEDBACK_KAFKA_USERNAME", id="half of SASL"),
        pytest.param(NEEDED | {"FEEDBACK_PORT": "70000"}, "port", id="no such port"),
    ],
)
def test_a_slip_in_the_environment_is_an_error(environ, says):
    with pytest.raises(ValidationError, match=says):
        Settings.from_env(environ)


@pytest.mark.parametrize(
    ("deployments", "subject", "covered"),
    [
        pytest.param(["shop/delay"], "shop/delay", True, id="the very one"),
        pytest.param(["shop/delay"], "shop/delays", False, id="a longer name"),
        pytest.param(["shop/*"], "shop/price", True, id="a namespace"),
        pytest.param(["shop/*"], "shop-2/price", False, id="another namespace that begins alike"),
        pytest.param(["*"], "any/thing", True, id="all"),
        pytest.param([], "shop/delay", False, id="none"),
    ],
)
def test_scope(deployments, subject, covered):
    assert Token(name="t", sha256="0" * 64, deployments=deployments).covers(subject) is covered


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("{", "cannot be read as YAML or JSON", id="no YAML"),
        pytest.param('[{"name": "a", "sha256": "secret", "deployments": []}]', "0.sha256 is not right", id="no hash"),
        pytest.param(json.dumps([{**token_entry("a", "t", "*"), "x": 1}]), "0.x is not right", id="a field too many"),
        pytest.param(json.dumps([token_entry("a", "t", "shop/d*")]), "0.deployments.0 is not right", id="a glob"),
        pytest.param(json.dumps([{"name": "a", "sha256": "0" * 64}]), "0.deployments", id="no scope"),
    ],
)
def test_a_file_that_is_wrong_is_named_without_showing_it(tmp_path, text, says):
    path = tmp_path / "tokens.json"
    path.write_text(text)
    with pytest.raises(TokensUnreadable, match=says) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_file_stops_the_start(tmp_path):
    with pytest.raises(TokensUnreadable, match="FileNotFoundError"):
        Tokens(tmp_path / "nowhere.json")


def test_the_file_may_be_yaml(tmp_path):
    path = tmp_path / "tokens.yaml"
    path.write_text(f"- name: till\n  sha256: '{'0' * 64}'\n  deployments: ['*']\n")
    assert [token.name for token in load(path)] == ["till"]


def test_a_token_is_found_by_what_it_hashes_to(tmp_path):
    path = write_tokens(tmp_path / "t.json", token_entry("a", "one", "*"), token_entry("b", "two", "*"))
    tokens = Tokens(path)
    found = tokens.find("two")
    assert found is not None
    assert found.name == "b"
    assert tokens.find("") is None


def test_an_empty_token_is_nobodys_though_the_file_holds_its_hash(tmp_path):
    tokens = Tokens(write_tokens(tmp_path / "t.json", token_entry("careless", "", "*")))
    assert tokens.find("") is None
