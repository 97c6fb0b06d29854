"""Asks the monitor's API; its refusals become sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from switchyard_cli.errors import Denied, NotFound, Unreachable, Unreadable
from switchyard_cli.ports import Body

TIMEOUT = httpx.Timeout(20.0, connect=5.0)
FORWARD = "kubectl --namespace switchyard-system port-forward service/switchyard-monitor 8081:8080"


@contextmanager
def monitor(url: str, *, token: str) -> Iterator[HttpMonitor]:
    """The one at an address, with this machine's authorities: its own and those that browsers trust."""
    trust = httpx.create_ssl_context()
    trust.load_default_certs()
    with httpx.Client(verify=trust, timeout=TIMEOUT, headers={"authorization": f"Bearer {token}"}) as client:
        yield HttpMonitor(client, url.rstrip("/"))


class HttpMonitor:
    """One answer a call, by a client that is given."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url

    def ledger(self, subject: str) -> Body:
        """The ledgers of events, and of one deployment's labels."""
        try:
            answer = self._client.get(f"{self._url}/v1/deployments/{subject}/ledger")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = " ".join(str(error).split()) or type(error).__name__
            raise Unreachable(
                f"the monitor at {self._url} does not answer ({why}); is --monitor right? It may take `{FORWARD}`"
            ) from error
        said = _said(answer)
        match answer.status_code:
            case httpx.codes.OK:
                return _object(answer)
            case httpx.codes.UNAUTHORIZED | httpx.codes.FORBIDDEN:
                raise Denied(f"the monitor does not let us read it: {said}; --token takes one of monitor.tokens")
            case httpx.codes.NOT_FOUND:
                raise NotFound(f"the monitor at {self._url}: {said}")
            case _:
                raise Unreachable(f"the monitor at {self._url} answers {answer.status_code}: {said}; try again later")


def _object(answer: httpx.Response) -> Body:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Unreadable(f"{answer.url} answers no JSON object; is it the monitor?")
    return body


def _said(answer: httpx.Response) -> str:
    """Its own words, where there are any."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    detail = body.get("detail") if isinstance(body, dict) else None
    return str(detail or answer.reason_phrase or "it does not say why")
