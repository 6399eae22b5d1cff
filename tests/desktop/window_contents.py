"""What tests find in the window: entries of menus, and pixels of a canvas."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QMenu

from cryomamba.testing import DEADLINE_S


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
    """Return the pixels of a canvas, as 0 to 255, once two pictures in a row are the same.

    napari draws a canvas that got another size first with its former camera, and resets the camera after a picture to
    what it was before it, so a single picture may not be that of the camera.
    """
    before = _picture(qt_viewer)
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        after = _picture(qt_viewer)
        if before[1:] == after[1:] and np.array_equal(before[0], after[0]):
            return after[0]
        before = after
    raise AssertionError(f"the canvas keeps changing: {before[1:]}, then {after[1:]}")


def _picture(qt_viewer: Any) -> tuple[Any, ...]:
    """Return the pixels of a canvas, its size, and its camera's centre and zoom."""
    process_events()
    pixels = np.asarray(qt_viewer.screenshot(flash=False))[..., :3].astype(int)
    camera = qt_viewer.viewer.scene.camera
    return pixels, tuple(qt_viewer.canvas.size), tuple(camera.center), camera.zoom


def near(pixels: Any, color: str) -> Any:
    """Return where pixels have the hue of a colour ``#rrggbb``."""
    wanted = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)], float)
    hue = pixels - pixels.mean(axis=-1, keepdims=True)
    aim = wanted - wanted.mean()
    along = hue @ aim / np.linalg.norm(aim)
    across = np.linalg.norm(hue - along[..., None] * aim / np.linalg.norm(aim), axis=-1)
    return (along > 25) & (across < 0.35 * along)
