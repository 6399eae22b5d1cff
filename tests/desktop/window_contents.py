"""What tests find in the window: entries of menus, and pixels of a canvas."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QMenu


def process_events() -> None:
    """Let Qt process its events, and delete what is to be deleted."""
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()


def menu_actions(menu: QMenu) -> dict[str, Any]:
    """All actions by their text, those of the menus within too."""
    found = {}
    for action in menu.actions():
        found[action.text().replace("&", "")] = action
        inner = action.menu()
        if isinstance(inner, QMenu):
            found |= menu_actions(inner)
    return found


def canvas_pixels(qt_viewer: Any) -> Any:
    """Return the pixels of a canvas, as 0 to 255."""
    process_events()
    return np.asarray(qt_viewer.screenshot(flash=False))[..., :3].astype(int)


def near(pixels: Any, color: str) -> Any:
    """Return where pixels have the hue of a colour ``#rrggbb``."""
    wanted = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)], float)
    hue = pixels - pixels.mean(axis=-1, keepdims=True)
    aim = wanted - wanted.mean()
    along = hue @ aim / np.linalg.norm(aim)
    across = np.linalg.norm(hue - along[..., None] * aim / np.linalg.norm(aim), axis=-1)
    return (along > 25) & (across < 0.35 * along)
