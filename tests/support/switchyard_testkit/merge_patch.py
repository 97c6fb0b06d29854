"""A JSON merge patch (RFC 7396), as the API server takes it and as the bad samples are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_patch(old: Any, patch: Any) -> Any:
    """The patched document. Neither argument is changed; what the patch does not touch is shared with `old`."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result
