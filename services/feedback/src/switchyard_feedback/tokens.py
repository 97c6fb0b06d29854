"""Who may send feedback about what: bearer tokens, of which only the SHA-256 is kept.

The file is a mounted Secret. It is read again when it changes, so a token can be added or taken back without a restart.
A change that cannot be read keeps the tokens of before: a slip of the pen must not shut every product out.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from switchyard_feedback.errors import TokensUnreadable

log = logging.getLogger(__name__)

Scope = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z0-9][-a-z0-9]*/(\*|[a-z][-a-z0-9]*))$")]


class Token(BaseModel):
    """A caller: its name, the hash of its token, and the deployments it may speak about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=128)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    deployments: list[Scope]

    def covers(self, subject: str) -> bool:
        """Whether a deployment is in scope, which may say `ns/name`, `ns/*` or `*`."""
        namespace = subject.partition("/")[0]
        return not {"*", f"{namespace}/*", subject}.isdisjoint(self.deployments)


TOKENS = TypeAdapter(list[Token])


def load(path: Path) -> list[Token]:
    """Read the file; what is wrong with it is said without showing what is in it."""
    try:
        return TOKENS.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")) or [])
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "the file"
        raise TokensUnreadable(
            f"{path}: {where} is not right; write a list of {{name, sha256 (64 hex digits), deployments: [ns/name,"
            " ns/*, *]}"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TokensUnreadable(f"{path}: cannot be read as YAML or JSON ({type(error).__name__})") from None


class Tokens:
    """The callers that are known now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._look()
        self._held = load(path)

    def find(self, presented: str) -> Token | None:
        """The caller a token belongs to; none to an empty one, whatever the file says.

        Every one is compared, so that the time taken says nothing.
        """
        self._refresh()
        if not presented:
            return None
        given = hashlib.sha256(presented.encode()).hexdigest()
        found: Token | None = None
        for token in self._held:
            if hmac.compare_digest(token.sha256, given):
                found = token
        return found

    def _look(self) -> tuple[int, int, int] | None:
        try:
            seen = self._path.stat()
        except OSError:
            return None
        return seen.st_mtime_ns, seen.st_ino, seen.st_size

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._held = load(self._path)
            log.info("tokens read again: %d callers", len(self._held))
        except TokensUnreadable as error:
            log.error("%s; the tokens of before are kept", error)
