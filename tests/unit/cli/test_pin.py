"""`pin`: the digest of a tag, asked of a registry over real HTTP, and written where the image stands alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from switchyard_cli import images, pinning
from switchyard_cli.credentials import Login, login
from switchyard_cli.errors import Denied, Unreadable
from switchyard_testkit.cli_world import Shell
from switchyard_testkit.fake_registry import PASSWORD, USER, FakeRegistry, serving
from switchyard_testkit.rollout_world import Simulation

DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with serving(FakeRegistry()) as found:
        yield found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's logins but these are read."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path


def shell(stdin: str = "") -> Shell:
    return Shell(Simulation({}), stdin=stdin)


def manifest(image: str) -> str:
    return f"""\
# who is to fly
apiVersion: switchyard.dev/v1alpha1
kind: ModelDeployment
metadata: {{name: delay}}
spec:
  model:
    image:   {image}   # as the pipeline pushed it
    version: 1.3.0
"""


def file(folder: Path, text: str) -> Path:
    path = folder / "delay.yaml"
    path.write_bytes(text.encode())
    return path


def log_in(home: Path, registry: FakeRegistry, *, password: str = PASSWORD) -> None:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    (home / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}), encoding="utf-8")


@pytest.mark.usefixtures("home")
class TestFiles:
    def test_the_image_gains_its_digest_and_nothing_else_changes(self, registry: FakeRegistry, tmp_path: Path) -> None:
        found = registry.push("models/delay", "1.3.0")
        text = manifest(f"{registry.host}/models/delay:1.3.0")
        path = file(tmp_path, text)
        said = shell()("pin", str(path))
        image = f"{registry.host}/models/delay:1.3.0@{found}"
        assert said.code == 0
        assert said.err == f"{path}:7: document 1 (ModelDeployment delay): spec.model.image: {image}\n"
        assert path.read_text(encoding="utf-8") == text.replace(":1.3.0 ", f":1.3.0@{found} ")
        assert shell()("lint", str(path)).code == 0

    def test_a_second_time_there_is_nothing_to_do_and_nobody_is_asked(
        self, registry: FakeRegistry, tmp_path: Path
    ) -> None:
        registry.push("models/delay", "1.3.0")
        path = file(tmp_path, manifest(f"{registry.host}/models/delay:1.3.0"))
        shell()("pin", str(path))
        registry.asked.clear()
        assert "nothing to do" in shell()("pin", str(path)).err
        assert registry.asked == []

    def test_update_asks_again_what_the_tag_means(self, registry: FakeRegistry, tmp_path: Path) -> None:
        path = file(tmp_path, manifest(f"{registry.host}/models/delay:1.3.0"))
        old = registry.push("models/delay", "1.3.0")
        shell()("pin", str(path))
        new = registry.push("models/delay", "1.3.0", b'{"another": true}')
        assert shell()("pin", "--update", str(path)).code == 0
        text = path.read_text(encoding="utf-8")
        assert new in text
        assert old not in text

    def test_standard_input_goes_to_standard_output(self, registry: FakeRegistry) -> None:
        found = registry.push("delay", "latest")
        said = shell(manifest(f"{registry.host}/delay"))("pin", "-")
        assert said.out == manifest(f"{registry.host}/delay@{found}")

    def test_nothing_is_written_while_one_image_is_not_known(self, registry: FakeRegistry, tmp_path: Path) -> None:
        registry.push("models/delay", "1.3.0")
        text = f"{manifest(f'{registry.host}/models/delay:1.3.0')}---\n{manifest(f'{registry.host}/models/delay:9')}"
        path = file(tmp_path, text)
        said = shell()("pin", str(path))
        assert said.code == 1
        assert f"the registry {registry.host} has no models/delay:9; push it first" in said.err
        assert path.read_text(encoding="utf-8") == text

    def test_an_image_that_two_documents_use_is_asked_for_once(self, registry: FakeRegistry, tmp_path: Path) -> None:
        registry.push("models/delay", "1.3.0")
        one = manifest(f"{registry.host}/models/delay:1.3.0")
        shell()("pin", str(file(tmp_path, f"{one}---\n{one}")))
        assert len(registry.asked) == 1

    def test_a_file_keeps_its_permissions(self, registry: FakeRegistry, tmp_path: Path) -> None:
        registry.push("models/delay", "1.3.0")
        path = file(tmp_path, manifest(f"{registry.host}/models/delay:1.3.0"))
        path.chmod(0o640)
        shell()("pin", str(path))
        assert path.stat().st_mode & 0o777 == 0o640
        assert [item.name for item in tmp_path.glob("*pin")] == []


@pytest.mark.usefixtures("home")
class TestCheck:
    def test_a_tag_is_named_and_ends_with_1_and_nobody_is_asked(self, registry: FakeRegistry, tmp_path: Path) -> None:
        text = manifest(f"{registry.host}/models/delay:1.3.0")
        said = shell()("pin", "--check", str(file(tmp_path, text)))
        assert said.code == 1
        assert (
            f":7: document 1 (ModelDeployment delay): spec.model.image: {registry.host}/models/delay:1.3.0" in said.out
        )
        assert registry.asked == []

    def test_a_digest_is_well(self, tmp_path: Path) -> None:
        said = shell()("pin", "--check", str(file(tmp_path, manifest(f"models/delay@{DIGEST}"))))
        assert (said.code, said.out) == (0, "every image has its digest\n")

    def test_files_without_a_model_deployment_are_no_success(self, tmp_path: Path) -> None:
        said = shell()("pin", "--check", str(file(tmp_path, "kind: ConfigMap\n")))
        assert said.code == 1
        assert "there is no ModelDeployment with an image in these files" in said.err


class TestRegistry:
    def test_a_token_is_fetched_where_one_is_asked_for(self, registry: FakeRegistry, home: Path) -> None:
        registry.auth = "bearer"
        found = registry.push("models/delay", "1.3.0")
        assert found in shell(manifest(f"{registry.host}/models/delay:1.3.0"))("pin", "-").out
        assert registry.scopes == ["repository:models/delay:pull"]
        assert [method for method, _ in registry.asked] == ["HEAD", "GET", "HEAD"]

    @pytest.mark.parametrize("auth", ["bearer", "basic"])
    def test_a_login_is_used(self, registry: FakeRegistry, home: Path, auth: str) -> None:
        registry.auth, registry.anonymous = auth, False
        found = registry.push("models/delay", "1.3.0")
        log_in(home, registry)
        assert found in shell(manifest(f"{registry.host}/models/delay:1.3.0"))("pin", "-").out

    def test_a_registry_that_says_no_digest_has_it_counted(self, registry: FakeRegistry, home: Path) -> None:
        registry.says_digest = False
        found = registry.push("models/delay", "1.3.0", b'{"layers": []}')
        assert found in shell(manifest(f"{registry.host}/models/delay:1.3.0"))("pin", "-").out

    @pytest.mark.parametrize(
        ("breaks", "says"),
        [
            pytest.param({"auth": "basic"}, "wants a login; `docker login 127.0.0.1:", id="a login is missing"),
            pytest.param({"auth": "bearer", "anonymous": False}, "does not let us read it", id="a token is refused"),
            pytest.param({"auth": "bearer", "realm": "http://r.example/t"}, "not by https", id="a token by plain HTTP"),
            pytest.param({"broken": 503}, "answers 503; try again later", id="it is sick"),
            pytest.param({"broken": 400}, "answers 400", id="it does not understand"),
            pytest.param({"digest": "md5:1"}, "answers the digest 'md5:1'; sha256 is needed", id="an odd digest"),
        ],
    )
    def test_what_it_refuses_is_a_sentence(
        self, registry: FakeRegistry, home: Path, breaks: dict[str, object], says: str
    ) -> None:
        registry.push("models/delay", "1.3.0")
        for name, value in breaks.items():
            setattr(registry, name, value)
        said = shell(manifest(f"{registry.host}/models/delay:1.3.0"))("pin", "-")
        assert said.code == 1
        assert says in said.err
        assert said.out == ""

    def test_one_that_is_away_is_named(self, registry: FakeRegistry, home: Path) -> None:
        with serving(FakeRegistry()) as gone:
            host = gone.host
        said = shell(manifest(f"{host}/models/delay:1"))("pin", "-")
        assert said.code == 1
        assert "the registry at 127.0.0.1 does not answer" in said.err


PLACES: dict[str, Callable[[str], str]] = {
    "plain": lambda image: f"spec:\n  model:\n    image: {image}\n",
    "single quotes": lambda image: f"spec: {{model: {{image: '{image}'}}}}\n",
    "double quotes": lambda image: f'spec:\n  model:\n    image: "{image}" # why\n',
    "an anchor": lambda image: f"spec:\n  model:\n    image: &img {image}\n",
    "other line ends": lambda image: f"spec:\r\n  model:\r\n    image: {image}\r\n",
    "JSON": lambda image: json.dumps({"spec": {"model": {"image": image}}}),
    "no line end": lambda image: f"spec:\n  model:\n    image: {image}",
    "beside signs of two and four bytes": lambda image: f"# Verspätung 🛫\nspec: {{model: {{image: {image}}}}}\n",
    "over a merged one": lambda image: f"x: &x {{image: other:1}}\nspec:\n  model:\n    image: {image}\n    <<: *x\n",
}
HEAD = "kind: ModelDeployment\napiVersion: switchyard.dev/v1alpha1\n"


def written(place: str, image: str) -> str:
    """A document with an image in that place."""
    if place == "JSON":
        return json.dumps({**yaml.safe_load(HEAD), **json.loads(PLACES[place](image))})
    return HEAD + PLACES[place](image)


@pytest.mark.parametrize("place", PLACES)
def test_in_every_writing_the_value_alone_is_replaced(place: str) -> None:
    text = written(place, "models/delay:1")
    (named,) = pinning.find(text, file="x")
    new = pinning.rewrite(text, [(named, named.image.pinned(DIGEST))], file="x")
    assert new == written(place, f"models/delay:1@{DIGEST}")


@pytest.mark.parametrize("value", ["|\n      models/delay:1", ">-\n      models/delay:1", '"models\\/delay:1"'])
def test_a_value_that_is_not_written_as_it_is_is_refused_with_the_remedy(value: str) -> None:
    with pytest.raises(Unreadable, match="write it on one"):
        pinning.find(f"{HEAD}spec:\n  model:\n    image: {value}\n", file="x")


def test_an_anchor_that_something_else_uses_too_is_left_to_a_person() -> None:
    text = f"{HEAD}spec:\n  model:\n    image: &img models/delay:1\n  note: *img\n"
    (named,) = pinning.find(text, file="x")
    with pytest.raises(Unreadable, match="pin it by hand"):
        pinning.rewrite(text, [(named, named.image.pinned(DIGEST))], file="x")


def test_images_of_other_kinds_are_left_alone() -> None:
    assert pinning.find(manifest("delay:1").replace("ModelDeployment", "Deployment"), file="x") == []


@pytest.mark.parametrize(
    ("text", "registry", "repository", "wanted"),
    [
        pytest.param("delay", "registry-1.docker.io", "library/delay", "latest", id="a bare name is Docker's"),
        pytest.param("ada/delay:2", "registry-1.docker.io", "ada/delay", "2", id="a user's is Docker's too"),
        pytest.param("docker.io/delay:2", "registry-1.docker.io", "library/delay", "2", id="by its public name"),
        pytest.param("localhost/delay:2", "localhost", "delay", "2", id="this machine"),
        pytest.param("r.example:5000/a/b:2", "r.example:5000", "a/b", "2", id="a port is no tag"),
        pytest.param("r.example:5000/a/b", "r.example:5000", "a/b", "latest", id="a port and no tag"),
        pytest.param(f"r.example/a:2@{DIGEST}", "r.example", "a", "2", id="a tag and a digest"),
    ],
)
def test_a_name_says_whom_to_ask_for_what(text: str, registry: str, repository: str, wanted: str) -> None:
    image = images.parse(text)
    assert image
    assert (image.registry, image.repository, image.wanted) == (registry, repository, wanted)


PARTS = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)


@given(st.lists(PARTS, min_size=1, max_size=4), st.one_of(st.just(""), PARTS), st.booleans(), st.booleans())
def test_a_name_is_written_as_it_was_read(parts: list[str], tag: str, port: bool, pinned: bool) -> None:
    path = "/".join([*(["r.example:5000"] if port else []), *parts])
    text = f"{path}{f':{tag}' if tag else ''}{f'@{DIGEST}' if pinned else ''}"
    image = images.parse(text)
    assert image
    assert (str(image), image.tag, bool(image.digest)) == (text, tag, pinned)


class TestLogins:
    def test_dockers_own_registry_is_known_by_its_old_name(self, tmp_path: Path) -> None:
        auth = base64.b64encode(b"ada:secret:with:colons").decode()
        config = {"auths": {"https://index.docker.io/v1/": {"auth": auth}}}
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        assert login("registry-1.docker.io", environ={"DOCKER_CONFIG": str(tmp_path)}) == Login(
            "ada", "secret:with:colons"
        )
        assert login("other.example", environ={"DOCKER_CONFIG": str(tmp_path)}) is None

    def test_a_helper_is_asked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        helper = tmp_path / "docker-credential-tower"
        helper.write_text(
            '#!/bin/sh\nread host\necho "{\\"Username\\": \\"$host\\", \\"Secret\\": \\"s\\"}"\n', encoding="utf-8"
        )
        helper.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"r.example": "tower"}}), encoding="utf-8")
        assert login("r.example", environ={"DOCKER_CONFIG": str(tmp_path)}) == Login("r.example", "s")

    def test_a_helper_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"r.example": "gone"}}), encoding="utf-8")
        with pytest.raises(Denied, match=r"docker-credential-gone does not work for r\.example"):
            login("r.example", environ={"DOCKER_CONFIG": str(tmp_path)})

    def test_a_file_that_is_none_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("not json", encoding="utf-8")
        with pytest.raises(Unreadable, match=r"config\.json"):
            login("r.example", environ={"DOCKER_CONFIG": str(tmp_path)})
