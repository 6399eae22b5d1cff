"""Colours of states, legible on napari's dark and light theme; no other module chooses one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QWidget

State = Literal["ok", "warning", "error", "inactive"]


@dataclass(frozen=True, slots=True)
class StateColors:
    """Text and light colours, and that of a progress bar, ``#rrggbb``."""

    ok: str
    warning: str
    error: str
    inactive: str
    bar: str

    def of(self, state: State) -> str:
        """Return the colour of a state."""
        return {"ok": self.ok, "warning": self.warning, "error": self.error, "inactive": self.inactive}[state]


DARK = StateColors(ok="#3fb950", warning="#d29922", error="#f85149", inactive="#8b949e", bar="#0068ad")
LIGHT = StateColors(ok="#116329", warning="#7d4e00", error="#a40e26", inactive="#57606a", bar="#8cc4ff")


def state_colors(widget: QWidget) -> StateColors:
    """Return the colours for the window that a widget is in.

    They follow the style that the window has now, because each of napari's windows can have a theme of its own.
    A widget learns of another theme by ``QEvent.Type.StyleChange``.
    """
    palette = widget.window().palette()
    text, background = (palette.color(role) for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Window))
    return LIGHT if text.lightness() < background.lightness() else DARK
