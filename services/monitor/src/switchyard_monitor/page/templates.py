"""Templates: every value is escaped, and a name that is not given is an error, not an empty place."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from switchyard_contracts.judgement import counted

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "static" / "style.css").read_bytes()
ICON = (FOLDER / "static" / "icon.svg").read_bytes()


class Templates:
    """The pages as text."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        # A new style has a new address, so a browser may keep the old one for ever.
        self._environment.globals["style"] = hashlib.sha256(STYLE).hexdigest()[:12]
        self._environment.filters["counted"] = counted

        for name in self._environment.list_templates():
            self._environment.get_template(name)  # compiled now, not while the first person waits

    def render(self, name: str, **values: Any) -> str:
        """One page."""
        return self._environment.get_template(name).render(**values)
