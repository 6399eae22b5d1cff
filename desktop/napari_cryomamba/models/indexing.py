"""Indices of arrays with three axes. Pure."""

from __future__ import annotations

from typing import Any


def full_index(index: Any) -> tuple[Any, ...]:  # noqa: ANN401 (numpy's basic indexing)
    """Return an index of an array with three axes as one part per axis."""
    full = index if isinstance(index, tuple) else (index,)
    # Arrays among the parts cannot be compared with the ellipsis.
    for at, part in enumerate(full):
        if part is Ellipsis:
            full = (*full[:at], *[slice(None)] * (4 - len(full)), *full[at + 1 :])
            break
    return (*full, *[slice(None)] * (3 - len(full)))
