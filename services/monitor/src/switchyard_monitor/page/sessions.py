"""Who is looking: a session in this process's memory for each browser that showed a known token.

The browser keeps a random number, not the token, so a stolen cookie dies with the session, at the latest after twelve
hours, and at once when the token is taken out of the file. A new process knows no session: people show the token again.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from switchyard_monitor.auth import Finder, Token

IDLE_SECONDS = 3600.0
MOST_SECONDS = 12 * 3600.0
MOST_SESSIONS = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is let in."""

    token: Token
    form: str
    """A word that every form of this session must bring back."""
    began: float
    used: float

    def brings(self, word: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(self.form.encode(), word.encode())


class Sessions:
    """All that are open; the one used longest ago goes when there are too many."""

    def __init__(self, *, tokens: Finder, clock: Callable[[], float], draw: Callable[[], str]) -> None:
        self._tokens = tokens
        self._clock = clock
        self._draw = draw
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}

    def open(self, presented: str) -> str | None:
        """A new session's secret for the cookie; None when nobody knows the token."""
        token = self._tokens.find(presented)
        if token is None:
            return None
        secret, now = self._draw(), self._clock()
        with self._lock:
            while len(self._open) >= MOST_SESSIONS:
                del self._open[next(iter(self._open))]
            self._open[_hash(secret)] = Session(token, self._draw(), now, now)
        return secret

    def find(self, secret: str) -> Session | None:
        """The session of a cookie, if it is still good."""
        key, now = _hash(secret), self._clock()
        with self._lock:
            held = self._open.pop(key, None)
            if held is None or now - held.used > IDLE_SECONDS or now - held.began > MOST_SECONDS:
                return None
            token = self._tokens.still(held.token)
            if token is None:
                return None
            # Back at the end: the first is the one that was used longest ago.
            self._open[key] = renewed = replace(held, token=token, used=now)
        return renewed

    def close(self, secret: str) -> None:
        """End a session."""
        with self._lock:
            self._open.pop(_hash(secret), None)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
