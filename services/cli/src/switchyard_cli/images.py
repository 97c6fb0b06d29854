"""The name of an image: which registry, which repository, which tag, and the digest that it is pinned by."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

HUB = "registry-1.docker.io"
"""Where images live whose name says no registry."""
HUB_NAMES = frozenset({"docker.io", "index.docker.io"})
REFERENCE = re.compile(
    r"(?P<path>[^@]+?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[a-f0-9]{64}))?"
)
DIGEST = re.compile(r"sha256:[a-f0-9]{64}")


@dataclass(frozen=True, slots=True)
class Image:
    """An image as a file names it."""

    path: str
    """Everything before tag and digest, as it is written."""
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.path}{f':{self.tag}' if self.tag else ''}{f'@{self.digest}' if self.digest else ''}"

    @property
    def registry(self) -> str:
        """The host to ask, with its port."""
        host = self._host
        return HUB if not host or host in HUB_NAMES else host

    @property
    def repository(self) -> str:
        """The repository within the registry."""
        path = self.path.partition("/")[2] if self._host else self.path
        return f"library/{path}" if self.registry == HUB and "/" not in path else path

    @property
    def wanted(self) -> str:
        """The tag to ask for; `latest` where none is said, as everywhere."""
        return self.tag or "latest"

    def pinned(self, digest: str) -> Image:
        """The same image by its digest; the tag stays for people to read."""
        return replace(self, digest=digest)

    @property
    def _host(self) -> str:
        """The first part is a registry if it looks like a host, as Docker tells it."""
        first, slash, _ = self.path.partition("/")
        return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def parse(text: str) -> Image | None:
    """Read a name; None for what is none."""
    found = REFERENCE.fullmatch(text)
    return Image(found["path"], found["tag"] or "", found["digest"] or "") if found else None
