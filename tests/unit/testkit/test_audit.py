"""Reading the audit log: what was used, what was refused for want of a right, and what a role grants."""

from __future__ import annotations

import json
from typing import Any

import pytest
from switchyard_testkit.audit import Right, granted, requests, used

DEPLOYMENTS = {"apiGroup": "apps", "resource": "deployments", "namespace": "shop"}


def line(verb: str, about: dict[str, Any] | None, *, code: int = 200, decision: str = "allow") -> str:
    event = {
        "user": {"username": "system:serviceaccount:switchyard-system:switchyard-operator"},
        "verb": verb,
        "requestURI": "/apis/apps/v1/namespaces/shop/deployments",
        "responseStatus": {"code": code},
        "annotations": {"authorization.k8s.io/decision": decision},
    }
    return json.dumps(event | ({"objectRef": about} if about else {}))


def test_a_request_uses_one_right_of_one_account() -> None:
    (asked,) = requests([line("list", DEPLOYMENTS)])
    assert asked.account == "switchyard-operator"
    assert asked.user == "system:serviceaccount:switchyard-system:switchyard-operator"
    assert asked.namespace == "shop"
    assert used([asked]) == {Right("apps", "deployments", "list")}


def test_a_status_is_a_resource_of_its_own() -> None:
    (asked,) = requests([line("update", {**DEPLOYMENTS, "subresource": "status"})])
    assert asked.right.resource == "deployments/status"


def test_to_apply_what_is_not_there_needs_to_create_it_too() -> None:
    assert used(requests([line("patch", DEPLOYMENTS, code=201)])) == {
        Right("apps", "deployments", "patch"),
        Right("apps", "deployments", "create"),
    }


@pytest.mark.parametrize(
    ("decision", "forbidden"),
    [
        pytest.param("forbid", True, id="no right"),
        pytest.param("allow", False, id="a right, and an admission that refuses"),
    ],
)
def test_only_the_want_of_a_right_is_forbidden(decision: str, forbidden: bool) -> None:
    (asked,) = requests([line("create", DEPLOYMENTS, code=403, decision=decision)])
    assert asked.forbidden is forbidden


def test_which_kinds_there_are_everybody_may_ask_and_half_a_line_says_nothing() -> None:
    assert list(requests([line("get", None), '{"user": '])) == []
    assert [one.forbidden for one in requests([line("get", None, decision="forbid")])] == [True]


def test_a_role_grants_each_verb_on_each_resource_and_never_everything() -> None:
    rules = [{"apiGroups": ["apps", ""], "resources": ["deployments"], "verbs": ["get", "list"]}]
    assert len(granted(rules)) == 4
    with pytest.raises(ValueError, match="name what is needed"):
        granted([{"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}])
