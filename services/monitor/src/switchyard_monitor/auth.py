"""Who may ask: bearer tokens from a mounted file, of which only the SHA-256 is known here."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

log = logging.getLogger(__name__)


class Finder(Protocol):
    """Knows callers by their tokens."""

    def find(self, presented: str) -> Token | None:
        """The caller that a token belongs to."""

    def still(self, token: Token) -> Token | None:
        """The same caller as it is written down now; None when it was taken out."""


class Token(BaseModel):
    """A caller: its name, the hash of its token, and the deployments it may ask about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=128)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    deployments: list[str] = ["*"]

    def may(self, subject: str) -> bool:
        """Whether a deployment is in this token's scope: `ns/name`, `ns/*` or `*`."""
        return any(scope in ("*", subject) or fnmatchcase(subject, scope) for scope in self.deployments)


_TOKENS = TypeAdapter(list[Token])


@dataclass(frozen=True, slots=True)
class Tokens:
    """All callers."""

    held: Sequence[Token]

    @classmethod
    def load(cls, path: Path) -> Tokens:
        """Read the mounted file; what is wrong with it is said without showing it."""
        try:
            return cls(_TOKENS.validate_python(yaml.safe_load(path.read_text()) or []))
        except (yaml.YAMLError, ValidationError) as error:
            kind = type(error).__name__
            raise ValueError(
                f"{path} is no list of {{name, sha256, deployments}} with sha256 in 64 hex digits ({kind})"
            ) from None

    def find(self, presented: str) -> Token | None:
        """The caller that a token belongs to; none to an empty one, whatever a file says.

        Every one is compared, so that the time taken says nothing.
        """
        if not presented:
            return None
        given = hashlib.sha256(presented.encode()).hexdigest()
        found: Token | None = None
        for token in self.held:
            if hmac.compare_digest(token.sha256, given):
                found = token
        return found

    def still(self, token: Token) -> Token | None:
        """The same caller as it is written down now; None when it was taken out."""
        return next((held for held in self.held if held.sha256 == token.sha256), None)


class TokenFile:
    """The mounted file: renewed, it holds from the next request on; broken, it changes nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tokens = Tokens.load(path)
        self._seen = self._stamp()

    def find(self, presented: str) -> Token | None:
        """The caller that a token belongs to."""
        self._renew()
        return self._tokens.find(presented)

    def still(self, token: Token) -> Token | None:
        """The same caller as it is written down now; None when it was taken out."""
        self._renew()
        return self._tokens.still(token)

    def _renew(self) -> None:
        if (stamp := self._stamp()) != self._seen and stamp is not None:
            self._seen = stamp
            try:
                self._tokens = Tokens.load(self._path)
            except (ValueError, OSError) as error:
                log.warning("the tokens of before still hold: %s", error)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()  # Kubernetes swaps a link, so the file behind the path is another one
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns
