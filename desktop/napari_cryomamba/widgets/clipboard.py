"""The clipboard."""

from __future__ import annotations

from qtpy.QtWidgets import QApplication


def copy_text(text: str) -> None:
    """Copy a text to the clipboard."""
    clipboard = QApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(text)
