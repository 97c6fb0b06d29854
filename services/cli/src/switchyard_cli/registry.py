"""Asks a registry for the digest behind a tag, by the distribution protocol; its refusals become sentences."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from switchyard_cli.credentials import Login, login
from switchyard_cli.errors import Denied, NotFound, Unreachable
from switchyard_cli.images import DIGEST, Image

ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
"""The index of all platforms before one platform's manifest: a digest must fit every node."""
PARAMETER = re.compile(r'([a-zA-Z]+)="([^"]*)"')
TIMEOUT = httpx.Timeout(20.0, connect=5.0)
LARGEST = 8 * 1024 * 1024
"""Bytes of a manifest; the protocol asks registries for 4 MiB."""


@contextmanager
def registries(*, plain_http: bool) -> Iterator[HttpRegistry]:
    """Every registry, with this machine's logins, proxies and authorities: its own and those that browsers trust."""
    trust = httpx.create_ssl_context()
    trust.load_default_certs()
    with httpx.Client(verify=trust, timeout=TIMEOUT, follow_redirects=True) as client:
        yield HttpRegistry(client, login, plain_http=plain_http)


class HttpRegistry:
    """One answer per image, by a client that is given."""

    def __init__(self, client: httpx.Client, login: Callable[[str], Login | None], *, plain_http: bool = False) -> None:
        self._client = client
        self._login = login
        self._plain_http = plain_http
        self._known: dict[Image, str] = {}

    def digest(self, image: Image) -> str:
        """`sha256:…` of what the tag means now."""
        if image not in self._known:
            self._known[image] = self._ask(image)
        return self._known[image]

    def _ask(self, image: Image) -> str:
        answer = self._manifest(image, "HEAD")
        said = str(answer.headers.get("docker-content-digest", ""))
        if not said:  # an old registry; the digest is the hash of what it serves
            said = f"sha256:{hashlib.sha256(self._manifest(image, 'GET').content).hexdigest()}"
        if not DIGEST.fullmatch(said):
            raise Denied(f"{image}: the registry {image.registry} answers the digest {said!r}; sha256 is needed")
        return said

    def _manifest(self, image: Image, method: str) -> httpx.Response:
        url = f"{self._origin(image.registry)}/v2/{image.repository}/manifests/{image.wanted}"
        answer = self._call(image, method, url)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            answer = self._call(image, method, url, authorization=self._authorization(image, answer))
        return _checked(image, answer)

    def _authorization(self, image: Image, answer: httpx.Response) -> str:
        """What the registry's challenge asks for: a token from whom it names, or the login itself."""
        scheme, _, rest = answer.headers.get("www-authenticate", "").partition(" ")
        login = self._login(image.registry)
        if scheme.lower() == "basic" and login:
            return _basic(login)
        if scheme.lower() != "bearer":
            raise Denied(f"{image}: the registry {image.registry} wants a login; `docker login {image.registry}` first")
        asked = dict(PARAMETER.findall(rest))
        realm = asked.pop("realm", "")
        if not realm.startswith("https://") and not self._plain(httpx.URL(realm).host):
            raise Denied(f"{image}: the registry {image.registry} sends us to {realm!r} for a token, not by https")
        wanted = {"scope": f"repository:{image.repository}:pull", **asked}
        answer = self._call(image, "GET", realm, authorization=_basic(login) if login else "", params=wanted)
        token = _token(_checked(image, answer))
        if not token:
            raise Denied(f"{image}: {realm} gave no token; `docker login {image.registry}` may help")
        return f"Bearer {token}"

    def _call(
        self, image: Image, method: str, url: str, *, authorization: str = "", params: dict[str, str] | None = None
    ) -> httpx.Response:
        headers = {"accept": ACCEPT if params is None else "application/json"}
        if authorization:
            headers["authorization"] = authorization
        try:
            with self._client.stream(method, url, headers=headers, params=params) as answer:
                size = int(answer.headers.get("content-length") or 0)
                if method == "GET" and size > LARGEST:
                    raise Denied(f"{image}: {httpx.URL(url).host} answers {size} bytes, which is no manifest")
                answer.read()
                return answer
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise Unreachable(
                f"{image}: the registry at {httpx.URL(url).host} does not answer ({why}); is its name right, and may"
                " this machine reach it (--plain-http for one without TLS)?"
            ) from error

    def _origin(self, registry: str) -> str:
        return f"{'http' if self._plain(registry.partition(':')[0]) else 'https'}://{registry}"

    def _plain(self, host: str) -> bool:
        """Only this machine's own registries are spoken to without TLS, unless somebody asks for it."""
        if self._plain_http or host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


def _basic(login: Login) -> str:
    return f"Basic {base64.b64encode(f'{login.user}:{login.password}'.encode()).decode()}"


def _token(answer: httpx.Response) -> str:
    """Both names are in use."""
    try:
        held = answer.json()
    except ValueError:
        return ""
    return str(held.get("token") or held.get("access_token") or "") if isinstance(held, dict) else ""


def _checked(image: Image, answer: httpx.Response) -> httpx.Response:
    code, registry = answer.status_code, image.registry
    if code == httpx.codes.NOT_FOUND:
        raise NotFound(f"{image}: the registry {registry} has no {image.repository}:{image.wanted}; push it first")
    if code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise Denied(f"{image}: the registry {registry} does not let us read it; `docker login {registry}` first")
    if code == httpx.codes.TOO_MANY_REQUESTS or code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise Unreachable(f"{image}: the registry {registry} answers {code}; try again later")
    if not answer.is_success:
        raise Denied(f"{image}: the registry {registry} answers {code}")
    return answer
