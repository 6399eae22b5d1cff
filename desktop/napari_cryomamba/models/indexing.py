"""Indices of arrays with three axes. Pure."""

from __future__ import annotations

from typing import Any


def full_index(index: Any) -> tuple[Any, ...]:  # noqa: ANN401 (numpy's basic indexing)
    """Return an index of an array with three axes as one part per axis."""
    full = index if isinstance(index, tuple) else (index,)
    if Ellipsis in full:
        at = full.index(Ellipsis)
        full = (*full[:at], *[slice(None)] * (4 - len(full)), *full[at + 1 :])
    return (*full, *[slice(None)] * (3 - len(full)))
