"""Garbage is collected in full while nobody moves or scrolls."""

from __future__ import annotations

import gc
import time

from qtpy.QtCore import QObject, QTimer

from napari_cryomamba.napari_types import Viewer

_CHECK_MS = 1000
_IDLE_S = 3.0
"""After the last movement of cursor, section or camera."""
_EVERY_S = 60.0
_NEVER = 2**30


class IdleCollection(QObject):
    """Python's full collections at times when their pause is not seen. For the GUI thread; :meth:`close` it.

    With napari's 400,000 objects, a full collection stops the window for 60 to 200 ms
    (``python -m benchmarks.desktop_scroll``), by default at whatever time enough new objects have survived: also while
    a section is drawn. The frequent collections of new objects take a millisecond, and stay as they are.

    Only for a process that is ours: another program may count on Python's own rule.
    """

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._before = gc.get_threshold()
        gc.set_threshold(*self._before[:2], _NEVER)
        # What the imports have made stays until the end.
        gc.freeze()
        self._events = (viewer.dims.events.point, viewer.cursor.events.position, viewer.scene.camera.events)
        for event in self._events:
            event.connect(self._on_movement)
        self._moved = self._collected = time.monotonic()
        self._timer = QTimer(self)
        self._timer.setInterval(_CHECK_MS)
        self._timer.timeout.connect(self._collect_if_idle)
        self._timer.start()

    def _on_movement(self, _event: object = None) -> None:
        self._moved = time.monotonic()

    def _collect_if_idle(self) -> None:
        now = time.monotonic()
        if now - self._moved >= _IDLE_S and now - self._collected >= _EVERY_S:
            gc.collect()
            self._collected = now

    def close(self) -> None:
        """Let Python collect by its own rule again."""
        self._timer.stop()
        for event in self._events:
            event.disconnect(self._on_movement)
        gc.set_threshold(*self._before)
        gc.unfreeze()
