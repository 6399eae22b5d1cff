"""The dialog for the name of a file to save."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget


def choose_file(parent: QWidget, title: str, suggested: str, suffix: str, pattern: str = "") -> Path | None:
    """Ask for a file name and return it with the suffix of its format; None if the user cancels.

    The dialog asks before it returns an existing name. If that name exists only with the suffix, which was not typed,
    the dialog is shown again with the whole name.
    """
    pattern = pattern or f"*{suffix}"
    name, _ = QFileDialog.getSaveFileName(parent, title, suggested, pattern)
    if name and not name.lower().endswith(suffix) and Path(name + suffix).exists():
        name, _ = QFileDialog.getSaveFileName(parent, title, name + suffix, pattern)
    if not name:
        return None
    return Path(name if name.lower().endswith(suffix) else name + suffix)
