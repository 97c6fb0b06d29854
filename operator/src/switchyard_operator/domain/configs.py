"""The ConfigMaps that a spec names: environment and files that belong to the revision, by what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from switchyard_contracts.canonical import digest


@dataclass(frozen=True, slots=True)
class Config:
    """What the ConfigMaps say now."""

    env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By the ConfigMap's name, in the order of the spec."""
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By the volume's name: `data` and `binaryData`."""

    @property
    def digests(self) -> dict[str, str]:
        """What goes into a revision's hash. No volume's name can be a ConfigMap's here: it has a slash."""
        found = {name: digest(data) for name, data in self.env.items()}
        return found | {f"volume/{name}": digest(data) for name, data in self.files.items()}
