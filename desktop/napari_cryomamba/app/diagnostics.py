"""The checks of ``cryomamba doctor`` as text for a window."""

from __future__ import annotations

from cryomamba_server.diagnostics import run_checks

_MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


def diagnose(url: str) -> str:
    """Check versions, extras, disk, services and engines, and the server at an address unless that is empty.

    This takes some seconds, so it is not for the GUI thread.
    """
    lines = []
    for result in run_checks(url or None):
        lines.append(f"{_MARKS[result.level]}  {result.what}: {result.message}")
        if result.hint and result.level != "ok":
            lines.append(f"      → {result.hint}")
    return "\n".join(lines)
