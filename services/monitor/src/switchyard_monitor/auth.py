"""Who may ask: bearer tokens from a mounted file, of which only the SHA-256 is known here."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError


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
        """The caller that a token belongs to. Every one is compared, so that the time taken says nothing."""
        given = hashlib.sha256(presented.encode()).hexdigest()
        found: Token | None = None
        for token in self.held:
            if hmac.compare_digest(token.sha256, given):
                found = token
        return found
