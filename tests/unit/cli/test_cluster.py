"""The API server's answers, and its silence, as sentences: a server on loopback that says what it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from switchyard_cli.cluster import ApiCluster, connect
from switchyard_cli.errors import CliError, Denied, Forbidden, NoCluster, NotFound, NotServed, Unreachable
from switchyard_testkit.cli_world import document
from switchyard_testkit.rollout_world import SPEC

ROOT = "/apis/switchyard.dev/v1alpha1/namespaces/airport"


@dataclass
class Server:
    """Answers by path; what was asked is kept."""

    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    port: int = 0

    def say(self, method: str, path: str, status: int, body: Any) -> None:
        self.answers[method, path] = status, body


def status(code: int, message: str, *, name: str = "") -> dict[str, Any]:
    """A `Status` as the API server sends one."""
    return {"kind": "Status", "code": code, "message": message, "details": {"name": name} if name else {}}


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else None
            server.asked.append((self.command, self.path, sent))
            code, body = server.answers.get((self.command, self.path.partition("?")[0]), (404, "404 page not found"))
            raw = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def do_PATCH(self) -> None:
            self.answer()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test's own output is enough."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    server.port = http.server_port
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def kubeconfig(folder: Path, port: int, *, namespace: str = "airport", current: str = "here") -> str:
    path = folder / "kubeconfig"
    context = {"cluster": "c", "user": "u", "namespace": namespace}
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                "users": [{"name": "u", "user": {"token": "secret"}}],
                "contexts": [{"name": "here", "context": context}, {"name": "there", "context": context}],
                "current-context": current,
            }
        ),
        encoding="utf-8",
    )
    return str(path)


def reached(
    path: str | None = None,
    *,
    context: str | None = None,
    namespace: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> ApiCluster:
    """By a kubeconfig; a test says what else was asked for."""
    return connect(kubeconfig=path, context=context, namespace=namespace, environ=environ or {})


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> ApiCluster:
    return reached(kubeconfig(tmp_path, server.port))


Call = Callable[[ApiCluster], Any]


@pytest.mark.parametrize(
    ("code", "body", "kind", "words"),
    [
        pytest.param(401, status(401, "Unauthorized"), Denied, "does not know you; renew", id="unknown"),
        pytest.param(403, status(403, "ada may not get"), Forbidden, "ada may not get; ask for a role", id="RBAC"),
        pytest.param(404, "404 page not found", NotServed, "install the chart switchyard-crds", id="no CRDs"),
        pytest.param(422, status(422, "spec.x: no"), Denied, "spec.x: no", id="invalid"),
        pytest.param(409, status(409, "changed since"), Denied, "changed since", id="conflict"),
        pytest.param(429, status(429, "too many"), Unreachable, "answers 429: too many; try again", id="busy"),
        pytest.param(503, "<html>", Unreachable, "answers 503", id="a proxy's own page"),
        pytest.param(500, "[1]", Unreachable, "answers 500", id="JSON that is no Status"),
    ],
)
def test_a_refusal_is_a_sentence(
    server: Server, cluster: ApiCluster, code: int, body: Any, kind: type[CliError], words: str
) -> None:
    server.say("GET", f"{ROOT}/modeldeployments/delay", code, body)
    with pytest.raises(kind) as caught:
        cluster.deployment("delay")
    assert type(caught.value) is kind
    assert str(caught.value).startswith("cannot read modeldeployments 'delay' in namespace 'airport': ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_object_that_is_not_there_is_none(server: Server, cluster: ApiCluster) -> None:
    gone = status(404, 'modeldeployments "delay" not found', name="delay")
    server.say("GET", f"{ROOT}/modeldeployments/delay", 404, gone)
    server.say("GET", "/api/v1/namespaces/airport/configmaps/delay", 404, gone)
    assert cluster.deployment("delay") is None
    assert cluster.config_map("delay") is None


def test_what_is_there_is_read_as_it_is(server: Server, cluster: ApiCluster) -> None:
    body = document(SPEC)
    server.say("GET", f"{ROOT}/modeldeployments/delay", 200, body)
    server.say("GET", f"{ROOT}/modelrevisions", 200, {"items": [body]})
    server.say("GET", "/apis/switchyard.dev/v1alpha1/modeldeployments", 200, {"items": [body, body]})
    assert cluster.deployment("delay") == body
    assert cluster.revisions("delay") == [body]
    assert "labelSelector=switchyard.dev/deployment=delay" in unquote(server.asked[-1][1])
    assert len(cluster.deployments(everywhere=True)) == 2


def test_a_dry_run_of_a_new_object_creates_nothing(server: Server, cluster: ApiCluster) -> None:
    server.say("POST", f"{ROOT}/modeldeployments", 201, document(SPEC))
    assert cluster.rehearse(document(SPEC), live=None) == ""
    method, path, sent = server.asked[-1]
    assert (method, sent) == ("POST", document(SPEC))
    assert "dryRun=All" in path
    assert "fieldValidation=Strict" in path


def test_a_dry_run_over_what_is_there_replaces_its_spec_only(server: Server, cluster: ApiCluster) -> None:
    live = document({"model": {"image": "old"}}, resourceVersion="7")
    server.say(
        "PATCH", f"{ROOT}/modeldeployments/delay", 422, status(422, "spec.model: only on Tuesdays", name="delay")
    )
    assert "only on Tuesdays" in cluster.rehearse(document(SPEC), live=live)
    method, path, sent = server.asked[-1]
    assert (method, sent) == ("PATCH", [{"op": "replace", "path": "/spec", "value": SPEC}])
    assert "dryRun=All" in path


def test_who_may_not_write_is_told_apart_from_what_is_wrong(server: Server, cluster: ApiCluster) -> None:
    server.say("POST", f"{ROOT}/modeldeployments", 403, status(403, "bob may not create"))
    with pytest.raises(Forbidden, match="bob may not create"):
        cluster.rehearse(document(SPEC), live=None)


def test_a_command_is_created_strictly(server: Server, cluster: ApiCluster) -> None:
    server.say("POST", f"{ROOT}/modelcommands", 201, {"metadata": {"name": "delay-abort-x"}})
    assert cluster.give({"kind": "ModelCommand"})["metadata"]["name"] == "delay-abort-x"
    assert "fieldValidation=Strict" in server.asked[-1][1]


def test_the_callers_own_name_is_asked_for(server: Server, cluster: ApiCluster) -> None:
    review = {"status": {"userInfo": {"username": "ada@airport"}}}
    server.say("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", 201, review)
    assert cluster.whoami() == "ada@airport"


def test_nobody_at_home_is_a_sentence(tmp_path: Path) -> None:
    with serving() as gone:
        path = kubeconfig(tmp_path, gone.port)
    cluster = reached(path)
    with pytest.raises(Unreachable, match=r"does not answer \(.*refused\)") as caught:
        cluster.deployments()
    assert "\n" not in str(caught.value)


class TestKubeconfig:
    def test_the_contexts_namespace_counts_unless_another_is_asked_for(self, server: Server, tmp_path: Path) -> None:
        path = kubeconfig(tmp_path, server.port, namespace="harbour")
        assert reached(path, context="there").namespace == "harbour"
        assert reached(path, namespace="airport").namespace == "airport"

    def test_several_files_are_read_as_kubectl_reads_them(self, server: Server, tmp_path: Path) -> None:
        several = {"KUBECONFIG": f"/nowhere:{kubeconfig(tmp_path, server.port)}"}
        assert reached(environ=several).namespace == "airport"

    def test_what_is_asked_for_goes_before_the_environment(self, server: Server, tmp_path: Path) -> None:
        path = kubeconfig(tmp_path, server.port)
        assert reached(path, environ={"KUBECONFIG": "/nowhere"}).namespace == "airport"

    def test_no_file_names_where_it_was_looked_for(self) -> None:
        with pytest.raises(NoCluster, match="no kubeconfig at /nowhere/config; set KUBECONFIG"):
            reached(environ={"KUBECONFIG": "/nowhere/config"})

    def test_an_unknown_context_lists_the_known(self, tmp_path: Path) -> None:
        with pytest.raises(NoCluster, match="no context 'moon'; it has: here, there"):
            reached(kubeconfig(tmp_path, 1), context="moon")

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param("a: [", id="no YAML"),
            pytest.param("", id="empty"),
            pytest.param("apiVersion: v1", id="nothing in it"),
            pytest.param("current-context: gone\ncontexts: []\nclusters: []\nusers: []", id="a context that is gone"),
        ],
    )
    def test_a_file_that_cannot_be_used_is_a_sentence(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "config"
        path.write_text(content, encoding="utf-8")
        with pytest.raises(NoCluster, match="the kubeconfig"):
            reached(str(path))

    def test_a_credential_plugin_that_fails_is_a_sentence(self, server: Server, tmp_path: Path) -> None:
        path = Path(kubeconfig(tmp_path, server.port))
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
        plugin = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "/nowhere/login",
            "interactiveMode": "Never",
        }
        body["users"][0]["user"] = {"exec": plugin}
        path.write_text(yaml.safe_dump(body), encoding="utf-8")
        server.say("GET", f"{ROOT}/modeldeployments", 401, status(401, "Unauthorized"))
        with pytest.raises(CliError):
            reached(str(path)).deployments()


def test_a_not_found_without_a_name_is_no_missing_object(server: Server, cluster: ApiCluster) -> None:
    server.say("GET", f"{ROOT}/modeldeployments/delay", 404, status(404, "the server could not find the resource"))
    with pytest.raises(NotServed):
        cluster.deployment("delay")
    assert not issubclass(NotServed, NotFound)
