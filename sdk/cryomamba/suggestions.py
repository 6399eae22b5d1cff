"""Suggestions for misspelt names: of engines, parameters and settings."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'membrane'? `` with a space at its end; empty if no known name is close."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), by_lower, 1)
    return f"Did you mean '{by_lower[near[0]]}'? " if near else ""
