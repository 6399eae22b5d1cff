"""The doctor's findings as text for a window."""

from __future__ import annotations

from cryomamba_server.diagnostics import run_checks
from napari_cryomamba.models.connection import ConnectionState

_MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


def diagnose(link: ConnectionState) -> str:
    """Look at versions, extras, disk, services and engines; takes some seconds, so not for the GUI thread."""
    lines = []
    for finding in run_checks(link.url or None):
        lines.append(f"{_MARKS[finding.level]}  {finding.what}: {finding.message}")
        if finding.hint and finding.level != "ok":
            lines.append(f"      → {finding.hint}")
    return "\n".join(lines)
